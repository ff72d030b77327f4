//! Checks of what is imported: modules as at a push, and that records fit together.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use headgate_manifest::Manifest;
use serde_json::Value;

use super::Plan;
use crate::domain::archive::each_text;
use crate::domain::digest::ModuleDigest;
use crate::domain::flow::{Flow, FlowVersion};
use crate::domain::id::GroupId;
use crate::service::Service;
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;

impl Service {
    /// Puts each module to the same test as a push, and compares what a connector says of itself with its record.
    pub(super) async fn check_modules(&self, plan: &Plan) -> Result<(), ServiceError> {
        let modules: HashMap<_, _> = plan.modules.iter().map(|bytes| (ModuleDigest::of(bytes), bytes)).collect();
        let mut checked = std::collections::BTreeSet::new();
        for entry in &plan.contents.entries {
            let of_connector = entry.kind.starts_with("connector");
            let mut named = Vec::new();
            each_text(&entry.record, &mut |text| named.extend(text.parse::<ModuleDigest>().ok()));
            for digest in named {
                let Some(bytes) = modules.get(&digest) else { continue };
                if !checked.insert((of_connector, digest)) {
                    continue;
                }
                match of_connector {
                    true => self.check_connector(bytes, &entry.record).await?,
                    false => drop(self.wasm.load_flow(bytes).await?),
                }
            }
            if let Some(digest) = needed(&entry.kind, &entry.record)
                && !modules.contains_key(&digest)
            {
                return Err(broken(format!("the module {digest} is missing")));
            }
        }
        Ok(())
    }

    async fn check_connector(&self, bytes: &Bytes, record: &Value) -> Result<(), ServiceError> {
        let module = self.wasm.load_connector(bytes).await?;
        let manifest = self.wasm.describe(&module).await;
        let manifest =
            manifest.map_err(|error| ServiceError::Module(format!("A connector does not describe itself: {error}")))?;
        let faults = manifest.faults();
        if !faults.is_empty() {
            return Err(ServiceError::Module(format!("A connector's manifest cannot be used: {}", faults.join("; "))));
        }
        // Where a connection may send its secrets follows from the manifest, so it must be the module's own.
        match record.get("manifest").map(|known| serde_json::from_value::<Manifest>(known.clone())) {
            Some(Ok(known)) if known != manifest || record["name"] != manifest.name.as_str() => {
                Err(broken(format!("the manifest of the connector {} is not its module's", record["name"])))
            }
            Some(Err(error)) => Err(broken(format!("the manifest of the connector {}: {error}", record["name"]))),
            _ => Ok(()),
        }
    }
}

/// The module without which a record is of no use.
fn needed(kind: &str, record: &Value) -> Option<ModuleDigest> {
    let needs = matches!(kind, "connector" | "flow-version");
    needs.then(|| record.get("digest")?.as_str()?.parse().ok()).flatten()
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
