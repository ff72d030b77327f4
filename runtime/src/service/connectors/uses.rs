//! Who uses a connector, and whether they can go on when it changes.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use headgate_manifest::{FlowManifest, Manifest};

use crate::domain::app_trigger::AppTrigger;
use crate::domain::connection::Connection;
use crate::domain::connector::Connector;
use crate::domain::connector::upgrade::{Break, Consequences, FlowUse, TriggerUse, Users, capitalized};
use crate::domain::digest::ModuleDigest;
use crate::domain::flow::Flow;
use crate::domain::id::{ConnectorName, Environment, GroupId};
use crate::service::Service;
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;

/// What breaks that is told in a message; the answer's details have all of it.
const MOST_TOLD: usize = 5;

/// A change of a connector that is not made, as something would break by it.
#[derive(Debug, Clone)]
pub struct Incompatible {
    /// Which connector.
    pub connector: ConnectorName,
    /// What would break.
    pub breaks: Vec<Break>,
    /// What people should know besides.
    pub warnings: Vec<String>,
}

impl fmt::Display for Incompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "The connector \"{}\" stays as it is, as something would break.", self.connector)?;
        for broken in self.breaks.iter().take(MOST_TOLD) {
            write!(f, " {} {}. {}.", capitalized(&broken.what), broken.why, broken.remedy)?;
        }
        if self.breaks.len() > MOST_TOLD {
            write!(f, " And {} more.", self.breaks.len() - MOST_TOLD)?;
        }
        f.write_str(" To change the connector all the same: --force")
    }
}

/// What those flows say of themselves that were pushed to an earlier server, by module. It has to be asked of them, which
/// takes long: it is done before others have to wait for it.
#[derive(Default)]
pub(super) struct Asked(HashMap<ModuleDigest, FlowManifest>);

/// Who uses a connector.
pub(super) struct ConnectorUsers {
    connections: Vec<Arc<Connection>>,
    flows: Vec<FlowUse>,
    triggers: Vec<TriggerUse>,
    of_many_groups: bool,
}

impl ConnectorUsers {
    /// What it means for them when one manifest gives way to another.
    pub(super) fn consequences(self, old: &Manifest, new: &Manifest) -> Consequences {
        let connections = self.connections.iter().map(|connection| &**connection).collect();
        let (flows, triggers, of_many_groups) = (self.flows, self.triggers, self.of_many_groups);
        Consequences::of(old, new, &Users { connections, flows, triggers, of_many_groups })
    }
}

impl Service {
    /// Asks those flows about themselves that may use a connector and of which it is not written down.
    pub(super) async fn ask_users(&self, group: Option<&GroupId>, name: &ConnectorName) -> Result<Asked, ServiceError> {
        let catalog = self.catalog();
        let mut asked = Asked::default();
        for flow in catalog.flows.values().filter(|flow| group.is_none_or(|group| flow.group == *group)) {
            for (environment, publication) in &flow.published {
                let is_known = asked.0.contains_key(&publication.digest);
                if is_known || !uses(&catalog, flow, environment, name) {
                    continue;
                }
                if self.stored_manifest(flow, publication.version)?.is_none() {
                    let version = self.find_version(flow, publication.version)?;
                    asked.0.insert(publication.digest, self.manifest_of(flow, &version).await?);
                }
            }
        }
        Ok(asked)
    }

    /// Who uses a connector, or will once it is installed: in its group, or in the groups that have none of its name.
    pub(super) async fn connector_users(
        &self,
        catalog: &Catalog,
        connector: &Connector,
        asked: &Asked,
    ) -> Result<ConnectorUsers, ServiceError> {
        let connections: Vec<_> = connections_of(catalog, connector).cloned().collect();
        let mut flows = Vec::new();
        let concerned = catalog.flows.values().filter(|flow| concerns(catalog, connector, &flow.group));
        for flow in concerned.cloned().collect::<Vec<_>>() {
            flows.extend(self.flow_uses(catalog, &flow, connector, asked).await?);
        }
        let of_many_groups = connector.group.is_none();
        let triggers = polls(catalog, connector).collect();
        Ok(ConnectorUsers { connections, flows, triggers, of_many_groups })
    }

