//! App registrations: OAuth clients of the server and of groups. Their secrets are sealed and never answered.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};

use crate::domain::app_registration::{
    AppRegistration, check_client_id, check_client_secret, offered_token_hosts, token_hosts,
};
use crate::domain::connection::Connection;
use crate::domain::id::{AppRegistrationId, ConnectorName, GroupId, Name};
use crate::domain::permission::Action;
use crate::domain::secret::random_text;
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::catalog::Catalog;
use crate::service::edit::Edit;
use crate::service::error::ServiceError;
use crate::service::record::Record;
use crate::service::vault::{Place, random};

/// The field of the vault's place that holds a client's secret.
const CLIENT_SECRET: &str = "client_secret";

/// What a new app registration is made from.
pub struct NewAppRegistration {
    /// Its name, unique in its group, or among the server's.
    pub name: Name,
    /// For which connector.
    pub connector: ConnectorName,
    /// The client's id at the app.
    pub client_id: String,
    /// The client's secret; none for a public client.
    pub client_secret: Option<SecretString>,
    /// Where the secret may be sent. For a group's registration, where the installed connector sends it when absent.
    pub token_hosts: Vec<String>,
}

/// What is to be different about an app registration; what is absent stays.
#[derive(Default)]
pub struct AppRegistrationChange {
    /// Its name.
    pub name: Option<Name>,
    /// The client's id at the app.
    pub client_id: Option<String>,
    /// The client's secret.
    pub client_secret: Option<SecretString>,
    /// Where the secret may be sent. A group's has to be entered anew with it.
    pub token_hosts: Option<Vec<String>>,
}

/// What is done, for a group's registrations and for the server's.
type Actions = (Action, Action);

const LIST: Actions = (Action::ListAppRegistrations, Action::ListServerAppRegistrations);
const GET: Actions = (Action::GetAppRegistration, Action::ListServerAppRegistrations);
const CREATE: Actions = (Action::CreateAppRegistration, Action::CreateServerAppRegistration);
const UPDATE: Actions = (Action::UpdateAppRegistration, Action::UpdateServerAppRegistration);
const DELETE: Actions = (Action::DeleteAppRegistration, Action::DeleteServerAppRegistration);

