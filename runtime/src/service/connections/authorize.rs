//! Authorizing a connection: a person consents at the app, with their browser (RFC 6749, section 4.1; RFC 7636).
//!
//! What the app's redirect brings is used only by whoever began. Either the browser that comes back is the one that
//! began, which its cookie proves; or it goes on to a loopback address of the machine it runs on (RFC 8252, section 7.3)
//! with a code, and whoever waits there finishes with their own session. A link that was sent to somebody else connects
//! nothing: neither theirs to the sender's connection, nor the sender's account to theirs.

mod error;
mod metadata;
mod request;

use std::collections::BTreeMap;
use std::sync::Arc;

use headgate_manifest::{Oauth, OauthGrant};
use jiff::{SignedDuration, Timestamp};
use oauth2::RedirectUrl;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use url::Url;

use super::{ConnectionDetails, find};
use crate::domain::connection::{Connection, OauthPart};
use crate::domain::id::{ConnectionId, GroupId};
use crate::domain::permission::{Action, Denial};
use crate::domain::secret::{SECRET_LENGTH, hex, random_text};
use crate::service::Service;
use crate::service::access::{Actor, Who};
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;
use crate::service::oauth::{TokenRequest, TokenState, TokenStatus, Tokens};
use crate::service::oidc::loopback;
use crate::service::once::Once;
use crate::service::record::Record;
use crate::service::vault::random;
use metadata::Told;

pub use error::AuthorizationError;

/// How long somebody may take at the app's pages.
pub const AUTHORIZATION_TIME: SignedDuration = SignedDuration::from_mins(10);
/// How long whoever waits at a loopback address may take to finish.
const CODE_TIME: SignedDuration = SignedDuration::from_mins(1);
/// Authorizations under way at most, some 10 MB. When there are more, the oldest goes.
const MOST_PENDING: usize = 10_000;
/// How the names of the cookies begin that bind an authorization to a browser.
pub const COOKIE_PREFIX: &str = "headgate_authorize_";
/// The longest value of the redirect that is looked at, in bytes.
const MAX_PARAMETER: usize = 8 * 1024;

/// Where authorizations are under way.
pub(in crate::service) struct Authorizations {
    redirect: RedirectUrl,
    pending: Once<Pending>,
    brought: Once<(Pending, Consent)>,
}

/// An authorization that began.
#[derive(Debug)]
pub struct Begun {
    /// The app's page for the browser.
    pub url: Url,
    /// Until when it can be finished.
    pub expires: Timestamp,
    /// What binds it to the browser; absent where it goes on to a loopback address.
    pub cookie: Option<BrowserCookie>,
}

/// A cookie that only the browser has that began.
#[derive(Debug)]
pub struct BrowserCookie {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: SecretString,
    /// Below which path the browser sends it.
    pub path: String,
    /// Whether the browser sends it over https only.
    pub secure: bool,
}

/// What the app's redirect brings back.
#[derive(Debug, Default)]
pub struct Callback {
    /// Which authorization.
    pub state: Option<String>,
    /// What becomes tokens.
    pub code: Option<SecretString>,
    /// Why there is no code.
    pub error: Option<String>,
    /// The same in words.
    pub error_description: Option<String>,
    /// The other parameters.
    pub others: BTreeMap<String, String>,
    /// The browser's cookies for authorizations.
    pub cookies: BTreeMap<String, SecretString>,
}

/// Where a redirect leads.
pub enum Arrival {
    /// The connection is authorized, and was tested.
    Connected(Box<ConnectionDetails>),
    /// The browser goes on to whoever began it.
    GoOn(Url),
}

/// Somebody is at the app's pages.
struct Pending {
    actor: Actor,
    /// As it was when they began.
    connection: Arc<Connection>,
    verifier: Option<SecretString>,
    end: End,
}

/// Who may finish.
enum End {
    /// The browser with this cookie.
    Browser(SecretString),
    /// Whoever began, with what the browser brings to this address.
    Loopback(Url),
}

/// What the app gave the person who consented.
struct Consent {
    code: SecretString,
    told: Told,
}