    /// The published versions of a flow that use a connector.
    async fn flow_uses(
        &self,
        catalog: &Catalog,
        flow: &Flow,
        connector: &Connector,
        asked: &Asked,
    ) -> Result<Vec<FlowUse>, ServiceError> {
        let mut found = Vec::new();
        for (environment, publication) in &flow.published {
            if !uses(catalog, flow, environment, &connector.name) {
                continue;
            }
            let version = self.find_version(flow, publication.version)?;
            let slots = match asked.0.get(&version.digest) {
                Some(said) => said.slots.clone(),
                // Written down, or published a moment ago.
                None => self.manifest_of(flow, &version).await?.slots,
            };
            let leads_here = |slot: &str| leads_to(catalog, flow, environment, slot, &connector.name);
            let slots = slots.map(|slots| slots.into_iter().filter(|slot| leads_here(&slot.name)).collect::<Vec<_>>());
            let of_group =
                if connector.group.is_none() { format!(" of the group {}", flow.group) } else { String::new() };
            found.push(FlowUse {
                what: format!("the flow \"{}\"{of_group}, version {} in {environment}", flow.name, version.version),
                slots,
            });
        }
        Ok(found)
    }
}

/// Whether a slot of a flow is bound to a connection of this connector.
fn leads_to(catalog: &Catalog, flow: &Flow, environment: &Environment, slot: &str, name: &ConnectorName) -> bool {
    let connection = flow.bound(environment, slot).and_then(|id| catalog.connections.get(id));
    connection.is_some_and(|connection| connection.connector == *name)
}

/// Whether any slot is.
fn uses(catalog: &Catalog, flow: &Flow, environment: &Environment, name: &ConnectorName) -> bool {
    let mut slots = flow.slots.get(environment).into_iter().flatten();
    slots.any(|(slot, _)| leads_to(catalog, flow, environment, slot.as_str(), name))
}

/// Whether a connector is the one that a group uses, or will be once it is installed.
fn concerns(catalog: &Catalog, connector: &Connector, group: &GroupId) -> bool {
    match &connector.group {
        Some(own) => own == group,
        None => catalog.installed(Some(group), &connector.name).is_none(),
    }
}

/// The app triggers that are polled through a connector.
fn polls(catalog: &Catalog, connector: &Connector) -> impl Iterator<Item = TriggerUse> {
    let of_connector = |trigger: &&Arc<AppTrigger>| {
        let connection = catalog.connections.get(&trigger.connection);
        connection.is_some_and(|connection| {
            connection.connector == connector.name && concerns(catalog, connector, &connection.group)
        })
    };
    catalog.app_triggers.values().filter(of_connector).map(|trigger| TriggerUse {
        what: format!("the app trigger {} of the group {}", trigger.id, trigger.group),
        trigger: trigger.trigger.clone(),
    })
}

fn connections_of<'a>(catalog: &'a Catalog, connector: &'a Connector) -> impl Iterator<Item = &'a Arc<Connection>> {
    let all = catalog.connections.values().filter(|connection| connection.connector == connector.name);
    all.filter(|connection| concerns(catalog, connector, &connection.group))
}

/// Refuses a change by which something breaks, unless it is forced; answers what people should know.
pub(super) fn check(name: &ConnectorName, found: Consequences, force: bool) -> Result<Vec<String>, ServiceError> {
    let Consequences { breaks, mut warnings } = found;
    if breaks.is_empty() {
        return Ok(warnings);
    }
    if !force {
        return Err(ServiceError::Incompatible(Box::new(Incompatible { connector: name.clone(), breaks, warnings })));
    }
    warnings
        .extend(breaks.into_iter().map(|broken| format!("Broken: {} {}. {}", broken.what, broken.why, broken.remedy)));
    Ok(warnings)
}

/// Refuses to remove a connector without which connections are left: by name in a group, by number for the server's.
pub(super) fn check_unused(catalog: &Catalog, connector: &Connector) -> Result<(), ServiceError> {
    let uses = connections_of(catalog, connector);
    let mut users: Vec<String> = if connector.group.is_some() {
        uses.map(|one| format!("{} ({})", one.name, one.environment)).collect()
    } else {
        let mut counts = BTreeMap::<&GroupId, usize>::new();
        for connection in uses {
            *counts.entry(&connection.group).or_default() += 1;
        }
        counts.iter().map(|(group, count)| format!("{count} connection(s) of the group {group}")).collect()
    };
    users.sort();
    if users.is_empty() {
        return Ok(());
    }
    Err(ServiceError::Conflict(format!(
        "The connector \"{}\" is used by: {}. Delete these connections first",
        connector.name,
        users.join(", ")
    )))
}
