//! Sessions: logging in, going on, logging out.
//!
//! A session has one refresh token at a time. A token that was used before ends the session: it was copied, and which of
//! the two users is the right one cannot be told. That is also so for a client that never received the answer to its
//! refresh; it logs in again.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::domain::id::{SessionId, UserId};
use crate::domain::permission::Action;
use crate::domain::secret::{SECRET_LENGTH, SecretHash, random_text};
use crate::domain::user::{Email, LoginError, Member, Password, Session, User};
use crate::service::Service;
use crate::service::access::{Actor, Who};
use crate::service::catalog::Catalog;
use crate::service::edit::Edit;
use crate::service::error::ServiceError;
use crate::service::login_limits::LoginLimits;
use crate::service::passwords::Passwords;
use crate::service::record::Record;
use crate::service::tokens::Tokens;
use crate::service::vault::random;

const REFRESH_PREFIX: &str = "hg_refresh_";
/// Letters of the seal that shows a refresh token to be ours, even when it is no longer valid.
const SEAL_LENGTH: usize = 32;
/// Sessions of one user. The oldest ends when there are more.
const MOST_SESSIONS: usize = 100;

/// Bounds of sessions and logins. All are settings under `users`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UsersSettings {
    /// How long an access token is valid. 15 min: what was revoked is looked up with each request all the same.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub access_token: Duration,
    /// How long a session lives after it was refreshed last. 30 days.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub refresh_token: Duration,
    /// After how many days a new key signs the access tokens. 30.
    pub signing_key_days: u32,
    /// How often a login may fail for one account from one address, in a window. 10.
    pub login_attempts: u32,
    /// How often logins may fail from one address, for all accounts together, in a window. 100: an office shares one.
    pub login_attempts_per_address: u32,
    /// How long failed logins count. 15 min.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub login_window: Duration,
    /// Whether the start makes a one-time token for an operator even where there is one: for when the last one forgot the
    /// password. No.
    pub setup_token: bool,
}

impl Default for UsersSettings {
    fn default() -> Self {
        Self {
            access_token: Duration::from_secs(15 * 60),
            refresh_token: Duration::from_secs(30 * 24 * 60 * 60),
            signing_key_days: 30,
            login_attempts: 10,
            login_attempts_per_address: 100,
            login_window: Duration::from_secs(15 * 60),
            setup_token: false,
        }
    }
}

/// What logging in works with.
pub(super) struct Login {
    pub(super) settings: UsersSettings,
    pub(super) passwords: Passwords,
    pub(super) limits: LoginLimits,
    /// Beginnings of logins at the provider: no password is guessed by them, so that they close nothing else.
    pub(super) beginnings: LoginLimits,
    pub(super) tokens: Tokens,
}

impl Login {
    pub(super) fn new(settings: UsersSettings, tokens: Tokens) -> Self {
        let (account, address) = (settings.login_attempts, settings.login_attempts_per_address);
        let limits = LoginLimits::new(account, address, settings.login_window);
        let beginnings = LoginLimits::new(account, address.saturating_mul(10), settings.login_window);
        Self { settings, passwords: Passwords::default(), limits, beginnings, tokens }
    }
}

/// A session that began or went on.
#[derive(Debug)]
pub struct LoggedIn {
    /// Goes with each request.
    pub access_token: SecretString,
    /// How long it is valid.
    pub expires_in: Duration,
    /// Brings the next two, once.
    pub refresh_token: SecretString,
    /// Who logged in.
    pub user: Arc<User>,
}

/// Somebody, and the groups they belong to.
#[derive(Debug)]
pub struct Myself {
    /// Who.
    pub user: Arc<User>,
    /// Where they belong, by group.
    pub memberships: Vec<Arc<Member>>,
}

impl Service {
    /// Logs somebody in with their password.
    pub async fn log_in(
        self: &Arc<Self>,
        email: &str,
        password: Password,
        address: Option<IpAddr>,
    ) -> Result<LoggedIn, ServiceError> {
        let attempt = self.login.limits.attempt(address, Some(&email.trim().to_lowercase()), self.now())?;
        let email = email.parse::<Email>().ok();
        let user = email.and_then(|email| self.catalog().user_by_email(&email).cloned());
        let hash = user.as_ref().and_then(|user| user.password.clone());
        // Compared in any case, so that the time does not tell whether the address is known.
        let matches = self.login.passwords.matches(password, hash.clone()).await?;
        let user = user.filter(|user| matches && !user.disabled).ok_or(LoginError::Credentials)?;
        let session = new_session_id()?;
        let mut edit = self.edit_by(&signed_in(&user, &session, address), Action::LogIn, None).await;
        // What was compared must still hold.
        let user = edit.catalog().users.get(&user.id).cloned().filter(|user| {
            let same = user.password.as_ref().zip(hash.as_ref()).is_some_and(|(now, then)| now.0 == then.0);
            same && !user.disabled
        });
        let user = user.ok_or(LoginError::Credentials)?;
        let logged_in = self.begin_session(&mut edit, user, session, address)?;
        edit.save().await?;
        self.login.limits.succeeded(&attempt);
        Ok(logged_in)
    }