impl Authorizations {
    /// Prepares authorizations. Apps send browsers back below `public_url`.
    pub(in crate::service) fn new(public_url: &str) -> Result<Self, ServiceError> {
        let redirect = RedirectUrl::new(format!("{public_url}/oauth/callback"));
        let redirect = redirect.map_err(ServiceError::internal("making the redirect URI from the public URL"))?;
        Ok(Self { redirect, pending: Once::new(MOST_PENDING), brought: Once::new(MOST_PENDING) })
    }
}

impl Service {
    /// Where apps send browsers back to. It comes from the settings, never from a request.
    pub fn oauth_redirect_uri(&self) -> &str {
        self.authorizations.redirect.as_str()
    }

    /// Begins to authorize a connection; answers the app's page. Beginning again ends what the same person began before.
    ///
    /// With `return_to`, a loopback address, the browser goes on there in the end.
    pub fn begin_authorization(
        &self,
        actor: &Actor,
        group: &GroupId,
        id: &ConnectionId,
        return_to: Option<&str>,
    ) -> Result<Begun, ServiceError> {
        let catalog = self.catalog();
        actor.authorise(&catalog, group, Action::AuthorizeConnection)?;
        let Who::User { session, .. } = actor.who() else { return Err(Denial::NotForKeys.into()) };
        let connection = find(&catalog, actor, group, id)?;
        let (oauth, part) = person_consents(&connection)?;
        let registration = catalog.app_registrations.get(&part.registration).ok_or_else(|| {
            ServiceError::Conflict("The connection's app registration is gone. Make the connection again".to_owned())
        })?;
        let (state, now) = (random_text(SECRET_LENGTH, random), self.now());
        let (url, verifier) =
            request::url(&connection, oauth, part, registration, &self.authorizations.redirect, &state)?;
        let (end, cookie) = match return_to {
            Some(address) => {
                let rule = "return_to must be a loopback address with a port, such as http://127.0.0.1:49152/done";
                (End::Loopback(loopback(address).ok_or_else(|| ServiceError::Invalid(rule.to_owned()))?), None)
            }
            None => {
                let value = SecretString::from(random_text(SECRET_LENGTH, random));
                (End::Browser(value.clone()), Some(self.browser_cookie(&state, value)))
            }
        };
        let same = |other: &Pending| {
            let by_same = matches!(other.actor.who(), Who::User { session: by, .. } if by == session);
            by_same && other.connection.id == connection.id
        };
        self.authorizations.pending.retain(|other| !same(other));
        let expires = now.checked_add(AUTHORIZATION_TIME).unwrap_or(Timestamp::MAX);
        let pending = Pending { actor: actor.clone(), connection, verifier, end };
        self.authorizations.pending.keep(state, pending, expires, now);
        Ok(Begun { url, expires, cookie })
    }

    /// Takes up what the app's redirect brought.
    pub async fn take_authorization(self: &Arc<Self>, callback: Callback) -> Result<Arrival, AuthorizationError> {
        let state = callback.state.as_deref().unwrap_or_default();
        let pending = self.authorizations.pending.take(state, self.now()).ok_or(AuthorizationError::Unknown)?;
        let cookie = callback.cookies.get(&cookie_name(state)).cloned();
        let consent = Consent::read(callback, &pending.connection);
        match &pending.end {
            End::Browser(expected) => {
                let same = cookie.is_some_and(|given| {
                    given.expose_secret().as_bytes().ct_eq(expected.expose_secret().as_bytes()).into()
                });
                if !same {
                    return Err(AuthorizationError::AnotherBrowser);
                }
                let consent = consent.inspect_err(|error| note(&pending.connection, error))?;
                let actor = pending.actor.clone();
                let connection = self.connect(pending, consent).await?;
                Ok(Arrival::Connected(Box::new(self.try_authorized(&actor, connection).await)))
            }
            End::Loopback(address) => {
                let mut address = address.clone();
                match consent {
                    Ok(consent) => {
                        let code = random_text(SECRET_LENGTH, random);
                        address.query_pairs_mut().append_pair("code", &code);
                        let expires = self.now().checked_add(CODE_TIME).unwrap_or(Timestamp::MAX);
                        self.authorizations.brought.keep(code, (pending, consent), expires, self.now());
                    }
                    Err(error) => {
                        note(&pending.connection, &error);
                        let description = error.to_string();
                        address
                            .query_pairs_mut()
                            .append_pair("error", error.code())
                            .append_pair("error_description", &description);
                    }
                }
                Ok(Arrival::GoOn(address))
            }
        }
    }

