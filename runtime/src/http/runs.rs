//! `/api/v1/groups/{group}/runs`

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::domain::id::{Environment, FlowId, GroupId, Name, TriggerId};
use crate::domain::run::{EventRecord, LogLine, Outcome, Run, RunState, Step};
use crate::domain::trigger::Respond;
use crate::http::ApiState;
use crate::http::extract::{Body, Named, Params};
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;
use crate::service::runs::{RunFilter, RunOnce};

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

/// An event to try a flow with.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRunOnce {
    /// Where: whose connections it uses.
    #[serde(default = "Environment::test")]
    #[schema(value_type = String, example = "test")]
    pub environment: Environment,
    /// Which version; when absent the published one, and where none is published the newest.
    #[serde(default)]
    pub version: Option<u32>,
    /// The event's body.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub event: serde_json::Value,
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

/// Run Once: runs a flow with an event, published or not, and shows the run.
#[utoipa::path(post, path = "/api/v1/groups/{group}/flows/{flow}/run", tag = "runs", request_body = NewRunOnce, params(("group" = String, Path), ("flow" = String, Path)), responses(
    (status = OK, body = RunView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn run_once(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow)): Named<(GroupId, String)>,
    Body(new): Body<NewRunOnce>,
) -> Result<Json<RunView>, Problem> {
    let once = RunOnce { environment: new.environment, version: new.version, event: new.event };
    Ok(Json(api.service.run_once(&actor, &group, &flow, once).await?.into()))
}
