//! Messages about alerts, after Standard Webhooks, on their way to an endpoint.
//!
//! A message lies at `alert-outbox/{id}` from the commit of its alert on, until the endpoint took it or it was given up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;
use uuid::Uuid;

use crate::domain::alert::{Alert, Delivery, DeliveryState};
use crate::domain::id::GroupId;
use crate::domain::signing_secret::SigningSecret;
use crate::service::Service;
use crate::service::alerts::{PAGE, record_key};
use crate::service::error::ServiceError;
use crate::service::record::{decode, encode};
use crate::service::vault::{Place, random};
use crate::store::Batch;

const OUTBOX: &str = "alert-outbox/";
/// How long an endpoint's earlier secret still signs beside the new one.
pub const OVERLAP: SignedDuration = SignedDuration::from_hours(24);
/// How long an endpoint may take over a message.
const WITHIN: Duration = Duration::from_secs(10);
/// How much of an endpoint's answer is read; nothing in it counts but the status.
const MAX_ANSWER: usize = 64 << 10;
/// How long to wait after each try that failed: 24 hours together. After the last one the message is given up.
const PAUSES: [SignedDuration; 9] = [
    SignedDuration::from_secs(5),
    SignedDuration::from_secs(60),
    SignedDuration::from_mins(5),
    SignedDuration::from_mins(30),
    SignedDuration::from_hours(1),
    SignedDuration::from_hours(2),
    SignedDuration::from_hours(4),
    SignedDuration::from_hours(7),
    SignedDuration::from_hours(9),
];
/// Endpoints that are sent to at the same time.
const ENDPOINTS_AT_A_TIME: usize = 8;
/// Messages to one endpoint in one round, so that one with many leaves the others their turn.
const MESSAGES_AT_A_TIME: usize = 20;
/// How often it is looked whether a message is due again.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A message that was not taken yet.
#[derive(Serialize, Deserialize)]
pub(super) struct Message {
    id: String,
    group: Option<GroupId>,
    /// The record of its alert.
    alert: String,
    body: String,
    attempts: u32,
    due: Timestamp,
}

/// A message about an alert, as it lies in the store: its key and its value.
pub(super) fn message(alert: &Alert, what: &str, now: Timestamp) -> (String, Vec<u8>) {
    let body = json!({
        "type": what,
        "timestamp": now,
        "data": {
            "id": alert.id,
            "group": alert.cause.group,
            "kind": alert.cause.kind,
            "subject": alert.cause.subject.to_string(),
            "environment": alert.environment,
            "state": alert.state(),
            "message": alert.message,
            "details": alert.details,
            "opened": alert.opened,
            "last_seen": alert.last_seen,
            "count": alert.count,
            "closed": alert.closed,
        },
    });
    let message = Message {
        id: format!("msg_{}", Uuid::now_v7().simple()),
        group: alert.cause.group.clone(),
        alert: record_key(alert),
        body: body.to_string(),
        attempts: 0,
        due: now,
    };
    (format!("{OUTBOX}{}", message.id), encode(&message))
}

/// What an endpoint's secret is bound to.
pub(in crate::service) fn endpoint_place(group: &GroupId) -> Place<'_> {
    Place { group: group.as_str(), record: "alert-endpoint", field: "secret" }
}

impl Service {
    /// Whether alerts of a group, or of the server, are sent somewhere.
    pub(super) fn has_endpoint(&self, group: Option<&GroupId>) -> bool {
        match group {
            None => self.alerts.server.is_some(),
            Some(group) => self.catalog.load().groups.get(group).is_some_and(|group| group.alert_endpoint.is_some()),
        }
    }

