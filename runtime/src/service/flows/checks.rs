//! What stands in the way of publishing a version: slots, connections and methods that do not fit what it declares.

use std::sync::Arc;

use headgate_manifest::{FlowManifest, Manifest, MethodUse, SlotUse};

use crate::domain::compatibility::method_misfits;
use crate::domain::connection::Connection;
use crate::domain::flow::Flow;
use crate::domain::id::{ConnectorName, Environment, Slot};
use crate::domain::oauth::lacks_scopes;
use crate::service::Service;
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;

/// Slots a flow may declare, and methods in all of them: far more than a flow has, and few enough to be checked while a
/// publication waits.
const MAX_SLOTS: usize = 64;
const MAX_METHODS: usize = 256;

/// Something that a version needs and does not find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The slot.
    pub slot: String,
    /// The method, where it is about one.
    pub method: Option<String>,
    /// What is missing, as a sentence without its full stop.
    pub cause: String,
    /// What to do, likewise.
    pub remedy: String,
}

/// Why a version is not published.
#[derive(Debug, Clone)]
pub struct NotPublishable {
    /// Which flow, by its name.
    pub flow: String,
    /// Which version.
    pub version: u32,
    /// Where it was to be published.
    pub environment: Environment,
    /// All that is missing.
    pub missing: Vec<Missing>,
}

impl std::fmt::Display for NotPublishable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { flow, version, environment, missing } = self;
        write!(f, "Version {version} of \"{flow}\" cannot be published in {environment}; nothing was changed.")?;
        for (index, Missing { cause, remedy, .. }) in missing.iter().enumerate() {
            write!(f, " ({}) {cause}. {remedy}.", index + 1)?;
        }
        Ok(())
    }
}

/// Checks that what a flow says of itself can be relied on.
pub(in crate::service) fn check_manifest(manifest: &FlowManifest) -> Result<(), String> {
    let slots = manifest.slots.as_deref().unwrap_or_default();
    let methods: usize = slots.iter().map(|slot| slot.methods.len()).sum();
    if slots.len() > MAX_SLOTS || methods > MAX_METHODS {
        return Err(format!("a flow declares at most {MAX_SLOTS} slots and {MAX_METHODS} methods"));
    }
    for (index, slot) in slots.iter().enumerate() {
        slot.name.parse::<Slot>().map_err(|error| format!("the slot \"{}\": {error}", slot.name))?;
        let connector = slot.connector.parse::<ConnectorName>();
        connector.map_err(|error| format!("the connector \"{}\": {error}", slot.connector))?;
        if slots[..index].iter().any(|other| other.name == slot.name) {
            return Err(format!("the slot \"{}\" is declared twice", slot.name));
        }
    }
    Ok(())
}

impl Service {
    /// All that a version needs in an environment and does not find there; nothing for a flow that declares nothing.
    pub(super) fn missing_for(
        &self,
        catalog: &Catalog,
        flow: &Flow,
        environment: &Environment,
        manifest: &FlowManifest,
    ) -> Result<Vec<Missing>, ServiceError> {
        let mut missing = Vec::new();
        for slot in manifest.slots.iter().flatten() {
            self.check_slot(catalog, flow, environment, slot, &mut missing)?;
        }
        Ok(missing)
    }

    fn check_slot(
        &self,
        catalog: &Catalog,
        flow: &Flow,
        environment: &Environment,
        slot: &SlotUse,
        missing: &mut Vec<Missing>,
    ) -> Result<(), ServiceError> {
        let SlotUse { name, connector, methods } = slot;
        let mut tell = |method: Option<&str>, cause: String, remedy: String| {
            missing.push(Missing { slot: name.clone(), method: method.map(str::to_owned), cause, remedy });
        };
        let bound = flow.bound(environment, name).and_then(|id| catalog.connections.get(id));
        let bound = bound.filter(|found| found.group == flow.group && found.environment == *environment);
        let is_fit = |connection: &&Arc<Connection>| connection.connector.as_str() == connector;
        match bound {
            None => {
                let cause = format!("The slot \"{name}\" is bound to no connection in {environment}");
                tell(None, cause, bind(catalog, flow, environment, slot));
            }
            Some(other) if !is_fit(&other) => {
                let cause = format!(
                    "The slot \"{name}\" is bound to \"{}\", a connection of \"{}\", and wants one of \"{connector}\"",
                    other.name, other.connector
                );
                tell(None, cause, bind(catalog, flow, environment, slot));
            }
            Some(connection) => {
                if let Some((cause, remedy)) = self.trouble(connection)? {
                    let cause = format!(
                        "The connection \"{}\" in the slot \"{name}\" cannot be used: {cause}",
                        connection.name
                    );
                    tell(None, cause, remedy);
                }
            }
        }
        let installed =
            connector.parse().ok().and_then(|connector: ConnectorName| catalog.connector(&flow.group, &connector));
        let Some(installed) = installed else {
            let remedy = "Install it: headgate connectors install FILE.wasm".to_owned();
            tell(None, format!("The connector \"{connector}\" of the slot \"{name}\" is not installed"), remedy);
            return Ok(());
        };
        for method in methods {
            if let Some((cause, remedy)) = check_method(&installed.manifest, method) {
                tell(Some(&method.name), cause, remedy);
            }
        }
        if let Some((connection, granted)) =
            bound.filter(is_fit).and_then(|connection| Some((connection, self.granted_scopes(connection)?)))
        {
            for (method, cause) in lacking_scopes(&installed.manifest, connection, &granted, slot) {
                let remedy =
                    format!("Authorize it again with that scope: headgate connections authorize {}", connection.id);
                tell(Some(method), cause, remedy);
            }
        }
        Ok(())
    }
}

