//! Checks of what is imported: modules as at a push, and that records fit together.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use headgate_manifest::Manifest;
use serde_json::{Value, json};

use super::Plan;
use crate::domain::digest::ModuleDigest;
use crate::domain::flow::{Flow, FlowVersion};
use crate::domain::id::{Environment, FlowId, GroupId};
use crate::service::Service;
use crate::service::catalog::Catalog;
use crate::service::connectors::check_manifest;
use crate::service::error::ServiceError;
use crate::service::export::module_of;

impl Service {
    /// Puts each module to the same test as a push. Where a connection may send its secrets follows from its connector's
    /// manifest, and what is checked of a flow from what it says of itself: the modules' own words take the place of the
    /// archive's.
    pub(super) async fn check_modules(&self, plan: &mut Plan) -> Result<(), ServiceError> {
        let modules = plan.modules.iter().map(|bytes| (ModuleDigest::of(bytes), bytes.clone()));
        let modules: HashMap<_, _> = modules.collect();
        let (mut flows, mut connectors) = (HashMap::new(), HashMap::new());
        let mut versions = HashMap::new();
        for entry in &mut plan.contents.entries {
            let Some(digest) = module_of(&entry.kind, &entry.record) else { continue };
            let bytes = modules.get(&digest).ok_or_else(|| broken(format!("the module {digest} is missing")))?;
            if entry.kind == "flow-version" {
                if let Entry::Vacant(vacant) = flows.entry(digest) {
                    vacant.insert(self.admit_flow(bytes).await?.manifest);
                }
                versions.insert(entry.key.clone(), digest);
                continue;
            }
            let manifest = match connectors.entry(digest) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(vacant) => {
                    let manifest = self.admit_connector(bytes).await?.manifest;
                    check_manifest(&manifest)?;
                    vacant.insert(manifest)
                }
            };
            put_manifest(&mut entry.record, manifest)?;
        }
        for entry in plan.contents.entries.iter_mut().filter(|entry| entry.kind == "flow-manifest") {
            let manifest = versions.get(&entry.key).and_then(|digest| flows.get(digest));
            let manifest = manifest.ok_or_else(|| broken(format!("the flow's version {} is missing", entry.key)))?;
            entry.record = json!(manifest);
        }
        plan.modules.retain(|bytes| {
            let digest = ModuleDigest::of(bytes);
            flows.contains_key(&digest) || connectors.contains_key(&digest)
        });
        Ok(())
    }
}

fn put_manifest(record: &mut Value, manifest: &Manifest) -> Result<(), ServiceError> {
    if let Some(name) = record.get("name").and_then(Value::as_str).filter(|name| *name != manifest.name) {
        return Err(broken(format!("the module of the connector {name} calls itself {}", manifest.name)));
    }
    if let Some(told) = record.get_mut("manifest") {
        *told = json!(manifest);
    }
    Ok(())
}

fn broken(reason: String) -> ServiceError {
    ServiceError::Invalid(format!("The archive does not hold together: {reason}. Export anew"))
}

/// Checks that records lead to records which are there.
pub(super) fn references(catalog: &Catalog, group: &GroupId, versions: Vec<Value>) -> Result<(), ServiceError> {
    let versions = versions.into_iter().map(serde_json::from_value::<FlowVersion>).collect::<Result<Vec<_>, _>>();
    let versions = versions.map_err(|error| broken(format!("a version of a flow: {error}")))?;
    let record = catalog.groups.get(group).ok_or_else(|| broken("the group is missing".to_owned()))?;
    let environments = |environment: &Environment| match record.has(environment) {
        true => Ok(()),
        false => Err(broken(format!("the group has no environment {environment}"))),
    };
    for flow in catalog.flows.values().filter(|flow| flow.group == *group) {
        flow.published.keys().try_for_each(environments)?;
        check_flow(catalog, flow, &versions)?;
    }
    triggers(catalog, group, environments)?;
    for connection in catalog.connections.values().filter(|connection| connection.group == *group) {
        environments(&connection.environment)?;
        let registration = connection.oauth.as_ref().map(|part| &part.registration);
        let found = registration.map(|id| catalog.app_registrations.get(id));
        if let Some(found) = found
            && found.is_none_or(|found| found.group.as_ref().is_some_and(|of| of != group))
        {
            return Err(broken(format!("the app registration of the connection {} is missing", connection.name)));
        }
    }
    catalog.keys_of(group).try_for_each(|key| environments(&key.environment))
}

/// Checks that all that fires a flow leads to one of the group, in one of its environments.
fn triggers(
    catalog: &Catalog,
    group: &GroupId,
    environments: impl Fn(&Environment) -> Result<(), ServiceError>,
) -> Result<(), ServiceError> {
    let flow = |id: &FlowId, of: &str, name: &str| match catalog.flows.get(id) {
        Some(flow) if flow.group == *group => Ok(()),
        _ => Err(broken(format!("the flow of the {of} {name} is missing"))),
    };
    for trigger in catalog.triggers.values().filter(|trigger| trigger.group == *group) {
        flow(&trigger.flow, "trigger", trigger.id.as_str())?;
    }
    for app in catalog.apps_of(group) {
        flow(&app.flow, "published app", app.slug.as_str())?;
    }
    for schedule in catalog.schedules.values().filter(|schedule| schedule.group == *group) {
        flow(&schedule.flow, "schedule", schedule.id.as_str())?;
        environments(&schedule.environment)?;
    }
    for trigger in catalog.app_triggers.values().filter(|trigger| trigger.group == *group) {
        flow(&trigger.flow, "app trigger", trigger.id.as_str())?;
        let connection = catalog.connections.get(&trigger.connection).filter(|connection| connection.group == *group);
        if connection.is_none_or(|connection| connection.environment != trigger.environment) {
            return Err(broken(format!("the connection of the app trigger {} is missing", trigger.id)));
        }
    }
    Ok(())
}

fn check_flow(catalog: &Catalog, flow: &Arc<Flow>, versions: &[FlowVersion]) -> Result<(), ServiceError> {
    if catalog.flow(&flow.group, flow.name.as_str()).is_none_or(|named| named.id != flow.id) {
        return Err(broken(format!("two flows are named {}", flow.name)));
    }
    for publication in flow.published.values() {
        let mut own = versions.iter().filter(|version| version.flow == flow.id);
        if !own.any(|version| version.version == publication.version && version.digest == publication.digest) {
            return Err(broken(format!("version {} of the flow {} is missing", publication.version, flow.name)));
        }
    }
    for id in flow.slots.values().flat_map(|slots| slots.values()) {
        if catalog.connections.get(id).is_none_or(|connection| connection.group != flow.group) {
            return Err(broken(format!("the connection {id} of the flow {} is missing", flow.name)));
        }
    }
    Ok(())
}
