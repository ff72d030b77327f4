//! `/api/v1/groups/{group}/runs`

mod follow;

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, header};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::domain::event::{EventParts, Pairs};
use crate::domain::id::{Environment, FlowId, GroupId, Name, TriggerId};
use crate::domain::run::{EventRecord, LogLine, Outcome, Run, RunState, Step};
use crate::domain::trigger::Respond;
use crate::http::ApiState;
use crate::http::extract::{Body, Named, Params};
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;
use crate::service::error::ServiceError;
use crate::service::run_once::RunOnce;
use crate::service::runs::RunFilter;

pub use follow::{Followed, NDJSON};

/// A run in a list.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RunSummary {
    /// Its id.
    pub id: Uuid,
    /// The flow's id.
    #[schema(value_type = String)]
    pub flow: FlowId,
    /// The flow's name.
    #[schema(value_type = String, example = "update-lead-status")]
    pub flow_name: Name,
    /// Of which version.
    pub version: u32,
    /// Where.
    #[schema(value_type = String)]
    pub environment: Environment,
    /// Who called, such as `Key: crm`.
    #[schema(example = "Key: crm")]
    pub caller: String,
    /// Where it stands.
    pub state: RunState,
    /// Whether its calls reached no app.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mocked: bool,
    /// When the event was accepted.
    #[schema(value_type = String, format = DateTime)]
    pub accepted: Timestamp,
    /// How long it took, in microseconds.
    #[schema(example = 12_500)]
    pub duration_us: Option<u64>,
}

/// A run with its steps and its log.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RunView {
    /// What a list shows.
    #[serde(flatten)]
    pub summary: RunSummary,
    /// The module's digest.
    pub digest: String,
    /// What fired it.
    #[schema(value_type = String)]
    pub trigger: TriggerId,
    /// How the caller was answered.
    pub respond: Respond,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// When execution began.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started: Option<Timestamp>,
    /// What came in.
    pub event: EventRecord,
    /// The method calls it made.
    pub steps: Vec<Step>,
    /// How many steps were performed and not recorded.
    pub steps_dropped: u64,
    /// What it said.
    pub log: Vec<LogLine>,
    /// How many lines were said and not kept.
    pub log_dropped: u64,
    /// How it ended.
    pub outcome: Option<Outcome>,
}

/// How to try a flow. Without an event, its body is `null`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NewRunOnce {
    /// Where: whose connections it uses; `test` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "test")]
    pub environment: Option<Environment>,
    /// Which version; when absent the published one, and where none is published the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Through which of its triggers the event pretends to come: its id. When absent that of the run that the event is
    /// from, or the built-in execute trigger. A trigger's signature is not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub trigger: Option<TriggerId>,
    /// The run whose recorded event is used again. What was not recorded has to be given besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_run: Option<Uuid>,
    /// The sample event of this name; `example` is the one in the schema of the flow's event.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "order")]
    pub sample: Option<String>,
    /// Whether the flow's calls reach no app: each is answered by its method's sample. Neither connections that work nor,
    /// where the flow declares its slots, bound ones are needed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mock: bool,
    /// Own answers of mocked calls, by slot and method; `{"$error": {"code": "..", "message": ".."}}` makes a call fail.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object, example = json!({"crm.get_contact": {"id": "7"}}))]
    pub mocks: BTreeMap<String, serde_json::Value>,
    /// The request's method; one that the trigger takes when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "POST")]
    pub method: Option<String>,
    /// The path below the trigger's URL; `/` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/")]
    pub path: Option<String>,
    /// Parameters of the trigger's path template.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, example = json!({"order": "17"}))]
    pub params: Option<Pairs>,
    /// Query parameters, as an object or as a list of pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, example = json!({"page": "2"}))]
    pub query: Option<Pairs>,
    /// Headers, as an object or as a list of pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, example = json!({"x-source": "shop"}))]
    pub headers: Option<Pairs>,
    /// The event's body, where it is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, example = json!({"order": 17}))]
    pub event: Option<serde_json::Value>,
    /// The body's bytes, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "YSBib2R5")]
    pub body_base64: Option<String>,
}

impl NewRunOnce {
    /// Whether it says with which event, or with which part of one.
    pub fn has_event(&self) -> bool {
        let Self { from_run, sample, method, path, params, query, headers, event, body_base64, .. } = self;
        from_run.is_some()
            || [sample, method, path, body_base64].iter().any(|part| part.is_some())
            || [params, query, headers].iter().any(|part| part.is_some())
            || event.is_some()
    }
}

