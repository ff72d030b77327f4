//! `/api/v1/groups/{group}/connectors`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::connector::Connector;
use crate::domain::id::{ConnectorName, GroupId};
use crate::http::ApiState;
use crate::http::extract::{Module, Named};
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;

/// An installed connector.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ConnectorView {
    /// Its name.
    #[schema(value_type = String, example = "hubspot")]
    pub name: ConnectorName,
    /// The component's digest: `sha256:` and 64 hexadecimal digits.
    #[schema(example = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    pub digest: String,
    /// The component's size in bytes.
    pub size: u64,
    /// What it says about itself: authentication, hosts, methods with JSON Schemas.
    #[schema(value_type = Object)]
    pub manifest: headgate_manifest::Manifest,
    /// When it was installed.
    #[schema(value_type = String, format = DateTime)]
    pub installed: Timestamp,
}

impl From<&Connector> for ConnectorView {
    fn from(connector: &Connector) -> Self {
        Self {
            name: connector.name.clone(),
            digest: connector.digest.to_string(),
            size: connector.size,
            manifest: connector.manifest.clone(),
            installed: connector.installed,
        }
    }
}

/// Lists the connectors of a group.
#[utoipa::path(get, path = "/api/v1/groups/{group}/connectors", tag = "connectors", params(("group" = String, Path)), responses(
    (status = OK, body = Vec<ConnectorView>),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn list(
    actor: Actor,
    State(api): State<ApiState>,
    Named(group): Named<GroupId>,
) -> Result<Json<Vec<ConnectorView>>, Problem> {
    let connectors = api.service.list_connectors(&actor, &group)?;
    Ok(Json(connectors.iter().map(|connector| ConnectorView::from(&**connector)).collect()))
}

/// Installs a connector, or replaces it. The name is the one in its manifest.
#[utoipa::path(put, path = "/api/v1/groups/{group}/connectors", tag = "connectors", request_body(content = Vec<u8>, content_type = "application/wasm"), params(("group" = String, Path)), responses(
    (status = CREATED, body = ConnectorView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = UNPROCESSABLE_ENTITY, description = "The module is refused", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn install(
    actor: Actor,
    State(api): State<ApiState>,
    Named(group): Named<GroupId>,
    Module(bytes): Module,
) -> Result<(StatusCode, Json<ConnectorView>), Problem> {
    let connector = api.service.install_connector(&actor, &group, bytes).await?;
    Ok((StatusCode::CREATED, Json(ConnectorView::from(&*connector))))
}

/// Shows a connector.
#[utoipa::path(get, path = "/api/v1/groups/{group}/connectors/{connector}", tag = "connectors", params(("group" = String, Path), ("connector" = String, Path)), responses(
    (status = OK, body = ConnectorView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn get(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, connector)): Named<(GroupId, ConnectorName)>,
) -> Result<Json<ConnectorView>, Problem> {
    Ok(Json(ConnectorView::from(&*api.service.get_connector(&actor, &group, &connector)?)))
}
