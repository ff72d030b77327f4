//! HTTP triggers: those with a routing key, and the built-in execute trigger of each flow.

mod challenge;
mod changes;
mod requests;
mod signature;

use std::sync::Arc;

use crate::domain::api_key::PlainApiKey;
use crate::domain::flow::Flow;
use crate::domain::id::{GroupId, TriggerId};
use crate::domain::permission::Action;
use crate::domain::secret::random_text;
use crate::domain::trigger::{HttpSettings, HttpTrigger, Respond, RoutingKey, Trigger};
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::api_keys::KeyState;
use crate::service::check_description;
use crate::service::edit::Edit;
use crate::service::error::ServiceError;
use crate::service::flows;
use crate::service::queue::MAX_QUEUED_BODY;
use crate::service::record::Record;
use crate::service::triggers::requests::changed_path;
use crate::service::vault::random;

pub(super) use challenge::verify_token_place;
pub(super) use signature::signature_place;

pub use challenge::ChallengeChanges;
pub use changes::TriggerChanges;
pub use requests::{CorsRule, IdempotencyRule, NewPath};
pub use signature::SignatureChanges;

/// A trigger that was made or changed, and the key that was made with it.
pub struct ChangedTrigger {
    /// The trigger.
    pub trigger: HttpTrigger,
    /// The key that was made with it, and its clear text, which is answered here and never again.
    pub new_key: Option<(KeyState, PlainApiKey)>,
}

impl Service {
    /// A flow's triggers with a routing key, oldest first.
    pub fn list_triggers(&self, actor: &Actor, group: &GroupId, flow: &str) -> Result<Vec<HttpTrigger>, ServiceError> {
        let flow = self.flow_for(actor, group, flow, Action::ListTriggers)?;
        let catalog = self.catalog();
        let mut triggers: Vec<_> = catalog.triggers_of(&flow.id).map(|trigger| HttpTrigger::from(&**trigger)).collect();
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
    ) -> Result<HttpTrigger, ServiceError> {
        let flow = self.flow_for(actor, group, flow, Action::GetTrigger)?;
        if flow.execute.id == *id {
            return Ok(flow.execute_trigger());
        }
        let catalog = self.catalog();
        let trigger = catalog.triggers.get(id).filter(|trigger| trigger.flow == flow.id);
        trigger.map(|trigger| HttpTrigger::from(&**trigger)).ok_or_else(not_found)
    }

    /// Makes an HTTP trigger; the server gives it its routing key.
    pub async fn create_trigger(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        mut wanted: TriggerChanges,
    ) -> Result<ChangedTrigger, ServiceError> {
        let flow = self.flow_for(actor, group, flow, Action::CreateTrigger)?;
        let id = TriggerId::from_random(&random_text(20, random))?;
        if wanted.new_key.is_some() {
            // A key that is made for the trigger is the one it accepts, where no others are named.
            wanted.keys.get_or_insert_with(|| Some(Vec::new()));
        }
        let description = wanted.description.take().unwrap_or_default();
        check_description(&description)?;
        let path = wanted.path.take();
        let mut edit = self.edit(actor, group, Action::CreateTrigger).await?;
        // It may have been deleted meanwhile.
        let flow = flows::find(edit.catalog(), group, flow.id.as_str())?;
        let (settings, new_key) =
            self.change_settings(&mut edit, actor, group, &id, HttpSettings::initial(), wanted).await?;
        let path = changed_path(edit.catalog(), group, &id, &settings, None, path)?;
        let trigger = Arc::new(Trigger {
            id,
            path,
            group: group.clone(),
            flow: flow.id.clone(),
            description,
            routing_key: RoutingKey::generate(random),
            settings: Arc::new(settings),
            created: self.now(),
        });
        edit.put(Record::Trigger(trigger.clone()));
        edit.save().await?;
        Ok(ChangedTrigger { trigger: HttpTrigger::from(&*trigger), new_key })
    }

