//! `/api/v1/groups/{group}/app-registrations` and `/api/v1/app-registrations`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::app_registration::AppRegistration;
use crate::domain::id::{AppRegistrationId, ConnectorName, GroupId, Name};
use crate::http::ApiState;
use crate::http::extract::{Body, Named};
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;
use crate::service::app_registrations;

/// An app registration to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAppRegistration {
    /// Its name, unique in its group, or among the server's.
    #[schema(value_type = String, example = "our-gmail-app")]
    pub name: Name,
    /// For which connector. The server has one registration for each.
    #[schema(value_type = String, example = "gmail")]
    pub connector: ConnectorName,
    /// The client's id, as the app gave it.
    #[schema(example = "1234-abcd.apps.googleusercontent.com")]
    pub client_id: String,
    /// The client's secret, as the app gave it. It is encrypted and never answered again. None for a public client.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "GOCSPX-...")]
    pub client_secret: Option<SecretString>,
    /// Where the secret may be sent: the hosts of the app's token URL, or parts of hosts, such as
    /// `slack.com/api/oauth.v2.access`. For a group's registration those of the installed connector when absent.
    #[serde(default)]
    #[schema(example = json!(["oauth2.googleapis.com"]))]
    pub token_hosts: Vec<String>,
}

/// What is to be different about an app registration; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AppRegistrationChange {
    /// Its name.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "our-gmail-app")]
    pub name: Option<Name>,
    /// The client's id. Tokens that were given to another client cannot be refreshed: authorize the connections again.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The client's secret.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "GOCSPX-...")]
    pub client_secret: Option<SecretString>,
    /// Where the secret may be sent. For a group's registration the secret has to be entered anew with other hosts.
    #[serde(default)]
    #[schema(example = json!(["oauth2.googleapis.com"]))]
    pub token_hosts: Option<Vec<String>>,
}

/// An app registration, without its secret.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AppRegistrationView {
    /// Its id.
    #[schema(value_type = String, example = "app_0aB1cD2eF3gH4iJ5kL6m")]
    pub id: AppRegistrationId,
    /// Whose it is; absent for the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "acme")]
    pub group: Option<GroupId>,
    /// Its name.
    #[schema(value_type = String, example = "our-gmail-app")]
    pub name: Name,
    /// For which connector.
    #[schema(value_type = String, example = "gmail")]
    pub connector: ConnectorName,
    /// The client's id.
    #[schema(example = "1234-abcd.apps.googleusercontent.com")]
    pub client_id: String,
    /// Whether it has a secret.
    pub has_secret: bool,
    /// Where the secret may be sent.
    #[schema(example = json!(["oauth2.googleapis.com"]))]
    pub token_hosts: Vec<String>,
    /// The redirect URI to enter at the app, letter by letter.
    #[schema(example = "https://flows.example.com/oauth/callback")]
    pub redirect_uri: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
}

impl AppRegistrationView {
    fn new(api: &ApiState, registration: &AppRegistration) -> Self {
        Self {
            id: registration.id.clone(),
            group: registration.group.clone(),
            name: registration.name.clone(),
            connector: registration.connector.clone(),
            client_id: registration.client_id.clone(),
            has_secret: registration.client_secret.is_some(),
            token_hosts: registration.token_hosts.clone(),
            redirect_uri: api.service.oauth_redirect_uri().to_owned(),
            created: registration.created,
        }
    }
}

impl From<NewAppRegistration> for app_registrations::NewAppRegistration {
    fn from(new: NewAppRegistration) -> Self {
        let NewAppRegistration { name, connector, client_id, client_secret, token_hosts } = new;
        Self { name, connector, client_id, client_secret, token_hosts }
    }
}

impl From<AppRegistrationChange> for app_registrations::AppRegistrationChange {
    fn from(change: AppRegistrationChange) -> Self {
        let AppRegistrationChange { name, client_id, client_secret, token_hosts } = change;
        Self { name, client_id, client_secret, token_hosts }
    }
}

fn list_of(api: &ApiState, actor: &Actor, group: Option<&GroupId>) -> Result<Json<Vec<AppRegistrationView>>, Problem> {
    let registrations = api.service.list_app_registrations(actor, group)?;
    Ok(Json(registrations.iter().map(|registration| AppRegistrationView::new(api, registration)).collect()))
}

async fn create_in(
    api: &ApiState,
    actor: &Actor,
    group: Option<&GroupId>,
    new: NewAppRegistration,
) -> Result<(StatusCode, Json<AppRegistrationView>), Problem> {
    let registration = api.service.create_app_registration(actor, group, new.into()).await?;
    Ok((StatusCode::CREATED, Json(AppRegistrationView::new(api, &registration))))
}

async fn update_in(
    api: &ApiState,
    actor: &Actor,
    (group, id): (Option<&GroupId>, &AppRegistrationId),
    change: AppRegistrationChange,
) -> Result<Json<AppRegistrationView>, Problem> {
    let registration = api.service.update_app_registration(actor, group, id, change.into()).await?;
    Ok(Json(AppRegistrationView::new(api, &registration)))
}

/// Lists a group's app registrations.
#[utoipa::path(get, path = "/api/v1/groups/{group}/app-registrations", tag = "app-registrations", params(("group" = String, Path)), responses(
    (status = OK, body = Vec<AppRegistrationView>),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn list(
    actor: Actor,
    State(api): State<ApiState>,
    Named(group): Named<GroupId>,
) -> Result<Json<Vec<AppRegistrationView>>, Problem> {
    list_of(&api, &actor, Some(&group))
}

