//! Checks of what is imported: modules as at a push, and that records fit together.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use headgate_manifest::Manifest;
use serde_json::{Value, json};

use super::Plan;
use crate::domain::digest::ModuleDigest;
use crate::domain::flow::{Flow, FlowVersion};
use crate::domain::id::GroupId;
use crate::service::Service;
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;
use crate::service::export::module_of;

impl Service {
    /// Puts each module to the same test as a push. Where a connection may send its secrets follows from its connector's
    /// manifest, so the module's own takes the place of what the archive says.
    pub(super) async fn check_modules(&self, plan: &mut Plan) -> Result<(), ServiceError> {
        let modules = plan.modules.iter().map(|bytes| (ModuleDigest::of(bytes), bytes.clone()));
        let modules: HashMap<_, _> = modules.collect();
        let mut flows = BTreeSet::new();
        let mut manifests = HashMap::new();
        for entry in &mut plan.contents.entries {
            let Some(digest) = module_of(&entry.kind, &entry.record) else { continue };
            let bytes = modules.get(&digest).ok_or_else(|| broken(format!("the module {digest} is missing")))?;
            if entry.kind == "flow-version" {
                if flows.insert(digest) {
                    self.wasm.load_flow(bytes).await?;
                }
                continue;
            }
            if !manifests.contains_key(&digest) {
                manifests.insert(digest, self.own_manifest(bytes).await?);
            }
            put_manifest(&mut entry.record, &manifests[&digest])?;
        }
        let checked = |bytes: &Bytes| {
            flows.contains(&ModuleDigest::of(bytes)) || manifests.contains_key(&ModuleDigest::of(bytes))
        };
        plan.modules.retain(checked);
        Ok(())
    }

    /// What a connector's module says of itself.
    async fn own_manifest(&self, bytes: &Bytes) -> Result<Manifest, ServiceError> {
        let module = self.wasm.load_connector(bytes).await?;
        let manifest = self.wasm.describe(&module).await;
        let manifest =
            manifest.map_err(|error| ServiceError::Module(format!("A connector does not describe itself: {error}")))?;
        let faults = manifest.faults();
        if faults.is_empty() {
            return Ok(manifest);
        }
        Err(ServiceError::Module(format!("A connector's manifest cannot be used: {}", faults.join("; "))))
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
    let environments = |environment| match record.has(environment) {
        true => Ok(()),
        false => Err(broken(format!("the group has no environment {environment}"))),
    };
    for flow in catalog.flows.values().filter(|flow| flow.group == *group) {
        flow.published.keys().try_for_each(environments)?;
        check_flow(catalog, flow, &versions)?;
    }
    for trigger in catalog.triggers.values().filter(|trigger| trigger.group == *group) {
        if catalog.flows.get(&trigger.flow).is_none_or(|flow| flow.group != *group) {
            return Err(broken(format!("the flow of the trigger {} is missing", trigger.id)));
        }
    }
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
