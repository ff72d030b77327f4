//! Who calls, and what they may: API keys, and users with their sessions.

mod presented;

use std::net::IpAddr;
use std::sync::Arc;

use crate::domain::api_key::{ApiKey, AuthError};
use crate::domain::audit::AuditActor;
use crate::domain::id::{Environment, FlowId, GroupId, SessionId};
use crate::domain::permission::{Action, Denial, Need};
use crate::domain::user::User;
use crate::service::Service;
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;
use crate::service::limits::Standing;

pub(super) use crate::service::access::presented::check_network;
pub use crate::service::access::presented::{Door, KeyPlace, Presented};

/// Somebody whose identity was proven, and where their request came from.
#[derive(Debug, Clone)]
pub struct Actor {
    who: Who,
    address: Option<IpAddr>,
}

/// Who somebody is.
#[derive(Debug, Clone)]
pub enum Who {
    /// A person who logged in.
    User {
        /// Who.
        user: Arc<User>,
        /// By which login.
        session: SessionId,
    },
    /// A program with an API key.
    Key(Arc<ApiKey>),
    /// The server itself.
    System,
}

impl Actor {
    /// Somebody, and where their request came from.
    pub fn new(who: Who, address: Option<IpAddr>) -> Self {
        Self { who, address }
    }

    /// The server itself.
    pub fn system() -> Self {
        Self::new(Who::System, None)
    }

    /// Who it is.
    pub fn who(&self) -> &Who {
        &self.who
    }

    /// Where the request came from.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Whether this actor may do something in a group that exists. Another group's things look like things that do
    /// not exist.
    pub fn authorise(&self, catalog: &Catalog, group: &GroupId, action: Action) -> Result<(), ServiceError> {
        let not_found = || ServiceError::NotFound { what: "Group" };
        let Some(known) = catalog.groups.get(group) else { return Err(not_found()) };
        match &self.known(catalog)? {
            Who::System => Ok(()),
            Who::User { user, .. } if user.operator => Ok(()),
            Who::User { user, .. } => {
                let role = catalog.role(&known.id, &user.id).ok_or_else(not_found)?;
                match action.need() {
                    Need::SignedIn => Ok(()),
                    Need::Member(needed) if role >= needed => Ok(()),
                    Need::Member(needed) => Err(Denial::Role { needed, role }.into()),
                    Need::Operator => Err(Denial::Operator.into()),
                }
            }
            Who::Key(key) if key.group == *group => self.key_may(key, action),
            Who::Key(_) => Err(not_found()),
        }
    }

    /// Whether this actor may do something that belongs to no group.
    pub fn authorise_server(&self, catalog: &Catalog, action: Action) -> Result<(), ServiceError> {
        match (&self.known(catalog)?, action.need()) {
            (Who::System, _) => Ok(()),
            (Who::User { user, .. }, _) if user.operator => Ok(()),
            (Who::User { .. }, Need::SignedIn) => Ok(()),
            (Who::User { .. }, _) => Err(Denial::Operator.into()),
            (Who::Key(key), _) => self.key_may(key, action),
        }
    }

    /// This actor as the catalog knows them. What changed since their request began counts: bodies may come slowly.
    fn known(&self, catalog: &Catalog) -> Result<Who, AuthError> {
        Ok(match &self.who {
            Who::System => Who::System,
            Who::User { user, session } => {
                let lives = catalog.sessions.get(session).is_some_and(|known| known.user == user.id);
                let user = catalog.users.get(&user.id).filter(|user| lives && !user.disabled);
                Who::User { user: user.ok_or(AuthError::InvalidToken)?.clone(), session: session.clone() }
            }
            Who::Key(key) => match catalog.api_keys.get(&key.id) {
                Some(key) if key.revoked.is_some() => return Err(AuthError::Revoked),
                Some(key) if key.disabled => return Err(AuthError::Disabled),
                Some(key) => Who::Key(key.clone()),
                None => return Err(AuthError::Invalid),
            },
        })
    }

    /// [`Self::known`], to act with.
    pub(super) fn as_known(&self, catalog: &Catalog) -> Result<Self, AuthError> {
        Ok(Self { who: self.known(catalog)?, address: self.address })
    }

    fn key_may(&self, key: &ApiKey, action: Action) -> Result<(), ServiceError> {
        let scope = action.scope().ok_or(Denial::NotForKeys)?;
        Ok(key.permits(scope)?)
    }

    /// Whether this actor may act in an environment: a key may in its own.
    pub fn authorise_environment(&self, environment: &Environment) -> Result<(), Denial> {
        match &self.who {
            Who::Key(key) if key.environment != *environment => {
                Err(Denial::Environment { key: key.name.clone(), environment: key.environment.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Whether this actor sees a flow of a group it may read: a key for selected flows sees those.
    pub fn sees_flow(&self, flow: &FlowId) -> bool {
        match &self.who {
            Who::Key(key) => key.covers(flow),
            _ => true,
        }
    }

    /// Whether this actor sees what happens in an environment: a key sees its own.
    pub fn sees_environment(&self, environment: &Environment) -> bool {
        self.authorise_environment(environment).is_ok()
    }

    /// How the audit log names this actor.
    pub fn for_audit(&self) -> AuditActor {
        let (kind, id, name) = match &self.who {
            Who::User { user, .. } => ("user", user.id.to_string(), user.email.to_string()),
            Who::Key(key) => ("api_key", key.id.to_string(), key.name.to_string()),
            Who::System => ("system", String::new(), "headgate".to_owned()),
        };
        AuditActor { kind: kind.to_owned(), id, name }
    }
}

impl Service {
    /// What decides about requests with API keys, as of now.
    pub(super) fn door(&self) -> Door<'_> {
        Door { catalog: self.catalog.load_full(), pepper: &self.pepper, now: self.now() }
    }

    /// Who manages: somebody with an API key, or with a token. A key's limits count here too; where it has some, the
    /// answer says how it stands with them.
    pub async fn authenticate_actor(
        &self,
        presented: &Presented,
        address: Option<IpAddr>,
    ) -> Result<(Actor, Option<Standing>), ServiceError> {
        let key = match self.door().authenticate(presented) {
            Ok(key) => key,
            Err(AuthError::Missing) => return Err(AuthError::MissingToken.into()),
            Err(AuthError::Malformed) => return Ok((self.authenticate_without_key(presented, address)?, None)),
            Err(error) => return Err(error.into()),
        };
        check_network(&key, address)?;
        let standing = self.limits.charge(&key, &self.clock).await?;
        Ok((Actor::new(Who::Key(key), address), standing))
    }

    /// Who sent something that is no API key.
    fn authenticate_without_key(&self, presented: &Presented, address: Option<IpAddr>) -> Result<Actor, AuthError> {
        let token = presented.token().ok_or(AuthError::InvalidToken);
        let actor = token.and_then(|token| self.authenticate_token(token, address));
        actor.map_err(|error| if presented.is_mistyped() { AuthError::Malformed } else { error })
    }

    /// Who has an access token: a user whose session lives.
    fn authenticate_token(&self, token: &str, address: Option<IpAddr>) -> Result<Actor, AuthError> {
        let (user, session) = self.session_user(token).ok_or(AuthError::InvalidToken)?;
        Ok(Actor::new(Who::User { user, session }, address))
    }
}
