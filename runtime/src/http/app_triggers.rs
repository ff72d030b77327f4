//! `/api/v1/groups/{group}/flows/{flow}/app-triggers`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::app_trigger::PollError;
use crate::domain::id::{ConnectionId, Environment, FlowId, GroupId, TriggerId};
use crate::domain::run::LogLine;
use crate::http::ApiState;
use crate::http::extract::{Body, Named};
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;
use crate::service::app_triggers::AppTriggerDetails;

pub use crate::service::app_triggers::AppTriggerChanges;

/// An app trigger, as it is shown.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AppTriggerView {
    /// Its id.
    #[schema(value_type = String, example = "trg_4fK2mQ9xLrT7vWb1ZcN8")]
    pub id: TriggerId,
    /// The flow it runs.
    #[schema(value_type = String, example = "flw_4fK2mQ9xLrT7vWb1ZcN8")]
    pub flow: FlowId,
    /// What it is for.
    #[schema(example = "Greets new contacts")]
    pub description: String,
    /// Through which connection the app is asked.
    #[schema(value_type = String, example = "con_4fK2mQ9xLrT7vWb1ZcN8")]
    pub connection: ConnectionId,
    /// The connection's environment.
    #[schema(value_type = String, example = "production")]
    pub environment: Environment,
    /// Which of the connector's triggers.
    #[schema(example = "new_contact")]
    pub trigger: String,
    /// What it looks for.
    #[schema(value_type = Object)]
    pub input: Value,
    /// How often the app is asked, in seconds.
    #[schema(example = 300)]
    pub every_s: u32,
    /// Whether the app is asked at all.
    pub enabled: bool,
    /// How it stands.
    pub state: AppTriggerStateView,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
}

/// How an app trigger stands.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AppTriggerStateView {
    /// Whether the beginning was found: what comes from then on is new.
    pub begun: bool,
    /// From where the next poll goes on, in the connector's own terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub cursor: Option<Value>,
    /// When the app was asked last; absent before the first time since the server's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_poll: Option<Timestamp>,
    /// When it is asked next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_poll: Option<Timestamp>,
    /// How many records became runs.
    #[schema(example = 12)]
    pub records: u64,
    /// How many records were told again, and run no second time.
    #[schema(example = 1)]
    pub repeated: u64,
    /// How many records were too large for a run.
    #[schema(example = 0)]
    pub left_out: u64,
    /// How many ids of records are remembered, to know them again.
    #[schema(example = 13)]
    pub remembered: usize,
    /// The newest run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<Uuid>,
    /// How many polls in a row failed.
    #[schema(example = 0)]
    pub failures: u32,
    /// Why the newest of them did, or why the app is not asked for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<PollError>,
    /// What the connector said in the newest poll.
    pub log: Vec<LogLine>,
}

impl From<AppTriggerDetails> for AppTriggerView {
    fn from(AppTriggerDetails { trigger, state, last }: AppTriggerDetails) -> Self {
        Self {
            id: trigger.id.clone(),
            flow: trigger.flow.clone(),
            description: trigger.description.clone(),
            connection: trigger.connection.clone(),
            environment: trigger.environment.clone(),
            trigger: trigger.trigger.clone(),
            input: trigger.input.clone(),
            every_s: trigger.every_s,
            enabled: trigger.enabled,
            state: AppTriggerStateView {
                begun: state.begun,
                cursor: state.cursor,
                last_poll: last.as_ref().map(|last| last.at),
                next_poll: last.as_ref().map(|last| last.next).filter(|_| trigger.enabled),
                records: state.records,
                repeated: state.repeated,
                left_out: state.left_out,
                remembered: state.seen.len(),
                last_run: state.last_run,
                failures: state.failures,
                last_error: state.last_error,
                log: last.map(|last| last.log).unwrap_or_default(),
            },
            created: trigger.created,
        }
    }
}

