//! Changes of a connection. Where its credentials go was settled when it was made.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};

use crate::domain::connection::{self, Connection, ConnectionError, ConnectionKind, OauthPart};
use crate::domain::grant::Credential;
use crate::domain::id::{AppRegistrationId, ConnectionId, GroupId, Name};
use crate::domain::permission::Action;
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::catalog::Catalog;
use crate::service::connections::{
    ConnectionDetails, check_name_is_free, check_registration, find, group_registration,
};
use crate::service::error::ServiceError;
use crate::service::record::Record;
use crate::service::vault::Place;

/// What is to be different about a connection; what is absent stays.
#[derive(Default)]
pub struct ConnectionChange {
    /// Its name.
    pub name: Option<Name>,
    /// Settings; nothing takes one back to its default.
    pub config: BTreeMap<String, Option<String>>,
    /// New values of secret fields.
    pub secrets: BTreeMap<String, SecretString>,
    /// The scopes to ask for.
    pub scopes: Option<Vec<String>>,
    /// The group's app registration.
    pub registration: Option<AppRegistrationId>,
}

impl Service {
    /// Changes a connection. With other scopes, or another app registration, it has to be authorized again.
    pub async fn update_connection(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        id: &ConnectionId,
        change: ConnectionChange,
    ) -> Result<ConnectionDetails, ServiceError> {
        let catalog = self.catalog();
        actor.authorise(&catalog, group, Action::UpdateConnection)?;
        let before = find(&catalog, actor, group, id)?;
        let next = Arc::new(self.changed(&catalog, &before, &change).await?);
        let mut edit = self.edit(actor, group, Action::UpdateConnection).await?;
        if !Arc::ptr_eq(&find(edit.catalog(), actor, group, id)?, &before) {
            let message = "Somebody else changed the connection at the same time. Look at it, then try again";
            return Err(ServiceError::Conflict(message.to_owned()));
        }
        check_name_is_free(edit.catalog(), &next)?;
        check_registration(edit.catalog(), &next)?;
        edit.put(Record::Connection(next.clone()));
        let asks_anew = asks_anew(before.oauth.as_ref(), next.oauth.as_ref());
        if asks_anew {
            self.suspend_tokens(&before).await?;
        }
        edit.save().await?;
        if asks_anew {
            self.end_tokens(before).await?;
            self.forget_credentials(&next).await?;
        } else if !change.secrets.is_empty() {
            self.forget_credentials(&next).await?;
        }
        Ok(self.connection_details(actor, next))
    }

    async fn changed(
        &self,
        catalog: &Catalog,
        before: &Connection,
        change: &ConnectionChange,
    ) -> Result<Connection, ServiceError> {
        let mut next = before.clone();
        if let Some(name) = &change.name {
            next.name = name.clone();
        }
        let connector = catalog.connector(&before.group, &before.connector);
        let manifest = connector.map(|connector| &connector.manifest).ok_or_else(|| {
            ServiceError::Conflict(format!(
                "The connector \"{}\" is not installed any more. Push it again",
                before.connector
            ))
        })?;
        next.config = connection::changed_config(manifest, &before.config, &change.config).map_err(refused)?;
        if before.pins.destinations(&next.config) != before.pins.destinations(&before.config) {
            return Err(ServiceError::Conflict(
                "This would change where the connection sends its credentials, which was settled when it was made. Make a new connection: headgate connections create".to_owned(),
            ));
        }
        next.oauth = changed_oauth(catalog, before, change)?;
        if !change.secrets.is_empty() {
            let auth = before.auth_in(manifest);
            let fields = auth.map(|auth| auth.kind.fields()).unwrap_or_default();
            let given = change.secrets.iter().map(|(name, value)| (name.clone(), value.expose_secret())).collect();
            connection::check_given_secrets(fields, &given).map_err(refused)?;
            let known = |name: &str| change.secrets.contains_key(name) || before.secrets.contains_key(name);
            connection::check_no_secret_missing(fields, known).map_err(refused)?;
            self.check_placed(before, &change.secrets).await?;
            next.secrets = self.seal_secrets(&before.group, &before.id, &before.secrets, &change.secrets).await?;
        }
        Ok(next)
    }

    /// Checks that a connection's secrets, some of them new, can be put on requests.
    pub(super) async fn check_placed(
        &self,
        connection: &Connection,
        given: &BTreeMap<String, SecretString>,
    ) -> Result<(), ServiceError> {
        let mut secrets = given.clone();
        for (field, sealed) in connection.secrets.iter().filter(|(field, _)| !given.contains_key(*field)) {
            let place = Place { group: connection.group.as_str(), record: connection.id.as_str(), field };
            let secret = self.vault.open_secret(place, sealed).await;
            secrets.insert(field.clone(), secret.map_err(ServiceError::internal("opening a secret"))?);
        }
        Credential::from_placements(&connection.pins.placements, &connection.config, &secrets)
            .map_err(|error| ServiceError::Invalid(format!("The connection cannot be changed: {error}")))?;
        Ok(())
    }
}

fn refused(error: ConnectionError) -> ServiceError {
    ServiceError::Invalid(format!("The connection cannot be changed: {error}"))
}

/// Whether what is asked of the app differs, so that what it granted is no use any more.
fn asks_anew(before: Option<&OauthPart>, next: Option<&OauthPart>) -> bool {
    let asked = |part: &OauthPart| (part.registration.clone(), part.scopes.clone());
    before.map(asked) != next.map(asked)
}

fn changed_oauth(
    catalog: &Catalog,
    before: &Connection,
    change: &ConnectionChange,
) -> Result<Option<OauthPart>, ServiceError> {
    let Some(part) = &before.oauth else {
        return if change.scopes.is_none() && change.registration.is_none() {
            Ok(None)
        } else {
            let message = "Only an OAuth connection has scopes and an app registration. Leave them out";
            Err(ServiceError::Invalid(message.to_owned()))
        };
    };
    let mut next = part.clone();
    if let Some(scopes) = &change.scopes {
        next.scopes = connection::choose_scopes(before.pins.oauth.as_ref(), Some(scopes)).map_err(refused)?;
    }
    if let Some(registration) = &change.registration {
        if before.kind != ConnectionKind::OauthAdvanced {
            let message = "Only an oauth_advanced connection names an app registration. Leave it out";
            return Err(ServiceError::Invalid(message.to_owned()));
        }
        next.registration = group_registration(catalog, &before.group, &before.connector, registration)?;
    }
    if asks_anew(Some(part), Some(&next)) {
        next.authorized_by = None;
    }
    Ok(Some(next))
}
