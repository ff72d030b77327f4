//! `/api/v1/groups/{group}/members`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::id::{GroupId, UserId};
use crate::domain::permission::Role;
use crate::domain::user::Email;
use crate::http::ApiState;
use crate::http::extract::{Body, Named};
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;
use crate::service::members::MemberDetails;

/// A user who is to become a member.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMember {
    /// Their address.
    #[schema(value_type = String, example = "ada@example.com")]
    pub email: Email,
    /// What they may do.
    #[schema(example = "editor")]
    pub role: Role,
}

/// What a member may do from now on.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"role": "viewer"}))]
pub struct ChangeMember {
    /// What they may do.
    pub role: Role,
}

/// A member of a group.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct MemberView {
    /// Their id.
    #[schema(value_type = String, example = "usr_4fGh7KlmN0pQr2StUvWx")]
    pub user: UserId,
    /// Their address.
    #[schema(value_type = String, example = "ada@example.com")]
    pub email: Email,
    /// What they are called.
    #[schema(example = "Ada Lovelace")]
    pub name: String,
    /// What they may do.
    #[schema(example = "editor")]
    pub role: Role,
    /// Since when they belong to the group.
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T12:00:00Z")]
    pub since: Timestamp,
}

impl From<MemberDetails> for MemberView {
    fn from(MemberDetails { member, user }: MemberDetails) -> Self {
        Self {
            user: user.id.clone(),
            email: user.email.clone(),
            name: user.name.clone(),
            role: member.role,
            since: member.since,
        }
    }
}

/// Lists a group's members.
#[utoipa::path(get, path = "/api/v1/groups/{group}/members", tag = "members", params(("group" = String, Path)), responses(
    (status = OK, body = Vec<MemberView>),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn list(
    actor: Actor,
    State(api): State<ApiState>,
    Named(group): Named<GroupId>,
) -> Result<Json<Vec<MemberView>>, Problem> {
    let members = api.service.list_members(&actor, &group)?;
    Ok(Json(members.into_iter().map(MemberView::from).collect()))
}

/// Takes a user of the server into a group.
#[utoipa::path(post, path = "/api/v1/groups/{group}/members", tag = "members", request_body = NewMember, params(("group" = String, Path)), responses(
    (status = CREATED, body = MemberView),
    (status = BAD_REQUEST, description = "Nobody on this server has the address", body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "They belong to it already", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn add(
    actor: Actor,
    State(api): State<ApiState>,
    Named(group): Named<GroupId>,
    Body(NewMember { email, role }): Body<NewMember>,
) -> Result<(StatusCode, Json<MemberView>), Problem> {
    let member = api.service.add_member(&actor, &group, &email, role).await?;
    Ok((StatusCode::CREATED, Json(member.into())))
}

/// Changes what a member may do, from the next request on. `user` is an id or an address.
#[utoipa::path(patch, path = "/api/v1/groups/{group}/members/{user}", tag = "members", request_body = ChangeMember, params(("group" = String, Path), ("user" = String, Path)), responses(
    (status = OK, body = MemberView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "It is the last owner", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn change(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, user)): Named<(GroupId, String)>,
    Body(ChangeMember { role }): Body<ChangeMember>,
) -> Result<Json<MemberView>, Problem> {
    Ok(Json(api.service.change_member(&actor, &group, &user, role).await?.into()))
}

/// Lets a member go, who loses everything in the group from the next request on. Everybody may leave by themselves.
#[utoipa::path(delete, path = "/api/v1/groups/{group}/members/{user}", tag = "members", params(("group" = String, Path), ("user" = String, Path)), responses(
    (status = NO_CONTENT),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "It is the last owner", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn remove(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, user)): Named<(GroupId, String)>,
) -> Result<StatusCode, Problem> {
    api.service.remove_member(&actor, &group, &user).await?;
    Ok(StatusCode::NO_CONTENT)
}