    /// Changes a trigger, with effect on the very next request. What is absent stays.
    pub async fn update_trigger(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        id: &TriggerId,
        mut changes: TriggerChanges,
    ) -> Result<ChangedTrigger, ServiceError> {
        self.flow_for(actor, group, flow, Action::UpdateTrigger)?;
        let mut edit = self.edit(actor, group, Action::UpdateTrigger).await?;
        let (flow, trigger) = find(&edit, group, flow, id)?;
        let before = trigger.as_ref().map_or(&flow.execute.settings, |trigger| &trigger.settings);
        let before = HttpSettings::clone(before);
        let description = changes.description.take();
        check_description(description.as_deref().unwrap_or_default())?;
        let path = changes.path.take();
        let (settings, new_key) = self.change_settings(&mut edit, actor, group, id, before, changes).await?;
        let settings = Arc::new(settings);
        let changed = match trigger {
            Some(trigger) => {
                let mut trigger = Trigger::clone(&trigger);
                trigger.description = description.unwrap_or(trigger.description);
                trigger.path = changed_path(edit.catalog(), group, id, &settings, trigger.path, path)?;
                trigger.settings = settings;
                let changed = HttpTrigger::from(&trigger);
                edit.put(Record::Trigger(Arc::new(trigger)));
                changed
            }
            None if path.is_some_and(|path| path.is_some()) => {
                return Err(built_in("its URL is fixed. Make another trigger of the flow for a path"));
            }
            None => {
                let mut flow = Flow::clone(&flow);
                flow.execute.description = description.unwrap_or(flow.execute.description);
                flow.execute.settings = settings;
                let changed = flow.execute_trigger();
                edit.put(Record::Flow(Arc::new(flow)));
                changed
            }
        };
        edit.save().await?;
        Ok(ChangedTrigger { trigger: changed, new_key })
    }

    /// Gives a trigger a new routing key: its old URL answers 404 from the next request on.
    pub async fn renew_routing_key(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        id: &TriggerId,
    ) -> Result<HttpTrigger, ServiceError> {
        self.flow_for(actor, group, flow, Action::UpdateTrigger)?;
        let mut edit = self.edit(actor, group, Action::UpdateTrigger).await?;
        let (_, trigger) = find(&edit, group, flow, id)?;
        let mut trigger = Trigger::clone(&*trigger.ok_or_else(|| built_in("it has no routing key. Its URL is fixed"))?);
        trigger.routing_key = RoutingKey::generate(random);
        let trigger = Arc::new(trigger);
        edit.put(Record::Trigger(trigger.clone()));
        edit.save().await?;
        Ok(HttpTrigger::from(&*trigger))
    }

    /// Deletes a trigger: its URL answers 404 from the next request on.
    pub async fn delete_trigger(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        id: &TriggerId,
    ) -> Result<(), ServiceError> {
        self.flow_for(actor, group, flow, Action::DeleteTrigger)?;
        let mut edit = self.edit(actor, group, Action::DeleteTrigger).await?;
        let (_, trigger) = find(&edit, group, flow, id)?;
        let stays = || built_in("it cannot be deleted. To close it, let it accept no keys");
        edit.remove(&Record::Trigger(trigger.ok_or_else(stays)?));
        edit.save().await?;
        self.background.spawn(self.clone().forget_trigger(group.clone(), id.clone()));
        Ok(())
    }

    pub(super) fn check_bounds(&self, settings: &HttpSettings) -> Result<(), ServiceError> {
        let bounds = &self.settings;
        let within = |value: Option<u64>, ceiling: u64, what: &str| match value {
            Some(value) if value == 0 || value > ceiling => {
                Err(ServiceError::Invalid(format!("{what} must be between 1 and {ceiling}")))
            }
            _ => Ok(()),
        };
        let ceiling = match settings.respond {
            Respond::Sync => bounds.max_body_ceiling,
            Respond::Async => bounds.max_body_ceiling.min(MAX_QUEUED_BODY),
        };
        within(settings.max_body, ceiling, "max_body")?;
        within(settings.timeout_ms, bounds.timeout_ceiling_ms, "timeout_ms")
    }
}

fn not_found() -> ServiceError {
    ServiceError::NotFound { what: "Trigger" }
}

fn built_in(what: &str) -> ServiceError {
    ServiceError::Conflict(format!("This is the flow's built-in execute trigger; {what}"))
}

/// A flow and its trigger of an id; no trigger stands for the flow's own.
fn find(
    edit: &Edit,
    group: &GroupId,
    flow: &str,
    id: &TriggerId,
) -> Result<(Arc<Flow>, Option<Arc<Trigger>>), ServiceError> {
    let flow = flows::find(edit.catalog(), group, flow)?;
    if flow.execute.id == *id {
        return Ok((flow, None));
    }
    let trigger = edit.catalog().triggers.get(id).filter(|trigger| trigger.flow == flow.id).cloned();
    Ok((flow, Some(trigger.ok_or_else(not_found)?)))
}
