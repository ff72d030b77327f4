//! `/api/v1/connectors`: the server's connectors, which every group uses that has none of the same name.

use axum::Json;
use axum::extract::State;
use http::StatusCode;

use super::views;
use super::{ConnectorVersionView, ConnectorView, ForceParams, InstalledView, RollBack};
use crate::domain::id::ConnectorName;
use crate::http::ApiState;
use crate::http::extract::{MaybeBody, Module, Named, Params};
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;

/// Lists the server's connectors. For operators.
#[utoipa::path(get, path = "/api/v1/connectors", operation_id = "list_server_connectors", tag = "connectors", responses(
    (status = OK, body = Vec<ConnectorView>),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn list(actor: Actor, State(api): State<ApiState>) -> Result<Json<Vec<ConnectorView>>, Problem> {
    let connectors = api.service.list_connectors(&actor, None)?;
    Ok(Json(connectors.iter().map(|connector| ConnectorView::from(&**connector)).collect()))
}

/// Installs a connector for all groups, or its next version. For operators. What would break by it in whichever group is
/// told, and nothing is changed, unless it is forced.
#[utoipa::path(put, path = "/api/v1/connectors", operation_id = "install_server_connector", tag = "connectors", request_body(content = Vec<u8>, content_type = "application/wasm"), params(ForceParams), responses(
    (status = CREATED, description = "A new version is in use", body = InstalledView),
    (status = OK, description = "A version from before is in use again, or was all along", body = InstalledView),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "Something would break: details.breaks says what", body = ProblemBody, content_type = "application/problem+json"),
    (status = UNPROCESSABLE_ENTITY, description = "The module is refused", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn install(
    actor: Actor,
    State(api): State<ApiState>,
    Params(params): Params<ForceParams>,
    Module(bytes): Module,
) -> Result<(StatusCode, Json<InstalledView>), Problem> {
    Ok(views::installed(api.service.install_connector(&actor, None, bytes, params.force).await?))
}

/// Shows one of the server's connectors. For operators.
#[utoipa::path(get, path = "/api/v1/connectors/{connector}", operation_id = "get_server_connector", tag = "connectors", params(("connector" = String, Path)), responses(
    (status = OK, body = ConnectorView),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn get(
    actor: Actor,
    State(api): State<ApiState>,
    Named(connector): Named<ConnectorName>,
) -> Result<Json<ConnectorView>, Problem> {
    Ok(Json(ConnectorView::from(&*api.service.get_connector(&actor, None, &connector)?)))
}

/// Lists the newest 100 versions of one of the server's connectors, the newest first. For operators.
#[utoipa::path(get, path = "/api/v1/connectors/{connector}/versions", operation_id = "list_server_connector_versions", tag = "connectors", params(("connector" = String, Path)), responses(
    (status = OK, body = Vec<ConnectorVersionView>),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn list_versions(
    actor: Actor,
    State(api): State<ApiState>,
    Named(connector): Named<ConnectorName>,
) -> Result<Json<Vec<ConnectorVersionView>>, Problem> {
    Ok(Json(views::versions(api.service.list_connector_versions(&actor, None, &connector)?)))
}

/// Takes a version of one of the server's connectors into use that was so before. For operators.
#[utoipa::path(post, path = "/api/v1/connectors/{connector}/rollback", operation_id = "roll_back_server_connector", tag = "connectors", request_body = RollBack, params(("connector" = String, Path)), responses(
    (status = OK, body = InstalledView),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "There is no such version, or something would break", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn roll_back(
    actor: Actor,
    State(api): State<ApiState>,
    Named(connector): Named<ConnectorName>,
    MaybeBody(RollBack { to, force }): MaybeBody<RollBack>,
) -> Result<Json<InstalledView>, Problem> {
    let installed = api.service.roll_back_connector(&actor, None, &connector, to, force).await?;
    Ok(Json(installed.into()))
}

/// Removes one of the server's connectors, with its versions. For operators. Refused while connections use it.
#[utoipa::path(delete, path = "/api/v1/connectors/{connector}", operation_id = "remove_server_connector", tag = "connectors", params(("connector" = String, Path)), responses(
    (status = NO_CONTENT),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "Connections use it", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn remove(
    actor: Actor,
    State(api): State<ApiState>,
    Named(connector): Named<ConnectorName>,
) -> Result<StatusCode, Problem> {
    api.service.remove_connector(&actor, None, &connector, false).await?;
    Ok(StatusCode::NO_CONTENT)
}
