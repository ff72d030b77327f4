//! `/api/v1/auth/oidc`: logging in through an OpenID provider.

use axum::Extension;
use axum::extract::State;
use http::{HeaderName, HeaderValue, StatusCode, header};
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;
use utoipa::{IntoParams, ToSchema};

use crate::http::ApiState;
use crate::http::auth::{SessionView, Unkept, unkept};
use crate::http::client_address::ClientAddress;
use crate::http::extract::{Body, Params};
use crate::http::problem::{Problem, ProblemBody};
use crate::service::oidc::Callback;

/// A browser is sent somewhere else; what stands in the URL is told to nobody on the way, and kept nowhere.
type Redirect = (StatusCode, [(HeaderName, HeaderValue); 3]);

/// How a login begins.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Start {
    /// Where the browser goes at the end, with a `code`: a loopback address with a port.
    #[param(example = "http://127.0.0.1:49152/done")]
    redirect_uri: Option<String>,
    /// The SHA-256, in base64url, of the verifier with which the code is exchanged (RFC 7636, method S256).
    #[param(example = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")]
    code_challenge: Option<String>,
}

/// What the provider's redirect brings back.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Back {
    /// Which login.
    state: Option<String>,
    /// What it is worth at the provider.
    #[param(value_type = Option<String>)]
    code: Option<SecretString>,
    /// Why there is no code.
    error: Option<String>,
    /// Who sends it (RFC 9207).
    iss: Option<String>,
}

/// The end of a login.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FetchSession {
    /// The code that the browser brought to the loopback address. It is good for one use, within a minute.
    #[schema(value_type = String, example = "b1Xk...")]
    pub code: SecretString,
    /// The verifier to the challenge with which the login began.
    #[schema(value_type = String, example = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")]
    pub code_verifier: SecretString,
}

fn redirect(url: &Url) -> Redirect {
    let location = HeaderValue::from_str(url.as_str()).unwrap_or(HeaderValue::from_static("/"));
    let headers = [
        (header::LOCATION, location),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (StatusCode::SEE_OTHER, headers)
}

/// Begins a login: sends the browser to the provider.
#[utoipa::path(get, path = "/api/v1/auth/oidc/start", tag = "auth", params(Start), security(()), responses(
    (status = SEE_OTHER, description = "To the provider's page"),
    (status = BAD_REQUEST, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, description = "No provider is set up", body = ProblemBody, content_type = "application/problem+json"),
    (status = TOO_MANY_REQUESTS, body = ProblemBody, content_type = "application/problem+json"),
    (status = SERVICE_UNAVAILABLE, description = "The provider does not answer", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn start(
    State(api): State<ApiState>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    Params(Start { redirect_uri, code_challenge }): Params<Start>,
) -> Result<Redirect, Problem> {
    let page = api.service.begin_provider_login(redirect_uri.as_deref(), code_challenge.as_deref(), Some(address));
    Ok(redirect(&page.await?))
}

/// Where the provider sends the browser back to; it goes on to the loopback address, with a `code` or an `error`.
#[utoipa::path(get, path = "/api/v1/auth/oidc/callback", tag = "auth", params(Back), security(()), responses(
    (status = SEE_OTHER, description = "To the loopback address"),
    (status = UNAUTHORIZED, description = "No such login is under way", body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, description = "No provider is set up", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn callback(
    State(api): State<ApiState>,
    Params(Back { state, code, error, iss }): Params<Back>,
) -> Result<Redirect, Problem> {
    let back = Callback { state, code, error, issuer: iss };
    Ok(redirect(&api.service.end_provider_login(back).await?))
}

/// Fetches the session, for whoever began the login.
#[utoipa::path(post, path = "/api/v1/auth/oidc/token", tag = "auth", request_body = FetchSession, security(()), responses(
    (status = OK, body = SessionView),
    (status = UNAUTHORIZED, description = "The code is not valid, or nobody here has the address", body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, description = "No provider is set up", body = ProblemBody, content_type = "application/problem+json"),
    (status = TOO_MANY_REQUESTS, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn token(
    State(api): State<ApiState>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    Body(FetchSession { code, code_verifier }): Body<FetchSession>,
) -> Result<Unkept<SessionView>, Problem> {
    Ok(unkept(api.service.fetch_provider_session(&code, &code_verifier, Some(address)).await?))
}
