//! `/api/v1/groups/{group}/flows`

pub mod publications;
pub mod versions;
mod views;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::id::{ConnectionId, Environment, GroupId, Name, Slot};
use crate::http::ApiState;
use crate::http::connections::NewConnection;
use crate::http::extract::{Body, Named, Params};
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;
use crate::service::error::ServiceError;
use crate::service::flows::FlowChange;

pub use publications::{Promote, PublicationView, Publish, PublishedView, Rollback, Unpublish};
pub use versions::{CompareParams, PushParams};
pub use views::{DiffView, FlowView, VersionDetails, VersionView};

/// A flow to be made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewFlow {
    /// Its name, unique in the group.
    #[schema(value_type = String, example = "update-lead-status")]
    pub name: Name,
    /// Notes.
    #[serde(default)]
    pub description: String,
}

/// What is to change about a flow; what is absent stays.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateFlow {
    /// Its name, unique in the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "update-lead-status")]
    pub name: Option<Name>,
    /// Notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Deals of the CRM")]
    pub description: Option<String>,
}

/// Whether a flow is deleted with all that hangs on it.
#[derive(Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeleteParams {
    /// Also when it is published or has triggers.
    #[serde(default)]
    pub force: bool,
}

/// What a slot is to be bound to.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BindSlot {
    /// In which environment.
    #[serde(default = "Environment::production")]
    #[schema(value_type = String, example = "production")]
    pub environment: Environment,
    /// The connection's id; `null` unbinds the slot.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "con_0aB1cD2eF3gH4iJ5kL6m")]
    pub connection: Option<ConnectionId>,
    /// Instead of `connection`: a connection to be made for it, in the same environment.
    #[serde(default, skip_serializing)]
    pub create: Option<NewConnection>,
}

/// Lists the flows of a group.
#[utoipa::path(get, path = "/api/v1/groups/{group}/flows", tag = "flows", params(("group" = String, Path)), responses(
    (status = OK, body = Vec<FlowView>),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn list(
    actor: Actor,
    State(api): State<ApiState>,
    Named(group): Named<GroupId>,
) -> Result<Json<Vec<FlowView>>, Problem> {
    let flows = api.service.list_flows(&actor, &group)?;
    Ok(Json(flows.iter().map(|flow| FlowView::of(flow, &api)).collect()))
}

/// Makes a flow.
#[utoipa::path(post, path = "/api/v1/groups/{group}/flows", tag = "flows", request_body = NewFlow, params(("group" = String, Path)), responses(
    (status = CREATED, body = FlowView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn create(
    actor: Actor,
    State(api): State<ApiState>,
    Named(group): Named<GroupId>,
    Body(new): Body<NewFlow>,
) -> Result<(StatusCode, Json<FlowView>), Problem> {
    let flow = api.service.create_flow(&actor, &group, new.name, new.description).await?;
    Ok((StatusCode::CREATED, Json(FlowView::of(&flow, &api))))
}

/// Shows a flow, by its id or its name.
#[utoipa::path(get, path = "/api/v1/groups/{group}/flows/{flow}", tag = "flows", params(("group" = String, Path), ("flow" = String, Path)), responses(
    (status = OK, body = FlowView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn get(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow)): Named<(GroupId, String)>,
) -> Result<Json<FlowView>, Problem> {
    Ok(Json(FlowView::of(&*api.service.get_flow(&actor, &group, &flow)?, &api)))
}

/// Changes a flow's name or notes. Its id, its triggers and what is published stay.
#[utoipa::path(patch, path = "/api/v1/groups/{group}/flows/{flow}", tag = "flows", request_body = UpdateFlow, params(("group" = String, Path), ("flow" = String, Path)), responses(
    (status = OK, body = FlowView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "Another flow has this name", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn update(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow)): Named<(GroupId, String)>,
    Body(UpdateFlow { name, description }): Body<UpdateFlow>,
) -> Result<Json<FlowView>, Problem> {
    let flow = api.service.update_flow(&actor, &group, &flow, FlowChange { name, description }).await?;
    Ok(Json(FlowView::of(&flow, &api)))
}

/// Deletes a flow with its triggers and versions. Runs that are queued for it end as `flow_deleted`.
#[utoipa::path(delete, path = "/api/v1/groups/{group}/flows/{flow}", tag = "flows", params(("group" = String, Path), ("flow" = String, Path), DeleteParams), responses(
    (status = NO_CONTENT),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "It is published or has triggers", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn delete(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow)): Named<(GroupId, String)>,
    Params(params): Params<DeleteParams>,
) -> Result<StatusCode, Problem> {
    api.service.delete_flow(&actor, &group, &flow, params.force).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Binds a slot to a connection in an environment, to one that is made for it, or unbinds it.
#[utoipa::path(put, path = "/api/v1/groups/{group}/flows/{flow}/slots/{slot}", tag = "flows", request_body = BindSlot, params(("group" = String, Path), ("flow" = String, Path), ("slot" = String, Path)), responses(
    (status = OK, body = FlowView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn bind_slot(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow, slot)): Named<(GroupId, String, Slot)>,
    Body(bind): Body<BindSlot>,
) -> Result<Json<FlowView>, Problem> {
    let BindSlot { environment, connection, create } = bind;
    let flow = match (create, connection) {
        (None, connection) => api.service.bind_slot(&actor, &group, &flow, slot, environment, connection).await?,
        (Some(new), None) => {
            let new = new.within(environment)?;
            api.service.bind_slot_to_new(&actor, &group, &flow, slot, new).await?
        }
        (Some(_), Some(_)) => {
            let message = "Name a connection, or one to be made, not both";
            return Err(ServiceError::Invalid(message.to_owned()).into());
        }
    };
    Ok(Json(FlowView::of(&flow, &api)))
}