// `group` is whose the registrations are; without one, they are the server's.
impl Service {
    /// The app registrations of a group, or of the server, by name.
    pub fn list_app_registrations(
        &self,
        actor: &Actor,
        group: Option<&GroupId>,
    ) -> Result<Vec<Arc<AppRegistration>>, ServiceError> {
        let catalog = self.catalog();
        authorise(actor, &catalog, group, LIST)?;
        let mut found: Vec<_> =
            catalog.app_registrations.values().filter(|found| found.group.as_ref() == group).cloned().collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// One app registration, by its id.
    pub fn get_app_registration(
        &self,
        actor: &Actor,
        group: Option<&GroupId>,
        id: &AppRegistrationId,
    ) -> Result<Arc<AppRegistration>, ServiceError> {
        let catalog = self.catalog();
        authorise(actor, &catalog, group, GET)?;
        find(&catalog, group, id)
    }

    /// Makes an app registration.
    pub async fn create_app_registration(
        self: &Arc<Self>,
        actor: &Actor,
        group: Option<&GroupId>,
        new: NewAppRegistration,
    ) -> Result<Arc<AppRegistration>, ServiceError> {
        let mut edit = self.edit_registrations(actor, group, CREATE).await?;
        check_client_id(&new.client_id).map_err(ServiceError::Invalid)?;
        let mut registration = AppRegistration {
            id: AppRegistrationId::from_random(&random_text(20, random))?,
            group: group.cloned(),
            name: new.name,
            connector: new.connector,
            client_id: new.client_id,
            client_secret: None,
            token_hosts: Vec::new(),
            created: self.now(),
        };
        registration.token_hosts = match group {
            Some(group) if new.token_hosts.is_empty() => offered_hosts(edit.catalog(), group, &registration.connector)?,
            _ => token_hosts(&new.token_hosts).map_err(ServiceError::Invalid)?,
        };
        check_unique(edit.catalog(), &registration)?;
        self.put_secret(&mut registration, new.client_secret).await?;
        let registration = Arc::new(registration);
        edit.put(Record::AppRegistration(registration.clone()));
        edit.save().await?;
        Ok(registration)
    }

    /// Changes an app registration. Connections use what it says from then on.
    pub async fn update_app_registration(
        self: &Arc<Self>,
        actor: &Actor,
        group: Option<&GroupId>,
        id: &AppRegistrationId,
        change: AppRegistrationChange,
    ) -> Result<Arc<AppRegistration>, ServiceError> {
        let mut edit = self.edit_registrations(actor, group, UPDATE).await?;
        let mut registration = AppRegistration::clone(&*find(edit.catalog(), group, id)?);
        check_environments(edit.catalog(), actor, &registration)?;
        if let Some(name) = change.name {
            registration.name = name;
            check_unique(edit.catalog(), &registration)?;
        }
        if let Some(client_id) = change.client_id {
            check_client_id(&client_id).map_err(ServiceError::Invalid)?;
            registration.client_id = client_id;
        }
        if let Some(hosts) = change.token_hosts {
            let hosts = token_hosts(&hosts).map_err(ServiceError::Invalid)?;
            let kept = registration.client_secret.is_some() && change.client_secret.is_none();
            if group.is_some() && kept && hosts.iter().any(|host| !registration.token_hosts.contains(host)) {
                // Whoever may change it need not know the secret.
                let message = "To send the client's secret to other hosts, enter it again: client_secret";
                return Err(ServiceError::Invalid(message.to_owned()));
            }
            registration.token_hosts = hosts;
        }
        self.put_secret(&mut registration, change.client_secret).await?;
        let registration = Arc::new(registration);
        edit.put(Record::AppRegistration(registration.clone()));
        edit.save().await?;
        Ok(registration)
    }

    /// Deletes an app registration. Refused while connections use it: they could not refresh their tokens.
    pub async fn delete_app_registration(
        self: &Arc<Self>,
        actor: &Actor,
        group: Option<&GroupId>,
        id: &AppRegistrationId,
    ) -> Result<(), ServiceError> {
        let mut edit = self.edit_registrations(actor, group, DELETE).await?;
        let registration = find(edit.catalog(), group, id)?;
        check_environments(edit.catalog(), actor, &registration)?;
        if let Some(users) = users_of(edit.catalog(), &registration) {
            return Err(ServiceError::Conflict(format!(
                "The app registration \"{}\" is used by: {users}. Delete these connections first",
                registration.name
            )));
        }
        edit.remove(&Record::AppRegistration(registration));
        edit.save().await
    }

    async fn edit_registrations(
        self: &Arc<Self>,
        actor: &Actor,
        group: Option<&GroupId>,
        (of_group, of_server): Actions,
    ) -> Result<Edit, ServiceError> {
        match group {
            Some(group) => self.edit(actor, group, of_group).await,
            None => self.edit_server(actor, of_server).await,
        }
    }

    async fn put_secret(
        &self,
        registration: &mut AppRegistration,
        secret: Option<SecretString>,
    ) -> Result<(), ServiceError> {
        let Some(secret) = secret else { return Ok(()) };
        check_client_secret(secret.expose_secret()).map_err(ServiceError::Invalid)?;
        let version = registration.client_secret.as_ref().map_or(0, |sealed| sealed.version) + 1;
        let (group, record) = (registration.sealed_under(), registration.id.as_str());
        let place = Place { group, record, field: CLIENT_SECRET };
        let sealed = self.vault.seal(place, version, secret.expose_secret()).await;
        let sealed = sealed.map_err(ServiceError::internal("sealing a client's secret"))?;
        registration.client_secret = Some(sealed);
        Ok(())
    }
}

fn authorise(
    actor: &Actor,
    catalog: &Catalog,
    group: Option<&GroupId>,
    (of_group, of_server): Actions,
) -> Result<(), ServiceError> {
    match group {
        Some(group) => actor.authorise(catalog, group, of_group),
        None => actor.authorise_server(catalog, of_server),
    }
}

/// A registration of this group, or of the server. Another's looks like one that does not exist.
fn find(
    catalog: &Catalog,
    group: Option<&GroupId>,
    id: &AppRegistrationId,
) -> Result<Arc<AppRegistration>, ServiceError> {
    let found = catalog.app_registrations.get(id).filter(|found| found.group.as_ref() == group);
    found.cloned().ok_or(ServiceError::NotFound { what: "App registration" })
}

/// Where the connector that is installed in a group sends a client's secret.
fn offered_hosts(catalog: &Catalog, group: &GroupId, connector: &ConnectorName) -> Result<Vec<String>, ServiceError> {
    let installed = catalog.connector(group, connector);
    installed.and_then(|connector| offered_token_hosts(&connector.manifest)).ok_or_else(|| {
        ServiceError::Invalid(format!(
            "token_hosts says where the client's secret may be sent: the hosts of the app's token URL. They cannot be read from the connector \"{connector}\" here, so name them"
        ))
    })
}

/// An API key changes nothing that connections of other environments than its own use.
fn check_environments(catalog: &Catalog, actor: &Actor, registration: &AppRegistration) -> Result<(), ServiceError> {
    Ok(users(catalog, registration).try_for_each(|connection| actor.authorise_environment(&connection.environment))?)
}

fn check_unique(catalog: &Catalog, registration: &AppRegistration) -> Result<(), ServiceError> {
    let others = || {
        let all = catalog.app_registrations.values();
        all.filter(|other| other.group == registration.group && other.id != registration.id)
    };
    if others().any(|other| other.name == registration.name) {
        let message =
            format!("An app registration named \"{}\" exists already. Choose another name", registration.name);
        return Err(ServiceError::Conflict(message));
    }
    let same = others().find(|other| registration.group.is_none() && other.connector == registration.connector);
    match same {
        None => Ok(()),
        Some(other) => Err(ServiceError::Conflict(format!(
            "The server has an app registration for {} already: \"{}\". Change or delete that one",
            other.connector, other.name
        ))),
    }
}

fn users<'a>(catalog: &'a Catalog, registration: &'a AppRegistration) -> impl Iterator<Item = &'a Arc<Connection>> {
    let uses = |one: &&Arc<Connection>| one.oauth.as_ref().is_some_and(|oauth| oauth.registration == registration.id);
    catalog.connections.values().filter(uses)
}

/// The connections that use a registration: by name in a group, by number for the server's, which many groups use.
fn users_of(catalog: &Catalog, registration: &AppRegistration) -> Option<String> {
    let uses = users(catalog, registration);
    if registration.group.is_some() {
        let mut names: Vec<_> = uses.map(|one| format!("{} ({})", one.name, one.environment)).collect();
        names.sort();
        return (!names.is_empty()).then(|| names.join(", "));
    }
    let mut counts = BTreeMap::<&GroupId, usize>::new();
    for connection in uses {
        *counts.entry(&connection.group).or_default() += 1;
    }
    let counts: Vec<_> =
        counts.iter().map(|(group, count)| format!("{count} connection(s) of the group {group}")).collect();
    (!counts.is_empty()).then(|| counts.join(", "))
}
