//! `/api/v1/doctor`

use axum::Json;
use axum::extract::State;

use crate::domain::doctor::Examination;
use crate::http::ApiState;
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;

/// Examines the server: its store, key, clock, modules, disk, settings, connections, alerts, and whether the hosts of
/// connections can be reached. Nothing is changed.
#[utoipa::path(get, path = "/api/v1/doctor", tag = "server", responses(
    (status = OK, body = Examination),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn examine(actor: Actor, State(api): State<ApiState>) -> Result<Json<Examination>, Problem> {
    Ok(Json(api.service.examine(&actor).await?))
}
