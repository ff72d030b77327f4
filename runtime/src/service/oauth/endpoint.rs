//! Requests to an app's token, revocation and introspection endpoints.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use headgate_manifest::{ClientAuthentication, Oauth, TokenBody, fill};
use http::{HeaderName, HeaderValue, Method, header};
use jiff::Timestamp;
use oauth2::TokenIntrospectionResponse as _;
use oauth2::basic::BasicTokenIntrospectionResponse;
use secrecy::{ExposeSecret as _, SecretString};
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::{OauthError, Revoked, TokenRequest, Tokens};
use crate::domain::app_registration::AppRegistration;
use crate::domain::connection::Connection;
use crate::domain::grant::is_framing;
use crate::domain::oauth::{AnswerError, Refusal, StoredToken, TokenAnswer, endpoint, refusal};
use crate::domain::scrub::Scrubber;
use crate::service::Service;
use crate::service::error::ServiceError;
use crate::service::vault::Place;

/// How long an app may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The longest answer, in bytes: token answers have a few KB.
const MAX_ANSWER: usize = 256 << 10;

/// An app registration with its secret, for one request.
struct Client {
    id: String,
    secret: Option<SecretString>,
}

/// The parameters of a request. They hold secrets.
type Params = BTreeMap<String, Zeroizing<String>>;

impl Service {
    /// Asks an app's token endpoint for a token. Nothing is kept of it.
    pub(in crate::service) async fn request_tokens(
        &self,
        connection: &Connection,
        request: TokenRequest,
    ) -> Result<Tokens, OauthError> {
        let oauth = oauth_of(connection)?;
        let url = match (&request, &oauth.refresh_url) {
            (TokenRequest::Refresh(_), Some(url)) => url,
            _ => &oauth.token_url,
        };
        let params = token_params(connection, oauth, request)?;
        let answer = self.ask(connection, oauth, url, params).await?;
        let told = TokenAnswer::read(oauth, answer.status, &answer.body).map_err(|error| answer.failure(error))?;
        answer.check_told(&told)?;
        Ok(Tokens {
            access: told.access,
            refresh: told.refresh,
            // A life that ends after the calendar is none.
            expires: told.life.and_then(|life| self.now().checked_add(life).ok()),
            scopes: told.scopes,
            metadata: told.metadata,
        })
    }

    /// When an access token ends, as the app's introspection endpoint tells (RFC 7662).
    pub(super) async fn introspect(
        &self,
        connection: &Connection,
        token: &SecretString,
    ) -> Result<Option<Timestamp>, OauthError> {
        let oauth = oauth_of(connection)?;
        let Some(url) = &oauth.introspection_url else { return Ok(None) };
        let answer = self.ask(connection, oauth, url, about(token, "access_token")).await?;
        if answer.status != 200 {
            return Err(answer.failure(AnswerError::Odd(format!("it answers with the status {}", answer.status))));
        }
        let told: BasicTokenIntrospectionResponse = serde_json::from_slice(&answer.body)
            .map_err(|_| answer.failure(AnswerError::Odd("its answer is none of RFC 7662".to_owned())))?;
        let expires = told.exp().filter(|_| told.active());
        Ok(expires.and_then(|expires| Timestamp::from_second(expires.timestamp()).ok()))
    }

    /// Asks the app to revoke a connection's tokens.
    pub(super) async fn revoke_tokens(
        &self,
        connection: &Connection,
        stored: &StoredToken,
    ) -> Result<Revoked, ServiceError> {
        let mut tokens = Vec::new();
        for (field, sealed) in [("refresh_token", &stored.refresh), ("access_token", &stored.access)] {
            let Some(sealed) = sealed else { continue };
            match self.open_token(connection, field, sealed).await {
                Ok(token) => tokens.push((field, token)),
                Err(error) => {
                    tracing::error!(connection = %connection.id, error = &error as &dyn std::error::Error, "a token cannot be revoked");
                    return Ok(Revoked::Failed("the token does not open here".to_owned()));
                }
            }
        }
        Ok(self.revoke(connection, &tokens).await)
    }

    /// Asks the app to revoke tokens that it gave and that are not kept. It is logged when it does not.
    pub(in crate::service) async fn revoke_unkept(&self, connection: &Connection, tokens: &Tokens) {
        let refresh = tokens.refresh.as_ref().map(|token| ("refresh_token", token.clone()));
        let tokens: Vec<_> = refresh.into_iter().chain([("access_token", tokens.access.clone())]).collect();
        if let Revoked::Failed(reason) = self.revoke(connection, &tokens).await {
            tracing::warn!(connection = %connection.id, group = %connection.group, reason, "tokens that are not kept could not be revoked: take the access away in the app's own settings");
        }
    }

