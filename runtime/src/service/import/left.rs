//! What is left to do after an import.

use std::collections::BTreeSet;

use headgate_manifest::{Manifest, OauthGrant};

use super::restore::Restored;
use crate::domain::app_trigger::AppTrigger;
use crate::domain::connection::Connection;
use crate::domain::group::HostName;
use crate::domain::id::GroupId;
use crate::domain::schedule::Schedule;
use crate::service::catalog::Catalog;

/// Why what goes by the time is disabled.
const WAITS: &str = "it is disabled until the other server does its work no more: disable it there first";

/// Something a person has to do before all works as it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftToDo {
    /// What kind of thing it is about, such as `connection`.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Why something is to be done.
    pub why: String,
    /// What to do.
    pub remedy: String,
}

/// Everything of an imported group that is not as it was. `tokens` are the connections whose tokens came along.
pub(super) fn to_do(
    catalog: &Catalog,
    group: &GroupId,
    tokens: &BTreeSet<String>,
    restored: &Restored,
) -> Vec<LeftToDo> {
    let item = |kind: &str, id: &str, name: &str, why: &str, remedy: String| LeftToDo {
        kind: kind.to_owned(),
        id: id.to_owned(),
        name: name.to_owned(),
        why: why.to_owned(),
        remedy,
    };
    let mut left = Vec::new();
    let mut connections: Vec<_> = catalog.connections.values().filter(|found| found.group == *group).collect();
    connections.sort_by(|a, b| (&a.name, &a.environment).cmp(&(&b.name, &b.environment)));
    for connection in connections {
        let (id, name) = (connection.id.as_str(), format!("{} ({})", connection.name, connection.environment));
        match catalog.connector(group, &connection.connector) {
            None => {
                let remedy = format!("headgate -g {group} connectors install FILE");
                let why = format!("its connector {} is not installed here", connection.connector);
                left.push(item("connection", id, &name, &why, remedy));
            }
            Some(connector) => left.extend(differs(connection, &connector.manifest)),
        }
        if let Some((why, remedy)) = credentials(connection, tokens) {
            left.push(item("connection", id, &name, why, format!("headgate -g {group} {remedy}")));
        }
    }
    for id in &restored.without {
        let name = catalog.app_registrations.values().find(|found| found.id.as_str() == id);
        let name = name.map_or_else(String::new, |found| found.name.to_string());
        let remedy = format!("headgate -g {group} app-registrations update {id} --client-secret ask");
        left.push(item("app-registration", id, &name, "its client secret stayed behind", remedy));
    }
    for (kind, id) in &restored.unknown {
        let (name, remedy) = match kind.as_str() {
            "group" => (group.to_string(), format!("headgate groups update {group} --new-alert-secret")),
            _ => (String::new(), "enter it anew; until then it lets nobody in".to_owned()),
        };
        left.push(item(
            kind,
            id,
            &name,
            "its signing secret stayed behind, and one that nobody knows is in its place",
            remedy,
        ));
    }
    for key in catalog.keys_of(group).filter(|key| key.revoked.is_none() && key.secrets.is_empty()) {
        let remedy =
            format!("headgate -g {group} keys regenerate {0}, then headgate -g {group} keys enable {0}", key.name);
        left.push(item(
            "api-key",
            key.id.as_str(),
            key.name.as_str(),
            "values of keys work on one server only; it is disabled",
            remedy,
        ));
    }
    left
}

/// The host name of an imported group belongs to another one here, or to the server.
pub(super) fn host_is_taken(group: &GroupId, host: &HostName) -> LeftToDo {
    LeftToDo {
        kind: "group".to_owned(),
        id: group.to_string(),
        name: group.to_string(),
        why: format!("its host name {host} is another group's here, or the server's own"),
        remedy: "give it one of its own".to_owned(),
    }
}

/// A schedule would have run its flow here and there.
pub(super) fn schedule_waits(group: &GroupId, schedule: &Schedule) -> LeftToDo {
    LeftToDo {
        kind: "schedule".to_owned(),
        id: schedule.id.to_string(),
        name: schedule.cron.clone(),
        why: WAITS.to_owned(),
        remedy: format!("headgate -g {group} schedules update {} {} --enabled true", schedule.flow, schedule.id),
    }
}

/// An app trigger would have found each record here and there.
pub(super) fn app_trigger_waits(group: &GroupId, trigger: &AppTrigger) -> LeftToDo {
    LeftToDo {
        kind: "app-trigger".to_owned(),
        id: trigger.id.to_string(),
        name: trigger.trigger.clone(),
        why: WAITS.to_owned(),
        remedy: format!("headgate -g {group} app-triggers update {} {} --enabled true", trigger.flow, trigger.id),
    }
}

/// What a connection is pinned to came with the archive. Where the connector that is installed says something else,
/// somebody has to look at it.
fn differs(connection: &Connection, manifest: &Manifest) -> Option<LeftToDo> {
    let changes = connection.upgrade(manifest);
    if changes.is_empty() {
        return None;
    }
    let what: Vec<_> = changes.iter().map(|change| change.what.as_str()).collect();
    Some(LeftToDo {
        kind: "connection".to_owned(),
        id: connection.id.to_string(),
        name: format!("{} ({})", connection.name, connection.environment),
        why: format!("what it may reach is not what its connector says here: {}", what.join(", ")),
        remedy: format!("headgate -g {} connections accept-upgrade {}", connection.group, connection.id),
    })
}

/// What a connection lacks, and the command for it.
fn credentials(connection: &Connection, tokens: &BTreeSet<String>) -> Option<(&'static str, String)> {
    let id = &connection.id;
    match &connection.pins.oauth {
        None if connection.is_disconnected() => {
            Some(("its secrets stayed behind", format!("connections update {id} --secret NAME")))
        }
        Some(oauth) if oauth.grant != OauthGrant::ClientCredentials && !tokens.contains(id.as_str()) => {
            Some(("it needs authorization", format!("connections authorize {id}")))
        }
        _ => None,
    }
}
