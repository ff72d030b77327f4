//! Logging in through an OpenID provider: authorization code, PKCE, and a nonce (OpenID Connect Core 1.0, section 3.1).
//!
//! The login is begun by the command line, which waits at a loopback address for the browser (RFC 8252, section 7.3). What
//! the browser brings there is a code that only the one who began can use, as only they have its verifier: a link that
//! was sent to somebody else gains nothing.

mod id_token;
mod provider;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use url::{Host, Url};

use crate::domain::permission::Action;
use crate::domain::secret::{SECRET_LENGTH, random_text};
use crate::domain::user::{Email, LoginError, ProviderIdentity, User};
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;
use crate::service::once::Once;
use crate::service::record::Record;
use crate::service::sessions::{LoggedIn, new_session_id, signed_in};
use crate::service::setup::new_user;
use crate::service::vault::random;
use provider::Provider;

/// How long somebody may take at the provider's pages.
const LOGIN_TIME: SignedDuration = SignedDuration::from_mins(10);
/// How long the command line may take to fetch its session: it waits for it.
const CODE_TIME: SignedDuration = SignedDuration::from_mins(1);
/// Logins under way at most, some 10 MB. When there are more, the oldest goes.
const MOST_PENDING: usize = 10_000;
/// The longest loopback address, in bytes.
const MAX_REDIRECT: usize = 500;
/// Letters of a challenge: a SHA-256 in base64url (RFC 7636, section 4.2).
const CHALLENGE_LENGTH: usize = 43;

const SWITCHED_OFF: &str = "This server has no login through an OpenID provider. Its operator switches it on with the settings oidc.issuer and oidc.client_id";
const NOT_BEGUN: &str =
    "This login was not begun here, was used before, or took too long. Begin again: headgate login --oidc";

/// The OpenID provider. All are settings under `oidc`; without an issuer there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OidcSettings {
    /// The provider's address, as its discovery document names it. None: login with passwords only.
    pub issuer: Option<String>,
    /// The client's id at the provider. Its redirect URI is `<public_url>/api/v1/auth/oidc/callback`.
    pub client_id: Option<String>,
    /// A file with the client's secret, where the provider gave one. None.
    pub client_secret_file: Option<PathBuf>,
    /// What the provider is called in messages. `the OpenID provider`.
    pub name: Option<String>,
    /// Whether whoever the provider knows becomes a user, without any group. No: operators add users.
    pub allow_new_users: bool,
}

impl OidcSettings {
    /// Whether what is sent to a provider stays between the two: it is encrypted, or goes to this machine.
    pub fn is_safe_issuer(issuer: &Url) -> bool {
        provider::is_safe(issuer) && issuer.query().is_none() && issuer.fragment().is_none()
    }
}

/// Where logins through the provider are under way.
pub(super) struct Oidc {
    provider: Option<Provider>,
    name: String,
    allow_new_users: bool,
    pending: Once<Pending>,
    codes: Once<Admission>,
}

/// A login at the provider's pages.
struct Pending {
    nonce: String,
    verifier: SecretString,
    redirect: Url,
    challenge: String,
}

/// Somebody the provider let in, whose session is yet to be fetched.
struct Admission {
    person: Person,
    challenge: String,
}

/// What the provider says about somebody.
#[derive(Debug)]
pub(super) struct Person {
    identity: ProviderIdentity,
    email: Email,
    name: String,
}

/// What the provider's redirect brings back.
#[derive(Debug, Default)]
pub struct Callback {
    /// Which login.
    pub state: Option<String>,
    /// What it is worth at the provider.
    pub code: Option<SecretString>,
    /// Why there is no code.
    pub error: Option<String>,
    /// Who sends it (RFC 9207).
    pub issuer: Option<String>,
}

impl Oidc {
    /// Prepares logins; nothing is sent before the first one. `public_url` is where the provider sends browsers back to.
    pub(super) fn new(settings: &OidcSettings, public_url: &str) -> Result<Self, ServiceError> {
        Ok(Self {
            provider: Provider::new(settings, public_url)?,
            name: settings.name.clone().unwrap_or_else(|| "the OpenID provider".to_owned()),
            allow_new_users: settings.allow_new_users,
            pending: Once::new(MOST_PENDING),
            codes: Once::new(MOST_PENDING),
        })
    }

    fn provider(&self) -> Result<&Provider, ServiceError> {
        self.provider.as_ref().ok_or(ServiceError::NotConfigured(SWITCHED_OFF))
    }
}

impl Service {
    /// Begins a login; answers the provider's page for the browser.
    pub async fn begin_provider_login(
        &self,
        redirect: Option<&str>,
        challenge: Option<&str>,
        address: Option<IpAddr>,
    ) -> Result<Url, ServiceError> {
        let provider = self.oidc.provider()?;
        let redirect = redirect.and_then(loopback).ok_or_else(|| {
            let rule = "redirect_uri must be a loopback address with a port, such as http://127.0.0.1:49152/done";
            ServiceError::Invalid(rule.to_owned())
        })?;
        let challenge = challenge
            .filter(|challenge| challenge.len() == CHALLENGE_LENGTH && URL_SAFE_NO_PAD.decode(challenge).is_ok());
        let challenge = challenge.ok_or_else(|| {
            ServiceError::Invalid("code_challenge must be the SHA-256 of a verifier, in base64url".to_owned())
        })?;
        self.login.beginnings.attempt(address, None, self.now())?;
        let (state, nonce) = (random_text(SECRET_LENGTH, random), random_text(SECRET_LENGTH, random));
        let (page, verifier) = provider.page(&state, &nonce, self.now()).await?;
        let expires = self.now().checked_add(LOGIN_TIME).unwrap_or(Timestamp::MAX);
        let pending = Pending { nonce, verifier, redirect, challenge: challenge.to_owned() };
        self.oidc.pending.keep(state, pending, expires, self.now());
        Ok(page)
    }

