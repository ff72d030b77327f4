//! Connections: made from a connector's manifest, sealed, granted to calls.

pub mod authorize;
mod authorizer;
mod changes;
mod details;
mod disconnect;
mod grant;
mod health;
mod test;
mod upgrade;
mod usable;

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};

use crate::domain::connection::{self, Connection, ConnectionKind, OauthPart, Pinned};
use crate::domain::grant::Credential;
use crate::domain::id::{AppRegistrationId, ConnectionId, ConnectorName, Environment, GroupId, Name};
use crate::domain::permission::Action;
use crate::domain::sealed::Sealed;
use crate::domain::secret::random_text;
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::app_triggers;
use crate::service::catalog::Catalog;
use crate::service::edit::Edit;
use crate::service::error::ServiceError;
use crate::service::groups::check_environment;
use crate::service::oauth::token_key;
use crate::service::record::Record;
use crate::service::vault::{Place, random};

pub(super) use authorizer::has_left;
pub use changes::ConnectionChange;
pub use details::{ConnectionDetails, ConnectionScopes, ConnectionUse, MissingScopes};
pub use disconnect::Disconnected;
pub(super) use grant::GrantBook;
pub(super) use health::HealthBook;
pub use usable::Unusable;

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
    /// The scopes to ask for, where it is an OAuth connection; the manifest's default when absent.
    pub scopes: Option<Vec<String>>,
    /// The group's app registration, where it is an `oauth_advanced` connection.
    pub registration: Option<AppRegistrationId>,
}

impl Service {
    /// A group's connections, by name.
    pub fn list_connections(&self, actor: &Actor, group: &GroupId) -> Result<Vec<ConnectionDetails>, ServiceError> {
        let catalog = self.catalog();
        actor.authorise(&catalog, group, Action::ListConnections)?;
        let of_group = catalog
            .connections
            .values()
            .filter(|connection| connection.group == *group && actor.sees_environment(&connection.environment));
        let mut connections: Vec<_> = of_group.cloned().collect();
        connections.sort_by(|a, b| (&a.name, &a.environment).cmp(&(&b.name, &b.environment)));
        Ok(self.describe_connections(&catalog, actor, connections))
    }

    /// One connection, by its id.
    pub fn get_connection(
        &self,
        actor: &Actor,
        group: &GroupId,
        id: &ConnectionId,
    ) -> Result<ConnectionDetails, ServiceError> {
        let catalog = self.catalog();
        actor.authorise(&catalog, group, Action::GetConnection)?;
        let connection = find(&catalog, actor, group, id)?;
        Ok(self.connection_details(actor, connection))
    }

    /// Makes a connection. What it may be used for is pinned now, from the connector's manifest of today.
    pub async fn create_connection(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        new: NewConnection,
    ) -> Result<ConnectionDetails, ServiceError> {
        let connection = self.prepare_connection(actor, group, new).await?;
        let mut edit = self.edit(actor, group, Action::CreateConnection).await?;
        add(&mut edit, connection.clone())?;
        edit.save().await?;
        Ok(self.connection_details(actor, connection))
    }

    /// A connection as it will be, for somebody who may make it.
    pub(super) async fn prepare_connection(
        &self,
        actor: &Actor,
        group: &GroupId,
        new: NewConnection,
    ) -> Result<Arc<Connection>, ServiceError> {
        let catalog = self.catalog();
        actor.authorise(&catalog, group, Action::CreateConnection)?;
        self.check_environment(group, &new.environment)?;
        actor.authorise_environment(&new.environment)?;
        let connector = catalog.connector(group, &new.connector).ok_or_else(|| {
            ServiceError::Invalid(format!("The connector \"{}\" is not installed. Push it first", new.connector))
        })?;
        let secrets = new.secrets.iter().map(|(name, value)| (name.clone(), value.expose_secret())).collect();
        let scopes = new.scopes.as_deref();
        let pinned = connection::pin(&connector.manifest, new.auth.as_deref(), &new.config, &secrets, scopes)?;
        if pinned.pins.oauth.is_none() {
            Credential::from_placements(&pinned.pins.placements, &pinned.config, &new.secrets)
                .map_err(|error| ServiceError::Invalid(format!("The connection cannot be made: {error}")))?;
        }
        let oauth = oauth_part(&catalog, group, &new, &pinned)?;
        let id = ConnectionId::from_random(&random_text(20, random))?;
        let secrets = self.seal_secrets(group, &id, &BTreeMap::new(), &new.secrets).await?;
        Ok(Arc::new(Connection {
            id,
            group: group.clone(),
            environment: new.environment,
            name: new.name,
            connector: new.connector,
            auth: pinned.auth,
            kind: pinned.kind,
            pins: pinned.pins,
            base_urls: pinned.base_urls,
            config: pinned.config,
            secrets,
            oauth,
            created: self.now(),
        }))
    }

    /// A connection's secrets with some new values.
    async fn seal_secrets(
        &self,
        group: &GroupId,
        id: &ConnectionId,
        present: &BTreeMap<String, Sealed>,
        given: &BTreeMap<String, SecretString>,
    ) -> Result<BTreeMap<String, Sealed>, ServiceError> {
        let mut secrets = present.clone();
        for (field, value) in given {
            let place = Place { group: group.as_str(), record: id.as_str(), field };
            let version = present.get(field).map_or(0, |sealed| sealed.version) + 1;
            let sealed = self.vault.seal(place, version, value.expose_secret()).await;
            secrets.insert(field.clone(), sealed.map_err(ServiceError::internal("sealing a secret"))?);
        }
        Ok(secrets)
    }

