//! HTTP triggers.

use std::collections::BTreeSet;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};

use crate::domain::id::{GroupId, TriggerId};
use crate::domain::permission::Action;
use crate::domain::scrub::MIN_SECRET;
use crate::domain::secret::random_text;
use crate::domain::trigger::{
    AcceptedKeys, HttpSettings, METHODS, Respond, RoutingKey, Signature, SignatureScheme, Trigger,
};
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::api_keys;
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;
use crate::service::flows;
use crate::service::queue::MAX_QUEUED_BODY;
use crate::service::record::Record;
use crate::service::vault::{Place, random};

/// What a new HTTP trigger is made from.
pub struct NewTrigger {
    /// What it is for.
    pub description: String,
    /// The keys it accepts, by id or name; all of the group's when absent.
    pub keys: Option<Vec<String>>,
    /// The methods it takes; `POST` when empty.
    pub methods: Vec<String>,
    /// How it answers.
    pub respond: Respond,
    /// How long a synchronous caller waits at most, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// The largest body in bytes.
    pub max_body: Option<u64>,
    /// Whether the key may come in the query.
    pub key_in_query: bool,
    /// Whether the key may come in the path.
    pub key_in_path: bool,
    /// A check of the body's signature, and the secret it is made with.
    pub signature: Option<(SignatureScheme, SecretString)>,
}

impl Service {
    /// A flow's triggers, oldest first.
    pub fn list_triggers(&self, actor: &Actor, group: &GroupId, flow: &str) -> Result<Vec<Arc<Trigger>>, ServiceError> {
        let flow = self.flow_for(actor, group, flow, Action::ListTriggers)?;
        let catalog = self.catalog();
        let mut triggers: Vec<_> =
            catalog.triggers.values().filter(|trigger| trigger.flow == flow.id).cloned().collect();
        triggers.sort_by_key(|trigger| trigger.created);
        Ok(triggers)
    }

    /// One trigger of a flow.
    pub fn get_trigger(
        &self,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        id: &TriggerId,
    ) -> Result<Arc<Trigger>, ServiceError> {
        let flow = self.flow_for(actor, group, flow, Action::GetTrigger)?;
        let catalog = self.catalog();
        let trigger = catalog.triggers.get(id).filter(|trigger| trigger.flow == flow.id);
        trigger.cloned().ok_or(ServiceError::NotFound { what: "Trigger" })
    }

    /// Makes an HTTP trigger; the server gives it its routing key.
    pub async fn create_trigger(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        new: NewTrigger,
    ) -> Result<Arc<Trigger>, ServiceError> {
        self.flow_for(actor, group, flow, Action::CreateTrigger)?;
        let id = TriggerId::from_random(&random_text(20, random))?;
        let methods = check_methods(&new.methods)?;
        self.check_bounds(&new)?;
        let signature = match &new.signature {
            Some((scheme, secret)) => Some(self.seal_signature(group, &id, *scheme, secret).await?),
            None => None,
        };
        let mut edit = self.edit(actor, group, Action::CreateTrigger).await?;
        let flow = flows::find(edit.catalog(), group, flow)?;
        let trigger = Arc::new(Trigger {
            id,
            group: group.clone(),
            flow: flow.id.clone(),
            description: new.description,
            routing_key: RoutingKey::generate(random),
            settings: Arc::new(HttpSettings {
                keys: accepted_keys(edit.catalog(), group, new.keys)?,
                methods,
                respond: new.respond,
                timeout_ms: new.timeout_ms,
                max_body: new.max_body,
                key_in_query: new.key_in_query,
                key_in_path: new.key_in_path,
                signature,
            }),
            created: self.now(),
        });
        edit.put(Record::Trigger(trigger.clone()));
        edit.save().await?;
        Ok(trigger)
    }

    /// Deletes a trigger: its URL answers 404 from the next request on.
    pub async fn delete_trigger(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        id: &TriggerId,
    ) -> Result<(), ServiceError> {
        let flow = self.flow_for(actor, group, flow, Action::DeleteTrigger)?;
        let mut edit = self.edit(actor, group, Action::DeleteTrigger).await?;
        let trigger = edit.catalog().triggers.get(id).filter(|trigger| trigger.flow == flow.id).cloned();
        edit.remove(&Record::Trigger(trigger.ok_or(ServiceError::NotFound { what: "Trigger" })?));
        edit.save().await
    }

    fn check_bounds(&self, new: &NewTrigger) -> Result<(), ServiceError> {
        let settings = &self.settings;
        let within = |value: Option<u64>, ceiling: u64, what: &str| match value {
            Some(value) if value == 0 || value > ceiling => {
                Err(ServiceError::Invalid(format!("{what} must be between 1 and {ceiling}")))
            }
            _ => Ok(()),
        };
        let ceiling = match new.respond {
            Respond::Sync => settings.max_body_ceiling,
            Respond::Async => settings.max_body_ceiling.min(MAX_QUEUED_BODY),
        };
        within(new.max_body, ceiling, "max_body")?;
        within(new.timeout_ms, settings.timeout_ceiling_ms, "timeout_ms")
    }

    async fn seal_signature(
        &self,
        group: &GroupId,
        id: &TriggerId,
        scheme: SignatureScheme,
        secret: &SecretString,
    ) -> Result<Signature, ServiceError> {
        if secret.expose_secret().len() < MIN_SECRET {
            let message = format!("The signing secret must have at least {MIN_SECRET} bytes");
            return Err(ServiceError::Invalid(message));
        }
        let sealed = self.vault.seal(signature_place(group, id), 1, secret.expose_secret()).await;
        Ok(Signature { scheme, secret: sealed.map_err(ServiceError::internal("sealing a signing secret"))? })
    }
}

/// What a trigger's signing secret is bound to.
pub(super) fn signature_place<'a>(group: &'a GroupId, id: &'a TriggerId) -> Place<'a> {
    Place { group: group.as_str(), record: id.as_str(), field: "signature" }
}

fn check_methods(methods: &[String]) -> Result<BTreeSet<String>, ServiceError> {
    if methods.is_empty() {
        return Ok(BTreeSet::from(["POST".to_owned()]));
    }
    match methods.iter().find(|method| !METHODS.contains(&method.as_str())) {
        Some(unknown) => Err(ServiceError::Invalid(format!(
            "\"{unknown}\" is not a method a trigger can take. Choose among {}",
            METHODS.join(", ")
        ))),
        None => Ok(methods.iter().cloned().collect()),
    }
}

fn accepted_keys(catalog: &Catalog, group: &GroupId, keys: Option<Vec<String>>) -> Result<AcceptedKeys, ServiceError> {
    let Some(keys) = keys else { return Ok(AcceptedKeys::All) };
    let ids = keys.iter().map(|key| match api_keys::find(catalog, group, key) {
        Ok(key) => Ok(key.id.clone()),
        Err(_) => Err(ServiceError::Invalid(format!("The group has no API key \"{key}\". Create it first"))),
    });
    Ok(AcceptedKeys::Only(ids.collect::<Result<_, _>>()?))
}
