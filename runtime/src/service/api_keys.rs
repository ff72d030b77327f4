//! API keys.

mod investigation;
mod settings;
mod uses;
mod values;
mod wanted;

use std::sync::Arc;

use crate::domain::api_key::{ApiKey, KeyLimits, KeySecret, KeyStatus, PlainApiKey, SecretSlot};
use crate::domain::id::{ApiKeyId, GroupId};
use crate::domain::permission::{Action, Denial};
use crate::domain::trigger::{AcceptedKeys, HttpSettings};
use crate::service::Service;
use crate::service::access::{Actor, Who};
use crate::service::catalog::Catalog;
use crate::service::edit::Edit;
use crate::service::error::ServiceError;
use crate::service::record::Record;
use crate::service::usage::LastUsed;
use crate::service::vault::random;

pub use investigation::Investigation;
pub use settings::KeySettings;
pub use uses::{KeyUses, UsedFlow, UsedTrigger};
pub(super) use wanted::given;
pub use wanted::{KeyChanges, NewApiKey, Permission};

/// A key, and what follows from the time and its use.
#[derive(Debug, Clone)]
pub struct KeyState {
    /// What is stored of it.
    pub key: Arc<ApiKey>,
    /// What a person sees of it.
    pub status: KeyStatus,
    /// Whether its primary value is older than recommended for its class.
    pub rotation_due: bool,
    /// Whether it has not been used for long.
    pub unused: bool,
    /// When it was used last, and from where.
    pub last_used: Option<LastUsed>,
}

/// A change of a key's switches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySwitch {
    /// Off for now.
    Disable,
    /// On again.
    Enable,
    /// Ended for good.
    Revoke,
}

impl Service {
    /// A group's keys, by name.
    pub fn list_api_keys(&self, actor: &Actor, group: &GroupId) -> Result<Vec<KeyState>, ServiceError> {
        let catalog = self.catalog();
        actor.authorise(&catalog, group, Action::ListApiKeys)?;
        let seen = catalog.keys_of(group).filter(|key| actor.sees_environment(&key.environment));
        Ok(seen.map(|key| self.key_state(key.clone())).collect())
    }

    /// One key, by its id or its name, and what it can be used for.
    pub fn get_api_key(&self, actor: &Actor, group: &GroupId, key: &str) -> Result<(KeyState, KeyUses), ServiceError> {
        let catalog = self.catalog();
        actor.authorise(&catalog, group, Action::GetApiKey)?;
        let key = find_seen(&catalog, actor, group, key)?;
        let uses = uses::of(&catalog, &key);
        Ok((self.key_state(key), uses))
    }

    /// Makes a key. Its clear text is answered here and never again.
    pub async fn create_api_key(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        new: NewApiKey,
    ) -> Result<(KeyState, PlainApiKey), ServiceError> {
        let mut edit = self.edit(actor, group, Action::CreateApiKey).await?;
        let (key, plain) = self.make_key(&mut edit, actor, group, new)?;
        edit.save().await?;
        Ok((self.key_state(key), plain))
    }

    /// Makes a key as a part of a change, for somebody who may make it.
    pub(super) fn make_key(
        &self,
        edit: &mut Edit,
        actor: &Actor,
        group: &GroupId,
        new: NewApiKey,
    ) -> Result<(Arc<ApiKey>, PlainApiKey), ServiceError> {
        actor.authorise(edit.catalog(), group, Action::CreateApiKey)?;
        self.check_environment(group, &new.environment)?;
        actor.authorise_environment(&new.environment)?;
        wanted::check_name(edit.catalog(), group, &new.name)?;
        let permission = wanted::permission(edit.catalog(), actor, group, &new.permission)?;
        let mut plain = PlainApiKey::generate(&new.environment, random);
        while edit.catalog().api_keys.contains_key(plain.id()) {
            plain = PlainApiKey::generate(&new.environment, random);
        }
        let hash = plain.hash(&self.pepper);
        let key = Arc::new(ApiKey {
            id: *plain.id(),
            group: group.clone(),
            environment: new.environment,
            name: new.name,
            description: wanted::description(new.description)?,
            class: new.class,
            secrets: [KeySecret { slot: SecretSlot::Primary, hash, created: None, not_after: None }].into(),
            created: self.now(),
            expires: new.expires.map(|expiry| wanted::expiry(&expiry, self.now())).transpose()?,
            disabled: false,
            revoked: None,
            scopes: wanted::scopes(new.scopes, &permission)?,
            permission,
            limits: wanted::limits(KeyLimits { rate_per_minute: new.rate_per_minute, daily_quota: new.daily_quota })?,
            networks: wanted::networks(&new.networks)?,
        });
        within_own_rights(edit.actor(), &key)?;
        edit.put(Record::ApiKey(key.clone()));
        Ok((key, plain))
    }

    /// Changes what a key may do and how it is called. Its environment, its id and its values stay.
    pub async fn update_api_key(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        key: &str,
        changes: KeyChanges,
    ) -> Result<KeyState, ServiceError> {
        let (mut edit, mut key) = self.edit_key(actor, group, key, Action::UpdateApiKey).await?;
        check_not_revoked(&key)?;
        if matches!(actor.who(), Who::Key(own) if own.id == key.id) {
            return Err(Denial::Escalation { what: "settings other than those it was given".to_owned() }.into());
        }
        wanted::apply(changes, &mut key, edit.catalog(), actor, self.now())?;
        within_own_rights(edit.actor(), &key)?;
        let key = self.put_key(&mut edit, key);
        edit.save().await?;
        Ok(self.key_state(key))
    }