    /// Deletes a connection with its tokens, which the provider is asked to revoke. Refused while a flow uses it.
    pub async fn delete_connection(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        id: &ConnectionId,
    ) -> Result<(), ServiceError> {
        let mut edit = self.edit(actor, group, Action::DeleteConnection).await?;
        let connection = find(edit.catalog(), actor, group, id)?;
        check_unused(edit.catalog(), actor, &connection)?;
        edit.remove_beside(&health::key(&connection));
        edit.remove_beside(&token_key(&connection));
        edit.remove(&Record::Connection(connection.clone()));
        let kept = self.kept_token(&connection);
        edit.save().await?;
        self.health.forget(id);
        self.drop_token(id);
        if let Some(kept) = kept {
            let service = self.clone();
            let revoking = self.background.spawn(async move { service.revoke_kept(&connection, &kept).await });
            revoking.await.map_err(ServiceError::internal("revoking tokens"))?;
        }
        Ok(())
    }
}

fn check_unused(catalog: &Catalog, actor: &Actor, connection: &Connection) -> Result<(), ServiceError> {
    if let Some(triggers) = app_triggers::users(catalog, &connection.id) {
        let message = format!(
            "The connection \"{}\" is polled by app triggers: {triggers}. Delete them first, or name another connection: headgate app-triggers update",
            connection.name
        );
        return Err(ServiceError::Conflict(message));
    }
    let Some(users) = details::users(catalog, actor, connection) else { return Ok(()) };
    let message = format!(
        "The connection \"{}\" is used by: {users}. Bind these slots to another connection first, or unbind them: headgate connections unbind FLOW SLOT --env {}",
        connection.name, connection.environment
    );
    Err(ServiceError::Conflict(message))
}

/// Adds a connection that was prepared, if nothing has come in between.
pub(super) fn add(edit: &mut Edit, connection: Arc<Connection>) -> Result<(), ServiceError> {
    check_environment(edit.catalog(), &connection.group, &connection.environment)?;
    check_name_is_free(edit.catalog(), &connection)?;
    check_registration(edit.catalog(), &connection)?;
    edit.put(Record::Connection(connection));
    Ok(())
}

fn check_name_is_free(catalog: &Catalog, connection: &Connection) -> Result<(), ServiceError> {
    let same_name = |other: &Arc<Connection>| {
        other.id != connection.id
            && (&other.group, &other.environment, &other.name)
                == (&connection.group, &connection.environment, &connection.name)
    };
    if catalog.connections.values().any(same_name) {
        return Err(ServiceError::Conflict(format!(
            "A connection named \"{}\" exists already in {}. Choose another name",
            connection.name, connection.environment
        )));
    }
    Ok(())
}

/// The registration may have been deleted since it was chosen.
fn check_registration(catalog: &Catalog, connection: &Connection) -> Result<(), ServiceError> {
    match &connection.oauth {
        Some(oauth) if !catalog.app_registrations.contains_key(&oauth.registration) => {
            Err(ServiceError::NotFound { what: "App registration" })
        }
        _ => Ok(()),
    }
}

/// An app registration of a group, for one of its connectors.
fn group_registration(
    catalog: &Catalog,
    group: &GroupId,
    connector: &ConnectorName,
    id: &AppRegistrationId,
) -> Result<AppRegistrationId, ServiceError> {
    let found = catalog.app_registrations.get(id).filter(|found| found.group.as_ref() == Some(group));
    let found = found.ok_or(ServiceError::NotFound { what: "App registration" })?;
    if found.connector != *connector {
        let message =
            format!("The app registration \"{}\" is for {}, not for {connector}", found.name, found.connector);
        return Err(ServiceError::Invalid(message));
    }
    Ok(id.clone())
}

/// Whose OAuth client a new connection uses.
fn oauth_part(
    catalog: &Catalog,
    group: &GroupId,
    new: &NewConnection,
    pinned: &Pinned,
) -> Result<Option<OauthPart>, ServiceError> {
    let connector = &new.connector;
    let registration = match (pinned.kind, &new.registration) {
        (ConnectionKind::ApiKey | ConnectionKind::None, None) => return Ok(None),
        (ConnectionKind::OauthAdvanced, Some(id)) => group_registration(catalog, group, connector, id)?,
        (ConnectionKind::OauthAdvanced, None) => {
            return Err(ServiceError::Invalid(format!(
                "This authentication uses your own OAuth app. Register it first (headgate app-registrations create --connector {connector}), then name the registration"
            )));
        }
        (ConnectionKind::Oauth, None) if pinned.pins.is_client_credentials() => {
            return Err(ServiceError::Invalid(
                "With client credentials an app acts for itself and not for a person, so it has to be your own: use an authentication of the kind oauth_advanced".to_owned(),
            ));
        }
        (ConnectionKind::Oauth, None) => {
            let servers =
                catalog.app_registrations.values().find(|found| found.group.is_none() && found.connector == *connector);
            let servers = servers.ok_or_else(|| {
                ServiceError::Invalid(format!(
                    "The operator of this server has registered no OAuth app for {connector}. Ask them to, or use oauth_advanced with an app of your own"
                ))
            })?;
            servers.id.clone()
        }
        (_, Some(_)) => {
            let message = "Only an oauth_advanced connection names an app registration. Leave it out, or choose that authentication";
            return Err(ServiceError::Invalid(message.to_owned()));
        }
    };
    Ok(Some(OauthPart { registration, scopes: pinned.scopes.clone(), authorized_by: None }))
}

fn find(catalog: &Catalog, actor: &Actor, group: &GroupId, id: &ConnectionId) -> Result<Arc<Connection>, ServiceError> {
    let connection = catalog.connections.get(id).filter(|connection| connection.group == *group);
    let connection = connection.filter(|connection| actor.sees_environment(&connection.environment));
    connection.cloned().ok_or(ServiceError::NotFound { what: "Connection" })
}
