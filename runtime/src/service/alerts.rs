//! Alerts: opened once per cause, acknowledged by a person, closed when the cause is gone.
//!
//! An alert lies at `alert/{group}/{time}-{id}`, the newest first. What the server itself finds is committed directly:
//! it is frequent, and nobody decided it. An acknowledgement is a person's, so it goes through the audit log.

mod connections;
mod delivery;
mod failures;
mod modules;
mod settings;
mod triggers;
mod watch;

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Notify;

use crate::domain::alert::{Acknowledgement, Alert, AlertState, Cause, Delivery, DeliveryState};
use crate::domain::id::{AlertId, ConnectionId, Environment, GroupId};
use crate::domain::permission::Action;
use crate::domain::secret;
use crate::service::Service;
use crate::service::access::{Actor, Who};
use crate::service::alerts::failures::Failures;
use crate::service::alerts::settings::ServerEndpoint;
use crate::service::alerts::watch::Watch;
use crate::service::error::ServiceError;
use crate::service::record::{decode, encode};
use crate::service::vault::random;
use crate::store::{Batch, Store};
use crate::wasm::egress::GuardedClient;

pub use delivery::OVERLAP;
pub(super) use delivery::endpoint_place;
pub use settings::AlertSettings;

const ALERTS: &str = "alert/";
/// Where alerts of the server lie. No group can have this name.
const OF_SERVER: &str = "_server";
/// Records read at a time.
const PAGE: usize = 1000;
/// Alerts answered at most.
pub const MAX_LISTED: usize = 500;
/// Alerts of one group, or of the server, that are open at a time; what comes beyond them is logged.
const MAX_OPEN: usize = 1000;
/// The longest note, in bytes.
const MAX_NOTE: usize = 2000;
/// How long what was seen again may stay in memory only.
const WRITE_SEEN_AFTER: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

/// Alerts, and what they are found from.
pub(super) struct AlertBook {
    settings: AlertSettings,
    server: Option<ServerEndpoint>,
    client: GuardedClient,
    failures: Failures,
    /// Held for each change of alerts.
    open: tokio::sync::Mutex<Open>,
    watch: tokio::sync::Mutex<Watch>,
    delivering: tokio::sync::Mutex<()>,
    /// There is something to deliver.
    waiting: Notify,
    /// How often in a row an app refused a connection's credentials.
    refused: std::sync::Mutex<HashMap<ConnectionId, u32>>,
}

/// Alerts that are not closed.
#[derive(Default)]
struct Open {
    alerts: HashMap<Cause, Held>,
    /// How many of them each group has, and the server.
    of_group: HashMap<Option<GroupId>, usize>,
}

struct Held {
    alert: Alert,
    /// When the record was written last, where something changed since.
    unwritten_since: Option<Timestamp>,
}

/// Something that was seen.
pub(super) struct Finding {
    cause: Cause,
    environment: Option<Environment>,
    message: String,
    details: Value,
    /// How often it was seen since it was looked for last.
    more: u64,
}

impl Open {
    fn insert(&mut self, alert: Alert) {
        *self.of_group.entry(alert.cause.group.clone()).or_default() += 1;
        self.alerts.insert(alert.cause.clone(), Held { alert, unwritten_since: None });
    }

    fn remove(&mut self, cause: &Cause) {
        if self.alerts.remove(cause).is_some()
            && let Some(count) = self.of_group.get_mut(&cause.group)
        {
            *count -= 1;
        }
    }

    /// Takes a place for a further alert of a group; says once when there is none left.
    fn has_place(&mut self, group: &Option<GroupId>) -> bool {
        let count = self.of_group.entry(group.clone()).or_default();
        if *count + 1 == MAX_OPEN {
            tracing::warn!(
                group = group.as_ref().map(GroupId::as_str),
                "{MAX_OPEN} alerts are open; further ones are not opened until some are closed"
            );
        }
        *count < MAX_OPEN
    }
}

fn prefix(group: Option<&GroupId>) -> String {
    format!("{ALERTS}{}/", group.map_or(OF_SERVER, GroupId::as_str))
}

fn record_key(alert: &Alert) -> String {
    // Counts down, so that the newest come first.
    let time = u64::MAX - u64::try_from(alert.opened.as_microsecond()).unwrap_or_default();
    format!("{}{time:020}-{}", prefix(alert.cause.group.as_ref()), alert.id)
}

