//! How people get in for the first time: with a one-time token, which the server prints while it has no operator, and which
//! operators make for everybody else.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};

use crate::domain::id::UserId;
use crate::domain::permission::Action;
use crate::domain::secret::{SECRET_LENGTH, SecretHash, random_text};
use crate::domain::user::{Email, Invitation, LoginError, Password, User};
use crate::service::Service;
use crate::service::access::{Actor, Who};
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;
use crate::service::record::{Record, decode, encode};
use crate::service::sessions::{LoggedIn, end_sessions, new_session_id, signed_in};
use crate::service::vault::random;
use crate::store::Batch;

/// The hash of the token that makes the first operator.
const SETUP_TOKEN: &str = "server/setup-token";
const TOKEN_PREFIX: &str = "hg_setup_";
/// How long an invitation is valid: a person may be away for some days.
const INVITATION_DAYS: i64 = 7;

/// Somebody who comes for the first time.
#[derive(Debug)]
pub struct Newcomer {
    /// The one-time token.
    pub token: SecretString,
    /// Their address.
    pub email: Email,
    /// The password they choose.
    pub password: Password,
    /// What they want to be called.
    pub name: Option<String>,
}

/// Whom a token lets in.
enum Admitted {
    /// The first operator, who may be known already.
    Operator(Option<Arc<User>>),
    /// Somebody who was invited.
    Invited(Arc<User>),
}

impl Service {
    /// Makes the token with which the first operator sets the server up, where there is no operator or a token is asked for.
    pub(super) async fn prepare_set_up(&self) -> Result<Option<SecretString>, ServiceError> {
        let manned = self.catalog().users.values().any(|user| user.is_active_operator());
        let doing = "making the setup token";
        if manned && !self.login.settings.setup_token {
            // One that was never used opens nothing any more.
            let gone = self.store.commit(Batch::new().delete(SETUP_TOKEN)).await;
            return gone.map(|_| None).map_err(ServiceError::internal(doing));
        }
        let token = new_token();
        let hash = SecretHash::of(token.expose_secret(), &self.pepper);
        let stored = self.store.commit(Batch::new().put(SETUP_TOKEN, encode(&hash))).await;
        stored.map_err(ServiceError::internal(doing))?;
        Ok(Some(token))
    }

    /// Sets a password with a one-time token, and logs in.
    pub async fn set_up(
        self: &Arc<Self>,
        newcomer: Newcomer,
        address: Option<IpAddr>,
    ) -> Result<LoggedIn, ServiceError> {
        let Newcomer { token, email, password, name } = newcomer;
        if let Some(name) = &name {
            User::check_name(name).map_err(ServiceError::Invalid)?;
        }
        let attempt = self.login.limits.attempt(address, Some(email.as_str()), self.now())?;
        let hash = SecretHash::of(token.expose_secret(), &self.pepper);
        // Asked before the password is hashed, which costs, and again when it is certain that nobody else comes first.
        self.admit_newcomer(&self.catalog(), &email, &hash)?;
        let password = self.login.passwords.hash(password).await?;
        let mut edit = self.edit_by(&Actor::new(Who::System, address), Action::SetUp, None).await;
        let mut user = match self.admit_newcomer(edit.catalog(), &email, &hash)? {
            Admitted::Invited(user) => User::clone(&user),
            Admitted::Operator(known) => {
                edit.remove_beside(SETUP_TOKEN);
                let user = known.map_or_else(|| new_user(email, self.now()), |user| Ok(User::clone(&user)))?;
                User { operator: true, disabled: false, ..user }
            }
        };
        user.password = Some(password);
        user.invitation = None;
        user.name = name.unwrap_or(user.name);
        let (user, session) = (Arc::new(user), new_session_id()?);
        edit.set_actor(signed_in(&user, &session, address));
        edit.put(Record::User(user.clone()));
        end_sessions(&mut edit, &user.id, None);
        let logged_in = self.begin_session(&mut edit, user, session, address)?;
        edit.save().await?;
        self.login.limits.succeeded(&attempt);
        Ok(logged_in)
    }

    fn admit_newcomer(&self, catalog: &Catalog, email: &Email, token: &SecretHash) -> Result<Admitted, ServiceError> {
        let user = catalog.user_by_email(email).cloned();
        let invited = user.as_ref().filter(|user| !user.disabled).and_then(|user| user.invitation.as_ref());
        if invited.is_some_and(|invited| invited.hash.matches(token) && invited.not_after > self.now()) {
            return user.map(Admitted::Invited).ok_or(LoginError::SetupToken.into());
        }
        let stored = self.store.get(SETUP_TOKEN).map_err(ServiceError::internal("reading the setup token"))?;
        let stored: Option<SecretHash> = stored.map(|record| decode(&record.value)).transpose()?;
        if stored.is_some_and(|stored| stored.matches(token)) {
            return Ok(Admitted::Operator(user));
        }
        Err(LoginError::SetupToken.into())
    }

    /// A new one-time token, and what is stored of it.
    pub(super) fn new_invitation(&self) -> (SecretString, Invitation) {
        let token = new_token();
        let not_after = self.now().checked_add(SignedDuration::from_hours(INVITATION_DAYS * 24));
        let hash = SecretHash::of(token.expose_secret(), &self.pepper);
        (token, Invitation { hash, not_after: not_after.unwrap_or(Timestamp::MAX) })
    }
}

fn new_token() -> SecretString {
    format!("{TOKEN_PREFIX}{}", random_text(SECRET_LENGTH, random)).into()
}

/// Somebody who was not known before.
pub(super) fn new_user(email: Email, created: Timestamp) -> Result<User, ServiceError> {
    Ok(User {
        id: UserId::from_random(&random_text(20, random))?,
        email,
        name: String::new(),
        operator: false,
        disabled: false,
        password: None,
        invitation: None,
        provider: None,
        created,
    })
}