    /// Begins a session as part of a change.
    pub(super) fn begin_session(
        &self,
        edit: &mut Edit,
        user: Arc<User>,
        id: SessionId,
        address: Option<IpAddr>,
    ) -> Result<LoggedIn, ServiceError> {
        let now = self.now();
        let mut sessions = sessions_of(edit.catalog(), &user.id);
        sessions.sort_by_key(|session| std::cmp::Reverse(session.refreshed));
        for oldest in sessions.into_iter().skip(MOST_SESSIONS - 1) {
            edit.remove(&Record::Session(oldest));
        }
        let refresh = self.new_refresh_token(&id);
        let session = Session {
            id,
            user: user.id.clone(),
            refresh: SecretHash::of(refresh.expose_secret(), &self.pepper),
            created: now,
            refreshed: now,
            expires: self.session_end(now),
            address,
        };
        edit.put(Record::Session(Arc::new(session.clone())));
        self.logged_in(user, &session.id, refresh)
    }

    /// Brings a session's next access and refresh token. Whoever comes with an older refresh token ends the session.
    pub async fn refresh(
        self: &Arc<Self>,
        token: &SecretString,
        address: Option<IpAddr>,
    ) -> Result<LoggedIn, ServiceError> {
        // A token with the server's seal cannot be guessed: only others count as attempts, so that the failures of one
        // person do not end the sessions of everybody behind the same address.
        let Some(id) = self.parse_refresh_token(token.expose_secret()) else {
            self.login.limits.attempt(address, None, self.now())?;
            return Err(LoginError::RefreshToken.into());
        };
        let system = Actor::new(Who::System, address);
        let mut edit = self.edit_by(&system, Action::LogIn, None).await;
        let session = edit.catalog().sessions.get(&id).cloned().filter(|session| session.expires > self.now());
        let session = session.ok_or(LoginError::RefreshToken)?;
        let user = edit.catalog().users.get(&session.user).cloned().filter(|user| !user.disabled);
        let user = user.ok_or(LoginError::RefreshToken)?;
        if !session.refresh.matches(&SecretHash::of(token.expose_secret(), &self.pepper)) {
            drop(edit);
            self.end_stolen_session(&user, &id, address).await?;
            return Err(LoginError::RefreshToken.into());
        }
        let refresh = self.new_refresh_token(&id);
        let now = self.now();
        let next = Session {
            refresh: SecretHash::of(refresh.expose_secret(), &self.pepper),
            refreshed: now,
            expires: self.session_end(now),
            ..Session::clone(&session)
        };
        edit.put(Record::Session(Arc::new(next)));
        edit.save_unaudited().await?;
        self.logged_in(user, &id, refresh)
    }

    async fn end_stolen_session(
        self: &Arc<Self>,
        user: &Arc<User>,
        id: &SessionId,
        address: Option<IpAddr>,
    ) -> Result<(), ServiceError> {
        let actor = signed_in(user, id, address);
        let mut edit = self.edit_by(&actor, Action::EndStolenSession, None).await;
        if let Some(session) = edit.catalog().sessions.get(id).cloned() {
            tracing::warn!(
                user = %user.email, session = %id, address = ?address,
                "a refresh token was used twice; the session was ended, as the token may have been stolen"
            );
            edit.remove(&Record::Session(session));
            edit.save().await?;
        }
        Ok(())
    }

    /// Ends the session that a request belongs to.
    pub async fn log_out(self: &Arc<Self>, actor: &Actor) -> Result<(), ServiceError> {
        let mut edit = self.edit_server(actor, Action::LogOut).await?;
        let Who::User { session, .. } = actor.who() else { return Ok(()) };
        if let Some(session) = edit.catalog().sessions.get(session).cloned() {
            edit.remove(&Record::Session(session));
            edit.save().await?;
        }
        Ok(())
    }

    /// Who somebody is, and where they belong.
    pub fn show_self(&self, actor: &Actor) -> Result<Myself, ServiceError> {
        actor.authorise_server(&self.catalog(), Action::ShowSelf)?;
        let Who::User { user, .. } = actor.who() else { return Err(ServiceError::NotFound { what: "User" }) };
        Ok(Myself { user: user.clone(), memberships: self.catalog().memberships(&user.id).cloned().collect() })
    }

    /// Changes one's own password, and ends one's other sessions.
    pub async fn change_password(
        self: &Arc<Self>,
        actor: &Actor,
        current: Password,
        new: Password,
    ) -> Result<(), ServiceError> {
        actor.authorise_server(&self.catalog(), Action::ChangePassword)?;
        let Who::User { user, session } = actor.who() else { return Err(ServiceError::NotFound { what: "User" }) };
        let attempt = self.login.limits.attempt(actor.address(), Some(user.email.as_str()), self.now())?;
        if !self.login.passwords.matches(current, user.password.clone()).await? {
            return Err(LoginError::Credentials.into());
        }
        self.login.limits.succeeded(&attempt);
        let hash = self.login.passwords.hash(new).await?;
        let mut edit = self.edit_server(actor, Action::ChangePassword).await?;
        let known = edit.catalog().users.get(&user.id).cloned().ok_or(ServiceError::NotFound { what: "User" })?;
        // What was compared must still hold: somebody else may have set another one meanwhile.
        let stored = known.password.as_ref().map(|hash| &hash.0);
        if stored.is_none() || stored != user.password.as_ref().map(|hash| &hash.0) {
            return Err(LoginError::Credentials.into());
        }
        edit.put(Record::User(Arc::new(User { password: Some(hash), invitation: None, ..User::clone(&known) })));
        end_sessions(&mut edit, &user.id, Some(session));
        edit.save().await
    }

