//! Connections: made from a connector's manifest, sealed, granted to calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};

use crate::domain::connection::{self, Connection};
use crate::domain::grant::{Credential, Grant};
use crate::domain::id::{ConnectionId, ConnectorName, Environment, GroupId, Name};
use crate::domain::permission::Action;
use crate::domain::secret::random_text;
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;
use crate::service::record::Record;
use crate::service::vault::{Place, random};

/// What a new connection is made from.
pub struct NewConnection {
    /// Its name, unique in its group and environment.
    pub name: Name,
    /// Where it works.
    pub environment: Environment,
    /// For which connector.
    pub connector: ConnectorName,
    /// Which of the connector's ways to authenticate; the first when absent.
    pub auth: Option<String>,
    /// Non-secret settings.
    pub config: BTreeMap<String, String>,
    /// The secret fields.
    pub secrets: BTreeMap<String, SecretString>,
}

impl Service {
    /// A group's connections, by name.
    pub fn list_connections(&self, actor: &Actor, group: &GroupId) -> Result<Vec<Arc<Connection>>, ServiceError> {
        let catalog = self.catalog();
        actor.authorise(&catalog, group, Action::ListConnections)?;
        let of_group = catalog
            .connections
            .values()
            .filter(|connection| connection.group == *group && actor.sees_environment(&connection.environment));
        let mut connections: Vec<_> = of_group.cloned().collect();
        connections.sort_by(|a, b| (&a.name, &a.environment).cmp(&(&b.name, &b.environment)));
        Ok(connections)
    }

    /// One connection, by its id.
    pub fn get_connection(
        &self,
        actor: &Actor,
        group: &GroupId,
        id: &ConnectionId,
    ) -> Result<Arc<Connection>, ServiceError> {
        let catalog = self.catalog();
        actor.authorise(&catalog, group, Action::GetConnection)?;
        find(&catalog, actor, group, id)
    }

    /// Makes a connection. What it may be used for is pinned now, from the connector's manifest of today.
    pub async fn create_connection(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        new: NewConnection,
    ) -> Result<Arc<Connection>, ServiceError> {
        let catalog = self.catalog();
        actor.authorise(&catalog, group, Action::CreateConnection)?;
        self.check_environment(group, &new.environment)?;
        actor.authorise_environment(&new.environment)?;
        let connector = catalog.connectors.get(&(group.clone(), new.connector.clone())).ok_or_else(|| {
            ServiceError::Invalid(format!("The connector \"{}\" is not installed. Push it first", new.connector))
        })?;
        let secrets = new.secrets.iter().map(|(name, value)| (name.clone(), value.expose_secret())).collect();
        let pinned = connection::pin(&connector.manifest, new.auth.as_deref(), &new.config, &secrets)?;
        Credential::from_placements(&pinned.placements, &pinned.config, &new.secrets)
            .map_err(|error| ServiceError::Invalid(format!("The connection cannot be made: {error}")))?;
        let id = ConnectionId::from_random(&random_text(20, random))?;
        let mut sealed = BTreeMap::new();
        for (field, value) in &new.secrets {
            let place = Place { group: group.as_str(), record: id.as_str(), field };
            let value = self.vault.seal(place, 1, value.expose_secret()).await;
            sealed.insert(field.clone(), value.map_err(ServiceError::internal("sealing a secret"))?);
        }
        let connection = Arc::new(Connection {
            id,
            group: group.clone(),
            environment: new.environment,
            name: new.name,
            connector: new.connector,
            auth: pinned.auth,
            base_urls: pinned.base_urls,
            placements: pinned.placements,
            config: pinned.config,
            secrets: sealed,
            created: self.now(),
        });
        let mut edit = self.edit(actor, group, Action::CreateConnection).await?;
        let same_name = |other: &Arc<Connection>| {
            other.group == *group && other.environment == connection.environment && other.name == connection.name
        };
        if edit.catalog().connections.values().any(same_name) {
            return Err(ServiceError::Conflict(format!(
                "A connection named \"{}\" exists already in {}. Choose another name",
                connection.name, connection.environment
            )));
        }
        edit.put(Record::Connection(connection.clone()));
        edit.save().await?;
        Ok(connection)
    }

    /// Deletes a connection. Refused while a flow uses it.
    pub async fn delete_connection(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        id: &ConnectionId,
    ) -> Result<(), ServiceError> {
        let mut edit = self.edit(actor, group, Action::DeleteConnection).await?;
        let connection = find(edit.catalog(), actor, group, id)?;
        let users: Vec<_> = edit.catalog().flows.values().filter(|flow| flow.group == *group).collect();
        let uses = users.iter().flat_map(|flow| {
            flow.bindings_of(id).map(move |(environment, slot)| format!("{} (slot {slot}, {environment})", flow.name))
        });
        let uses: Vec<_> = uses.collect();
        if !uses.is_empty() {
            let message = format!(
                "The connection \"{}\" is used by: {}. Bind these slots to another connection first",
                connection.name,
                uses.join(", ")
            );
            return Err(ServiceError::Conflict(message));
        }
        edit.remove(&Record::Connection(connection));
        edit.save().await
    }

    /// What a call through a connection is granted: its hosts, its credentials, its settings.
    pub(super) async fn grant(&self, connection: &Connection) -> Result<Grant, ServiceError> {
        let mut secrets = BTreeMap::new();
        for (field, sealed) in &connection.secrets {
            let place = Place { group: connection.group.as_str(), record: connection.id.as_str(), field };
            let secret = self.vault.open_secret(place, sealed).await;
            secrets.insert(field.clone(), secret.map_err(ServiceError::internal("opening a secret"))?);
        }
        let credentials = Credential::from_placements(&connection.placements, &connection.config, &secrets)
            .map_err(ServiceError::internal("placing a credential"))?;
        let scrub = Credential::scrubber(&credentials, secrets.values());
        Ok(Grant {
            group: connection.group.clone(),
            connection: connection.id.clone(),
            connection_name: connection.name.to_string(),
            connector: connection.connector.to_string(),
            allow: connection.base_urls.clone(),
            credentials,
            config: connection.config.clone(),
            scrub,
        })
    }
}

fn find(catalog: &Catalog, actor: &Actor, group: &GroupId, id: &ConnectionId) -> Result<Arc<Connection>, ServiceError> {
    let connection = catalog.connections.get(id).filter(|connection| connection.group == *group);
    let connection = connection.filter(|connection| actor.sees_environment(&connection.environment));
    connection.cloned().ok_or(ServiceError::NotFound { what: "Connection" })
}