    /// Finishes what somebody began with a loopback address, with the code that their browser brought there.
    pub async fn finish_authorization(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        id: &ConnectionId,
        code: &SecretString,
    ) -> Result<ConnectionDetails, ServiceError> {
        let catalog = self.catalog();
        actor.authorise(&catalog, group, Action::AuthorizeConnection)?;
        find(&catalog, actor, group, id)?;
        let (pending, consent) = self
            .authorizations
            .brought
            .take(code.expose_secret(), self.now())
            .filter(|(pending, _)| pending.connection.id == *id && same_session(&pending.actor, actor))
            .ok_or(AuthorizationError::Unknown)?;
        let connection = self.connect(pending, consent).await?;
        Ok(self.try_authorized(actor, connection).await)
    }

    /// Tests a connection that was just authorized, so that it can be said whose account it is and whether the app takes
    /// the token. Whatever is found, it is authorized.
    async fn try_authorized(self: &Arc<Self>, actor: &Actor, connection: Arc<Connection>) -> ConnectionDetails {
        if let Err(error) = self.test_connection(actor, &connection.group, &connection.id).await {
            tracing::warn!(
                connection = %connection.id,
                error = &error as &dyn std::error::Error,
                "a connection that was just authorized could not be tested"
            );
        }
        self.connection_details(actor, connection)
    }

    /// Exchanges the code and keeps what it is worth, also when the browser goes away meanwhile.
    async fn connect(
        self: &Arc<Self>,
        pending: Pending,
        consent: Consent,
    ) -> Result<Arc<Connection>, AuthorizationError> {
        let (service, begun) = (self.clone(), pending.connection.clone());
        let connecting = self.background.spawn(async move { service.exchange(pending, consent).await });
        let connected = connecting.await.map_err(ServiceError::internal("authorizing a connection"))?;
        connected.inspect_err(|error| note(&begun, error))
    }

    async fn exchange(
        self: &Arc<Self>,
        pending: Pending,
        consent: Consent,
    ) -> Result<Arc<Connection>, AuthorizationError> {
        let Pending { actor, connection: begun, verifier, .. } = pending;
        let Consent { code, told } = consent;
        let catalog = self.catalog();
        actor.authorise(&catalog, &begun.group, Action::AuthorizeConnection)?;
        // The token URL may need what the redirect told.
        let mut connection = Connection::clone(&*as_begun(&catalog, &begun)?);
        metadata::take(&catalog, &mut connection, &told)?;
        let redirect_uri = self.oauth_redirect_uri().to_owned();
        let tokens = self.request_tokens(&connection, TokenRequest::Code { code, verifier, redirect_uri }).await?;
        let kept = self.keep_authorization(&actor, &begun, connection.clone(), &tokens).await;
        // Many apps have one consent of a person for all their tokens: one that is in use would end with these.
        let authorized = |token: Option<TokenStatus>| token.is_some_and(|token| token.state == TokenState::Authorized);
        let is_used = || self.token_status(&begun).is_ok_and(authorized);
        if kept.is_err() && !is_used() {
            self.revoke_unkept(&connection, &tokens).await;
        }
        let connection = kept?;
        // What was found before may have been another account's. The connection is authorized, whatever comes of it.
        if let Err(error) = self.forget_credentials(&connection).await {
            tracing::error!(connection = %connection.id, error = &error as &dyn std::error::Error, "an alert could not be closed");
        }
        Ok(connection)
    }

