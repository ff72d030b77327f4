//! Whether the hosts of connections can be reached.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::Method;

use super::{DoctorSettings, named};
use crate::domain::doctor::Check;
use crate::service::catalog::Catalog;
use crate::wasm::egress::{GuardedClient, GuardedError};

/// Hosts tried at the same time.
const AT_ONCE: usize = 8;
/// What is read of an answer, in bytes: any answer at all will do.
const MAX_ANSWER: usize = 64 << 10;

/// Tries the hosts that connections are pinned to, under the rules of outgoing requests: a name, an address, a
/// connection, TLS, and any answer to a HEAD request. No credentials are sent.
pub(super) async fn hosts(catalog: &Catalog, client: &GuardedClient, settings: &DoctorSettings) -> Vec<Check> {
    let mut origins: BTreeMap<String, String> = BTreeMap::new();
    for connection in catalog.connections.values() {
        for base in &connection.base_urls {
            let origin = format!("{}://{}:{}/", base.scheme(), base.host(), base.port());
            origins.entry(origin).or_insert_with(|| format!("{} of {}", connection.name, connection.group));
        }
    }
    if origins.is_empty() {
        return vec![Check::ok("hosts", "no connection reaches anything yet")];
    }
    let more = origins.len().saturating_sub(settings.hosts);
    let tried: Vec<_> = origins.into_iter().take(settings.hosts).collect();
    let count = tried.len();
    let trying = tried.into_iter().map(|(origin, user)| async move {
        let found = try_host(client, &origin, settings).await;
        found.err().map(|reason| format!("{origin} ({user}): {reason}"))
    });
    let failed: Vec<_> =
        stream::iter(trying).buffer_unordered(AT_ONCE).filter_map(|failed| async { failed }).collect().await;
    let remedy = "Look at name resolution, routes and firewalls of this machine. A private host has to stand in egress.allow_private";
    let mut checks = vec![match failed.is_empty() {
        true => Check::ok("hosts", format!("{count} hosts of connections answer")),
        false => Check::problem("hosts", named(&failed), remedy),
    }];
    if more > 0 {
        let remedy = "Raise the setting doctor.hosts to try them all";
        checks.push(Check::warning("more hosts", format!("{more} were not tried"), remedy));
    }
    checks
}

async fn try_host(client: &GuardedClient, origin: &str, settings: &DoctorSettings) -> Result<(), String> {
    let request = http::Request::builder().method(Method::HEAD).uri(origin).body(Bytes::new());
    let request = request.map_err(|error| error.to_string())?;
    match client.send(request, settings.host_timeout, MAX_ANSWER).await {
        // It answers, if more than was wanted.
        Ok(_) | Err(GuardedError::TooLarge(_)) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}
