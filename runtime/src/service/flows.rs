//! Flows: making and changing them, binding their slots.

mod changes;
mod checks;
mod publish;
mod versions;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::flow::{ExecuteTrigger, Flow};
use crate::domain::id::{ConnectionId, Environment, FlowId, GroupId, Name, Slot, TriggerId};
use crate::domain::permission::Action;
use crate::domain::secret::random_text;
use crate::domain::trigger::HttpSettings;
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::catalog::Catalog;
use crate::service::check_description;
use crate::service::connections::{self, NewConnection};
use crate::service::error::ServiceError;
use crate::service::record::Record;
use crate::service::vault::random;

pub use changes::FlowChange;
pub(super) use checks::check_manifest;
pub use checks::{Missing, NotPublishable};
pub use publish::{MAX_ENTRIES_LISTED, Published};
pub(super) use versions::undescribed;
pub use versions::{Compared, MAX_LISTED, NewVersion, Pushed, VersionName};

impl Service {
    /// A group's flows, by name.
    pub fn list_flows(&self, actor: &Actor, group: &GroupId) -> Result<Vec<Arc<Flow>>, ServiceError> {
        let catalog = self.catalog();
        actor.authorise(&catalog, group, Action::ListFlows)?;
        let seen = |flow: &&Arc<Flow>| flow.group == *group && actor.sees_flow(&flow.id);
        let mut flows: Vec<_> = catalog.flows.values().filter(seen).cloned().collect();
        flows.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(flows)
    }

    /// One flow, by its id or its name.
    pub fn get_flow(&self, actor: &Actor, group: &GroupId, flow: &str) -> Result<Arc<Flow>, ServiceError> {
        self.flow_for(actor, group, flow, Action::GetFlow)
    }

    /// One flow, for somebody who may do something with it.
    pub(super) fn flow_for(
        &self,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        action: Action,
    ) -> Result<Arc<Flow>, ServiceError> {
        let catalog = self.catalog();
        actor.authorise(&catalog, group, action)?;
        find(&catalog, group, flow).and_then(|flow| {
            if actor.sees_flow(&flow.id) { Ok(flow) } else { Err(ServiceError::NotFound { what: "Flow" }) }
        })
    }

    /// Makes a flow, without versions yet.
    pub async fn create_flow(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        name: Name,
        description: String,
    ) -> Result<Arc<Flow>, ServiceError> {
        check_description(&description)?;
        let mut edit = self.edit(actor, group, Action::CreateFlow).await?;
        if edit.catalog().flow(group, name.as_str()).is_some() {
            let message =
                format!("A flow named \"{name}\" exists already. Choose another name, or push a version of it");
            return Err(ServiceError::Conflict(message));
        }
        let flow = Arc::new(Flow {
            id: FlowId::from_random(&random_text(20, random))?,
            group: group.clone(),
            name,
            description,
            latest: 0,
            published: BTreeMap::new(),
            history: BTreeMap::new(),
            slots: BTreeMap::new(),
            execute: ExecuteTrigger {
                id: TriggerId::from_random(&random_text(20, random))?,
                description: String::new(),
                settings: Arc::new(HttpSettings::initial()),
            },
            created: self.now(),
        });
        edit.put(Record::Flow(flow.clone()));
        edit.save().await?;
        Ok(flow)
    }

    /// Makes a connection and binds a slot to it, both or none.
    pub async fn bind_slot_to_new(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        slot: Slot,
        new: NewConnection,
    ) -> Result<Arc<Flow>, ServiceError> {
        self.flow_for(actor, group, flow, Action::BindSlot)?;
        let connection = self.prepare_connection(actor, group, new).await?;
        let mut edit = self.edit(actor, group, Action::BindSlot).await?;
        actor.authorise(edit.catalog(), group, Action::CreateConnection)?;
        let mut flow = Flow::clone(&*find(edit.catalog(), group, flow)?);
        connections::add(&mut edit, connection.clone())?;
        flow.slots.entry(connection.environment.clone()).or_default().insert(slot, connection.id.clone());
        let flow = Arc::new(flow);
        edit.put(Record::Flow(flow.clone()));
        edit.save().await?;
        Ok(flow)
    }

    /// Binds a slot to a connection in an environment, or unbinds it.
    pub async fn bind_slot(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        slot: Slot,
        environment: Environment,
        connection: Option<ConnectionId>,
    ) -> Result<Arc<Flow>, ServiceError> {
        actor.authorise(&self.catalog(), group, Action::BindSlot)?;
        self.check_environment(group, &environment)?;
        actor.authorise_environment(&environment)?;
        let mut edit = self.edit(actor, group, Action::BindSlot).await?;
        let mut flow = Flow::clone(&*find(edit.catalog(), group, flow)?);
        let slots = flow.slots.entry(environment.clone()).or_default();
        match connection {
            Some(id) => {
                let connection = edit.catalog().connections.get(&id).filter(|connection| connection.group == *group);
                let connection = connection.ok_or(ServiceError::NotFound { what: "Connection" })?;
                if connection.environment != environment {
                    return Err(ServiceError::Invalid(format!(
                        "The connection \"{}\" belongs to {}, the slot is to be bound in {environment}. Make a connection there",
                        connection.name, connection.environment
                    )));
                }
                slots.insert(slot, id);
            }
            None => drop(slots.remove(&slot)),
        }
        let flow = Arc::new(flow);
        edit.put(Record::Flow(flow.clone()));
        edit.save().await?;
        Ok(flow)
    }
}

// Where what belongs to a flow lies beside it in the store.

fn version_prefix(flow: &Flow) -> String {
    format!("flow-version/{}/{}/", flow.group, flow.id)
}

fn version_key(flow: &Flow, version: u32) -> String {
    format!("{}{version:010}", version_prefix(flow))
}

fn manifest_prefix(flow: &Flow) -> String {
    format!("flow-manifest/{}/{}/", flow.group, flow.id)
}

fn manifest_key(flow: &Flow, version: u32) -> String {
    format!("{}{version:010}", manifest_prefix(flow))
}

fn history_prefix(flow: &Flow) -> String {
    format!("flow-publication/{}/{}/", flow.group, flow.id)
}

fn entry_prefix(flow: &Flow, environment: &Environment) -> String {
    format!("{}{environment}/", history_prefix(flow))
}

fn entry_key(flow: &Flow, environment: &Environment, number: u32) -> String {
    format!("{}{number:010}", entry_prefix(flow, environment))
}

/// A group's flow, by its id or its name.
pub(super) fn find(catalog: &Catalog, group: &GroupId, flow: &str) -> Result<Arc<Flow>, ServiceError> {
    catalog.flow(group, flow).cloned().ok_or(ServiceError::NotFound { what: "Flow" })
}