impl AlertBook {
    /// Reads the open alerts, and the secrets of the server's endpoint.
    pub(super) fn open(
        settings: AlertSettings,
        store: &dyn Store,
        client: GuardedClient,
    ) -> Result<Self, ServiceError> {
        let mut open = Open::default();
        let mut after: Option<String> = None;
        loop {
            let page = store.scan(ALERTS, after.as_deref(), PAGE).map_err(ServiceError::internal("reading alerts"))?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (_, record) in &page {
                let alert: Alert = decode(&record.value)?;
                if alert.closed.is_none() {
                    open.insert(alert);
                }
            }
        }
        let refused = connections::refused_before(open.alerts.keys());
        Ok(Self {
            server: ServerEndpoint::read(&settings)?,
            settings,
            client,
            failures: Failures::default(),
            open: tokio::sync::Mutex::new(open),
            watch: tokio::sync::Mutex::default(),
            delivering: tokio::sync::Mutex::default(),
            waiting: Notify::new(),
            refused: std::sync::Mutex::new(refused),
        })
    }
}

impl Service {
    /// A group's alerts, newest first: of one state, or of all.
    pub async fn list_alerts(
        &self,
        actor: &Actor,
        group: &GroupId,
        state: Option<AlertState>,
    ) -> Result<Vec<Alert>, ServiceError> {
        actor.authorise(&self.catalog(), group, Action::ListAlerts)?;
        let sees =
            |alert: &Alert| alert.environment.as_ref().is_none_or(|environment| actor.sees_environment(environment));
        self.find_alerts(Some(group), state, sees).await
    }

    /// The server's own alerts, newest first: of one state, or of all.
    pub async fn list_server_alerts(
        &self,
        actor: &Actor,
        state: Option<AlertState>,
    ) -> Result<Vec<Alert>, ServiceError> {
        actor.authorise_server(&self.catalog(), Action::ListServerAlerts)?;
        self.find_alerts(None, state, |_| true).await
    }

