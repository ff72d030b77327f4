//! `/api/v1/groups/{group}/connections`

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::connection::{Connection, ConnectionKind};
use crate::domain::id::{AppRegistrationId, ConnectionId, ConnectorName, Environment, GroupId, Name};
use crate::http::ApiState;
use crate::http::extract::{Body, Named};
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;
use crate::service::connections;

/// A connection to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewConnection {
    /// Its name, unique in its group and environment.
    #[schema(value_type = String, example = "sales-crm")]
    pub name: Name,
    /// Where it works.
    #[serde(default = "Environment::production")]
    #[schema(value_type = String, example = "production")]
    pub environment: Environment,
    /// For which connector.
    #[schema(value_type = String, example = "hubspot")]
    pub connector: ConnectorName,
    /// Which of the connector's ways to authenticate; the first when absent.
    #[serde(default)]
    pub auth: Option<String>,
    /// Non-secret settings, as the connector's manifest names them.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// Secret fields, as the connector's manifest names them. They are encrypted and never answered again.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub secrets: BTreeMap<String, SecretString>,
    /// The scopes to ask for, where it is an OAuth connection; the manifest's default when absent.
    #[serde(default)]
    #[schema(example = json!(["crm.objects.contacts.read"]))]
    pub scopes: Option<Vec<String>>,
    /// The group's app registration, where it is an `oauth_advanced` connection.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "app_0aB1cD2eF3gH4iJ5kL6m")]
    pub registration: Option<AppRegistrationId>,
}

/// A connection. Of its secrets only the names are shown.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ConnectionView {
    /// Its id.
    #[schema(value_type = String, example = "con_0aB1cD2eF3gH4iJ5kL6m")]
    pub id: ConnectionId,
    /// Its name.
    #[schema(value_type = String)]
    pub name: Name,
    /// Where it works.
    #[schema(value_type = String)]
    pub environment: Environment,
    /// For which connector.
    #[schema(value_type = String)]
    pub connector: ConnectorName,
    /// Of which kind.
    #[schema(example = "api_key")]
    pub kind: ConnectionKind,
    /// Which of the connector's ways to authenticate.
    pub auth: String,
    /// Where its requests may go, pinned when it was made.
    #[schema(example = json!(["https://api.hubapi.com/"]))]
    pub base_urls: Vec<String>,
    /// Non-secret settings.
    pub config: BTreeMap<String, String>,
    /// The names of its secret fields.
    pub secrets: Vec<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
}

impl From<&Connection> for ConnectionView {
    fn from(connection: &Connection) -> Self {
        Self {
            id: connection.id.clone(),
            name: connection.name.clone(),
            environment: connection.environment.clone(),
            connector: connection.connector.clone(),
            kind: connection.kind,
            auth: connection.auth.clone(),
            base_urls: connection.base_urls.iter().map(ToString::to_string).collect(),
            config: connection.config.clone(),
            secrets: connection.secrets.keys().cloned().collect(),
            created: connection.created,
        }
    }
}

/// Lists the connections of a group.
#[utoipa::path(get, path = "/api/v1/groups/{group}/connections", tag = "connections", params(("group" = String, Path)), responses(
    (status = OK, body = Vec<ConnectionView>),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn list(
    actor: Actor,
    State(api): State<ApiState>,
    Named(group): Named<GroupId>,
) -> Result<Json<Vec<ConnectionView>>, Problem> {
    let connections = api.service.list_connections(&actor, &group)?;
    Ok(Json(connections.iter().map(|connection| ConnectionView::from(&**connection)).collect()))
}

/// Makes a connection.
#[utoipa::path(post, path = "/api/v1/groups/{group}/connections", tag = "connections", request_body = NewConnection, params(("group" = String, Path)), responses(
    (status = CREATED, body = ConnectionView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn create(
    actor: Actor,
    State(api): State<ApiState>,
    Named(group): Named<GroupId>,
    Body(new): Body<NewConnection>,
) -> Result<(StatusCode, Json<ConnectionView>), Problem> {
    let NewConnection { name, environment, connector, auth, config, secrets, scopes, registration } = new;
    let new = connections::NewConnection { name, environment, connector, auth, config, secrets, scopes, registration };
    let connection = api.service.create_connection(&actor, &group, new).await?;
    Ok((StatusCode::CREATED, Json(ConnectionView::from(&*connection))))
}

/// Shows a connection.
#[utoipa::path(get, path = "/api/v1/groups/{group}/connections/{connection}", tag = "connections", params(("group" = String, Path), ("connection" = String, Path)), responses(
    (status = OK, body = ConnectionView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn get(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, connection)): Named<(GroupId, ConnectionId)>,
) -> Result<Json<ConnectionView>, Problem> {
    Ok(Json(ConnectionView::from(&*api.service.get_connection(&actor, &group, &connection)?)))
}

/// Deletes a connection. Refused while a flow uses it.
#[utoipa::path(delete, path = "/api/v1/groups/{group}/connections/{connection}", tag = "connections", params(("group" = String, Path), ("connection" = String, Path)), responses(
    (status = NO_CONTENT, description = "Done"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn delete(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, connection)): Named<(GroupId, ConnectionId)>,
) -> Result<StatusCode, Problem> {
    api.service.delete_connection(&actor, &group, &connection).await?;
    Ok(StatusCode::NO_CONTENT)
}
