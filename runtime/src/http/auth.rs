//! `/api/v1/auth`: how people get in and out.

use axum::extract::State;
use axum::{Extension, Json};
use http::{HeaderName, HeaderValue, StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::user::{Email, Password};
use crate::http::ApiState;
use crate::http::client_address::ClientAddress;
use crate::http::extract::Body;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::users::{MembershipView, UserView};
use crate::service::access::Actor;
use crate::service::error::ServiceError;
use crate::service::sessions::LoggedIn;
use crate::service::setup::Newcomer;

/// Somebody comes for the first time.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetUp {
    /// The one-time token: from the server's greeting, or from an operator.
    #[schema(value_type = String, example = "hg_setup_...")]
    pub token: SecretString,
    /// The address to log in with.
    #[schema(value_type = String, example = "ada@example.com")]
    pub email: Email,
    /// A password of at least 12 characters.
    #[schema(value_type = String, format = Password, example = "correct horse battery")]
    pub password: SecretString,
    /// What to be called.
    #[serde(default)]
    #[schema(example = "Ada Lovelace")]
    pub name: Option<String>,
}

/// Somebody logs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogIn {
    /// Their address.
    #[schema(example = "ada@example.com")]
    pub email: String,
    /// Their password.
    #[schema(value_type = String, format = Password, example = "correct horse battery")]
    pub password: SecretString,
}

/// A session goes on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// The refresh token of the newest answer. Each is good for one use; a second use ends the session.
    #[schema(value_type = String, example = "hg_refresh_...")]
    pub refresh_token: SecretString,
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    /// The password so far.
    #[schema(value_type = String, format = Password, example = "correct horse battery")]
    pub current: SecretString,
    /// The new one, of at least 12 characters.
    #[schema(value_type = String, format = Password, example = "staple correct horse")]
    pub new: SecretString,
}

/// A session that began or went on. The fields are those of RFC 6749, section 5.1.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct SessionView {
    /// Goes with each request: `Authorization: Bearer ...`.
    #[schema(example = "eyJ0eXAiOiJKV1Qi...")]
    pub access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    pub token_type: String,
    /// How long the access token is valid, in seconds.
    #[schema(example = 900)]
    pub expires_in: u64,
    /// Brings the next two tokens, once.
    #[schema(example = "hg_refresh_...")]
    pub refresh_token: String,
    /// Who logged in.
    pub user: UserView,
}

/// Somebody, and where they belong.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct MyselfView {
    /// Who.
    pub user: UserView,
    /// The groups they belong to.
    pub memberships: Vec<MembershipView>,
}

/// Tokens are kept by nobody on the way (RFC 6749, section 5.1).
pub(super) type Unkept<T> = ([(HeaderName, HeaderValue); 1], Json<T>);