    async fn find_alerts(
        &self,
        group: Option<&GroupId>,
        state: Option<AlertState>,
        sees: impl Fn(&Alert) -> bool,
    ) -> Result<Vec<Alert>, ServiceError> {
        let open = self.alerts.open.lock().await;
        if matches!(state, Some(AlertState::Open | AlertState::Acknowledged)) {
            let alerts =
                open.alerts.values().map(|held| &held.alert).filter(|alert| alert.cause.group.as_ref() == group);
            let mut found: Vec<_> =
                alerts.filter(|alert| state == Some(alert.state()) && sees(alert)).cloned().collect();
            found.sort_by_cached_key(record_key);
            found.truncate(MAX_LISTED);
            return Ok(found);
        }
        let prefix = prefix(group);
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.scan(&prefix, after.as_deref(), PAGE);
            let page = page.map_err(ServiceError::internal("reading alerts"))?;
            let Some((last, _)) = page.last() else { return Ok(found) };
            after = Some(last.clone());
            for (_, record) in &page {
                let written: Alert = decode(&record.value)?;
                // What was seen since stands in memory only.
                let held = open.alerts.get(&written.cause).filter(|held| held.alert.id == written.id);
                let alert = held.map_or(written, |held| held.alert.clone());
                if state.is_none_or(|state| state == alert.state()) && sees(&alert) {
                    found.push(alert);
                }
                if found.len() == MAX_LISTED {
                    return Ok(found);
                }
            }
        }
    }

    /// Notes that somebody looked at a group's alert.
    pub async fn acknowledge_alert(
        self: &std::sync::Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        id: &AlertId,
        note: Option<String>,
    ) -> Result<Alert, ServiceError> {
        actor.authorise(&self.catalog(), group, Action::AcknowledgeAlert)?;
        self.acknowledge(actor, Some(group), id, note).await
    }

    /// Notes that somebody looked at an alert of the server.
    pub async fn acknowledge_server_alert(
        self: &std::sync::Arc<Self>,
        actor: &Actor,
        id: &AlertId,
        note: Option<String>,
    ) -> Result<Alert, ServiceError> {
        actor.authorise_server(&self.catalog(), Action::AcknowledgeServerAlert)?;
        self.acknowledge(actor, None, id, note).await
    }

    async fn acknowledge(
        self: &std::sync::Arc<Self>,
        actor: &Actor,
        group: Option<&GroupId>,
        id: &AlertId,
        note: Option<String>,
    ) -> Result<Alert, ServiceError> {
        if note.as_ref().is_some_and(|note| note.len() > MAX_NOTE) {
            return Err(ServiceError::Invalid(format!(
                "The note is longer than {MAX_NOTE} bytes. Write a shorter one"
            )));
        }
        let mut open = self.alerts.open.lock().await;
        let held =
            open.alerts.values_mut().find(|held| held.alert.id == *id && held.alert.cause.group.as_ref() == group);
        let held = held.ok_or(ServiceError::NotFound { what: "Open alert" })?;
        let by = match actor.who() {
            Who::User { user, .. } => user.email.to_string(),
            _ => actor.for_audit().name,
        };
        let mut alert = held.alert.clone();
        alert.acknowledged = Some(Acknowledgement { by, at: self.now(), note });
        let mut edit = match group {
            Some(group) => self.edit(actor, group, Action::AcknowledgeAlert).await?,
            None => self.edit_server(actor, Action::AcknowledgeServerAlert).await?,
        };
        edit.put_beside(record_key(&alert), encode(&alert));
        edit.save().await?;
        *held = Held { alert: alert.clone(), unwritten_since: None };
        Ok(alert)
    }

    /// Opens an alert, or counts what was seen of an open one.
    async fn raise(&self, open: &mut Open, finding: Finding) -> Result<(), ServiceError> {
        let now = self.now();
        if let Some(held) = open.alerts.get_mut(&finding.cause) {
            let alert = &mut held.alert;
            if finding.more > 0 || alert.message != finding.message {
                held.unwritten_since.get_or_insert(now);
                (alert.count, alert.last_seen) = (alert.count + finding.more, now);
                (alert.message, alert.details) = (finding.message, finding.details);
            }
            return Ok(());
        }
        if !open.has_place(&finding.cause.group) {
            return Ok(());
        }
        let id = AlertId::from_random(&secret::random_text(20, random))?;
        let mut alert = Alert {
            id,
            cause: finding.cause,
            environment: finding.environment,
            message: finding.message,
            details: finding.details,
            opened: now,
            last_seen: now,
            count: finding.more.max(1),
            acknowledged: None,
            closed: None,
            delivery: None,
        };
        tracing::warn!(alert = %alert.id, group = alert.cause.group.as_ref().map(GroupId::as_str), kind = alert.cause.kind.as_str(), what = %alert.message, "an alert was opened");
        self.commit_alert(&mut alert, "alert.opened").await?;
        open.insert(alert);
        Ok(())
    }

    /// Closes an alert whose cause is gone.
    async fn close(&self, open: &mut Open, cause: &Cause) -> Result<(), ServiceError> {
        let Some(held) = open.alerts.get(cause) else { return Ok(()) };
        let mut alert = held.alert.clone();
        alert.closed = Some(self.now());
        self.commit_alert(&mut alert, "alert.closed").await?;
        open.remove(cause);
        Ok(())
    }

    /// Writes an alert, and the message about it where there is an endpoint, in one commit.
    async fn commit_alert(&self, alert: &mut Alert, what: &'static str) -> Result<(), ServiceError> {
        let mut batch = Batch::new();
        if self.has_endpoint(alert.cause.group.as_ref()) {
            alert.delivery = Some(Delivery { state: DeliveryState::Pending, attempts: 0, at: None, error: None });
            let (key, message) = delivery::message(alert, what, self.now());
            batch = batch.put(key, message);
        }
        let batch = batch.put(record_key(alert), encode(alert));
        self.store.commit(batch).await.map_err(ServiceError::internal("writing an alert"))?;
        self.alerts.waiting.notify_one();
        Ok(())
    }

    /// Writes what was seen of open alerts.
    pub(super) async fn write_alerts(&self) -> Result<(), ServiceError> {
        self.write_seen(&mut *self.alerts.open.lock().await, |_| true).await
    }

    async fn write_seen(&self, open: &mut Open, due: impl Fn(Timestamp) -> bool) -> Result<(), ServiceError> {
        let due = |held: &&mut Held| held.unwritten_since.is_some_and(&due);
        let mut changed: Vec<_> = open.alerts.values_mut().filter(due).collect();
        for part in changed.chunks_mut(PAGE) {
            let put = |batch: Batch, held: &&mut Held| batch.put(record_key(&held.alert), encode(&held.alert));
            let batch = part.iter().fold(Batch::new(), put);
            self.store.commit(batch).await.map_err(ServiceError::internal("writing alerts"))?;
            part.iter_mut().for_each(|held| held.unwritten_since = None);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alert::{AlertKind, Subject};

    #[test]
    fn a_bounded_number_of_alerts_is_open_in_each_group() {
        let alert = |group: &str, n: usize| Alert {
            id: format!("alr_{n:020}").parse().unwrap(),
            cause: Cause {
                group: Some(group.parse().unwrap()),
                kind: AlertKind::KeyExpiring,
                subject: Subject::Key(format!("key{n:09}").parse().unwrap()),
            },
            environment: None,
            message: String::new(),
            details: Value::Null,
            opened: Timestamp::UNIX_EPOCH,
            last_seen: Timestamp::UNIX_EPOCH,
            count: 1,
            acknowledged: None,
            closed: None,
            delivery: None,
        };
        let (acme, rival) = (Some("acme".parse().unwrap()), Some("rival".parse().unwrap()));
        let mut open = Open::default();
        for n in 0..MAX_OPEN {
            assert!(open.has_place(&acme), "{n}");
            open.insert(alert("acme", n));
        }
        assert!(!open.has_place(&acme) && open.has_place(&rival) && open.has_place(&None));
        open.remove(&alert("rival", 7).cause);
        assert!(!open.has_place(&acme));
        open.remove(&alert("acme", 7).cause);
        assert!(open.has_place(&acme));
    }
}
