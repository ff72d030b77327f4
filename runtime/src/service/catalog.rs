//! Everything the hot path needs to know, as one immutable snapshot.
//!
//! It is derived from the store's records and swapped whole after each commit: what a request sees is always
//! a state that was committed.

use std::sync::Arc;

use rpds::HashTrieMapSync;

use crate::domain::api_key::ApiKey;
use crate::domain::connection::Connection;
use crate::domain::connector::Connector;
use crate::domain::flow::Flow;
use crate::domain::group::Group;
use crate::domain::id::{ApiKeyId, ConnectionId, ConnectorName, FlowId, GroupId, Name, TriggerId};
use crate::domain::trigger::{RoutingKey, Trigger};
use crate::service::record::Record;

type Map<K, V> = HashTrieMapSync<K, Arc<V>>;

/// A snapshot of all configuration. Cloning it is cheap: clones share what did not change.
#[derive(Clone, Default)]
pub struct Catalog {
    /// Groups by name.
    pub groups: Map<GroupId, Group>,
    /// API keys by their public part.
    pub api_keys: Map<ApiKeyId, ApiKey>,
    /// Connectors by group and name.
    pub connectors: Map<(GroupId, ConnectorName), Connector>,
    /// Connections by id.
    pub connections: Map<ConnectionId, Connection>,
    /// Flows by id.
    pub flows: Map<FlowId, Flow>,
    /// Triggers by id.
    pub triggers: Map<TriggerId, Trigger>,
    /// Triggers by routing key.
    routes: Map<RoutingKey, Trigger>,
    /// Flows by group and name.
    flow_names: HashTrieMapSync<(GroupId, Name), FlowId>,
}

impl Catalog {
    /// The trigger a routing key selects.
    pub fn route(&self, key: &RoutingKey) -> Option<&Arc<Trigger>> {
        self.routes.get(key)
    }

    /// A group's flow, by its id or its name.
    pub fn flow(&self, group: &GroupId, id_or_name: &str) -> Option<&Arc<Flow>> {
        let id = match id_or_name.parse::<FlowId>() {
            Ok(id) => id,
            Err(_) => self.flow_names.get(&(group.clone(), id_or_name.parse().ok()?))?.clone(),
        };
        self.flows.get(&id).filter(|flow| flow.group == *group)
    }

    /// Takes a record in, in place of an older version of it.
    pub fn put(&mut self, record: Record) {
        match record {
            Record::Group(group) => self.groups.insert_mut(group.id.clone(), group),
            Record::ApiKey(key) => self.api_keys.insert_mut(key.id.clone(), key),
            Record::Connector(connector) => {
                self.connectors.insert_mut((connector.group.clone(), connector.name.clone()), connector);
            }
            Record::Connection(connection) => self.connections.insert_mut(connection.id.clone(), connection),
            Record::Flow(flow) => {
                self.flow_names.insert_mut((flow.group.clone(), flow.name.clone()), flow.id.clone());
                self.flows.insert_mut(flow.id.clone(), flow);
            }
            Record::Trigger(trigger) => {
                self.routes.insert_mut(trigger.routing_key.clone(), trigger.clone());
                self.triggers.insert_mut(trigger.id.clone(), trigger);
            }
        }
    }

    /// Lets a record go.
    pub fn remove(&mut self, record: &Record) {
        match record {
            Record::Group(group) => drop(self.groups.remove_mut(&group.id)),
            Record::ApiKey(key) => drop(self.api_keys.remove_mut(&key.id)),
            Record::Connector(connector) => {
                self.connectors.remove_mut(&(connector.group.clone(), connector.name.clone()));
            }
            Record::Connection(connection) => drop(self.connections.remove_mut(&connection.id)),
            Record::Flow(flow) => {
                self.flow_names.remove_mut(&(flow.group.clone(), flow.name.clone()));
                self.flows.remove_mut(&flow.id);
            }
            Record::Trigger(trigger) => {
                self.routes.remove_mut(&trigger.routing_key);
                self.triggers.remove_mut(&trigger.id);
            }
        }
    }
}