    /// Takes up what the provider's redirect brought; answers where the browser goes from here.
    pub async fn end_provider_login(&self, callback: Callback) -> Result<Url, ServiceError> {
        let provider = self.oidc.provider()?;
        let pending = callback.state.as_ref().and_then(|state| self.oidc.pending.take(state, self.now()));
        let Pending { nonce, verifier, mut redirect, challenge } =
            pending.ok_or_else(|| LoginError::Provider(NOT_BEGUN.to_owned()))?;
        match provider.person(callback, &nonce, verifier, self.now()).await {
            Ok(person) => {
                let code = random_text(SECRET_LENGTH, random);
                let expires = self.now().checked_add(CODE_TIME).unwrap_or(Timestamp::MAX);
                redirect.query_pairs_mut().append_pair("code", &code);
                self.oidc.codes.keep(code, Admission { person, challenge }, expires, self.now());
            }
            Err(error) => {
                tracing::warn!(%error, "a login through {} failed", self.oidc.name);
                let message = format!("{} did not let you in: {error}", self.oidc.name);
                redirect
                    .query_pairs_mut()
                    .append_pair("error", "access_denied")
                    .append_pair("error_description", &message);
            }
        }
        Ok(redirect)
    }

    /// The session of somebody the provider let in, for whoever began the login.
    pub async fn fetch_provider_session(
        self: &Arc<Self>,
        code: &SecretString,
        verifier: &SecretString,
        address: Option<IpAddr>,
    ) -> Result<LoggedIn, ServiceError> {
        self.oidc.provider()?;
        let attempt = self.login.limits.attempt(address, None, self.now())?;
        let admission = self.oidc.codes.take(code.expose_secret(), self.now());
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose_secret()));
        let admission = admission
            .filter(|admission| admission.challenge.as_bytes().ct_eq(challenge.as_bytes()).into())
            .ok_or_else(|| LoginError::Provider(NOT_BEGUN.to_owned()))?;
        let mut edit = self.edit_by(&Actor::system(), Action::LogIn, None).await;
        let (known, next) = self.admit_person(edit.catalog(), admission.person)?;
        let (user, session) = (Arc::new(next), new_session_id()?);
        edit.set_actor(signed_in(&user, &session, address));
        if !known {
            edit.put(Record::User(user.clone()));
        }
        let logged_in = self.begin_session(&mut edit, user, session, address)?;
        edit.save().await?;
        self.login.limits.succeeded(&attempt);
        Ok(logged_in)
    }

    /// The user whom a person at the provider is, and whether they are kept like that already.
    fn admit_person(&self, catalog: &Catalog, person: Person) -> Result<(bool, User), ServiceError> {
        let Person { identity, email, name } = person;
        let refused = |message: String| Err(LoginError::Provider(message).into());
        let tied = catalog.users.values().find(|user| user.provider.as_ref() == Some(&identity));
        let user = match tied.or_else(|| catalog.user_by_email(&email)) {
            Some(user) => User::clone(user),
            None if self.oidc.allow_new_users => User { name, ..new_user(email, self.now())? },
            None => {
                return refused(format!(
                    "Nobody on this server has the address {email}. Ask an operator to add you first"
                ));
            }
        };
        if user.disabled {
            return refused("You may not log in for now. Ask an operator".to_owned());
        }
        match &user.provider {
            Some(known) if *known == identity => Ok((true, user)),
            Some(_) => refused(format!(
                "{} is somebody else at {} than before. Ask an operator for a new invitation",
                user.email, self.oidc.name
            )),
            None => Ok((false, User { provider: Some(identity), ..user })),
        }
    }
}

/// An address of the same machine, by number and with a port (RFC 8252, sections 7.3 and 8.3).
pub(super) fn loopback(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|_| text.len() <= MAX_REDIRECT)?;
    let local = match url.host()? {
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
        Host::Domain(_) => false,
    };
    let plain = url.scheme() == "http" && url.username().is_empty() && url.password().is_none();
    (local && plain && url.port().is_some() && url.query().is_none() && url.fragment().is_none()).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_gets_the_code() {
        for good in ["http://127.0.0.1:49152/done", "http://[::1]:1/", "http://127.0.0.1:8081"] {
            assert!(loopback(good).is_some(), "{good}");
        }
        for bad in [
            "https://evil.example/done",
            "http://evil.example:80/",
            "http://localhost:49152/",
            "http://127.0.0.1/",
            "https://127.0.0.1:1/",
            "http://127.0.0.1:1/#x",
            "http://127.0.0.1:1/?code=x",
            "http://a@127.0.0.1:1/",
            "http://127.0.0.1.evil.example:1/",
            "127.0.0.1:1",
        ] {
            assert!(loopback(bad).is_none(), "{bad}");
        }
    }
}
