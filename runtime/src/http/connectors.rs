//! `/api/v1/groups/{group}/connectors` and `/api/v1/connectors`

pub mod server;
mod views;

use axum::Json;
use axum::extract::State;
use http::StatusCode;

use crate::domain::id::{ConnectorName, GroupId};
use crate::http::ApiState;
use crate::http::extract::{MaybeBody, Module, Named, Params};
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;

pub use views::{ConnectorScope, ConnectorVersionView, ConnectorView, ForceParams, InstalledView, RollBack};

/// Lists the connectors that a group uses: its own, and the server's of other names.
#[utoipa::path(get, path = "/api/v1/groups/{group}/connectors", tag = "connectors", params(("group" = String, Path)), responses(
    (status = OK, body = Vec<ConnectorView>),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn list(
    actor: Actor,
    State(api): State<ApiState>,
    Named(group): Named<GroupId>,
) -> Result<Json<Vec<ConnectorView>>, Problem> {
    let connectors = api.service.list_connectors(&actor, Some(&group))?;
    Ok(Json(connectors.iter().map(|connector| ConnectorView::from(&**connector)).collect()))
}

/// Installs a connector, or its next version. The name is the one in its manifest. The module that is in use already
/// changes nothing (200); one from before is in use again (200). What would break by it is told, and nothing is changed,
/// unless it is forced.
#[utoipa::path(put, path = "/api/v1/groups/{group}/connectors", tag = "connectors", request_body(content = Vec<u8>, content_type = "application/wasm"), params(("group" = String, Path), ForceParams), responses(
    (status = CREATED, description = "A new version is in use", body = InstalledView),
    (status = OK, description = "A version from before is in use again, or was all along", body = InstalledView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "Something would break: details.breaks says what", body = ProblemBody, content_type = "application/problem+json"),
    (status = UNPROCESSABLE_ENTITY, description = "The module is refused", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn install(
    actor: Actor,
    State(api): State<ApiState>,
    Named(group): Named<GroupId>,
    Params(params): Params<ForceParams>,
    Module(bytes): Module,
) -> Result<(StatusCode, Json<InstalledView>), Problem> {
    Ok(views::installed(api.service.install_connector(&actor, Some(&group), bytes, params.force).await?))
}

/// Shows the connector of a name that a group uses: its own, or the server's.
#[utoipa::path(get, path = "/api/v1/groups/{group}/connectors/{connector}", tag = "connectors", params(("group" = String, Path), ("connector" = String, Path)), responses(
    (status = OK, body = ConnectorView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn get(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, connector)): Named<(GroupId, ConnectorName)>,
) -> Result<Json<ConnectorView>, Problem> {
    Ok(Json(ConnectorView::from(&*api.service.get_connector(&actor, Some(&group), &connector)?)))
}

/// Lists the newest 100 versions of a group's own connector, the newest first.
#[utoipa::path(get, path = "/api/v1/groups/{group}/connectors/{connector}/versions", tag = "connectors", params(("group" = String, Path), ("connector" = String, Path)), responses(
    (status = OK, body = Vec<ConnectorVersionView>),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "The connector is the server's", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn list_versions(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, connector)): Named<(GroupId, ConnectorName)>,
) -> Result<Json<Vec<ConnectorVersionView>>, Problem> {
    Ok(Json(views::versions(api.service.list_connector_versions(&actor, Some(&group), &connector)?)))
}

/// Takes a version of a group's own connector into use that was so before: the one before the present one, or the one that
/// is named. What would break by it is told, and nothing is changed, unless it is forced.
#[utoipa::path(post, path = "/api/v1/groups/{group}/connectors/{connector}/rollback", tag = "connectors", request_body = RollBack, params(("group" = String, Path), ("connector" = String, Path)), responses(
    (status = OK, body = InstalledView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "There is no such version, or something would break", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn roll_back(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, connector)): Named<(GroupId, ConnectorName)>,
    MaybeBody(RollBack { to, force }): MaybeBody<RollBack>,
) -> Result<Json<InstalledView>, Problem> {
    let installed = api.service.roll_back_connector(&actor, Some(&group), &connector, to, force).await?;
    Ok(Json(installed.into()))
}

/// Removes a group's own connector, with its versions. Refused while connections use it, unless they can go on with the
/// server's of the same name.
#[utoipa::path(delete, path = "/api/v1/groups/{group}/connectors/{connector}", tag = "connectors", params(("group" = String, Path), ("connector" = String, Path), ForceParams), responses(
    (status = NO_CONTENT),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "Connections use it", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn remove(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, connector)): Named<(GroupId, ConnectorName)>,
    Params(params): Params<ForceParams>,
) -> Result<StatusCode, Problem> {
    api.service.remove_connector(&actor, Some(&group), &connector, params.force).await?;
    Ok(StatusCode::NO_CONTENT)
}
