//! `/api/v1/groups/{group}/connections`

mod views;

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::connection::{PinChange, TestReport};
use crate::domain::id::{AppRegistrationId, ConnectionId, ConnectorName, Environment, GroupId, Name};
use crate::http::ApiState;
use crate::http::extract::{Body, Named};
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;
use crate::service::connections;
use crate::service::error::ServiceError;

pub use views::{ConnectionView, DisconnectedView, MissingView, ScopesView, TriggerUseView, UseView};

/// A connection to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewConnection {
    /// Its name, unique in its group and environment.
    #[schema(value_type = String, example = "sales-crm")]
    pub name: Name,
    /// Where it works: `production` when absent, or where the slot is bound for which it is made.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "production")]
    pub environment: Option<Environment>,
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

/// What is to be different about a connection; what is absent stays.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectionChange {
    /// Its name.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "sales-crm")]
    pub name: Option<Name>,
    /// Settings; `null` takes one back to its default. None may change where credentials are sent.
    #[serde(default)]
    #[schema(example = json!({"page_size": "50"}))]
    pub config: BTreeMap<String, Option<String>>,
    /// New values of secret fields; after a disconnection all of them.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub secrets: BTreeMap<String, SecretString>,
    /// The scopes to ask for. The connection has to be authorized again.
    #[serde(default)]
    #[schema(example = json!(["crm.objects.contacts.read"]))]
    pub scopes: Option<Vec<String>>,
    /// The group's app registration. The connection has to be authorized again.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "app_0aB1cD2eF3gH4iJ5kL6m")]
    pub registration: Option<AppRegistrationId>,
}

/// Consent to what a connector offers today.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptUpgrade {
    /// What is consented to: `upgrade` as the connection shows it.
    pub upgrade: Vec<PinChange>,
}

impl NewConnection {
    /// What the use case takes; in an environment, which it must not contradict.
    pub(super) fn within(self, environment: Environment) -> Result<connections::NewConnection, ServiceError> {
        match &self.environment {
            Some(other) if *other != environment => Err(ServiceError::Invalid(format!(
                "The slot is to be bound in {environment}, and the connection to be made belongs to {other}. Leave its environment out"
            ))),
            _ => Ok(Self { environment: Some(environment), ..self }.into()),
        }
    }
}

impl From<NewConnection> for connections::NewConnection {
    fn from(new: NewConnection) -> Self {
        let NewConnection { name, environment, connector, auth, config, secrets, scopes, registration } = new;
        let environment = environment.unwrap_or_else(Environment::production);
        Self { name, environment, connector, auth, config, secrets, scopes, registration }
    }
}

impl From<ConnectionChange> for connections::ConnectionChange {
    fn from(change: ConnectionChange) -> Self {
        let ConnectionChange { name, config, secrets, scopes, registration } = change;
        Self { name, config, secrets, scopes, registration }
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
    Ok(Json(connections.into_iter().map(ConnectionView::from).collect()))
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
    let connection = api.service.create_connection(&actor, &group, new.into()).await?;
    Ok((StatusCode::CREATED, Json(connection.into())))
}

/// Shows a connection: how it stands, who uses it, what its connector offers today.
#[utoipa::path(get, path = "/api/v1/groups/{group}/connections/{connection}", tag = "connections", params(("group" = String, Path), ("connection" = String, Path)), responses(
    (status = OK, body = ConnectionView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn get(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, connection)): Named<(GroupId, ConnectionId)>,
) -> Result<Json<ConnectionView>, Problem> {
    Ok(Json(api.service.get_connection(&actor, &group, &connection)?.into()))
}

/// Changes a connection. Where it sends its credentials cannot be changed.
#[utoipa::path(patch, path = "/api/v1/groups/{group}/connections/{connection}", tag = "connections", request_body = ConnectionChange, params(("group" = String, Path), ("connection" = String, Path)), responses(
    (status = OK, body = ConnectionView),
    (status = BAD_REQUEST, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "It would send its credentials elsewhere, or the name is taken", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn update(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, connection)): Named<(GroupId, ConnectionId)>,
    Body(change): Body<ConnectionChange>,
) -> Result<Json<ConnectionView>, Problem> {
    Ok(Json(api.service.update_connection(&actor, &group, &connection, change.into()).await?.into()))
}

/// Tests a connection with the request that its connector names for that.
#[utoipa::path(post, path = "/api/v1/groups/{group}/connections/{connection}/test", tag = "connections", params(("group" = String, Path), ("connection" = String, Path)), responses(
    (status = OK, description = "What was found, good or bad", body = TestReport),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn test(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, connection)): Named<(GroupId, ConnectionId)>,
) -> Result<Json<TestReport>, Problem> {
    Ok(Json(api.service.test_connection(&actor, &group, &connection).await?))
}

/// Disconnects a connection: its tokens are revoked where the app can, and its credentials are wiped. Its flows keep
/// their bindings.
#[utoipa::path(post, path = "/api/v1/groups/{group}/connections/{connection}/disconnect", tag = "connections", params(("group" = String, Path), ("connection" = String, Path)), responses(
    (status = OK, body = DisconnectedView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "It has no credentials of its own", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn disconnect(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, connection)): Named<(GroupId, ConnectionId)>,
) -> Result<Json<DisconnectedView>, Problem> {
    Ok(Json(api.service.disconnect_connection(&actor, &group, &connection).await?.into()))
}

/// Consents to what the connector offers today: it is pinned in place of what the connection goes by.
#[utoipa::path(post, path = "/api/v1/groups/{group}/connections/{connection}/accept-upgrade", tag = "connections", request_body = AcceptUpgrade, params(("group" = String, Path), ("connection" = String, Path)), responses(
    (status = OK, body = ConnectionView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "The connector offers something else", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn accept_upgrade(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, connection)): Named<(GroupId, ConnectionId)>,
    Body(accept): Body<AcceptUpgrade>,
) -> Result<Json<ConnectionView>, Problem> {
    Ok(Json(api.service.accept_upgrade(&actor, &group, &connection, &accept.upgrade).await?.into()))
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
