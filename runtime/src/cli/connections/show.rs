//! Connections, as a person reads them.

use jiff::Timestamp;

use crate::cli::output::{facts, table, time};
use crate::domain::connection::{PinChange, TestReport};
use crate::http::connections::{ConnectionView, ScopesView, UseView};

pub(super) fn list(connections: &[ConnectionView]) -> String {
    let head = ["id", "name", "environment", "connector", "auth", "health", "last used"];
    let row = |connection: &ConnectionView| {
        [
            connection.id.to_string(),
            connection.name.to_string(),
            connection.environment.to_string(),
            connection.connector.to_string(),
            connection.auth.clone(),
            connection.health.as_str().to_owned(),
            at(connection.last_used),
        ]
    };
    table(head, connections.iter().map(row), "No connections yet. Make one with `headgate connections create`")
}

pub(super) fn one(connection: &ConnectionView) -> String {
    let config = connection.config.iter().map(|(name, value)| format!("{name}={value}"));
    let secrets = if connection.secrets.is_empty() {
        "none".to_owned()
    } else {
        format!("{} (encrypted, never shown)", connection.secrets.join(", "))
    };
    let error = connection.last_error.as_ref().map(|error| format!("{}  {}", time(error.at), error.message));
    let by = connection.authorized_by.clone().unwrap_or_default();
    let text = facts([
        ("id", connection.id.to_string()),
        ("name", connection.name.to_string()),
        ("environment", connection.environment.to_string()),
        ("connector", connection.connector.to_string()),
        ("auth", format!("{} ({})", connection.auth, connection.kind.as_str())),
        ("reaches", connection.base_urls.join(", ")),
        ("config", config.collect::<Vec<_>>().join(", ")),
        ("secrets", secrets),
        ("health", format!("{}: {}", connection.health.as_str(), connection.health_reason)),
        ("account", connection.account.clone().unwrap_or_default()),
        ("authorized by", if connection.authorizer_left { format!("{by} (has left the group)") } else { by }),
        ("scopes", connection.scopes.as_ref().map(scopes).unwrap_or_default()),
        ("last used", at(connection.last_used)),
        ("last refreshed", at(connection.last_refreshed)),
        ("expires", at(connection.expires)),
        ("last error", error.unwrap_or_default()),
        ("last test", connection.last_test.as_ref().map(test).unwrap_or_default()),
        ("used by", connection.used_by.iter().map(used).collect::<Vec<_>>().join("\n")),
        ("created", time(connection.created)),
    ]);
    if connection.upgrade.is_empty() {
        return text;
    }
    let hint = format!(
        "Its connector offers something else today. Until an owner consents, calls go on with what is pinned:\n{}\n\nheadgate connections accept-upgrade {}",
        changes(&connection.upgrade),
        connection.id
    );
    format!("{text}\n\n{hint}")
}

/// What would change, as a diff.
pub(super) fn changes(changes: &[PinChange]) -> String {
    let change = |change: &PinChange| format!("{}\n  - {}\n  + {}", change.what, change.pinned, change.offered);
    changes.iter().map(change).collect::<Vec<_>>().join("\n")
}

pub(super) fn test(report: &TestReport) -> String {
    let account = report.account.as_ref().map(|account| format!(" as {account}")).unwrap_or_default();
    let (result, message) = (report.result.as_str(), &report.message);
    format!("{result}{account}: {message} ({} ms, {})", report.duration_ms, time(report.at))
}

fn scopes(scopes: &ScopesView) -> String {
    let granted = match &scopes.granted {
        Some(granted) => format!("granted {}", granted.join(" ")),
        None => format!("wanted {}", scopes.wanted.join(" ")),
    };
    let missing = scopes.missing.iter().map(|one| format!("\n{} needs {}", one.method, one.any_of.join(" or ")));
    granted + &missing.collect::<String>()
}

fn used(one: &UseView) -> String {
    let triggers = one.triggers.iter().map(|trigger| trigger.id.as_str()).collect::<Vec<_>>().join(", ");
    format!("{} (slot {}, {}; triggers {triggers})", one.name, one.slot, one.environment)
}

fn at(at: Option<Timestamp>) -> String {
    at.map(time).unwrap_or_default()
}