    /// Asks the app to revoke tokens: the refresh token first, as it is the one that lasts, and many apps revoke with it
    /// what came of it.
    async fn revoke(&self, connection: &Connection, tokens: &[(&str, SecretString)]) -> Revoked {
        let Ok(oauth) = oauth_of(connection) else { return Revoked::NotOffered };
        let Some(url) = &oauth.revocation_url else { return Revoked::NotOffered };
        let mut revoked = Revoked::NotOffered;
        for (field, token) in tokens {
            let answer = self.ask(connection, oauth, url, about(token, field)).await;
            let failed = match answer {
                Ok(answer) if (200..300).contains(&answer.status) => None,
                Ok(answer) => {
                    let told = serde_json::from_slice(&answer.body).ok().as_ref().and_then(refusal);
                    let odd = || AnswerError::Odd(format!("it answers with the status {}", answer.status));
                    Some(answer.failure(told.map_or_else(odd, AnswerError::Refused)).to_string())
                }
                Err(error) => Some(error.to_string()),
            };
            match failed {
                // Many apps know the access token no more, once the refresh token was revoked.
                Some(_) if revoked == Revoked::Yes => {}
                Some(reason) => return Revoked::Failed(reason),
                None => revoked = Revoked::Yes,
            }
        }
        revoked
    }

    /// Sends a request as the connection's client.
    async fn ask(
        &self,
        connection: &Connection,
        oauth: &Oauth,
        template: &str,
        mut params: Params,
    ) -> Result<Answer, OauthError> {
        let unfit = |error: &dyn std::error::Error| OauthError::Unfit(error.to_string());
        let url = endpoint(template, &connection.config).map_err(|error| unfit(&error))?;
        let (registration, client) = self.client_of(connection).await?;
        if !registration.may_send_to(&url) {
            let place = format!("{}{}", url.host_str().unwrap_or_default(), url.path());
            return Err(OauthError::Unfit(format!(
                "the app registration \"{}\" may not be used at {place}. Add that to the registration's token hosts, if it is the app's",
                registration.name
            )));
        }
        // It would be the operator's own access, in the hands of every group's connectors.
        if registration.group.is_none() && connection.is_client_credentials() {
            let reason = "client credentials need an app registration of the group: use oauth_advanced";
            return Err(OauthError::Unfit(reason.to_owned()));
        }
        let mut request = http::Request::builder().method(Method::POST).uri(url.as_str());
        for (name, value) in filled(&oauth.token_headers, connection)? {
            let name: HeaderName = name.parse().map_err(|error| unfit(&error))?;
            // The request would reach somebody else behind the same address, with the client's secret.
            if is_framing(&name) || matches!(name, header::AUTHORIZATION | header::COOKIE) {
                return Err(OauthError::Unfit(format!(
                    "the connector sets the header {name}, which is the server's to set"
                )));
            }
            let value = HeaderValue::from_str(&value).map_err(|error| unfit(&error))?;
            request = request.header(name, value);
        }
        let mut request = request.body(Bytes::new()).map_err(|error| unfit(&error))?;
        let authorization = client.authenticate(oauth.client_authentication, &mut params);
        let (content_type, body) = written(oauth.token_body, &params);
        *request.body_mut() = body;
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(authorization) = &authorization {
            let mut value = HeaderValue::from_str(authorization).map_err(|error| unfit(&error))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        let sent = params.iter().filter(|(name, _)| SECRET_PARAMS.contains(&name.as_str()));
        let sent = sent.map(|(_, value)| value.as_str()).chain(client.secret.as_ref().map(|s| s.expose_secret()));
        let scrub = Scrubber::new(sent);
        let answer = self.oauth.client.send(request, TIMEOUT, MAX_ANSWER).await;
        let answer =
            answer.map_err(|error| OauthError::Unavailable { reason: error.to_string(), retry_after: None })?;
        // Only what is no token endpoint tells the secret back, and what it tells may become a setting or a token.
        let client_secret = Scrubber::new(client.secret.as_ref().map(|secret| secret.expose_secret()));
        if client_secret.scrub_bytes(answer.body()) != answer.body().as_ref() {
            let reason = "the app's answer holds the client's secret, so that it is none of a token endpoint";
            return Err(OauthError::Unfit(reason.to_owned()));
        }
        let retry_after = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Answer {
            status: answer.status().as_u16(),
            retry_after: retry_after.map(Duration::from_secs),
            body: answer.into_body(),
            scrub,
        })
    }

