//! The provider's side: its discovery document, its keys, and what a code is worth.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::jwk::JwkSet;
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet,
    ExtraTokenFields, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope,
    StandardRevocableToken, StandardTokenResponse, TokenResponse as _, TokenUrl,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;
use url::{Host, Url};

use super::id_token::{self, Claims};
use super::{Callback, OidcSettings, Person};
use crate::domain::user::ProviderIdentity;
use crate::service::error::ServiceError;

/// How long the provider may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer: discovery documents and key sets have a few KB.
const MAX_ANSWER: usize = 256 << 10;
/// How long the discovery document is believed.
const METADATA_TIME: SignedDuration = SignedDuration::from_hours(1);
/// How long the keys are believed.
const KEYS_TIME: SignedDuration = SignedDuration::from_hours(1);
/// A key that is not among them is looked for again, but not more often than this: anybody can name a key.
const KEYS_AGAIN: SignedDuration = SignedDuration::from_mins(1);

/// Why the provider's answer lets nobody in.
#[derive(Debug, Error)]
pub(in crate::service) enum ProviderError {
    /// It cannot be reached, or answers something else.
    #[error("{what} cannot be fetched from the provider: {reason}")]
    Fetch { what: &'static str, reason: String },
    /// It said no.
    #[error("the provider refused: {0}")]
    Refused(String),
    /// What it says about somebody cannot be believed.
    #[error("{0}")]
    Claims(&'static str),
}

/// What is used of the discovery document (OpenID Connect Discovery 1.0, section 3).
#[derive(Debug, Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    userinfo_endpoint: Option<Url>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
}

#[derive(Default)]
struct Known {
    metadata: Option<(Timestamp, Arc<Metadata>)>,
    keys: Option<(Timestamp, Arc<JwkSet>)>,
}

/// The one provider of the server.
pub(super) struct Provider {
    issuer: String,
    client_id: String,
    client_secret: Option<SecretString>,
    redirect: String,
    http: reqwest::Client,
    known: Mutex<Known>,
}

/// What OpenID adds to a token response.
#[derive(Serialize, Deserialize)]
struct WithIdToken {
    id_token: Option<String>,
}

impl std::fmt::Debug for WithIdToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WithIdToken")
    }
}

impl ExtraTokenFields for WithIdToken {}

type Tokens = StandardTokenResponse<WithIdToken, BasicTokenType>;
type Client = oauth2::Client<
    BasicErrorResponse,
    Tokens,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

