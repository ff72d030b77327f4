//! Which flows and triggers a key is used by.

use crate::domain::api_key::{ApiKey, KeyPermission};
use crate::domain::flow::Flow;
use crate::domain::id::{FlowId, Name, TriggerId};
use crate::domain::permission::Scope;
use crate::domain::trigger::HttpSettings;
use crate::service::api_keys::names;
use crate::service::catalog::Catalog;

/// What a key can be used for at present.
#[derive(Debug, Clone, Default)]
pub struct KeyUses {
    /// The flows it can run, by name.
    pub flows: Vec<UsedFlow>,
    /// The triggers it can fire, those it is named by first.
    pub triggers: Vec<UsedTrigger>,
}

/// A flow that a key can run.
#[derive(Debug, Clone)]
pub struct UsedFlow {
    /// Its id.
    pub id: FlowId,
    /// Its name.
    pub name: Name,
    /// Whether the key's permission, or a trigger of the flow, names the two together.
    pub named: bool,
}

/// A trigger that a key can fire, or that names it.
#[derive(Debug, Clone)]
pub struct UsedTrigger {
    /// Its id.
    pub id: TriggerId,
    /// Whether it is the flow's built-in execute trigger.
    pub execute: bool,
    /// What it is for.
    pub description: String,
    /// Which flow it runs.
    pub flow: FlowId,
    /// The flow's name.
    pub flow_name: Name,
    /// Whether it names the key, rather than accept every key of the group.
    pub named: bool,
}

/// What a key can be used for.
pub(super) fn of(catalog: &Catalog, key: &ApiKey) -> KeyUses {
    let mut uses = KeyUses::default();
    let runs = key.scopes.has(Scope::FlowsExecute);
    let mut flows: Vec<_> = catalog.flows.values().filter(|flow| flow.group == key.group).collect();
    flows.sort_by(|a, b| a.name.cmp(&b.name));
    for flow in flows {
        let can_run = runs && key.covers(&flow.id);
        let before = uses.triggers.len();
        let uses_it = |settings: &HttpSettings| names(settings, &key.id) || (can_run && settings.keys.accepts(&key.id));
        if uses_it(&flow.execute.settings) {
            let named = names(&flow.execute.settings, &key.id);
            uses.triggers.push(used(flow, &flow.execute.id, true, &flow.execute.description, named));
        }
        for trigger in catalog.triggers_of(&flow.id).filter(|trigger| uses_it(&trigger.settings)) {
            let named = names(&trigger.settings, &key.id);
            uses.triggers.push(used(flow, &trigger.id, false, &trigger.description, named));
        }
        let selected = matches!(&key.permission, KeyPermission::SelectedFlows(flows) if flows.contains(&flow.id));
        let found = &uses.triggers[before..];
        if selected || !found.is_empty() {
            let named = selected || found.iter().any(|trigger| trigger.named);
            uses.flows.push(UsedFlow { id: flow.id.clone(), name: flow.name.clone(), named });
        }
    }
    uses.triggers.sort_by_key(|trigger| !trigger.named);
    uses
}

fn used(flow: &Flow, id: &TriggerId, execute: bool, description: &str, named: bool) -> UsedTrigger {
    UsedTrigger {
        id: id.clone(),
        execute,
        description: description.to_owned(),
        flow: flow.id.clone(),
        flow_name: flow.name.clone(),
        named,
    }
}
