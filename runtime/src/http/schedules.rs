//! `/api/v1/groups/{group}/flows/{flow}/schedules`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::id::{Environment, FlowId, GroupId, TriggerId};
use crate::domain::schedule::{Begun, CatchUp, NotBegun, Overlap};
use crate::http::ApiState;
use crate::http::extract::{Body, Named};
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;
use crate::service::schedules::ScheduleDetails;

pub use crate::service::schedules::ScheduleChanges;

/// A schedule, as it is shown.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ScheduleView {
    /// Its id.
    #[schema(value_type = String, example = "trg_4fK2mQ9xLrT7vWb1ZcN8")]
    pub id: TriggerId,
    /// The flow it runs.
    #[schema(value_type = String, example = "flw_4fK2mQ9xLrT7vWb1ZcN8")]
    pub flow: FlowId,
    /// What it is for.
    #[schema(example = "Nightly sync of contacts")]
    pub description: String,
    /// When.
    #[schema(example = "30 2 * * MON-FRI")]
    pub cron: String,
    /// The time zone's IANA name.
    #[schema(example = "Europe/Berlin")]
    pub time_zone: String,
    /// Where.
    #[schema(value_type = String, example = "production")]
    pub environment: Environment,
    /// The event's body; absent when it tells the time it was scheduled for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub event: Option<Value>,
    /// Each time is put off by up to so many seconds.
    #[schema(example = 60)]
    pub jitter_s: u32,
    /// What happens when the run before it is still under way.
    pub overlap: Overlap,
    /// What happens with times that passed while the server was down.
    pub catch_up: CatchUp,
    /// Whether it runs at all.
    pub enabled: bool,
    /// Its next five times, without jitter; none while it is disabled.
    #[schema(value_type = Vec<String>, example = json!(["2026-03-30T00:30:00Z"]))]
    pub next: Vec<Timestamp>,
    /// Times that have come and wait to begin.
    #[schema(value_type = Vec<String>)]
    pub waiting: Vec<Timestamp>,
    /// The newest run that it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<Begun>,
    /// How many times were left out because the run before was under way.
    pub skipped: u64,
    /// How many times were left out because the server was down.
    pub missed: u64,
    /// How many times in a row could not begin.
    pub failures: u32,
    /// Why the newest of them could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<NotBegun>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
}

impl From<ScheduleDetails> for ScheduleView {
    fn from(ScheduleDetails { schedule, state, next }: ScheduleDetails) -> Self {
        Self {
            id: schedule.id.clone(),
            flow: schedule.flow.clone(),
            description: schedule.description.clone(),
            cron: schedule.cron.clone(),
            time_zone: schedule.time_zone.clone(),
            environment: schedule.environment.clone(),
            event: schedule.event.clone(),
            jitter_s: schedule.jitter_s,
            overlap: schedule.overlap,
            catch_up: schedule.catch_up,
            enabled: schedule.enabled,
            next,
            waiting: state.waiting,
            last_run: state.last_run,
            skipped: state.skipped,
            missed: state.missed,
            failures: state.failures,
            last_error: state.last_error,
            created: schedule.created,
        }
    }
}

/// A run that was begun by hand.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct FiredView {
    /// Which run.
    #[schema(example = "019cf0a4-77b2-7c41-9a3e-0d6f6a0f2b11")]
    pub run: Uuid,
    /// Where it stands.
    #[schema(example = "queued")]
    pub status: String,
}

/// Lists the schedules of a flow.
#[utoipa::path(get, path = "/api/v1/groups/{group}/flows/{flow}/schedules", tag = "schedules", params(("group" = String, Path), ("flow" = String, Path)), responses(
    (status = OK, body = Vec<ScheduleView>),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn list(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow)): Named<(GroupId, String)>,
) -> Result<Json<Vec<ScheduleView>>, Problem> {
    let schedules = api.service.list_schedules(&actor, &group, &flow)?;
    Ok(Json(schedules.into_iter().map(ScheduleView::from).collect()))
}

/// Makes a schedule. Its first time is the first one after now.
#[utoipa::path(post, path = "/api/v1/groups/{group}/flows/{flow}/schedules", tag = "schedules", request_body = ScheduleChanges, params(("group" = String, Path), ("flow" = String, Path)), responses(
    (status = CREATED, body = ScheduleView),
    (status = BAD_REQUEST, body = ProblemBody, content_type = "application/problem+json"),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn create(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow)): Named<(GroupId, String)>,
    Body(wanted): Body<ScheduleChanges>,
) -> Result<(StatusCode, Json<ScheduleView>), Problem> {
    let made = api.service.create_schedule(&actor, &group, &flow, wanted).await?;
    Ok((StatusCode::CREATED, Json(made.into())))
}

/// Shows a schedule, how it stands, and its next five times.
#[utoipa::path(get, path = "/api/v1/groups/{group}/flows/{flow}/schedules/{schedule}", tag = "schedules", params(("group" = String, Path), ("flow" = String, Path), ("schedule" = String, Path)), responses(
    (status = OK, body = ScheduleView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn get(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow, schedule)): Named<(GroupId, String, TriggerId)>,
) -> Result<Json<ScheduleView>, Problem> {
    Ok(Json(api.service.get_schedule(&actor, &group, &flow, &schedule)?.into()))
}

/// Changes a schedule. With another timetable, or enabled again, its times count from now on.
#[utoipa::path(patch, path = "/api/v1/groups/{group}/flows/{flow}/schedules/{schedule}", tag = "schedules", request_body = ScheduleChanges, params(("group" = String, Path), ("flow" = String, Path), ("schedule" = String, Path)), responses(
    (status = OK, body = ScheduleView),
    (status = BAD_REQUEST, body = ProblemBody, content_type = "application/problem+json"),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn update(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow, schedule)): Named<(GroupId, String, TriggerId)>,
    Body(changes): Body<ScheduleChanges>,
) -> Result<Json<ScheduleView>, Problem> {
    Ok(Json(api.service.update_schedule(&actor, &group, &flow, &schedule, changes).await?.into()))
}

/// Deletes a schedule. Runs that it began go on.
#[utoipa::path(delete, path = "/api/v1/groups/{group}/flows/{flow}/schedules/{schedule}", tag = "schedules", params(("group" = String, Path), ("flow" = String, Path), ("schedule" = String, Path)), responses(
    (status = NO_CONTENT, description = "Done"),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn delete(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow, schedule)): Named<(GroupId, String, TriggerId)>,
) -> Result<StatusCode, Problem> {
    api.service.delete_schedule(&actor, &group, &flow, &schedule).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Runs a schedule's flow now, beside its timetable.
#[utoipa::path(post, path = "/api/v1/groups/{group}/flows/{flow}/schedules/{schedule}/fire", tag = "schedules", params(("group" = String, Path), ("flow" = String, Path), ("schedule" = String, Path)), responses(
    (status = ACCEPTED, body = FiredView),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = SERVICE_UNAVAILABLE, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn fire(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow, schedule)): Named<(GroupId, String, TriggerId)>,
) -> Result<(StatusCode, Json<FiredView>), Problem> {
    let run = api.service.fire_schedule(&actor, &group, &flow, &schedule).await?;
    Ok((StatusCode::ACCEPTED, Json(FiredView { run, status: "queued".to_owned() })))
}
