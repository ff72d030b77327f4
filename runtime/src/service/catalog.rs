//! Everything the hot path needs to know, as one immutable snapshot.
//!
//! It is derived from the store's records and swapped whole after each commit: what a request sees is always
//! a state that was committed.

pub mod api_keys;
pub mod paths;

use std::ops::Bound;
use std::sync::Arc;

use imbl::{HashMap, OrdMap, OrdSet};

use crate::domain::api_key::ApiKey;
use crate::domain::app_registration::AppRegistration;
use crate::domain::app_trigger::AppTrigger;
use crate::domain::connection::Connection;
use crate::domain::connector::Connector;
use crate::domain::digest::ModuleDigest;
use crate::domain::flow::Flow;
use crate::domain::group::{Group, HostName};
use crate::domain::id::{
    AppRegistrationId, ConnectionId, ConnectorName, Environment, FlowId, GroupId, Name, SessionId, TriggerId, UserId,
};
use crate::domain::permission::Role;
use crate::domain::published_app::PublishedApp;
use crate::domain::schedule::Schedule;
use crate::domain::trigger::{RoutingKey, Trigger};
use crate::domain::user::{Email, Member, Session, User};
use crate::service::catalog::api_keys::ApiKeys;
use crate::service::catalog::paths::Paths;
use crate::service::record::Record;

type Map<K, V> = HashMap<K, Arc<V>>;

/// A snapshot of all configuration. Cloning it is cheap: clones share what did not change.
#[derive(Clone, Default)]
pub struct Catalog {
    /// Groups by name.
    pub groups: Map<GroupId, Group>,
    /// API keys by their public part, and by group and name.
    pub api_keys: ApiKeys,
    /// Connectors by where they are installed and name: in a group, or on the server.
    pub connectors: Map<(Option<GroupId>, ConnectorName), Connector>,
    /// Connections by id.
    pub connections: Map<ConnectionId, Connection>,
    /// App registrations by id.
    pub app_registrations: Map<AppRegistrationId, AppRegistration>,
    /// Flows by id.
    pub flows: Map<FlowId, Flow>,
    /// Triggers by id.
    pub triggers: Map<TriggerId, Trigger>,
    /// Triggers by group, environment and path.
    pub paths: Paths,
    /// Schedules by id: in order, so that the scheduler finds what changed without looking at all of them.
    pub schedules: OrdMap<TriggerId, Arc<Schedule>>,
    /// App triggers by id, in order for the same reason.
    pub app_triggers: OrdMap<TriggerId, Arc<AppTrigger>>,
    /// Users by id.
    pub users: Map<UserId, User>,
    /// Sessions by id.
    pub sessions: Map<SessionId, Session>,
    /// Published apps by group and slug.
    apps: OrdMap<(GroupId, Name), Arc<PublishedApp>>,
    /// Triggers by routing key.
    routes: Map<RoutingKey, Trigger>,
    /// Triggers by flow.
    flow_triggers: OrdSet<(FlowId, TriggerId)>,
    /// Flows by group and name.
    flow_names: HashMap<(GroupId, Name), FlowId>,
    /// Groups by host name.
    hosts: HashMap<HostName, GroupId>,
    /// How often each module is published: in how many environments of how many flows.
    published: HashMap<ModuleDigest, usize>,
    /// Users by address.
    emails: HashMap<Email, UserId>,
    /// Members by group and user.
    members: OrdMap<(GroupId, UserId), Arc<Member>>,
}

impl Catalog {
    /// The trigger a routing key selects.
    pub fn route(&self, key: &RoutingKey) -> Option<&Arc<Trigger>> {
        self.routes.get(key)
    }

    /// The group whose host name this is.
    pub fn group_at(&self, host: &HostName) -> Option<&GroupId> {
        self.hosts.get(host)
    }

    /// A flow's triggers with a routing key, by id.
    pub fn triggers_of(&self, flow: &FlowId) -> impl Iterator<Item = &Arc<Trigger>> {
        let flow = flow.clone();
        // No trigger's id comes before the lowest one there can be.
        let lowest = TriggerId::from_random(&"0".repeat(20)).expect("20 digits");
        let from = Bound::Included((flow.clone(), lowest));
        let found = self.flow_triggers.range((from, Bound::Unbounded)).take_while(move |(of, _)| *of == flow);
        found.filter_map(|(_, id)| self.triggers.get(id))
    }

    /// A group's published apps, by slug.
    pub fn apps_of(&self, group: &GroupId) -> impl Iterator<Item = &Arc<PublishedApp>> {
        let group = group.clone();
        self.apps.iter().map(|(_, app)| app).filter(move |app| app.group == group)
    }

