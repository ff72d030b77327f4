//! App triggers: a connector is asked for new records, and each record runs a flow. Here people make and change them.

mod changes;
mod intake;
mod poll;
mod poller;

use std::sync::Arc;

use crate::domain::app_trigger::{AppTrigger, PollState};
use crate::domain::flow::Flow;
use crate::domain::id::{ConnectionId, GroupId, TriggerId};
use crate::domain::permission::Action;
use crate::domain::run::LogLine;
use crate::domain::secret::random_text;
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::catalog::Catalog;
use crate::service::edit::Edit;
use crate::service::error::ServiceError;
use crate::service::flows;
use crate::service::record::{Record, decode};
use crate::service::vault::random;
use crate::store::Sequence;

pub use changes::AppTriggerChanges;
pub(super) use poller::Poller;

const STATES: &str = "app-trigger-state/";
/// The most app triggers of one flow: they lie in memory with all configuration.
const MAX_OF_FLOW: usize = 100;

/// An app trigger, and how it stands.
#[derive(Debug, Clone)]
pub struct AppTriggerDetails {
    /// The trigger.
    pub trigger: Arc<AppTrigger>,
    /// How it stands.
    pub state: PollState,
    /// The newest poll of this server's life.
    pub last: Option<LastPoll>,
}

/// A poll that ended.
#[derive(Debug, Clone)]
pub struct LastPoll {
    /// When it began.
    pub at: jiff::Timestamp,
    /// When the next one is due.
    pub next: jiff::Timestamp,
    /// What the connector said meanwhile, without secrets.
    pub log: Vec<LogLine>,
}

impl Service {
    /// A flow's app triggers, oldest first.
    pub fn list_app_triggers(
        &self,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
    ) -> Result<Vec<AppTriggerDetails>, ServiceError> {
        let flow = self.flow_for(actor, group, flow, Action::ListAppTriggers)?;
        let triggers = self.catalog().app_triggers_of(&flow.id).into_iter();
        let seen = triggers.filter(|trigger| actor.sees_environment(&trigger.environment));
        seen.map(|trigger| self.app_trigger_details(trigger)).collect()
    }

    /// One app trigger of a flow.
    pub fn get_app_trigger(
        &self,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        id: &TriggerId,
    ) -> Result<AppTriggerDetails, ServiceError> {
        let flow = self.flow_for(actor, group, flow, Action::GetAppTrigger)?;
        self.app_trigger_details(find(&self.catalog(), actor, &flow, id)?)
    }

    /// Makes an app trigger. What the app has already is not new; its first poll, which is done soon, finds where the new
    /// begins.
    pub async fn create_app_trigger(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        wanted: AppTriggerChanges,
    ) -> Result<AppTriggerDetails, ServiceError> {
        let flow = self.flow_for(actor, group, flow, Action::CreateAppTrigger)?;
        let id = TriggerId::from_random(&random_text(20, random))?;
        let trigger = Arc::new(wanted.make(&self.catalog(), actor, &flow, id, self.now())?);
        let mut edit = self.edit(actor, group, Action::CreateAppTrigger).await?;
        // It may have been deleted meanwhile.
        let flow = flows::find(edit.catalog(), group, flow.id.as_str())?;
        let of_flow = edit.catalog().app_triggers_of(&flow.id).len();
        if of_flow >= MAX_OF_FLOW {
            let message =
                format!("The flow \"{}\" has {of_flow} app triggers, and can have no more. Delete one", flow.name);
            return Err(ServiceError::Conflict(message));
        }
        changes::check_still_there(edit.catalog(), actor, &trigger)?;
        edit.put(Record::AppTrigger(trigger.clone()));
        edit.save().await?;
        self.app_trigger_details(trigger)
    }