    async fn client_of(
        &self,
        connection: &Connection,
    ) -> Result<(std::sync::Arc<AppRegistration>, Client), OauthError> {
        let id = connection.oauth.as_ref().map(|part| &part.registration);
        let catalog = self.catalog();
        let registration = id.and_then(|id| catalog.app_registrations.get(id)).cloned().ok_or_else(|| {
            OauthError::Unfit(format!(
                "the app registration of the connection \"{}\" was deleted. Make the connection anew with another one",
                connection.name
            ))
        })?;
        let secret = match &registration.client_secret {
            None => None,
            Some(sealed) => {
                let (group, record) = (registration.sealed_under(), registration.id.as_str());
                let place = Place { group, record, field: "client_secret" };
                let opened = self.vault.open_secret(place, sealed).await;
                Some(opened.map_err(OauthError::internal("opening the secret of an app registration"))?)
            }
        };
        let client = Client { id: registration.client_id.clone(), secret };
        Ok((registration, client))
    }
}

/// Parameters whose values must not be told.
const SECRET_PARAMS: [&str; 5] = ["code", "code_verifier", "refresh_token", "token", "client_secret"];

/// What came back.
struct Answer {
    status: u16,
    retry_after: Option<Duration>,
    body: Bytes,
    scrub: Scrubber,
}

impl Answer {
    /// Settings and scopes are shown and told to guests: no token, and nothing that was sent, may be among them.
    fn check_told(&self, told: &TokenAnswer) -> Result<(), OauthError> {
        let tokens = [Some(&told.access), told.refresh.as_ref()];
        let tokens = Scrubber::new(tokens.into_iter().flatten().map(|token| token.expose_secret()));
        let secrets = tokens.and(&self.scrub);
        let mut shown = told.metadata.values().chain(told.scopes.iter().flatten());
        if shown.any(|text| secrets.scrub_str(text) != text.as_str()) {
            let reason = "the connector takes a setting or a scope from where the app's answer holds a secret";
            return Err(OauthError::Unfit(reason.to_owned()));
        }
        Ok(())
    }

    /// Why it is not what was asked for, without anything that was sent.
    fn failure(&self, error: AnswerError) -> OauthError {
        let clean = |text: &str| self.scrub.scrub_str(text).into_owned();
        match error {
            AnswerError::Odd(reason) => OauthError::Unavailable { reason, retry_after: self.retry_after },
            AnswerError::Refused(refusal) if self.status == 429 => {
                OauthError::Unavailable { reason: clean(&refusal.to_string()), retry_after: self.retry_after }
            }
            AnswerError::Refused(refusal) => OauthError::Refused(Refusal {
                error: clean(&refusal.error),
                description: refusal.description.as_deref().map(clean),
            }),
        }
    }
}

impl Client {
    /// Says who the client is (RFC 6749, section 2.3.1): in the parameters, or as the header that is answered.
    fn authenticate(&self, how: ClientAuthentication, params: &mut Params) -> Option<Zeroizing<String>> {
        let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        match (how, &self.secret) {
            (ClientAuthentication::Basic, Some(secret)) => {
                let pair = format!("{}:{}", encode(&self.id), encode(secret.expose_secret()));
                return Some(Zeroizing::new(format!("Basic {}", STANDARD.encode(Zeroizing::new(pair).as_bytes()))));
            }
            (ClientAuthentication::Body, Some(secret)) => {
                params.insert("client_secret".to_owned(), Zeroizing::new(secret.expose_secret().to_owned()));
            }
            (ClientAuthentication::None, _) | (_, None) => {}
        }
        params.insert("client_id".to_owned(), Zeroizing::new(self.id.clone()));
        None
    }
}

fn oauth_of(connection: &Connection) -> Result<&Oauth, OauthError> {
    let none = || OauthError::Unfit(format!("the connection \"{}\" does not use OAuth", connection.name));
    connection.pins.oauth.as_ref().ok_or_else(none)
}