    /// A group's published app.
    pub fn app(&self, group: &GroupId, slug: &Name) -> Option<&Arc<PublishedApp>> {
        self.apps.get(&(group.clone(), slug.clone()))
    }

    /// A flow's schedules, oldest first.
    pub fn schedules_of(&self, flow: &FlowId) -> Vec<Arc<Schedule>> {
        let mut found: Vec<_> = self.schedules.values().filter(|schedule| schedule.flow == *flow).cloned().collect();
        found.sort_by_key(|schedule| schedule.created);
        found
    }

    /// A flow's app triggers, oldest first.
    pub fn app_triggers_of(&self, flow: &FlowId) -> Vec<Arc<AppTrigger>> {
        let mut found: Vec<_> = self.app_triggers.values().filter(|trigger| trigger.flow == *flow).cloned().collect();
        found.sort_by_key(|trigger| trigger.created);
        found
    }

    /// A group's flow, by its id or its name.
    pub fn flow(&self, group: &GroupId, id_or_name: &str) -> Option<&Arc<Flow>> {
        let id = match id_or_name.parse::<FlowId>() {
            Ok(id) => id,
            Err(_) => self.flow_names.get(&(group.clone(), id_or_name.parse().ok()?))?.clone(),
        };
        self.flows.get(&id).filter(|flow| flow.group == *group)
    }

    /// Whether a module is published anywhere.
    pub fn is_published(&self, digest: &ModuleDigest) -> bool {
        self.published.contains_key(digest)
    }

    /// The connector of a name that a group's connections use: its own, or else the server's.
    pub fn connector(&self, group: &GroupId, name: &ConnectorName) -> Option<&Arc<Connector>> {
        self.installed(Some(group), name).or_else(|| self.installed(None, name))
    }

    /// The connector of a name that is installed in a group, or on the server.
    pub fn installed(&self, group: Option<&GroupId>, name: &ConnectorName) -> Option<&Arc<Connector>> {
        self.connectors.get(&(group.cloned(), name.clone()))
    }

    /// A group's API keys, by name.
    pub fn keys_of(&self, group: &GroupId) -> impl Iterator<Item = &Arc<ApiKey>> {
        self.api_keys.of(group)
    }

    /// A group's API key of a name.
    pub fn key_named(&self, group: &GroupId, name: &Name) -> Option<&Arc<ApiKey>> {
        self.api_keys.named(group, name)
    }

    /// A user, by their address.
    pub fn user_by_email(&self, email: &Email) -> Option<&Arc<User>> {
        self.users.get(self.emails.get(email)?)
    }

    /// A group's members.
    pub fn members_of(&self, group: &GroupId) -> impl Iterator<Item = &Arc<Member>> {
        let group = group.clone();
        self.members.iter().map(|(_, member)| member).filter(move |member| member.group == group)
    }

    /// The groups a user belongs to.
    pub fn memberships(&self, user: &UserId) -> impl Iterator<Item = &Arc<Member>> {
        let user = user.clone();
        self.members.iter().map(|(_, member)| member).filter(move |member| member.user == user)
    }

    /// That a user belongs to a group.
    pub fn member(&self, group: &GroupId, user: &UserId) -> Option<&Arc<Member>> {
        self.members.get(&(group.clone(), user.clone()))
    }

    /// What a user may do in a group; `None` for somebody who is no member.
    pub fn role(&self, group: &GroupId, user: &UserId) -> Option<Role> {
        self.member(group, user).map(|member| member.role)
    }

