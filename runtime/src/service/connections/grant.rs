//! What calls are granted.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use jiff::{SignedDuration, Timestamp};

use crate::domain::connection::Connection;
use crate::domain::grant::{Credential, Grant};
use crate::domain::id::ConnectionId;
use crate::service::Service;
use crate::service::error::ServiceError;
use crate::service::oauth::{AccessToken, OauthError};
use crate::service::vault::Place;

/// By which name an OAuth connection's placements speak of its token.
const ACCESS_TOKEN: &str = "access_token";

/// How long a grant is kept: secrets are in clear in it.
const KEPT: SignedDuration = SignedDuration::from_mins(1);
/// Grants kept at most, some 20 KB each. What is over is made anew for each run.
const MOST_KEPT: usize = 1000;

/// Grants of the last minute. Making one, with what scrubs its secrets, takes longer than most of what a call does.
#[derive(Default)]
pub(in crate::service) struct GrantBook {
    kept: Mutex<HashMap<ConnectionId, Kept>>,
}

struct Kept {
    /// The very record it was made of: a connection that was changed or deleted is another one, or none.
    connection: Weak<Connection>,
    grant: Arc<Grant>,
    made: Timestamp,
}

impl Kept {
    fn is_fresh(&self, now: Timestamp) -> bool {
        self.connection.strong_count() > 0 && now.duration_since(self.made) < KEPT
    }
}

impl GrantBook {
    /// Lets go of what is old, and of what is of no connection any more.
    pub(in crate::service) fn forget_old(&self, now: Timestamp) {
        self.kept().retain(|_, kept| kept.is_fresh(now));
    }

    fn find(&self, connection: &Arc<Connection>, generation: u64, now: Timestamp) -> Option<Arc<Grant>> {
        let kept = self.kept();
        let found = kept.get(&connection.id).filter(|found| found.is_fresh(now))?;
        let same = Weak::as_ptr(&found.connection) == Arc::as_ptr(connection) && found.grant.generation == generation;
        same.then(|| found.grant.clone())
    }

    fn keep(&self, connection: &Arc<Connection>, grant: &Arc<Grant>, now: Timestamp) {
        let mut kept = self.kept();
        if kept.len() < MOST_KEPT || kept.contains_key(&connection.id) {
            let of = Kept { connection: Arc::downgrade(connection), grant: grant.clone(), made: now };
            kept.insert(connection.id.clone(), of);
        }
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<ConnectionId, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// What a call through a connection is granted: its hosts, its credentials, its settings.
    pub(in crate::service) async fn grant(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
    ) -> Result<Arc<Grant>, OauthError> {
        let token = match &connection.pins.oauth {
            Some(_) => Some(self.access_token(connection).await?),
            None => None,
        };
        Ok(self.grant_with(connection, token).await?)
    }

    /// What a call is granted after an app refused the token of a generation; the same as before, with a newer one.
    pub(in crate::service) async fn grant_after_refusal(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        generation: u64,
    ) -> Result<Arc<Grant>, OauthError> {
        let token = self.token_after_refusal(connection, generation).await?;
        Ok(self.grant_with(connection, Some(token)).await?)
    }

    async fn grant_with(
        &self,
        connection: &Arc<Connection>,
        token: Option<AccessToken>,
    ) -> Result<Arc<Grant>, ServiceError> {
        let generation = token.as_ref().map_or(0, |token| token.generation);
        if let Some(grant) = self.grants.find(connection, generation, self.now()) {
            return Ok(grant);
        }
        let mut secrets = BTreeMap::new();
        for (field, sealed) in &connection.secrets {
            let place = Place { group: connection.group.as_str(), record: connection.id.as_str(), field };
            let secret = self.vault.open_secret(place, sealed).await;
            secrets.insert(field.clone(), secret.map_err(ServiceError::internal("opening a secret"))?);
        }
        secrets.extend(token.map(|token| (ACCESS_TOKEN.to_owned(), token.secret)));
        let credentials = Credential::from_placements(&connection.pins.placements, &connection.config, &secrets)
            .map_err(ServiceError::internal("placing a credential"))?;
        let scrub = Credential::scrubber(&credentials, secrets.values());
        let grant = Arc::new(Grant {
            group: connection.group.clone(),
            connection: connection.id.clone(),
            connection_name: connection.name.to_string(),
            connector: connection.connector.to_string(),
            allow: connection.base_urls.clone(),
            credentials,
            config: connection.config.clone(),
            scrub,
            generation,
        });
        self.grants.keep(connection, &grant, self.now());
        Ok(grant)
    }
}

#[cfg(test)]
mod tests {
    use headgate_manifest::{Auth, Manifest};

    use super::*;
    use crate::domain::connection::{ConnectionKind, Pins};
    use crate::domain::id::Environment;
    use crate::domain::scrub::Scrubber;

    fn connection() -> Arc<Connection> {
        Arc::new(Connection {
            id: format!("con_{}", "a".repeat(20)).parse().unwrap(),
            group: "acme".parse().unwrap(),
            environment: Environment::production(),
            name: "crm".parse().unwrap(),
            connector: "crm".parse().unwrap(),
            auth: "none".to_owned(),
            kind: ConnectionKind::None,
            pins: Pins::of(&Manifest::new("crm", "CRM"), &Auth::none()),
            base_urls: Vec::new(),
            config: BTreeMap::new(),
            secrets: BTreeMap::new(),
            oauth: None,
            created: Timestamp::UNIX_EPOCH,
        })
    }

    fn grant(connection: &Connection, generation: u64) -> Arc<Grant> {
        Arc::new(Grant {
            group: connection.group.clone(),
            connection: connection.id.clone(),
            connection_name: "crm".to_owned(),
            connector: "crm".to_owned(),
            allow: Vec::new(),
            credentials: Vec::new(),
            config: BTreeMap::new(),
            scrub: Scrubber::default(),
            generation,
        })
    }

    #[test]
    fn a_grant_is_kept_for_the_connection_as_it_is_its_token_and_a_minute() {
        let (book, connection) = (GrantBook::default(), connection());
        let at = |second| Timestamp::from_second(second).unwrap();
        book.keep(&connection, &grant(&connection, 7), at(0));
        assert!(book.find(&connection, 7, at(59)).is_some());
        assert!(book.find(&connection, 7, at(60)).is_none(), "it is old");
        assert!(book.find(&connection, 8, at(0)).is_none(), "its token was renewed");
        let changed = Arc::new(Connection::clone(&connection));
        assert!(book.find(&changed, 7, at(0)).is_none(), "the connection was changed");
        book.forget_old(at(1));
        assert_eq!(book.kept().len(), 1);
        drop(connection);
        book.forget_old(at(1));
        assert_eq!(book.kept().len(), 0, "there is no such connection any more");
    }
}