/// Lists the app triggers of a flow.
#[utoipa::path(get, path = "/api/v1/groups/{group}/flows/{flow}/app-triggers", tag = "app triggers", params(("group" = String, Path), ("flow" = String, Path)), responses(
    (status = OK, body = Vec<AppTriggerView>),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn list(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow)): Named<(GroupId, String)>,
) -> Result<Json<Vec<AppTriggerView>>, Problem> {
    let triggers = api.service.list_app_triggers(&actor, &group, &flow)?;
    Ok(Json(triggers.into_iter().map(AppTriggerView::from).collect()))
}

/// Makes an app trigger. What the app has already is not new.
#[utoipa::path(post, path = "/api/v1/groups/{group}/flows/{flow}/app-triggers", tag = "app triggers", request_body = AppTriggerChanges, params(("group" = String, Path), ("flow" = String, Path)), responses(
    (status = CREATED, body = AppTriggerView),
    (status = BAD_REQUEST, body = ProblemBody, content_type = "application/problem+json"),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn create(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow)): Named<(GroupId, String)>,
    Body(wanted): Body<AppTriggerChanges>,
) -> Result<(StatusCode, Json<AppTriggerView>), Problem> {
    let made = api.service.create_app_trigger(&actor, &group, &flow, wanted).await?;
    Ok((StatusCode::CREATED, Json(made.into())))
}

/// Shows an app trigger, and how it stands.
#[utoipa::path(get, path = "/api/v1/groups/{group}/flows/{flow}/app-triggers/{app_trigger}", tag = "app triggers", params(("group" = String, Path), ("flow" = String, Path), ("app_trigger" = String, Path)), responses(
    (status = OK, body = AppTriggerView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn get(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow, trigger)): Named<(GroupId, String, TriggerId)>,
) -> Result<Json<AppTriggerView>, Problem> {
    Ok(Json(api.service.get_app_trigger(&actor, &group, &flow, &trigger)?.into()))
}

/// Changes an app trigger. One that is told to look for something else begins anew.
#[utoipa::path(patch, path = "/api/v1/groups/{group}/flows/{flow}/app-triggers/{app_trigger}", tag = "app triggers", request_body = AppTriggerChanges, params(("group" = String, Path), ("flow" = String, Path), ("app_trigger" = String, Path)), responses(
    (status = OK, body = AppTriggerView),
    (status = BAD_REQUEST, body = ProblemBody, content_type = "application/problem+json"),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn update(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow, trigger)): Named<(GroupId, String, TriggerId)>,
    Body(changes): Body<AppTriggerChanges>,
) -> Result<Json<AppTriggerView>, Problem> {
    Ok(Json(api.service.update_app_trigger(&actor, &group, &flow, &trigger, changes).await?.into()))
}

/// Deletes an app trigger. Runs that it began go on.
#[utoipa::path(delete, path = "/api/v1/groups/{group}/flows/{flow}/app-triggers/{app_trigger}", tag = "app triggers", params(("group" = String, Path), ("flow" = String, Path), ("app_trigger" = String, Path)), responses(
    (status = NO_CONTENT, description = "Done"),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn delete(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow, trigger)): Named<(GroupId, String, TriggerId)>,
) -> Result<StatusCode, Problem> {
    api.service.delete_app_trigger(&actor, &group, &flow, &trigger).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Asks the app now, and answers how the trigger stands after that.
#[utoipa::path(post, path = "/api/v1/groups/{group}/flows/{flow}/app-triggers/{app_trigger}/poll", tag = "app triggers", params(("group" = String, Path), ("flow" = String, Path), ("app_trigger" = String, Path)), responses(
    (status = OK, body = AppTriggerView),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn poll(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow, trigger)): Named<(GroupId, String, TriggerId)>,
) -> Result<Json<AppTriggerView>, Problem> {
    Ok(Json(api.service.poll_app_trigger(&actor, &group, &flow, &trigger).await?.into()))
}