impl TryFrom<NewRunOnce> for RunOnce {
    type Error = ServiceError;

    fn try_from(new: NewRunOnce) -> Result<Self, ServiceError> {
        if !new.mock && !new.mocks.is_empty() {
            let message = "Own answers (mocks) are for a run that reaches no app. Say mock: true";
            return Err(ServiceError::Invalid(message.to_owned()));
        }
        let NewRunOnce { method, path, params, query, headers, event, body_base64, .. } = new;
        Ok(Self {
            environment: new.environment.unwrap_or_else(Environment::test),
            version: new.version,
            trigger: new.trigger,
            parts: EventParts { method, path, params, query, headers, event, body_base64 },
            from_run: new.from_run,
            sample: new.sample,
            mock: new.mock.then_some(new.mocks),
            listener: None,
        })
    }
}

/// Which runs to list.
#[derive(Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListParams {
    /// Of this flow only, by id or name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// Older than this run only: the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Uuid>,
    /// At most this many, up to 500; 50 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

impl From<&Run> for RunSummary {
    fn from(run: &Run) -> Self {
        Self {
            id: run.id,
            flow: run.flow.clone(),
            flow_name: run.flow_name.clone(),
            version: run.version,
            environment: run.environment.clone(),
            caller: run.caller.to_string(),
            state: run.state,
            mocked: run.mocked,
            accepted: run.accepted,
            duration_us: run.duration_us,
        }
    }
}

impl From<Run> for RunView {
    fn from(run: Run) -> Self {
        Self {
            summary: RunSummary::from(&run),
            digest: run.digest.to_string(),
            trigger: run.trigger,
            respond: run.respond,
            attempt: run.attempt,
            started: run.started,
            event: run.event,
            steps: run.steps,
            steps_dropped: run.steps_dropped,
            log: run.log,
            log_dropped: run.log_dropped,
            outcome: run.outcome,
        }
    }
}

/// Lists the runs of a group, newest first.
#[utoipa::path(get, path = "/api/v1/groups/{group}/runs", tag = "runs", params(("group" = String, Path), ListParams), responses(
    (status = OK, body = Vec<RunSummary>),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn list(
    actor: Actor,
    State(api): State<ApiState>,
    Named(group): Named<GroupId>,
    Params(params): Params<ListParams>,
) -> Result<Json<Vec<RunSummary>>, Problem> {
    let filter = RunFilter { flow: params.flow, before: params.before, limit: params.limit.unwrap_or(50) };
    let runs = api.service.list_runs(&actor, &group, &filter)?;
    Ok(Json(runs.iter().map(RunSummary::from).collect()))
}

/// Shows a run with its steps and its log.
#[utoipa::path(get, path = "/api/v1/groups/{group}/runs/{run}", tag = "runs", params(("group" = String, Path), ("run" = String, Path)), responses(
    (status = OK, body = RunView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn get(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, run)): Named<(GroupId, Uuid)>,
) -> Result<Json<RunView>, Problem> {
    Ok(Json(api.service.get_run(&actor, &group, run)?.into()))
}

/// Run Once: runs a flow with an event, published or not, and shows the run. The event is given, taken from a recorded run
/// (`from_run`) or a sample (`sample`); parts that are given besides come in place of those.
///
/// Whoever accepts `application/x-ndjson` gets the log as it is written: a line of JSON for each line of the log, and a
/// last one for the run.
#[utoipa::path(post, path = "/api/v1/groups/{group}/flows/{flow}/run", tag = "runs", request_body = NewRunOnce, params(("group" = String, Path), ("flow" = String, Path)), responses(
    (status = OK, content((RunView = "application/json"), (Followed = "application/x-ndjson"))),
    (status = BAD_REQUEST, description = "The event cannot be used: the message says what is missing", body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn run_once(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow)): Named<(GroupId, String)>,
    headers: HeaderMap,
    Body(new): Body<NewRunOnce>,
) -> Result<Response, Problem> {
    let once: RunOnce = new.try_into()?;
    if headers.get(header::ACCEPT).is_some_and(|accepted| accepted == follow::NDJSON) {
        return follow::run_once(api, actor, group, flow, once).await;
    }
    let run = api.service.run_once(&actor, &group, &flow, once).await?;
    Ok(Json(RunView::from(run)).into_response())
}