/// Makes an app registration of a group, for its connections of the kind `oauth_advanced`.
#[utoipa::path(post, path = "/api/v1/groups/{group}/app-registrations", tag = "app-registrations", request_body = NewAppRegistration, params(("group" = String, Path)), responses(
    (status = CREATED, body = AppRegistrationView),
    (status = BAD_REQUEST, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "The name is taken", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn create(
    actor: Actor,
    State(api): State<ApiState>,
    Named(group): Named<GroupId>,
    Body(new): Body<NewAppRegistration>,
) -> Result<(StatusCode, Json<AppRegistrationView>), Problem> {
    create_in(&api, &actor, Some(&group), new).await
}

/// Shows an app registration of a group.
#[utoipa::path(get, path = "/api/v1/groups/{group}/app-registrations/{registration}", tag = "app-registrations", params(("group" = String, Path), ("registration" = String, Path)), responses(
    (status = OK, body = AppRegistrationView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn get(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, id)): Named<(GroupId, AppRegistrationId)>,
) -> Result<Json<AppRegistrationView>, Problem> {
    let registration = api.service.get_app_registration(&actor, Some(&group), &id)?;
    Ok(Json(AppRegistrationView::new(&api, &registration)))
}

/// Changes an app registration of a group.
#[utoipa::path(patch, path = "/api/v1/groups/{group}/app-registrations/{registration}", tag = "app-registrations", request_body = AppRegistrationChange, params(("group" = String, Path), ("registration" = String, Path)), responses(
    (status = OK, body = AppRegistrationView),
    (status = BAD_REQUEST, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "The name is taken", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn update(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, id)): Named<(GroupId, AppRegistrationId)>,
    Body(change): Body<AppRegistrationChange>,
) -> Result<Json<AppRegistrationView>, Problem> {
    update_in(&api, &actor, (Some(&group), &id), change).await
}

/// Deletes an app registration of a group. Refused while connections use it.
#[utoipa::path(delete, path = "/api/v1/groups/{group}/app-registrations/{registration}", tag = "app-registrations", params(("group" = String, Path), ("registration" = String, Path)), responses(
    (status = NO_CONTENT, description = "Done"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "Connections use it", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn delete(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, id)): Named<(GroupId, AppRegistrationId)>,
) -> Result<StatusCode, Problem> {
    api.service.delete_app_registration(&actor, Some(&group), &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the server's app registrations.
#[utoipa::path(get, path = "/api/v1/app-registrations", tag = "app-registrations", responses(
    (status = OK, body = Vec<AppRegistrationView>),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn list_server(actor: Actor, State(api): State<ApiState>) -> Result<Json<Vec<AppRegistrationView>>, Problem> {
    list_of(&api, &actor, None)
}

/// Makes an app registration of the server, for every group's connections of the kind `oauth`.
#[utoipa::path(post, path = "/api/v1/app-registrations", tag = "app-registrations", request_body = NewAppRegistration, responses(
    (status = CREATED, body = AppRegistrationView),
    (status = BAD_REQUEST, body = ProblemBody, content_type = "application/problem+json"),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "The name is taken, or the connector has one", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn create_server(
    actor: Actor,
    State(api): State<ApiState>,
    Body(new): Body<NewAppRegistration>,
) -> Result<(StatusCode, Json<AppRegistrationView>), Problem> {
    create_in(&api, &actor, None, new).await
}

/// Shows an app registration of the server.
#[utoipa::path(get, path = "/api/v1/app-registrations/{registration}", tag = "app-registrations", params(("registration" = String, Path)), responses(
    (status = OK, body = AppRegistrationView),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn get_server(
    actor: Actor,
    State(api): State<ApiState>,
    Named(id): Named<AppRegistrationId>,
) -> Result<Json<AppRegistrationView>, Problem> {
    let registration = api.service.get_app_registration(&actor, None, &id)?;
    Ok(Json(AppRegistrationView::new(&api, &registration)))
}

/// Changes an app registration of the server.
#[utoipa::path(patch, path = "/api/v1/app-registrations/{registration}", tag = "app-registrations", request_body = AppRegistrationChange, params(("registration" = String, Path)), responses(
    (status = OK, body = AppRegistrationView),
    (status = BAD_REQUEST, body = ProblemBody, content_type = "application/problem+json"),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "The name is taken", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn update_server(
    actor: Actor,
    State(api): State<ApiState>,
    Named(id): Named<AppRegistrationId>,
    Body(change): Body<AppRegistrationChange>,
) -> Result<Json<AppRegistrationView>, Problem> {
    update_in(&api, &actor, (None, &id), change).await
}

/// Deletes an app registration of the server. Refused while connections use it.
#[utoipa::path(delete, path = "/api/v1/app-registrations/{registration}", tag = "app-registrations", params(("registration" = String, Path)), responses(
    (status = NO_CONTENT, description = "Done"),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "Connections use it", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn delete_server(
    actor: Actor,
    State(api): State<ApiState>,
    Named(id): Named<AppRegistrationId>,
) -> Result<StatusCode, Problem> {
    api.service.delete_app_registration(&actor, None, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
