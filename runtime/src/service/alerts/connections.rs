//! Connections whose credentials an app refuses.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use serde_json::json;

use crate::domain::alert::{AlertKind, Cause, Subject};
use crate::domain::connection::Connection;
use crate::domain::id::ConnectionId;
use crate::service::Service;
use crate::service::alerts::Finding;
use crate::service::catalog::Catalog;
use crate::service::connections::has_left;
use crate::service::error::ServiceError;
use crate::wasm::GuestError;

/// Refusals in a row before a connection counts as broken: one may be a passing fault of the app.
const BROKEN_AFTER: u32 = 2;

/// The connections that were broken when the server ended.
pub(super) fn refused_before<'a>(causes: impl Iterator<Item = &'a Cause>) -> HashMap<ConnectionId, u32> {
    let broken = causes.filter(|cause| cause.kind == AlertKind::ConnectionBroken);
    let broken = broken.filter_map(|cause| match &cause.subject {
        Subject::Connection(connection) => Some((connection.clone(), BROKEN_AFTER)),
        _ => None,
    });
    broken.collect()
}

fn cause(connection: &Connection) -> Cause {
    Cause {
        group: Some(connection.group.clone()),
        kind: AlertKind::ConnectionBroken,
        subject: Subject::Connection(connection.id.clone()),
    }
}

impl Service {
    /// Raises the alert that an app refuses a connection's credentials.
    pub async fn alert_connection_broken(&self, connection: &Connection, reason: &str) -> Result<(), ServiceError> {
        self.raise(&mut *self.alerts.open.lock().await, finding(connection, reason)).await
    }

    /// Closes that alert: the app takes the connection's credentials again.
    pub async fn alert_connection_restored(&self, connection: &Connection) -> Result<(), ServiceError> {
        self.close(&mut *self.alerts.open.lock().await, &cause(connection)).await
    }

    /// Raises the alert that whoever authorized a connection has left the group.
    pub(in crate::service) async fn alert_authorizer_left(&self, connection: &Connection) -> Result<(), ServiceError> {
        let catalog = self.catalog();
        self.raise(&mut *self.alerts.open.lock().await, left_finding(&catalog, connection)).await
    }

    /// Connections whose authorizer has left their group.
    pub(super) fn authorizers_found(catalog: &Catalog) -> Vec<Finding> {
        let left = catalog.connections.values().filter(|connection| has_left(catalog, connection));
        left.map(|connection| left_finding(catalog, connection)).collect()
    }

    /// Whether an app refused a connection's credentials in the last calls.
    pub(in crate::service) fn is_refused(&self, connection: &ConnectionId) -> bool {
        let counts = self.alerts.refused.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(connection).is_some_and(|count| *count >= BROKEN_AFTER)
    }

    /// Raises or closes the alert about a connection, as things stand now: whoever comes last has looked last.
    pub(in crate::service) async fn tend_connection_alert(&self, connection: &Connection) {
        let mut open = self.alerts.open.lock().await;
        let written = match self.connection_fault(connection) {
            Some(reason) => self.raise(&mut open, finding(connection, &reason)).await,
            None => self.close(&mut open, &cause(connection)).await,
        };
        if let Err(error) = written {
            tracing::error!(connection = %connection.id, error = &error as &dyn std::error::Error, "an alert could not be written");
        }
    }

    /// Why a connection does not work, as far as is known.
    fn connection_fault(&self, connection: &Connection) -> Option<String> {
        let refused = || self.is_refused(&connection.id).then(|| "the app refused its credentials".to_owned());
        self.token_fault(connection).or_else(refused)
    }

    /// Begins anew to count refusals: the connection has other credentials.
    pub(in crate::service) fn forget_refusals(&self, connection: &Connection) {
        self.alerts.refused.lock().unwrap_or_else(PoisonError::into_inner).remove(&connection.id);
    }

    /// Lets go of what is known of connections that were deleted.
    pub(super) fn forget_connections(&self, catalog: &Catalog) {
        let mut counts = self.alerts.refused.lock().unwrap_or_else(PoisonError::into_inner);
        counts.retain(|connection, _| catalog.connections.contains_key(connection));
    }