fn token_params(connection: &Connection, oauth: &Oauth, request: TokenRequest) -> Result<Params, OauthError> {
    let further = match &request {
        TokenRequest::Refresh(_) => &oauth.refresh_params,
        _ => &oauth.token_params,
    };
    let mut params = filled(further, connection)?;
    let mut put = |name: &str, value: &str| params.insert(name.to_owned(), Zeroizing::new(value.to_owned()));
    match request {
        TokenRequest::Code { code, verifier, redirect_uri } => {
            put("grant_type", "authorization_code");
            put("code", code.expose_secret());
            put("redirect_uri", &redirect_uri);
            if let Some(verifier) = verifier {
                put("code_verifier", verifier.expose_secret());
            }
        }
        TokenRequest::Refresh(token) => {
            put("grant_type", "refresh_token");
            put("refresh_token", token.expose_secret());
        }
        TokenRequest::ClientCredentials => {
            put("grant_type", "client_credentials");
            let scopes = connection.oauth.as_ref().map(|part| part.scopes.join(&oauth.scope_separator));
            if let Some(scopes) = scopes.filter(|scopes| !scopes.is_empty()) {
                put(&oauth.scope_parameter, &scopes);
            }
        }
    }
    Ok(params)
}

fn about(token: &SecretString, hint: &str) -> Params {
    let token = Zeroizing::new(token.expose_secret().to_owned());
    Params::from([("token".to_owned(), token), ("token_type_hint".to_owned(), Zeroizing::new(hint.to_owned()))])
}

fn filled(templates: &BTreeMap<String, String>, connection: &Connection) -> Result<Params, OauthError> {
    let values = connection.config.iter().map(|(name, value)| (format!("config.{name}"), value.clone())).collect();
    let filled = templates.iter().map(|(name, template)| Ok((name.clone(), Zeroizing::new(fill(template, &values)?))));
    let filled: Result<_, headgate_manifest::FillError> = filled.collect();
    filled.map_err(|error| OauthError::Unfit(error.to_string()))
}

fn written(how: TokenBody, params: &Params) -> (&'static str, Bytes) {
    match how {
        TokenBody::Form => {
            let mut form = form_urlencoded::Serializer::new(String::new());
            for (name, value) in params {
                form.append_pair(name, value);
            }
            ("application/x-www-form-urlencoded", form.finish().into())
        }
        TokenBody::Json => {
            let params: BTreeMap<&str, &str> = params.iter().map(|(name, value)| (&**name, value.as_str())).collect();
            ("application/json", serde_json::to_vec(&params).expect("texts serialise").into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(secret: Option<&str>) -> Client {
        Client { id: "a b".to_owned(), secret: secret.map(SecretString::from) }
    }

    #[test]
    fn a_client_says_who_it_is_as_the_app_wants() {
        for (how, secret, header, sent) in [
            (ClientAuthentication::Basic, Some("s:ü"), Some("a+b:s%3A%C3%BC"), &[][..]),
            (ClientAuthentication::Basic, None, None, &[("client_id", "a b")]),
            (ClientAuthentication::Body, Some("s:ü"), None, &[("client_id", "a b"), ("client_secret", "s:ü")]),
            (ClientAuthentication::None, Some("s:ü"), None, &[("client_id", "a b")]),
        ] {
            let mut params = Params::new();
            let authorization = client(secret).authenticate(how, &mut params);
            let expected = header.map(|pair| format!("Basic {}", STANDARD.encode(pair)));
            assert_eq!(authorization.as_deref(), expected.as_ref());
            let params: Vec<_> = params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(params, sent);
        }
    }

    #[test]
    fn parameters_are_a_form_or_json() {
        let params = about(&SecretString::from("a&b=ü"), "access_token");
        let (kind, body) = written(TokenBody::Form, &params);
        assert_eq!(kind, "application/x-www-form-urlencoded");
        assert_eq!(body, "token=a%26b%3D%C3%BC&token_type_hint=access_token");
        let (kind, body) = written(TokenBody::Json, &params);
        assert_eq!(kind, "application/json");
        assert_eq!(body, r#"{"token":"a&b=ü","token_type_hint":"access_token"}"#);
    }

    #[test]
    fn a_failure_holds_nothing_that_was_sent() {
        let scrub = Scrubber::new(["the-refresh-token"]);
        let answer = Answer { status: 429, retry_after: Some(Duration::from_secs(7)), body: Bytes::new(), scrub };
        let refusal =
            Refusal { error: "slow_down".to_owned(), description: Some("the-refresh-token is too fast".to_owned()) };
        let OauthError::Unavailable { reason, retry_after } = answer.failure(refusal.into()) else { panic!("refused") };
        assert_eq!((&*reason, retry_after), ("slow_down ([redacted] is too fast)", Some(Duration::from_secs(7))));
    }
}