impl Provider {
    pub(super) fn new(settings: &OidcSettings, public_url: &str) -> Result<Option<Self>, ServiceError> {
        let doing = "preparing the login through an OpenID provider";
        let (Some(issuer), Some(client_id)) = (&settings.issuer, &settings.client_id) else { return Ok(None) };
        let client_secret = match &settings.client_secret_file {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    ServiceError::internal(doing)(format!(
                        "the file {} (oidc.client_secret_file) cannot be read: {error}",
                        path.display()
                    ))
                })?;
                Some(SecretString::from(text.trim()))
            }
        };
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(TIMEOUT);
        // A proxy of the environment would look for this machine's own address on another one.
        let local = Url::parse(issuer).is_ok_and(|issuer| is_loopback(&issuer));
        let http = if local { http.no_proxy() } else { http };
        Ok(Some(Self {
            issuer: issuer.clone(),
            client_id: client_id.clone(),
            client_secret,
            redirect: format!("{public_url}/api/v1/auth/oidc/callback"),
            http: http.build().map_err(ServiceError::internal(doing))?,
            known: Mutex::default(),
        }))
    }

    /// The provider's page for a login, and the verifier without which its code is worth nothing.
    pub(super) async fn page(
        &self,
        state: &str,
        nonce: &str,
        now: Timestamp,
    ) -> Result<(Url, SecretString), ServiceError> {
        let metadata = self.metadata(now).await.map_err(|error| {
            tracing::error!(%error, "the OpenID provider cannot be used");
            ServiceError::Overloaded { what: "The OpenID provider does not answer", retry_after: TIMEOUT }
        })?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let client = self.client(&metadata);
        let page = client.authorize_url(|| CsrfToken::new(state.to_owned()));
        let page = page.add_scopes(["openid", "email", "profile"].map(|scope| Scope::new(scope.to_owned())));
        let (url, _) = page.set_pkce_challenge(challenge).add_extra_param("nonce", nonce.to_owned()).url();
        Ok((url, verifier.secret().clone().into()))
    }

    /// Whom the provider let in.
    pub(super) async fn person(
        &self,
        callback: Callback,
        nonce: &str,
        verifier: SecretString,
        now: Timestamp,
    ) -> Result<Person, ProviderError> {
        if callback.issuer.is_some_and(|issuer| issuer != self.issuer) {
            return Err(ProviderError::Claims("the answer came from another provider"));
        }
        if let Some(error) = callback.error {
            return Err(ProviderError::Refused(error.chars().filter(|c| !c.is_control()).take(200).collect()));
        }
        let code = callback.code.ok_or(ProviderError::Claims("the answer has no code"))?;
        let metadata = self.metadata(now).await?;
        let http = self.http.clone();
        let send = move |request| send(http.clone(), request);
        let code = AuthorizationCode::new(code.expose_secret().to_owned());
        let verifier = PkceCodeVerifier::new(verifier.expose_secret().to_owned());
        let tokens = self.client(&metadata).exchange_code(code).set_pkce_verifier(verifier).request_async(&send).await;
        let tokens = tokens.map_err(|error| ProviderError::Fetch { what: "tokens", reason: error.to_string() })?;
        let token = tokens.extra_fields().id_token.as_deref().ok_or(ProviderError::Claims("it sent no ID token"))?;
        let claims = self.claims(token, nonce, &metadata, now).await?;
        let claims = match &metadata.userinfo_endpoint {
            // Where an access token is given, what was asked for may be told there only (section 5.4).
            Some(url) if claims.email.is_none() => self.userinfo(url, &tokens, claims).await?,
            _ => claims,
        };
        let identity = ProviderIdentity { issuer: self.issuer.clone(), subject: claims.sub.clone() };
        if !claims.email_verified.as_ref().is_some_and(id_token::Verified::is_true) {
            return Err(ProviderError::Claims("it does not say that the email address is verified"));
        }
        let email = claims.email.as_deref().and_then(|email| email.parse().ok());
        let email = email.ok_or(ProviderError::Claims("it does not tell the email address"))?;
        let name = claims.name.filter(|name| crate::domain::user::User::check_name(name).is_ok());
        Ok(Person { identity, email, name: name.unwrap_or_default() })
    }

    async fn claims(
        &self,
        token: &str,
        nonce: &str,
        metadata: &Metadata,
        now: Timestamp,
    ) -> Result<Claims, ProviderError> {
        let expected = id_token::Expected { issuer: &self.issuer, client_id: &self.client_id, nonce, now };
        let keys = self.keys(metadata, now, KEYS_TIME).await?;
        if id_token::has_key(token, &keys) {
            return id_token::verify(token, &keys, &expected);
        }
        let keys = self.keys(metadata, now, KEYS_AGAIN).await?;
        id_token::verify(token, &keys, &expected)
    }

    async fn userinfo(&self, url: &Url, tokens: &Tokens, mut claims: Claims) -> Result<Claims, ProviderError> {
        let request = self.http.get(url.clone()).bearer_auth(tokens.access_token().secret());
        let more: id_token::UserInfo = fetch(request, "the user's claims").await?;
        if more.sub != claims.sub {
            return Err(ProviderError::Claims("its claims are about somebody else"));
        }
        let name = claims.name.take().or(more.name);
        (claims.email, claims.email_verified, claims.name) = (more.email, more.email_verified, name);
        Ok(claims)
    }

    /// What is known so far. Whoever waits longer than a fetch takes goes away: the provider does not answer.
    async fn known(&self) -> Result<MutexGuard<'_, Known>, ProviderError> {
        let known = timeout(TIMEOUT, self.known.lock()).await;
        known.map_err(|_| ProviderError::Fetch { what: "anything", reason: "it takes too long".to_owned() })
    }

    async fn metadata(&self, now: Timestamp) -> Result<Arc<Metadata>, ProviderError> {
        let mut known = self.known().await?;
        if let Some((at, metadata)) = &known.metadata
            && now.duration_since(*at) < METADATA_TIME
        {
            return Ok(metadata.clone());
        }
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let metadata: Metadata = fetch(self.http.get(url), "the discovery document").await?;
        if metadata.issuer != self.issuer {
            return Err(ProviderError::Claims("its discovery document names another issuer"));
        }
        let pages = [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri];
        if !pages.into_iter().chain(&metadata.userinfo_endpoint).all(is_safe) {
            return Err(ProviderError::Claims("its discovery document names addresses without https"));
        }
        let metadata = Arc::new(metadata);
        known.metadata = Some((now, metadata.clone()));
        Ok(metadata)
    }

    /// The provider's keys, no older than this.
    async fn keys(
        &self,
        metadata: &Metadata,
        now: Timestamp,
        age: SignedDuration,
    ) -> Result<Arc<JwkSet>, ProviderError> {
        let mut known = self.known().await?;
        if let Some((at, keys)) = &known.keys
            && now.duration_since(*at) < age
        {
            return Ok(keys.clone());
        }
        let keys: id_token::Keys = fetch(self.http.get(metadata.jwks_uri.clone()), "the keys").await?;
        let keys = Arc::new(keys.known());
        known.keys = Some((now, keys.clone()));
        Ok(keys)
    }

    fn client(&self, metadata: &Metadata) -> Client {
        let client = oauth2::Client::new(ClientId::new(self.client_id.clone()))
            .set_auth_uri(AuthUrl::from_url(metadata.authorization_endpoint.clone()))
            .set_token_uri(TokenUrl::from_url(metadata.token_endpoint.clone()));
        let client = match RedirectUrl::new(self.redirect.clone()) {
            Ok(redirect) => client.set_redirect_uri(redirect),
            // The public URL was parsed when the settings were read.
            Err(_) => client,
        };
        let methods = &metadata.token_endpoint_auth_methods_supported;
        let has = |method: &str| methods.iter().any(|known| known == method);
        let basic = methods.is_empty() || has("client_secret_basic");
        let client = client.set_auth_type(if basic { AuthType::BasicAuth } else { AuthType::RequestBody });
        match &self.client_secret {
            Some(secret) => client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned())),
            None => client,
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Whether what is sent there stays between the two: encrypted, or on this machine.
pub(super) fn is_safe(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}