/// A session as it is answered.
pub(super) fn unkept(session: LoggedIn) -> Unkept<SessionView> {
    ([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(session.into()))
}

impl From<LoggedIn> for SessionView {
    fn from(session: LoggedIn) -> Self {
        Self {
            access_token: session.access_token.expose_secret().to_owned(),
            token_type: "Bearer".to_owned(),
            expires_in: session.expires_in.as_secs(),
            refresh_token: session.refresh_token.expose_secret().to_owned(),
            user: UserView::from(&*session.user),
        }
    }
}

fn chosen(password: SecretString) -> Result<Password, ServiceError> {
    Password::new(password).map_err(ServiceError::Invalid)
}

/// Sets a password with a one-time token, and logs in: the first operator, or somebody who was invited.
#[utoipa::path(post, path = "/api/v1/auth/setup", tag = "auth", request_body = SetUp, security(()), responses(
    (status = OK, body = SessionView),
    (status = BAD_REQUEST, description = "The password is too short or too long", body = ProblemBody, content_type = "application/problem+json"),
    (status = UNAUTHORIZED, description = "The token is not valid, or not for this address", body = ProblemBody, content_type = "application/problem+json"),
    (status = TOO_MANY_REQUESTS, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn set_up(
    State(api): State<ApiState>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    Body(SetUp { token, email, password, name }): Body<SetUp>,
) -> Result<Unkept<SessionView>, Problem> {
    let newcomer = Newcomer { token, email, password: chosen(password)?, name };
    let session = api.service.set_up(newcomer, Some(address)).await;
    let session = session.inspect_err(|error| api.service.note_refused(error, None, Some(address)))?;
    Ok(unkept(session))
}

/// Logs in.
#[utoipa::path(post, path = "/api/v1/auth/login", tag = "auth", request_body = LogIn, security(()), responses(
    (status = OK, body = SessionView),
    (status = UNAUTHORIZED, description = "The address or the password is wrong; which of them is not told", body = ProblemBody, content_type = "application/problem+json"),
    (status = TOO_MANY_REQUESTS, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn login(
    State(api): State<ApiState>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    Body(LogIn { email, password }): Body<LogIn>,
) -> Result<Unkept<SessionView>, Problem> {
    let session = api.service.log_in(&email, Password::entered(password), Some(address)).await;
    let session = session.inspect_err(|error| api.service.note_refused(error, None, Some(address)))?;
    Ok(unkept(session))
}

/// Brings the session's next tokens. A refresh token that was used before ends the session.
#[utoipa::path(post, path = "/api/v1/auth/refresh", tag = "auth", request_body = Refresh, security(()), responses(
    (status = OK, body = SessionView),
    (status = UNAUTHORIZED, description = "The session has ended", body = ProblemBody, content_type = "application/problem+json"),
    (status = TOO_MANY_REQUESTS, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn refresh(
    State(api): State<ApiState>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    Body(Refresh { refresh_token }): Body<Refresh>,
) -> Result<Unkept<SessionView>, Problem> {
    let session = api.service.refresh(&refresh_token, Some(address)).await;
    let session = session.inspect_err(|error| api.service.note_refused(error, None, Some(address)))?;
    Ok(unkept(session))
}

/// Ends the session, with its access and refresh tokens.
#[utoipa::path(post, path = "/api/v1/auth/logout", tag = "auth", responses((status = NO_CONTENT)))]
pub async fn logout(actor: Actor, State(api): State<ApiState>) -> Result<StatusCode, Problem> {
    api.service.log_out(&actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows who is logged in, and the groups they belong to.
#[utoipa::path(get, path = "/api/v1/auth/me", tag = "auth", responses((status = OK, body = MyselfView)))]
pub async fn me(actor: Actor, State(api): State<ApiState>) -> Result<Json<MyselfView>, Problem> {
    let myself = api.service.show_self(&actor)?;
    let memberships = myself.memberships.iter().map(|member| MembershipView::from(&**member)).collect();
    Ok(Json(MyselfView { user: UserView::from(&*myself.user), memberships }))
}

/// Changes one's own password, and ends one's other sessions.
#[utoipa::path(post, path = "/api/v1/auth/password", tag = "auth", request_body = ChangePassword, responses(
    (status = NO_CONTENT),
    (status = BAD_REQUEST, description = "The new password is too short or too long", body = ProblemBody, content_type = "application/problem+json"),
    (status = UNAUTHORIZED, description = "The password so far is wrong", body = ProblemBody, content_type = "application/problem+json"),
    (status = TOO_MANY_REQUESTS, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn change_password(
    actor: Actor,
    State(api): State<ApiState>,
    Body(ChangePassword { current, new }): Body<ChangePassword>,
) -> Result<StatusCode, Problem> {
    api.service.change_password(&actor, Password::entered(current), chosen(new)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Signs access tokens with a new key from now on. Tokens of the old one stay valid until they expire.
#[utoipa::path(post, path = "/api/v1/auth/signing-keys/rotate", tag = "auth", responses((status = NO_CONTENT)))]
pub async fn rotate_signing_key(actor: Actor, State(api): State<ApiState>) -> Result<StatusCode, Problem> {
    api.service.rotate_signing_key(&actor).await?;
    Ok(StatusCode::NO_CONTENT)
}
