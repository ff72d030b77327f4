//! `/api/v1/groups/{group}/api-keys`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::api_key::ApiKey;
use crate::domain::id::{ApiKeyId, Environment, GroupId, Name};
use crate::http::ApiState;
use crate::http::extract::{Body, Named};
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;
use crate::service::api_keys::{self, KeyChange};

/// A key to be made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    /// Its name, unique in the group; flows are told `Key: NAME`.
    #[schema(value_type = String, example = "erp-order-sync")]
    pub name: Name,
    /// Where it works.
    #[serde(default = "Environment::production")]
    #[schema(value_type = String, example = "production")]
    pub environment: Environment,
    /// Notes.
    #[serde(default)]
    pub description: String,
    /// When it expires; never when absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires: Option<Timestamp>,
}

/// A key, without its secret.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ApiKeyView {
    /// Its public part.
    #[schema(value_type = String)]
    pub id: ApiKeyId,
    /// Its name.
    #[schema(value_type = String)]
    pub name: Name,
    /// How its value begins.
    pub prefix: String,
    /// Where it works.
    #[schema(value_type = String)]
    pub environment: Environment,
    /// Notes.
    pub description: String,
    /// `active`, `expired`, `disabled` or `revoked`.
    pub status: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// When it expires.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires: Option<Timestamp>,
}

/// A key that was just made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CreatedApiKey {
    /// The key in clear. It is shown here and never again.
    pub api_key: String,
    /// What is kept of it.
    #[serde(flatten)]
    pub view: ApiKeyView,
}

impl ApiKeyView {
    fn of(key: &ApiKey, now: Timestamp) -> Self {
        let class = if key.environment.is_production() { "live" } else { "test" };
        Self {
            id: key.id,
            name: key.name.clone(),
            prefix: format!("hg_{class}_{}", key.id),
            environment: key.environment.clone(),
            description: key.description.to_string(),
            status: key.status(now).to_owned(),
            created: key.created,
            expires: key.expires,
        }
    }
}

/// Lists the keys of a group.
#[utoipa::path(get, path = "/api/v1/groups/{group}/api-keys", tag = "api-keys", params(("group" = String, Path)), responses(
    (status = OK, body = Vec<ApiKeyView>),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn list(
    actor: Actor,
    State(api): State<ApiState>,
    Named(group): Named<GroupId>,
) -> Result<Json<Vec<ApiKeyView>>, Problem> {
    let now = api.service.now();
    let keys = api.service.list_api_keys(&actor, &group)?;
    Ok(Json(keys.iter().map(|key| ApiKeyView::of(key, now)).collect()))
}

/// Makes a key.
#[utoipa::path(post, path = "/api/v1/groups/{group}/api-keys", tag = "api-keys", request_body = NewApiKey, params(("group" = String, Path)), responses(
    (status = CREATED, body = CreatedApiKey),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn create(
    actor: Actor,
    State(api): State<ApiState>,
    Named(group): Named<GroupId>,
    Body(new): Body<NewApiKey>,
) -> Result<(StatusCode, Json<CreatedApiKey>), Problem> {
    let NewApiKey { name, environment, description, expires } = new;
    let new = api_keys::NewApiKey { name, environment, description, expires };
    let (key, plain) = api.service.create_api_key(&actor, &group, new).await?;
    let view = ApiKeyView::of(&key, api.service.now());
    Ok((StatusCode::CREATED, Json(CreatedApiKey { api_key: plain.reveal().to_owned(), view })))
}

/// Shows a key.
#[utoipa::path(get, path = "/api/v1/groups/{group}/api-keys/{key}", tag = "api-keys", params(("group" = String, Path), ("key" = String, Path)), responses(
    (status = OK, body = ApiKeyView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn get(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, key)): Named<(GroupId, String)>,
) -> Result<Json<ApiKeyView>, Problem> {
    let found = api.service.get_api_key(&actor, &group, &key)?;
    Ok(Json(ApiKeyView::of(&found, api.service.now())))
}

async fn change(
    actor: &Actor,
    api: &ApiState,
    (group, key): (GroupId, String),
    change: KeyChange,
) -> Result<Json<ApiKeyView>, Problem> {
    let key = api.service.change_api_key(actor, &group, &key, change).await?;
    Ok(Json(ApiKeyView::of(&key, api.service.now())))
}

/// Switches a key off, from the next request on.
#[utoipa::path(post, path = "/api/v1/groups/{group}/api-keys/{key}/disable", tag = "api-keys", params(("group" = String, Path), ("key" = String, Path)), responses(
    (status = OK, body = ApiKeyView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn disable(
    actor: Actor,
    State(api): State<ApiState>,
    Named(key): Named<(GroupId, String)>,
) -> Result<Json<ApiKeyView>, Problem> {
    change(&actor, &api, key, KeyChange::Disable).await
}

/// Switches a key on again.
#[utoipa::path(post, path = "/api/v1/groups/{group}/api-keys/{key}/enable", tag = "api-keys", params(("group" = String, Path), ("key" = String, Path)), responses(
    (status = OK, body = ApiKeyView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn enable(
    actor: Actor,
    State(api): State<ApiState>,
    Named(key): Named<(GroupId, String)>,
) -> Result<Json<ApiKeyView>, Problem> {
    change(&actor, &api, key, KeyChange::Enable).await
}

/// Ends a key for good, from the next request on.
#[utoipa::path(post, path = "/api/v1/groups/{group}/api-keys/{key}/revoke", tag = "api-keys", params(("group" = String, Path), ("key" = String, Path)), responses(
    (status = OK, body = ApiKeyView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn revoke(
    actor: Actor,
    State(api): State<ApiState>,
    Named(key): Named<(GroupId, String)>,
) -> Result<Json<ApiKeyView>, Problem> {
    change(&actor, &api, key, KeyChange::Revoke).await
}