    /// Sends the messages that are due, each once. What fails is due again later.
    pub async fn deliver_alerts(self: &Arc<Self>) -> Result<(), ServiceError> {
        let _delivering = self.alerts.delivering.lock().await;
        let now = self.now();
        let mut due: BTreeMap<Option<GroupId>, Vec<Message>> = BTreeMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.scan(OUTBOX, after.as_deref(), PAGE);
            let page = page.map_err(ServiceError::internal("reading messages about alerts"))?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (_, record) in &page {
                let message: Message = decode(&record.value)?;
                let of_endpoint = due.entry(message.group.clone()).or_default();
                if message.due <= now && of_endpoint.len() < MESSAGES_AT_A_TIME {
                    of_endpoint.push(message);
                }
            }
        }
        let sending = due.into_iter().map(|(group, messages)| self.send_all(group, messages));
        let results: Vec<_> = futures::stream::iter(sending).buffer_unordered(ENDPOINTS_AT_A_TIME).collect().await;
        results.into_iter().collect()
    }

    /// Sends the messages to one endpoint one after the other, until one fails.
    async fn send_all(&self, group: Option<GroupId>, messages: Vec<Message>) -> Result<(), ServiceError> {
        for message in messages {
            let Some((url, secrets)) = self.endpoint(group.as_ref()).await? else {
                // The endpoint was taken away, and with it the wish to be told.
                self.settle(message, None).await?;
                continue;
            };
            let result = self.send_message(&url, &secrets, &message).await;
            let failed = result.is_err();
            self.settle(message, Some(result)).await?;
            if failed {
                break;
            }
        }
        Ok(())
    }

    /// Where messages of a group, or of the server, go, and the secrets they are signed with.
    async fn endpoint(&self, group: Option<&GroupId>) -> Result<Option<(Url, Vec<SigningSecret>)>, ServiceError> {
        let Some(id) = group else {
            return Ok(self.alerts.server.as_ref().map(|server| (server.url.clone(), server.secrets.clone())));
        };
        let catalog = self.catalog();
        let Some(endpoint) = catalog.groups.get(id).and_then(|group| group.alert_endpoint.as_ref()) else {
            return Ok(None);
        };
        let mut secrets = Vec::new();
        for secret in &endpoint.secrets {
            if secret.not_after.is_some_and(|end| end <= self.now()) {
                continue;
            }
            let opened = self.vault.open_secret(endpoint_place(id), &secret.sealed).await;
            let opened = opened.map_err(ServiceError::internal("opening the secret of an alert endpoint"))?;
            let secret = SigningSecret::parse(opened.expose_secret());
            secrets.push(secret.map_err(ServiceError::internal("reading the secret of an alert endpoint"))?);
        }
        Ok(Some((endpoint.url.clone(), secrets)))
    }

    async fn send_message(&self, url: &Url, secrets: &[SigningSecret], message: &Message) -> Result<(), String> {
        let timestamp = self.now().as_second();
        let signatures: Vec<_> =
            secrets.iter().map(|secret| secret.sign(&message.id, timestamp, &message.body)).collect();
        let request = http::Request::post(url.as_str())
            .header(http::header::CONTENT_TYPE, "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signatures.join(" "))
            .body(Bytes::from(message.body.clone()))
            .map_err(|_| "the URL cannot be sent to".to_owned())?;
        let answer = self.alerts.client.send(request, WITHIN, MAX_ANSWER).await.map_err(|error| error.to_string())?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status if status.is_redirection() => {
                Err(format!("the endpoint answered {}, and redirects are not followed", status.as_u16()))
            }
            status => Err(format!("the endpoint answered {}", status.as_u16())),
        }
    }

    /// Writes what became of a message; `None` when there is nobody to send it to.
    async fn settle(&self, mut message: Message, result: Option<Result<(), String>>) -> Result<(), ServiceError> {
        let now = self.now();
        let key = format!("{OUTBOX}{}", message.id);
        message.attempts += u32::from(result.is_some());
        let (state, error) = match result {
            None => (None, None),
            Some(Ok(())) => (Some(DeliveryState::Delivered), None),
            Some(Err(error)) if (message.attempts as usize) <= PAUSES.len() => {
                (Some(DeliveryState::Pending), Some(error))
            }
            Some(Err(error)) => (Some(DeliveryState::Undeliverable), Some(error)),
        };
        let delivery = state.map(|state| Delivery { state, attempts: message.attempts, at: Some(now), error });
        if let Some(Delivery { state: DeliveryState::Undeliverable, error, .. }) = &delivery {
            tracing::warn!(webhook = %message.id, group = message.group.as_ref().map(GroupId::as_str), error, "a message about an alert is given up");
        }
        let batch = if state == Some(DeliveryState::Pending) {
            message.due = now + pause(message.attempts);
            Batch::new().put(key, encode(&message))
        } else {
            Batch::new().delete(key)
        };
        let mut open = self.alerts.open.lock().await;
        let record = self.store.get(&message.alert).map_err(ServiceError::internal("reading an alert"))?;
        let mut alert: Option<Alert> = record.map(|record| decode(&record.value)).transpose()?;
        let mut held =
            alert.as_ref().and_then(|alert| open.alerts.get_mut(&alert.cause).filter(|held| held.alert.id == alert.id));
        if let Some(held) = &mut held {
            held.alert.delivery.clone_from(&delivery);
            alert = Some(held.alert.clone());
        }
        let batch = match &mut alert {
            Some(alert) => {
                alert.delivery = delivery;
                batch.put(message.alert, encode(alert))
            }
            // Old alerts are deleted; their messages are not waited for.
            None => batch,
        };
        self.store.commit(batch).await.map(drop).map_err(ServiceError::internal("writing what became of a message"))
    }

    /// Delivers what is due until the server stops; what is left then is sent after the next start.
    pub(in crate::service) async fn keep_delivering(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.alerts.waiting.notified() => {}
                () = self.stopping.cancelled() => return,
            }
            tokio::select! {
                result = self.deliver_alerts() => if let Err(error) = result {
                    tracing::error!(error = &error as &dyn std::error::Error, "alerts could not be delivered; it is tried again");
                },
                () = self.stopping.cancelled() => return,
            }
        }
    }
}

/// How long to wait after a number of tries, longer or shorter by up to a fifth, so that many messages do not come at once.
fn pause(attempts: u32) -> SignedDuration {
    let pause = PAUSES[(attempts as usize).clamp(1, PAUSES.len()) - 1];
    let mut byte = [0];
    random(&mut byte);
    let percent = 80 + i32::from(byte[0]) * 40 / 255;
    pause * percent / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_spread_over_a_day() {
        let total: i64 = PAUSES.iter().map(SignedDuration::as_secs).sum();
        assert!((23 * 3600..25 * 3600).contains(&total), "{total}");
        for attempts in [1, 5, 9, 100] {
            let pause = pause(attempts).as_secs();
            let mean = PAUSES[(attempts as usize).min(PAUSES.len()) - 1].as_secs();
            assert!((mean * 79 / 100..=mean * 121 / 100).contains(&pause), "{attempts}: {pause}");
        }
    }
}
