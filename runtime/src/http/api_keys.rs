//! `/api/v1/groups/{group}/api-keys`

mod views;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::api_key::{KeySlot, Lapse};
use crate::domain::id::GroupId;
use crate::http::ApiState;
use crate::http::extract::{Body, MaybeBody, Named};
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;
use crate::service::api_keys::KeySwitch;

pub use crate::service::api_keys::{KeyChanges, NewApiKey, Permission};
pub use views::{
    ApiKeyPage, ApiKeyView, CreatedApiKey, InvestigationView, SecretView, UsedBy, UsedFlowView, UsedTriggerView,
};

/// Which value is to be made anew.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"slot": "primary"}))]
pub struct Regenerate {
    /// Which of the two; `secondary` makes the second value where there is none yet.
    pub slot: KeySlot,
}

/// How long two values are to be valid beside each other.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rotate {
    /// How long the old value stays valid, such as `24h` or `7d`, at most 90 days; a day when absent.
    #[schema(value_type = Option<String>, example = "24h")]
    pub overlap: Option<Lapse>,
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
    let keys = api.service.list_api_keys(&actor, &group)?;
    Ok(Json(keys.iter().map(ApiKeyView::of).collect()))
}

/// Makes a key.
#[utoipa::path(post, path = "/api/v1/groups/{group}/api-keys", tag = "api-keys", request_body = NewApiKey, params(("group" = String, Path)), responses(
    (status = CREATED, body = CreatedApiKey),
    (status = BAD_REQUEST, body = ProblemBody, content_type = "application/problem+json"),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn create(
    actor: Actor,
    State(api): State<ApiState>,
    Named(group): Named<GroupId>,
    Body(new): Body<NewApiKey>,
) -> Result<(StatusCode, Json<CreatedApiKey>), Problem> {
    let made = api.service.create_api_key(&actor, &group, new).await?;
    Ok((StatusCode::CREATED, Json(CreatedApiKey::of(&made))))
}

/// Shows a key, and which flows and triggers use it.
#[utoipa::path(get, path = "/api/v1/groups/{group}/api-keys/{key}", tag = "api-keys", params(("group" = String, Path), ("key" = String, Path)), responses(
    (status = OK, body = ApiKeyPage),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn get(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, key)): Named<(GroupId, String)>,
) -> Result<Json<ApiKeyPage>, Problem> {
    let (state, uses) = api.service.get_api_key(&actor, &group, &key)?;
    Ok(Json(ApiKeyPage::of(&state, uses)))
}

/// Changes a key: everything but its environment, its id and its values.
#[utoipa::path(patch, path = "/api/v1/groups/{group}/api-keys/{key}", tag = "api-keys", request_body = KeyChanges, params(("group" = String, Path), ("key" = String, Path)), responses(
    (status = OK, body = ApiKeyView),
    (status = BAD_REQUEST, body = ProblemBody, content_type = "application/problem+json"),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn update(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, key)): Named<(GroupId, String)>,
    Body(changes): Body<KeyChanges>,
) -> Result<Json<ApiKeyView>, Problem> {
    let state = api.service.update_api_key(&actor, &group, &key, changes).await?;
    Ok(Json(ApiKeyView::of(&state)))
}

/// Makes a new value of a key; the old one ends at once. Settings stay.
#[utoipa::path(post, path = "/api/v1/groups/{group}/api-keys/{key}/regenerate", tag = "api-keys", request_body = Regenerate, params(("group" = String, Path), ("key" = String, Path)), responses(
    (status = OK, body = CreatedApiKey),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn regenerate(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, key)): Named<(GroupId, String)>,
    MaybeBody(wanted): MaybeBody<Regenerate>,
) -> Result<Json<CreatedApiKey>, Problem> {
    let made = api.service.regenerate_api_key(&actor, &group, &key, wanted.slot).await?;
    Ok(Json(CreatedApiKey::of(&made)))
}

/// Makes a new primary value of a key; the old one stays valid until the overlap ends.
#[utoipa::path(post, path = "/api/v1/groups/{group}/api-keys/{key}/rotate", tag = "api-keys", request_body = Rotate, params(("group" = String, Path), ("key" = String, Path)), responses(
    (status = OK, body = CreatedApiKey),
    (status = BAD_REQUEST, body = ProblemBody, content_type = "application/problem+json"),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn rotate(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, key)): Named<(GroupId, String)>,
    MaybeBody(wanted): MaybeBody<Rotate>,
) -> Result<Json<CreatedApiKey>, Problem> {
    let made = api.service.rotate_api_key(&actor, &group, &key, wanted.overlap).await?;
    Ok(Json(CreatedApiKey::of(&made)))
}

async fn switch(
    actor: &Actor,
    api: &ApiState,
    (group, key): (GroupId, String),
    switch: KeySwitch,
) -> Result<Json<ApiKeyView>, Problem> {
    let state = api.service.switch_api_key(actor, &group, &key, switch).await?;
    Ok(Json(ApiKeyView::of(&state)))
}

/// Switches a key off, from the next request on.
#[utoipa::path(post, path = "/api/v1/groups/{group}/api-keys/{key}/disable", tag = "api-keys", params(("group" = String, Path), ("key" = String, Path)), responses(
    (status = OK, body = ApiKeyView),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn disable(
    actor: Actor,
    State(api): State<ApiState>,
    Named(key): Named<(GroupId, String)>,
) -> Result<Json<ApiKeyView>, Problem> {
    switch(&actor, &api, key, KeySwitch::Disable).await
}

/// Switches a key on again.
#[utoipa::path(post, path = "/api/v1/groups/{group}/api-keys/{key}/enable", tag = "api-keys", params(("group" = String, Path), ("key" = String, Path)), responses(
    (status = OK, body = ApiKeyView),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn enable(
    actor: Actor,
    State(api): State<ApiState>,
    Named(key): Named<(GroupId, String)>,
) -> Result<Json<ApiKeyView>, Problem> {
    switch(&actor, &api, key, KeySwitch::Enable).await
}

/// Ends a key for good, from the next request on.
#[utoipa::path(post, path = "/api/v1/groups/{group}/api-keys/{key}/revoke", tag = "api-keys", params(("group" = String, Path), ("key" = String, Path)), responses(
    (status = OK, body = ApiKeyView),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn revoke(
    actor: Actor,
    State(api): State<ApiState>,
    Named(key): Named<(GroupId, String)>,
) -> Result<Json<ApiKeyView>, Problem> {
    switch(&actor, &api, key, KeySwitch::Revoke).await
}

/// Removes a key from the list and from the triggers that name it. Its usage and its audit entries stay.
#[utoipa::path(delete, path = "/api/v1/groups/{group}/api-keys/{key}", tag = "api-keys", params(("group" = String, Path), ("key" = String, Path)), responses(
    (status = NO_CONTENT, description = "Done"),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn delete(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, key)): Named<(GroupId, String)>,
) -> Result<StatusCode, Problem> {
    api.service.delete_api_key(&actor, &group, &key).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows everything about a key, and what to do when it is in wrong hands.
#[utoipa::path(get, path = "/api/v1/groups/{group}/api-keys/{key}/investigate", tag = "api-keys", params(("group" = String, Path), ("key" = String, Path)), responses(
    (status = OK, body = InvestigationView),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn investigate(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, key)): Named<(GroupId, String)>,
) -> Result<Json<InvestigationView>, Problem> {
    let found = api.service.investigate_api_key(&actor, &group, &key).await?;
    Ok(Json(InvestigationView::of(found)))
}
