//! API keys.

use std::sync::Arc;

use jiff::Timestamp;

use crate::domain::api_key::{ApiKey, KeyPermission, KeySecret, PlainApiKey, SecretSlot};
use crate::domain::id::{ApiKeyId, Environment, GroupId, Name};
use crate::domain::permission::Action;
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;
use crate::service::record::Record;
use crate::service::vault::random;

/// What a new key is made from.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// Its name, unique in the group.
    pub name: Name,
    /// Where it works.
    pub environment: Environment,
    /// Notes of its owner.
    pub description: String,
    /// When it expires.
    pub expires: Option<Timestamp>,
}

/// A change of a key's switches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyChange {
    /// Off for now.
    Disable,
    /// On again.
    Enable,
    /// Ended for good.
    Revoke,
}

impl Service {
    /// A group's keys, by name.
    pub fn list_api_keys(&self, actor: &Actor, group: &GroupId) -> Result<Vec<Arc<ApiKey>>, ServiceError> {
        let catalog = self.catalog();
        actor.authorise(&catalog, group, Action::ListApiKeys)?;
        Ok(catalog.keys_of(group).filter(|key| actor.sees_environment(&key.environment)).cloned().collect())
    }

    /// One key, by its id or its name.
    pub fn get_api_key(&self, actor: &Actor, group: &GroupId, key: &str) -> Result<Arc<ApiKey>, ServiceError> {
        let catalog = self.catalog();
        actor.authorise(&catalog, group, Action::GetApiKey)?;
        find(&catalog, group, key)
    }

    /// Makes a key. Its clear text is answered here and never again.
    pub async fn create_api_key(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        new: NewApiKey,
    ) -> Result<(Arc<ApiKey>, PlainApiKey), ServiceError> {
        actor.authorise(&self.catalog(), group, Action::CreateApiKey)?;
        self.check_environment(group, &new.environment)?;
        if new.expires.is_some_and(|end| end <= self.now()) {
            return Err(ServiceError::Invalid("The expiry lies in the past. Give a later time".to_owned()));
        }
        let mut edit = self.edit(actor, group, Action::CreateApiKey).await?;
        if edit.catalog().key_named(group, &new.name).is_some() {
            let message = format!("An API key named \"{}\" exists already. Choose another name", new.name);
            return Err(ServiceError::Conflict(message));
        }
        let plain = PlainApiKey::generate(&new.environment, random);
        let secret = KeySecret { slot: SecretSlot::Primary, hash: plain.hash(&self.pepper), not_after: None };
        let key = Arc::new(ApiKey {
            id: *plain.id(),
            group: group.clone(),
            environment: new.environment,
            name: new.name,
            description: new.description.into(),
            class: None,
            secrets: [secret].into(),
            created: self.now(),
            expires: new.expires,
            disabled: false,
            revoked: None,
            scopes: KeyPermission::AllFlows.default_scopes(),
            permission: KeyPermission::AllFlows,
            limits: None,
            networks: Box::default(),
        });
        edit.put(Record::ApiKey(key.clone()));
        edit.save().await?;
        Ok((key, plain))
    }

    /// Changes a key's switches, with effect on the very next request.
    pub async fn change_api_key(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        key: &str,
        change: KeyChange,
    ) -> Result<Arc<ApiKey>, ServiceError> {
        let action = match change {
            KeyChange::Disable => Action::DisableApiKey,
            KeyChange::Enable => Action::EnableApiKey,
            KeyChange::Revoke => Action::RevokeApiKey,
        };
        let mut edit = self.edit(actor, group, action).await?;
        let mut key = ApiKey::clone(&*find(edit.catalog(), group, key)?);
        match change {
            KeyChange::Revoke => key.revoked = key.revoked.or(Some(self.now())),
            _ if key.revoked.is_some() => {
                let message = format!("The API key \"{}\" was revoked, which is final. Make a new one", key.name);
                return Err(ServiceError::Conflict(message));
            }
            KeyChange::Disable => key.disabled = true,
            KeyChange::Enable => key.disabled = false,
        }
        let key = Arc::new(key);
        edit.put(Record::ApiKey(key.clone()));
        edit.save().await?;
        Ok(key)
    }
}

/// A group's key, by its id or its name. A name is never an id: names have no upper case and ids have 12 letters,
/// so where a text could be both the id is tried first.
pub(super) fn find(catalog: &Catalog, group: &GroupId, key: &str) -> Result<Arc<ApiKey>, ServiceError> {
    let by_id = key.parse::<ApiKeyId>().ok().and_then(|id| catalog.api_keys.get(&id));
    let of_group = |found: &&Arc<ApiKey>| found.group == *group;
    let by_name = || catalog.key_named(group, &key.parse().ok()?);
    by_id.filter(of_group).or_else(by_name).cloned().ok_or(ServiceError::NotFound { what: "API key" })
}