    /// Changes an app trigger. What is absent stays. One that is told to look for something else begins anew: what the
    /// app has then is not new.
    pub async fn update_app_trigger(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        id: &TriggerId,
        changes: AppTriggerChanges,
    ) -> Result<AppTriggerDetails, ServiceError> {
        let catalog = self.catalog();
        let before = find(&catalog, actor, &*self.flow_for(actor, group, flow, Action::UpdateAppTrigger)?, id)?;
        let trigger = Arc::new(changes.apply(&catalog, actor, &before, self.now())?);
        let mut edit = self.edit(actor, group, Action::UpdateAppTrigger).await?;
        if find_in(&edit, actor, group, flow, id)? != before {
            let message = "The app trigger was changed by somebody else meanwhile. Try again".to_owned();
            return Err(ServiceError::Conflict(message));
        }
        changes::check_still_there(edit.catalog(), actor, &trigger)?;
        edit.put(Record::AppTrigger(trigger.clone()));
        edit.save().await?;
        self.app_trigger_details(trigger)
    }

    /// Deletes an app trigger. Runs that it began go on.
    pub async fn delete_app_trigger(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        id: &TriggerId,
    ) -> Result<(), ServiceError> {
        self.flow_for(actor, group, flow, Action::DeleteAppTrigger)?;
        let mut edit = self.edit(actor, group, Action::DeleteAppTrigger).await?;
        let trigger = find_in(&edit, actor, group, flow, id)?;
        remove(&mut edit, trigger);
        edit.save().await
    }

    /// Asks the app now, and answers how the trigger stands after that.
    pub async fn poll_app_trigger(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        id: &TriggerId,
    ) -> Result<AppTriggerDetails, ServiceError> {
        let flow = self.flow_for(actor, group, flow, Action::PollAppTrigger)?;
        let trigger = find(&self.catalog(), actor, &flow, id)?;
        actor.authorise_environment(&trigger.environment)?;
        self.poll_now(&trigger).await?;
        // It may have been changed meanwhile.
        self.app_trigger_details(find(&self.catalog(), actor, &flow, id)?)
    }

    fn app_trigger_details(&self, trigger: Arc<AppTrigger>) -> Result<AppTriggerDetails, ServiceError> {
        let state = self.poll_state(&trigger)?.0;
        let last = self.poller.last(&trigger.id);
        Ok(AppTriggerDetails { trigger, state, last })
    }

    /// How a trigger stands, and by which commit that was written.
    fn poll_state(&self, trigger: &AppTrigger) -> Result<(PollState, Option<Sequence>), ServiceError> {
        let record = self.store.get(&state_key(trigger));
        let record = record.map_err(ServiceError::internal("reading how an app trigger stands"))?;
        let version = record.as_ref().map(|record| record.version);
        let state = record.map(|record| decode::<PollState>(&record.value)).transpose()?.unwrap_or_default();
        Ok((state.of(trigger), version))
    }
}

/// The app triggers that use a connection, as a refusal to delete it names them.
pub(super) fn users(catalog: &Catalog, connection: &ConnectionId) -> Option<String> {
    let triggers = catalog.app_triggers.values().filter(|trigger| trigger.connection == *connection);
    let named = triggers.map(|trigger| {
        let flow =
            catalog.flows.get(&trigger.flow).map_or_else(|| trigger.flow.to_string(), |flow| flow.name.to_string());
        format!("{} of the flow \"{flow}\"", trigger.id)
    });
    let named: Vec<_> = named.collect();
    (!named.is_empty()).then(|| named.join(", "))
}

/// Takes an app trigger out with what is known of it.
pub(super) fn remove(edit: &mut Edit, trigger: Arc<AppTrigger>) {
    edit.remove_beside(&state_key(&trigger));
    edit.remove(&Record::AppTrigger(trigger));
}

fn state_key(trigger: &AppTrigger) -> String {
    format!("{STATES}{}/{}", trigger.group, trigger.id)
}

fn find(catalog: &Catalog, actor: &Actor, flow: &Flow, id: &TriggerId) -> Result<Arc<AppTrigger>, ServiceError> {
    let found = catalog.app_triggers.get(id).filter(|trigger| trigger.flow == flow.id);
    let found = found.filter(|trigger| actor.sees_environment(&trigger.environment));
    found.cloned().ok_or(ServiceError::NotFound { what: "App trigger" })
}

fn find_in(
    edit: &Edit,
    actor: &Actor,
    group: &GroupId,
    flow: &str,
    id: &TriggerId,
) -> Result<Arc<AppTrigger>, ServiceError> {
    find(edit.catalog(), actor, &*flows::find(edit.catalog(), group, flow)?, id)
}