    /// Looks at how a call through a connection ended.
    pub(in crate::service) fn note_call(self: &Arc<Self>, connection: &Arc<Connection>, error: Option<&GuestError>) {
        let refused = error.is_some_and(is_refusal);
        {
            let mut counts = self.alerts.refused.lock().unwrap_or_else(PoisonError::into_inner);
            let before = counts.get(&connection.id).copied().unwrap_or_default();
            match (refused, error) {
                (true, _) => {
                    counts.insert(connection.id.clone(), before.saturating_add(1));
                    if before + 1 < BROKEN_AFTER {
                        return;
                    }
                }
                (false, None) if before > 0 => {
                    counts.remove(&connection.id);
                    if before < BROKEN_AFTER {
                        return;
                    }
                }
                // Another failure says nothing about the credentials.
                _ => return,
            }
        }
        let (service, connection) = (self.clone(), connection.clone());
        self.background.spawn(async move { service.tend_connection_alert(&connection).await });
    }
}

fn finding(connection: &Connection, reason: &str) -> Finding {
    Finding {
        cause: cause(connection),
        environment: Some(connection.environment.clone()),
        message: format!("The connection \"{}\" is broken: {reason}. Renew its credentials", connection.name),
        details: json!({"connection": connection.id, "name": connection.name, "connector": connection.connector, "reason": reason}),
        more: 1,
    }
}

fn left_finding(catalog: &Catalog, connection: &Connection) -> Finding {
    let by = connection.authorized_by().and_then(|by| catalog.users.get(by));
    let who = by.map_or_else(|| "somebody who is no user any more".to_owned(), |user| user.email.to_string());
    Finding {
        cause: Cause { kind: AlertKind::AuthorizerLeft, ..cause(connection) },
        environment: Some(connection.environment.clone()),
        message: format!(
            "The connection \"{}\" works by the consent of {who}, who has left the group. Authorize it again as somebody who stays, or disconnect it: headgate connections authorize {}",
            connection.name, connection.id
        ),
        details: json!({"connection": connection.id, "name": connection.name, "connector": connection.connector, "authorized_by": by.map(|user| &user.email)}),
        more: 0,
    }
}

/// Whether an app refused the credentials, as connectors tell it: by the SDK's code for the status, by the code
/// `unauthorized` where the app has a status or a name of its own for it, or by the status in the details. A connector
/// that says `forbidden` knows better than the status: the credentials are good, and may not do this.
fn is_refusal(error: &GuestError) -> bool {
    let status = || {
        let details: serde_json::Value = serde_json::from_str(error.details.as_deref()?).ok()?;
        details.get("status")?.as_u64()
    };
    match error.code.as_str() {
        "http_401" | "unauthorized" => true,
        "forbidden" => false,
        _ => status() == Some(401),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_whose_authorizer_left_is_not_broken() {
        let cause = |kind, connection: &str| Cause {
            group: None,
            kind,
            subject: Subject::Connection(connection.parse().unwrap()),
        };
        let (left, refused) = (format!("con_{}", "a".repeat(20)), format!("con_{}", "b".repeat(20)));
        let causes = [cause(AlertKind::AuthorizerLeft, &left), cause(AlertKind::ConnectionBroken, &refused)];
        assert_eq!(refused_before(causes.iter()), HashMap::from([(refused.parse().unwrap(), BROKEN_AFTER)]));
    }

    #[test]
    fn a_refusal_is_known_by_its_code_or_its_status() {
        for (code, details, is_refused) in [
            ("http_401", None, true),
            ("unauthorized", Some(r#"{"status": 401}"#), true),
            ("unauthorized", None, true),
            // Slack answers `invalid_auth` with the status 200, Mailchimp `Invalid_Key` with 500.
            ("unauthorized", Some(r#"{"status": 200, "error": "invalid_auth"}"#), true),
            ("unauthorized", Some(r#"{"status": 500, "name": "Invalid_Key"}"#), true),
            ("no_entry", Some(r#"{"status": 401}"#), true),
            // Zoho answers `OAUTH_SCOPE_MISMATCH` with the status 401.
            ("forbidden", Some(r#"{"status": 401}"#), false),
            ("http_403", Some(r#"{"status": 403}"#), false),
            ("unavailable", Some(r#"{"status": 500}"#), false),
            ("broken", Some("401"), false),
            ("broken", None, false),
        ] {
            let mut error = GuestError::lasting(code, "no");
            error.details = details.map(Into::into);
            assert_eq!(is_refusal(&error), is_refused, "{code} {details:?}");
        }
    }
}