    /// Keeps the tokens, who authorized the connection, and what the app told with them.
    async fn keep_authorization(
        self: &Arc<Self>,
        actor: &Actor,
        begun: &Connection,
        mut connection: Connection,
        tokens: &Tokens,
    ) -> Result<Arc<Connection>, AuthorizationError> {
        let catalog = self.catalog();
        metadata::take(&catalog, &mut connection, &tokens.metadata)?;
        metadata::check_complete(&catalog, &connection)?;
        let mut edit = self.edit(actor, &begun.group, Action::AuthorizeConnection).await?;
        let present = as_begun(edit.catalog(), begun)?;
        let base_urls = connection.pins.base_urls(&connection.config).map_err(ServiceError::from)?;
        let authorized_by = match edit.actor().who() {
            Who::User { user, .. } => Some(user.id.clone()),
            Who::Key(_) | Who::System => None,
        };
        let oauth = present.oauth.clone().map(|part| OauthPart { authorized_by, ..part });
        let config = connection.config;
        let connection = Arc::new(Connection { config, base_urls, oauth, ..Connection::clone(&present) });
        edit.put(Record::Connection(connection.clone()));
        edit.save().await?;
        self.keep_tokens(&connection, tokens).await?;
        Ok(connection)
    }

    fn browser_cookie(&self, state: &str, value: SecretString) -> BrowserCookie {
        let redirect = self.authorizations.redirect.url();
        let path = redirect.path().rsplit_once('/').map_or("/", |(path, _)| path).to_owned();
        BrowserCookie { name: cookie_name(state), value, path, secure: redirect.scheme() == "https" }
    }
}

/// Each authorization has a cookie of its own, so that several can be under way. Its name says nothing about the state.
fn cookie_name(state: &str) -> String {
    format!("{COOKIE_PREFIX}{}", &hex(&Sha256::digest(state))[..16])
}

/// How a connection is authorized by a person.
fn person_consents(connection: &Connection) -> Result<(&Oauth, &OauthPart), ServiceError> {
    match (&connection.pins.oauth, &connection.oauth) {
        (Some(oauth), Some(_)) if oauth.grant == OauthGrant::ClientCredentials => Err(ServiceError::Conflict(format!(
            "The connection \"{}\" authenticates with its app's own client credentials: there is nothing to authorize, it can be used as it is",
            connection.name
        ))),
        (Some(oauth), Some(part)) => Ok((oauth, part)),
        _ => Err(ServiceError::Conflict(format!(
            "The connection \"{}\" is of the kind {}: there is nothing to authorize. Change its secrets instead",
            connection.name,
            connection.kind.as_str()
        ))),
    }
}

/// The connection of today, if it still is what the person consented to.
fn as_begun(catalog: &Catalog, begun: &Connection) -> Result<Arc<Connection>, AuthorizationError> {
    let present = catalog.connections.get(&begun.id).filter(|present| present.group == begun.group);
    let present = present.ok_or(ServiceError::NotFound { what: "Connection" })?;
    let client =
        |connection: &Connection| connection.oauth.as_ref().map(|o| (o.registration.clone(), o.scopes.clone()));
    let same = present.pins == begun.pins && present.config == begun.config && client(present) == client(begun);
    if same { Ok(present.clone()) } else { Err(AuthorizationError::Changed) }
}

fn same_session(one: &Actor, other: &Actor) -> bool {
    match (one.who(), other.who()) {
        (Who::User { session: one, .. }, Who::User { session: other, .. }) => one == other,
        _ => false,
    }
}

/// Our own faults are logged where they are answered.
fn note(connection: &Connection, error: &AuthorizationError) {
    if matches!(error, AuthorizationError::Service(error) if matches!(**error, ServiceError::Internal { .. })) {
        return;
    }
    tracing::warn!(
        group = %connection.group,
        connection = %connection.id,
        error = error as &dyn std::error::Error,
        "a connection was not authorized"
    );
}

impl Consent {
    /// What a redirect brings, or why it brings nothing.
    fn read(callback: Callback, connection: &Connection) -> Result<Self, AuthorizationError> {
        let Callback { code, error, error_description, others, .. } = callback;
        if let Some(error) = error {
            return Err(AuthorizationError::refused(&error, error_description.as_deref()));
        }
        let code = code.filter(|code| (1..=MAX_PARAMETER).contains(&code.expose_secret().len()));
        let code = code.ok_or(AuthorizationError::NoCode)?;
        Ok(Self { code, told: metadata::of_redirect(connection, &others) })
    }
}