    /// Takes a record in, in place of an older version of it; answers that one.
    pub fn put(&mut self, record: Record) -> Option<Record> {
        match record {
            Record::Group(group) => self.put_group(group).map(Record::Group),
            Record::ApiKey(key) => self.put_key(key).map(Record::ApiKey),
            Record::Connector(connector) => {
                let key = (connector.group.clone(), connector.name.clone());
                self.connectors.insert(key, connector).map(Record::Connector)
            }
            Record::Connection(connection) => {
                self.connections.insert(connection.id.clone(), connection).map(Record::Connection)
            }
            Record::AppRegistration(registration) => {
                self.app_registrations.insert(registration.id.clone(), registration).map(Record::AppRegistration)
            }
            Record::Flow(flow) => self.put_flow(flow).map(Record::Flow),
            Record::Trigger(trigger) => {
                self.flow_triggers.insert((trigger.flow.clone(), trigger.id.clone()));
                self.paths.put(&trigger);
                let old = self.triggers.insert(trigger.id.clone(), trigger.clone());
                if let Some(old) = &old {
                    self.routes.remove(&old.routing_key);
                }
                self.routes.insert(trigger.routing_key.clone(), trigger);
                old.map(Record::Trigger)
            }
            Record::PublishedApp(app) => {
                self.apps.insert((app.group.clone(), app.slug.clone()), app).map(Record::PublishedApp)
            }
            Record::Schedule(schedule) => self.schedules.insert(schedule.id.clone(), schedule).map(Record::Schedule),
            Record::AppTrigger(trigger) => {
                self.app_triggers.insert(trigger.id.clone(), trigger).map(Record::AppTrigger)
            }
            Record::User(user) => {
                self.emails.insert(user.email.clone(), user.id.clone());
                let old = self.users.insert(user.id.clone(), user.clone());
                if let Some(old) = old.as_ref().filter(|old| old.email != user.email) {
                    self.emails.remove(&old.email);
                }
                old.map(Record::User)
            }
            Record::Member(member) => {
                self.members.insert((member.group.clone(), member.user.clone()), member).map(Record::Member)
            }
            Record::Session(session) => self.sessions.insert(session.id.clone(), session).map(Record::Session),
        }
    }

    fn put_group(&mut self, group: Arc<Group>) -> Option<Arc<Group>> {
        let old = self.groups.insert(group.id.clone(), group.clone());
        if let Some(host) = old.as_ref().and_then(|old| old.host.as_ref()) {
            self.hosts.remove(host);
        }
        if let Some(host) = &group.host {
            self.hosts.insert(host.clone(), group.id.clone());
        }
        old
    }

    fn put_flow(&mut self, flow: Arc<Flow>) -> Option<Arc<Flow>> {
        self.count_published(&flow, 1);
        let old = self.flows.insert(flow.id.clone(), flow.clone());
        if let Some(old) = &old {
            self.count_published(old, -1);
            self.flow_names.remove(&(old.group.clone(), old.name.clone()));
        }
        self.flow_names.insert((flow.group.clone(), flow.name.clone()), flow.id.clone());
        old
    }

    fn count_published(&mut self, flow: &Flow, times: isize) {
        for publication in flow.published.values() {
            let before = self.published.get(&publication.digest).copied().unwrap_or_default();
            match before.saturating_add_signed(times) {
                0 => self.published.remove(&publication.digest),
                count => self.published.insert(publication.digest, count),
            };
        }
    }

    /// Keys share the texts they have in common: their group's name and their environment's.
    fn put_key(&mut self, mut key: Arc<ApiKey>) -> Option<Arc<ApiKey>> {
        if let (Some(group), Some(key)) = (self.groups.get(&key.group), Arc::get_mut(&mut key)) {
            key.group = group.id.clone();
            let shared = group.environments.iter().find(|environment| **environment == key.environment);
            key.environment = shared.map_or_else(|| key.environment.clone(), Environment::clone);
        }
        self.api_keys.insert(key)
    }

    /// Lets a record go.
    pub fn remove(&mut self, record: &Record) {
        match record {
            Record::Group(group) => {
                group.host.as_ref().map(|host| self.hosts.remove(host));
                self.groups.remove(&group.id);
            }
            Record::ApiKey(key) => self.api_keys.remove(key),
            Record::Connector(connector) => {
                self.connectors.remove(&(connector.group.clone(), connector.name.clone()));
            }
            Record::Connection(connection) => drop(self.connections.remove(&connection.id)),
            Record::AppRegistration(registration) => drop(self.app_registrations.remove(&registration.id)),
            Record::Flow(flow) => {
                self.flow_names.remove(&(flow.group.clone(), flow.name.clone()));
                if let Some(flow) = self.flows.remove(&flow.id) {
                    self.count_published(&flow, -1);
                }
            }
            Record::Trigger(trigger) => {
                self.routes.remove(&trigger.routing_key);
                self.paths.remove(trigger);
                self.flow_triggers.remove(&(trigger.flow.clone(), trigger.id.clone()));
                self.triggers.remove(&trigger.id);
            }
            Record::PublishedApp(app) => drop(self.apps.remove(&(app.group.clone(), app.slug.clone()))),
            Record::Schedule(schedule) => drop(self.schedules.remove(&schedule.id)),
            Record::AppTrigger(trigger) => drop(self.app_triggers.remove(&trigger.id)),
            Record::User(user) => {
                self.emails.remove(&user.email);
                self.users.remove(&user.id);
            }
            Record::Member(member) => drop(self.members.remove(&(member.group.clone(), member.user.clone()))),
            Record::Session(session) => drop(self.sessions.remove(&session.id)),
        }
    }
}
