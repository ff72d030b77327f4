//! `/api/v1/groups/{group}/flows`

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::flow::{Flow, FlowVersion};
use crate::domain::id::{ConnectionId, Environment, FlowId, GroupId, Name, Slot, TriggerId};
use crate::http::connections::NewConnection;
use crate::http::extract::{Body, Module, Named, Params};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::{Api, ApiState};
use crate::service::access::Actor;
use crate::service::error::ServiceError;

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

/// A flow.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct FlowView {
    /// Its id, unique on the server.
    #[schema(value_type = String)]
    pub id: FlowId,
    /// Its name.
    #[schema(value_type = String)]
    pub name: Name,
    /// Notes.
    pub description: String,
    /// The number of the newest version; 0 before the first push.
    pub latest: u32,
    /// Which version is published in which environment.
    #[schema(value_type = BTreeMap<String, u32>)]
    pub published: BTreeMap<Environment, u32>,
    /// Which connection each slot is bound to, by environment.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, String>>)]
    pub slots: BTreeMap<Environment, BTreeMap<Slot, ConnectionId>>,
    /// Whether it has an HTTP trigger of its own, besides the execute trigger that every flow has.
    pub has_http_trigger: bool,
    /// The id of its execute trigger.
    #[schema(value_type = String)]
    pub execute_trigger: TriggerId,
    /// Where its execute trigger is called: `POST` with an API key.
    pub execute_url: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
}

/// A pushed version.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct VersionView {
    /// Its number.
    #[schema(example = 3)]
    pub version: u32,
    /// The module's digest: `sha256:` and 64 hexadecimal digits.
    #[schema(example = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    pub digest: String,
    /// The module's size in bytes.
    pub size: u64,
    /// What its author said of it.
    #[schema(example = "Update deals as well")]
    pub note: String,
    /// When it was pushed.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
}

/// What accompanies a push.
#[derive(Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PushParams {
    /// What its author says of it.
    #[serde(default)]
    pub note: String,
}

/// Which version is to be published where.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// The version; the newest when absent.
    #[serde(default)]
    pub version: Option<u32>,
    /// Where.
    #[serde(default = "Environment::production")]
    #[schema(value_type = String, example = "production")]
    pub environment: Environment,
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

impl FlowView {
    fn of(flow: &Flow, api: &Api) -> Self {
        Self {
            id: flow.id.clone(),
            name: flow.name.clone(),
            description: flow.description.clone(),
            latest: flow.latest,
            published: flow.published.iter().map(|(name, publication)| (name.clone(), publication.version)).collect(),
            slots: flow.slots.clone(),
            has_http_trigger: api.service.catalog().triggers_of(&flow.id).next().is_some(),
            execute_trigger: flow.execute.id.clone(),
            execute_url: format!("{}/flows/{}/execute", api.public_url, flow.id),
            created: flow.created,
        }
    }
}

impl From<FlowVersion> for VersionView {
    fn from(version: FlowVersion) -> Self {
        let FlowVersion { version, digest, size, note, created, .. } = version;
        Self { version, digest: digest.to_string(), size, note, created }
    }
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

/// Lists the versions of a flow, newest first.
#[utoipa::path(get, path = "/api/v1/groups/{group}/flows/{flow}/versions", tag = "flows", params(("group" = String, Path), ("flow" = String, Path)), responses(
    (status = OK, body = Vec<VersionView>),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn list_versions(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow)): Named<(GroupId, String)>,
) -> Result<Json<Vec<VersionView>>, Problem> {
    let versions = api.service.list_versions(&actor, &group, &flow)?;
    Ok(Json(versions.into_iter().map(VersionView::from).collect()))
}

/// Pushes a version. The module is checked and compiled first; nothing that runs changes.
#[utoipa::path(put, path = "/api/v1/groups/{group}/flows/{flow}/versions", tag = "flows", request_body(content = Vec<u8>, content_type = "application/wasm"), params(("group" = String, Path), ("flow" = String, Path), PushParams), responses(
    (status = CREATED, body = VersionView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = UNPROCESSABLE_ENTITY, description = "The module is refused", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn push_version(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow)): Named<(GroupId, String)>,
    Params(params): Params<PushParams>,
    Module(bytes): Module,
) -> Result<(StatusCode, Json<VersionView>), Problem> {
    let version = api.service.push_version(&actor, &group, &flow, bytes, params.note).await?;
    Ok((StatusCode::CREATED, Json(version.into())))
}

/// Publishes a version in an environment, from the next request on.
#[utoipa::path(post, path = "/api/v1/groups/{group}/flows/{flow}/publish", tag = "flows", request_body = Publish, params(("group" = String, Path), ("flow" = String, Path)), responses(
    (status = OK, body = FlowView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn publish(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow)): Named<(GroupId, String)>,
    Body(publish): Body<Publish>,
) -> Result<Json<FlowView>, Problem> {
    let flow = api.service.publish(&actor, &group, &flow, publish.version, publish.environment).await?;
    Ok(Json(FlowView::of(&flow, &api)))
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
