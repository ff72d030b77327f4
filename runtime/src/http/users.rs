//! `/api/v1/users`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::id::{GroupId, UserId};
use crate::domain::permission::Role;
use crate::domain::user::{Email, Member, User};
use crate::http::ApiState;
use crate::http::extract::{Body, Named};
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;
use crate::service::users::{self, Invited, UserChange};

/// A user to be added.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// Their address.
    #[schema(value_type = String, example = "ada@example.com")]
    pub email: Email,
    /// What they are called.
    #[serde(default)]
    #[schema(example = "Ada Lovelace")]
    pub name: String,
    /// Whether they administer the server.
    #[serde(default)]
    #[schema(example = false)]
    pub operator: bool,
}

/// What is to change about a user; what is absent stays.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateUser {
    /// What they are called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Ada Lovelace")]
    pub name: Option<String>,
    /// Whether they administer the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = true)]
    pub operator: Option<bool>,
    /// Whether they may not log in. It ends their sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = false)]
    pub disabled: Option<bool>,
}

/// A user.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct UserView {
    /// Their id.
    #[schema(value_type = String, example = "usr_4fGh7KlmN0pQr2StUvWx")]
    pub id: UserId,
    /// Their address.
    #[schema(value_type = String, example = "ada@example.com")]
    pub email: Email,
    /// What they are called.
    #[schema(example = "Ada Lovelace")]
    pub name: String,
    /// Whether they administer the server.
    #[schema(example = false)]
    pub operator: bool,
    /// `active`, `invited` (they have not yet set a password), or `disabled`.
    #[schema(example = "active")]
    pub status: String,
    /// When they were added.
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T12:00:00Z")]
    pub created: Timestamp,
}

/// That a user belongs to a group.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct MembershipView {
    /// Which group.
    #[schema(value_type = String, example = "acme")]
    pub group: GroupId,
    /// What they may do there.
    #[schema(example = "editor")]
    pub role: Role,
    /// Since when.
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T12:00:00Z")]
    pub since: Timestamp,
}

/// A user, and where they belong.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct UserDetails {
    /// Who.
    #[serde(flatten)]
    pub user: UserView,
    /// The groups they belong to.
    pub memberships: Vec<MembershipView>,
}

/// A user who was invited.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct InvitedUser {
    /// The one-time token with which they set their password (`headgate login --setup`). It is valid for 7 days, shown here
    /// and never again, and a newer one ends it.
    #[schema(example = "hg_setup_...")]
    pub setup_token: String,
    /// Who.
    #[serde(flatten)]
    pub user: UserView,
}

impl From<&User> for UserView {
    fn from(user: &User) -> Self {
        let status = match user {
            user if user.disabled => "disabled",
            user if user.password.is_none() && user.provider.is_none() => "invited",
            _ => "active",
        };
        Self {
            id: user.id.clone(),
            email: user.email.clone(),
            name: user.name.clone(),
            operator: user.operator,
            status: status.to_owned(),
            created: user.created,
        }
    }
}

impl From<&Member> for MembershipView {
    fn from(member: &Member) -> Self {
        Self { group: member.group.clone(), role: member.role, since: member.since }
    }
}

impl From<Invited> for InvitedUser {
    fn from(invited: Invited) -> Self {
        Self { setup_token: invited.token.expose_secret().to_owned(), user: UserView::from(&*invited.user) }
    }
}

/// Lists the users.
#[utoipa::path(get, path = "/api/v1/users", tag = "users", responses((status = OK, body = Vec<UserView>)))]
pub async fn list(actor: Actor, State(api): State<ApiState>) -> Result<Json<Vec<UserView>>, Problem> {
    let users = api.service.list_users(&actor)?;
    Ok(Json(users.iter().map(|user| UserView::from(&**user)).collect()))
}

/// Adds a user, and answers the one-time token with which they set their password.
#[utoipa::path(post, path = "/api/v1/users", tag = "users", request_body = NewUser, responses(
    (status = CREATED, body = InvitedUser),
    (status = CONFLICT, description = "The address is taken", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn create(
    actor: Actor,
    State(api): State<ApiState>,
    Body(NewUser { email, name, operator }): Body<NewUser>,
) -> Result<(StatusCode, Json<InvitedUser>), Problem> {
    let invited = api.service.create_user(&actor, users::NewUser { email, name, operator }).await?;
    Ok((StatusCode::CREATED, Json(invited.into())))
}

/// Shows a user, by id or address.
#[utoipa::path(get, path = "/api/v1/users/{user}", tag = "users", params(("user" = String, Path)), responses(
    (status = OK, body = UserDetails),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn get(
    actor: Actor,
    State(api): State<ApiState>,
    Named(user): Named<String>,
) -> Result<Json<UserDetails>, Problem> {
    let (user, memberships) = api.service.get_user(&actor, &user)?;
    let memberships = memberships.iter().map(|member| MembershipView::from(&**member)).collect();
    Ok(Json(UserDetails { user: UserView::from(&*user), memberships }))
}

/// Changes a user. Whoever is disabled is logged out at once.
#[utoipa::path(patch, path = "/api/v1/users/{user}", tag = "users", request_body = UpdateUser, params(("user" = String, Path)), responses(
    (status = OK, body = UserView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "It is the last operator", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn update(
    actor: Actor,
    State(api): State<ApiState>,
    Named(user): Named<String>,
    Body(UpdateUser { name, operator, disabled }): Body<UpdateUser>,
) -> Result<Json<UserView>, Problem> {
    let change = UserChange { name, operator, disabled };
    Ok(Json(UserView::from(&*api.service.update_user(&actor, &user, change).await?)))
}

/// Removes a user, with their memberships and sessions.
#[utoipa::path(delete, path = "/api/v1/users/{user}", tag = "users", params(("user" = String, Path)), responses(
    (status = NO_CONTENT),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "It is the last operator", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn delete(
    actor: Actor,
    State(api): State<ApiState>,
    Named(user): Named<String>,
) -> Result<StatusCode, Problem> {
    api.service.delete_user(&actor, &user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a new one-time token for a user, in place of an older one: for whoever forgot their password.
#[utoipa::path(post, path = "/api/v1/users/{user}/invite", tag = "users", params(("user" = String, Path)), responses(
    (status = OK, body = InvitedUser),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "The user is disabled", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn invite(
    actor: Actor,
    State(api): State<ApiState>,
    Named(user): Named<String>,
) -> Result<Json<InvitedUser>, Problem> {
    Ok(Json(api.service.invite_user(&actor, &user).await?.into()))
}