    /// Whose session an access token belongs to, if it still exists. It reads memory only.
    pub(super) fn session_user(&self, token: &str) -> Option<(Arc<User>, SessionId)> {
        let now = self.now();
        let (user, session) = self.login.tokens.verify(token, now)?;
        let catalog = self.catalog.load();
        let lives = catalog.sessions.get(&session).is_some_and(|known| known.user == user && known.expires > now);
        let user = catalog.users.get(&user).filter(|user| lives && !user.disabled)?;
        Some((user.clone(), session))
    }

    /// Lets sessions go that nobody can take up again.
    pub(super) async fn end_old_sessions(self: &Arc<Self>) -> Result<(), ServiceError> {
        /// Sessions that are let go in one commit.
        const AT_ONCE: usize = 1000;
        loop {
            let mut edit = self.edit_by(&Actor::system(), Action::LogOut, None).await;
            let now = self.now();
            let over: Vec<_> =
                edit.catalog().sessions.values().filter(|session| session.expires <= now).cloned().collect();
            for session in over.iter().take(AT_ONCE) {
                edit.remove(&Record::Session(session.clone()));
            }
            if !over.is_empty() {
                edit.save_unaudited().await?;
            }
            if over.len() <= AT_ONCE {
                return Ok(());
            }
        }
    }

    /// What has to be done about users from time to time. The server calls it hourly.
    pub async fn keep_logins(self: &Arc<Self>) {
        if let Err(error) = self.end_old_sessions().await {
            tracing::error!(error = &error as &dyn std::error::Error, "old sessions could not be removed");
        }
        if let Err(error) = self.rotate_due_signing_key().await {
            tracing::error!(error = &error as &dyn std::error::Error, "the signing key could not be changed");
        }
    }

    fn session_end(&self, now: Timestamp) -> Timestamp {
        now.checked_add(self.login.settings.refresh_token).unwrap_or(Timestamp::MAX)
    }

    fn logged_in(&self, user: Arc<User>, id: &SessionId, refresh: SecretString) -> Result<LoggedIn, ServiceError> {
        let tokens = &self.login.tokens;
        let access_token = tokens.sign(&user.id, id, self.now())?;
        Ok(LoggedIn { access_token, expires_in: tokens.lifetime(), refresh_token: refresh, user })
    }

    /// A refresh token names its session, and shows by its seal that it was one of ours: whoever merely knows a
    /// session's id cannot end it.
    fn new_refresh_token(&self, id: &SessionId) -> SecretString {
        let body = format!("{REFRESH_PREFIX}{}_{}", &id.as_str()["ses_".len()..], random_text(SECRET_LENGTH, random));
        format!("{body}{}", self.seal_of_refresh_token(&body)).into()
    }

    fn parse_refresh_token(&self, token: &str) -> Option<SessionId> {
        let (body, seal) = token.split_at_checked(token.len().checked_sub(SEAL_LENGTH)?)?;
        let same: bool =
            subtle::ConstantTimeEq::ct_eq(self.seal_of_refresh_token(body).as_bytes(), seal.as_bytes()).into();
        let (id, _) = body.strip_prefix(REFRESH_PREFIX).filter(|_| same)?.split_once('_')?;
        SessionId::from_random(id).ok()
    }

    fn seal_of_refresh_token(&self, body: &str) -> String {
        let mut seal = SecretHash::of(&format!("refresh-token\n{body}"), &self.pepper).to_hex();
        seal.truncate(SEAL_LENGTH);
        seal
    }
}

/// Somebody by their session, where a change names who made it.
pub(super) fn signed_in(user: &Arc<User>, session: &SessionId, address: Option<IpAddr>) -> Actor {
    Actor::new(Who::User { user: user.clone(), session: session.clone() }, address)
}

/// A new session's id.
pub(super) fn new_session_id() -> Result<SessionId, ServiceError> {
    Ok(SessionId::from_random(&random_text(20, random))?)
}

/// Ends a user's sessions, but for one where one is named.
pub(super) fn end_sessions(edit: &mut Edit, user: &UserId, except: Option<&SessionId>) {
    for session in sessions_of(edit.catalog(), user) {
        if Some(&session.id) != except {
            edit.remove(&Record::Session(session));
        }
    }
}

fn sessions_of(catalog: &Catalog, user: &UserId) -> Vec<Arc<Session>> {
    catalog.sessions.values().filter(|session| session.user == *user).cloned().collect()
}