/// The methods that a connection's consent does not cover, and why.
fn lacking_scopes<'a>(
    manifest: &Manifest,
    connection: &Connection,
    granted: &[String],
    slot: &'a SlotUse,
) -> Vec<(&'a str, String)> {
    let lacking = slot.methods.iter().filter_map(|method| {
        let offered = manifest.methods.iter().find(|offered| offered.name == method.name)?;
        lacks_scopes(granted, &offered.scopes).then(|| {
            let cause = format!(
                "The connection \"{}\" in the slot \"{}\" may not use \"{}\", which needs the scope {}",
                connection.name,
                slot.name,
                method.name,
                offered.scopes.join(" or ")
            );
            (method.name.as_str(), cause)
        })
    });
    lacking.collect()
}

/// How to bind a slot: to a connection that there is, or to one that is made for it.
fn bind(catalog: &Catalog, flow: &Flow, environment: &Environment, slot: &SlotUse) -> String {
    let SlotUse { name, connector, .. } = slot;
    let fits = |connection: &&Arc<Connection>| {
        let is_here = connection.group == flow.group && connection.environment == *environment;
        is_here && connection.connector.as_str() == connector
    };
    match catalog.connections.values().filter(fits).min_by(|a, b| a.name.cmp(&b.name)) {
        Some(connection) => {
            format!("Bind it: headgate connections bind {} {name} {} --env {environment}", flow.name, connection.name)
        }
        None => format!(
            "Make a connection for it: headgate connections create --connector {connector} --name {name} --env {environment} --flow {} --slot {name}",
            flow.name
        ),
    }
}

fn check_method(manifest: &Manifest, method: &MethodUse) -> Option<(String, String)> {
    let Manifest { name, version, methods, .. } = manifest;
    let Some(offered) = methods.iter().find(|offered| offered.name == method.name) else {
        let cause = format!("The installed connector \"{name}\" {version} has no method \"{}\"", method.name);
        let remedy = "Install a version of it that has it: headgate connectors install FILE.wasm".to_owned();
        return Some((cause, remedy));
    };
    let misfits = method_misfits(method, offered);
    let cause = || {
        let misfits = misfits.join("; ");
        format!(
            "The method \"{}\" of the installed connector \"{name}\" {version} is another one than the flow was built for: {misfits}",
            method.name
        )
    };
    let remedy = || {
        format!(
            "Build the flow with version {version} of the connector and push it, or install the version that it was built with: headgate connectors install FILE.wasm"
        )
    };
    (!misfits.is_empty()).then(|| (cause(), remedy()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_manifest_that_cannot_be_relied_on_is_refused() {
        let slot = |name: &str, connector: &str| json!({"name": name, "connector": connector});
        let many = |count: usize| (0..count).map(|at| slot(&format!("s{at}"), "hubspot")).collect::<Vec<_>>();
        let methods: Vec<_> = (0..MAX_METHODS + 1).map(|at| json!({"name": format!("m{at}")})).collect();
        for (slots, fault) in [
            (json!(null), None),
            (json!([]), None),
            (json!([slot("crm", "hubspot"), slot("mail", "gmail")]), None),
            (json!(many(MAX_SLOTS)), None),
            (json!(many(MAX_SLOTS + 1)), Some("at most")),
            (json!([{"name": "crm", "connector": "hubspot", "methods": methods}]), Some("at most")),
            (json!([slot("C R M", "hubspot")]), Some("the slot \"C R M\"")),
            (json!([slot("crm", "Hub Spot")]), Some("the connector \"Hub Spot\"")),
            (json!([slot("crm", "hubspot"), slot("crm", "gmail")]), Some("declared twice")),
        ] {
            let manifest = serde_json::from_value(json!({ "slots": slots })).unwrap();
            let found = check_manifest(&manifest).err();
            match fault {
                None => assert_eq!(found, None, "{slots}"),
                Some(fault) => assert!(found.as_ref().is_some_and(|found| found.contains(fault)), "{slots}: {found:?}"),
            }
        }
    }
}