async fn fetch<T: DeserializeOwned>(request: reqwest::RequestBuilder, what: &'static str) -> Result<T, ProviderError> {
    let failed = |reason: String| ProviderError::Fetch { what, reason };
    let answer = request.header(http::header::ACCEPT, "application/json").send().await;
    let answer = answer.map_err(|error| failed(error.without_url().to_string()))?;
    if !answer.status().is_success() {
        return Err(failed(format!("the answer has the status {}", answer.status())));
    }
    let body = read(answer).await.map_err(|error| failed(error.to_string()))?;
    serde_json::from_slice(&body).map_err(|error| failed(error.to_string()))
}

/// Sends what the library asks for.
async fn send(http: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, std::io::Error> {
    let request = reqwest::Request::try_from(request).map_err(std::io::Error::other)?;
    let answer = http.execute(request).await.map_err(|error| std::io::Error::other(error.without_url()))?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut response = HttpResponse::new(read(answer).await?);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// An answer's body, within the bound.
async fn read(mut answer: reqwest::Response) -> Result<Vec<u8>, std::io::Error> {
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(|error| std::io::Error::other(error.without_url()))? {
        if body.len() + part.len() > MAX_ANSWER {
            return Err(std::io::Error::other(format!("the answer is larger than {MAX_ANSWER} bytes")));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}
