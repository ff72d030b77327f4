//! `/api/v1/groups/{group}/flows/{flow}/samples`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::event::{EventParts, SampleEvent};
use crate::domain::id::{GroupId, Name};
use crate::http::ApiState;
use crate::http::extract::{Body, Named};
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;

/// A sample event of a flow.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SampleView {
    /// Its name.
    #[schema(value_type = String, example = "order")]
    pub name: Name,
    /// What it is for.
    #[schema(example = "An order with two lines")]
    pub description: String,
    /// The event.
    pub event: EventParts,
    /// When it was saved last.
    #[schema(value_type = String, format = DateTime)]
    pub saved: Timestamp,
}

/// An event to keep with a flow.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NewSample {
    /// What it is for.
    #[schema(example = "An order with two lines")]
    pub description: String,
    /// The event, as Run Once takes it.
    pub event: EventParts,
}

impl From<SampleEvent> for SampleView {
    fn from(sample: SampleEvent) -> Self {
        let SampleEvent { name, description, event, saved } = sample;
        Self { name, description, event, saved }
    }
}

/// Lists the sample events of a flow, by name.
#[utoipa::path(get, path = "/api/v1/groups/{group}/flows/{flow}/samples", tag = "runs", params(("group" = String, Path), ("flow" = String, Path)), responses(
    (status = OK, body = Vec<SampleView>),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn list(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow)): Named<(GroupId, String)>,
) -> Result<Json<Vec<SampleView>>, Problem> {
    let samples = api.service.list_samples(&actor, &group, &flow)?;
    Ok(Json(samples.into_iter().map(SampleView::from).collect()))
}

/// Keeps an event with a flow, to try it with: at most 50, of 256 KiB each. One of the same name is replaced.
#[utoipa::path(put, path = "/api/v1/groups/{group}/flows/{flow}/samples/{sample}", tag = "runs", request_body = NewSample, params(("group" = String, Path), ("flow" = String, Path), ("sample" = String, Path)), responses(
    (status = CREATED, body = SampleView),
    (status = OK, description = "It was there and is replaced", body = SampleView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "The flow has as many as it may", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn save(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow, sample)): Named<(GroupId, String, Name)>,
    Body(NewSample { description, event }): Body<NewSample>,
) -> Result<(StatusCode, Json<SampleView>), Problem> {
    let (sample, is_new) = api.service.save_sample(&actor, &group, &flow, sample, description, event).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(sample.into())))
}

/// Deletes a sample event.
#[utoipa::path(delete, path = "/api/v1/groups/{group}/flows/{flow}/samples/{sample}", tag = "runs", params(("group" = String, Path), ("flow" = String, Path), ("sample" = String, Path)), responses(
    (status = NO_CONTENT),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn delete(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow, sample)): Named<(GroupId, String, Name)>,
) -> Result<StatusCode, Problem> {
    api.service.delete_sample(&actor, &group, &flow, &sample).await?;
    Ok(StatusCode::NO_CONTENT)
}