    /// Changes a key's switches, with effect on the very next request.
    pub async fn switch_api_key(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        key: &str,
        switch: KeySwitch,
    ) -> Result<KeyState, ServiceError> {
        let action = match switch {
            KeySwitch::Disable => Action::DisableApiKey,
            KeySwitch::Enable => Action::EnableApiKey,
            KeySwitch::Revoke => Action::RevokeApiKey,
        };
        let (mut edit, mut key) = self.edit_key(actor, group, key, action).await?;
        if switch != KeySwitch::Revoke {
            check_not_revoked(&key)?;
        }
        match switch {
            KeySwitch::Revoke => key.revoked = key.revoked.or(Some(self.now())),
            KeySwitch::Disable => key.disabled = true,
            KeySwitch::Enable => key.disabled = false,
        }
        let key = self.put_key(&mut edit, key);
        edit.save().await?;
        Ok(self.key_state(key))
    }

    /// Removes a key from the list and from the triggers that name it. Its usage and its audit entries stay.
    ///
    /// A trigger that named only this key accepts none from then on.
    pub async fn delete_api_key(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        key: &str,
    ) -> Result<(), ServiceError> {
        let (mut edit, key) = self.edit_key(actor, group, key, Action::DeleteApiKey).await?;
        let of_group = edit.catalog().triggers.values().filter(|trigger| trigger.group == *group);
        let triggers: Vec<_> = of_group.filter(|trigger| names(&trigger.settings, &key.id)).cloned().collect();
        let of_group = edit.catalog().flows.values().filter(|flow| flow.group == *group);
        let flows: Vec<_> = of_group.filter(|flow| names(&flow.execute.settings, &key.id)).cloned().collect();
        for mut trigger in triggers {
            take_out(&mut Arc::make_mut(&mut trigger).settings, &key.id);
            edit.put(Record::Trigger(trigger));
        }
        for mut flow in flows {
            take_out(&mut Arc::make_mut(&mut flow).execute.settings, &key.id);
            edit.put(Record::Flow(flow));
        }
        edit.remove(&Record::ApiKey(Arc::new(key)));
        edit.save().await
    }

    /// Begins the change of a key, for somebody who may make it: an API key may change keys within its own rights.
    async fn edit_key(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        key: &str,
        action: Action,
    ) -> Result<(Edit, ApiKey), ServiceError> {
        let edit = self.edit(actor, group, action).await?;
        let key = find_seen(edit.catalog(), actor, group, key)?;
        within_own_rights(edit.actor(), &key)?;
        Ok((edit, ApiKey::clone(&key)))
    }

    fn put_key(&self, edit: &mut Edit, mut key: ApiKey) -> Arc<ApiKey> {
        key.drop_ended(self.now());
        let key = Arc::new(key);
        edit.put(Record::ApiKey(key.clone()));
        key
    }

    /// What follows for a key from the time and its use.
    pub(super) fn key_state(&self, key: Arc<ApiKey>) -> KeyState {
        let (now, settings) = (self.now(), &self.keys);
        let status = key.status(now, settings.expiring());
        let last_used = self.usage.last_used(&key.id);
        let quiet_since = last_used.map_or(key.created, |last| last.at.max(key.created));
        KeyState {
            rotation_due: status.is_live()
                && now.duration_since(key.primary_since()) >= settings.rotate_after(key.class()),
            unused: status.is_live() && now.duration_since(quiet_since) >= settings.unused(),
            key,
            status,
            last_used,
        }
    }
}

fn check_not_revoked(key: &ApiKey) -> Result<(), ServiceError> {
    match key.revoked {
        Some(_) => Err(ServiceError::Conflict(format!(
            "The API key \"{}\" was revoked, which is final. Make a new one",
            key.name
        ))),
        None => Ok(()),
    }
}

fn within_own_rights(actor: &Actor, key: &ApiKey) -> Result<(), Denial> {
    match actor.who() {
        Who::Key(own) => key.within(own),
        _ => Ok(()),
    }
}

fn names(settings: &HttpSettings, key: &ApiKeyId) -> bool {
    matches!(&settings.keys, AcceptedKeys::Only(keys) if keys.contains(key))
}

fn take_out(settings: &mut Arc<HttpSettings>, key: &ApiKeyId) {
    if let AcceptedKeys::Only(keys) = &mut Arc::make_mut(settings).keys {
        keys.remove(key);
    }
}

/// [`find`], for somebody who may not see every environment.
fn find_seen(catalog: &Catalog, actor: &Actor, group: &GroupId, key: &str) -> Result<Arc<ApiKey>, ServiceError> {
    let found = find(catalog, group, key)?;
    if actor.sees_environment(&found.environment) { Ok(found) } else { Err(ServiceError::NotFound { what: "API key" }) }
}

/// A group's key, by its id or its name. A name is never an id: names have no upper case and ids have 12 letters,
/// so where a text could be both the id is tried first.
pub(super) fn find(catalog: &Catalog, group: &GroupId, key: &str) -> Result<Arc<ApiKey>, ServiceError> {
    let by_id = key.parse::<ApiKeyId>().ok().and_then(|id| catalog.api_keys.get(&id));
    let of_group = |found: &&Arc<ApiKey>| found.group == *group;
    let by_name = || catalog.key_named(group, &key.parse().ok()?);
    by_id.filter(of_group).or_else(by_name).cloned().ok_or(ServiceError::NotFound { what: "API key" })
}
