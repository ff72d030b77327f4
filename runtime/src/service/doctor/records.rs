//! What settings and records say: how the server is reached, connections that do not work, alerts that are open.

use super::{Premises, all, named};
use crate::domain::alert::{Alert, AlertState};
use crate::domain::connection::Connection;
use crate::domain::doctor::Check;
use crate::domain::oauth::StoredToken;
use crate::service::catalog::Catalog;
use crate::service::oauth::token_key;
use crate::service::record::decode;
use crate::store::Store;

/// Whether callers reach the server safely.
pub(super) fn settings(premises: &Premises) -> Check {
    let Premises { listen, public_url, behind_proxy, .. } = premises;
    let local = listen.ip().is_loopback();
    match public_url {
        None if local => Check::ok("settings", format!("it listens at {listen}, where only this machine reaches it")),
        None => {
            let finding = format!("public_url is not set, so that the URLs it shows begin with http://{listen}");
            Check::warning("settings", finding, "Set public_url to the address that callers use, with https")
        }
        Some(url) if url.scheme() != "https" && !is_loopback(url) => {
            let finding = format!("callers reach it at {url}, and their API keys go over the network in clear");
            Check::warning(
                "settings",
                finding,
                "Put a proxy with TLS in front of it, and set public_url to its address",
            )
        }
        Some(url) if !local && !behind_proxy => {
            let finding =
                format!("it listens at {listen}, and callers reach it at {url}, but trusted_proxies names no proxy");
            let remedy = "Name the proxy's network in trusted_proxies, so that the addresses of callers are known; or listen at a loopback address";
            Check::warning("settings", finding, remedy)
        }
        Some(url) => Check::ok("settings", format!("callers reach it at {url}")),
    }
}

fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Connections that flows use and that do not work until somebody does something.
pub(super) fn connections(catalog: &Catalog, store: &dyn Store) -> Check {
    let used = |connection: &Connection| {
        let mut flows = catalog.flows.values().filter(|flow| flow.group == connection.group);
        flows.any(|flow| {
            let published = flow.published.contains_key(&connection.environment);
            published && flow.bindings_of(&connection.id).next().is_some()
        })
    };
    let broken = catalog.connections.values().filter_map(|connection| {
        let why = trouble(connection, store)?;
        used(connection)
            .then(|| format!("{} of {} ({}): {why}", connection.name, connection.group, connection.environment))
    });
    let mut broken: Vec<_> = broken.collect();
    broken.sort();
    if broken.is_empty() {
        return Check::ok("connections", format!("{} are there, and none is broken", catalog.connections.len()));
    }
    let remedy = "headgate connections list shows what to do for each; their flows answer 424 until then";
    Check::problem("connections", named(&broken), remedy)
}

fn trouble(connection: &Connection, store: &dyn Store) -> Option<String> {
    if connection.is_disconnected() {
        return Some("it has no secrets".to_owned());
    }
    connection.pins.oauth.as_ref()?;
    match store.get(&token_key(connection)) {
        Ok(Some(record)) => decode::<StoredToken>(&record.value).ok()?.broken,
        Ok(None) if connection.is_client_credentials() => None,
        Ok(None) => Some("nobody has authorized it".to_owned()),
        Err(error) => Some(error.to_string()),
    }
}

/// Alerts that nobody has looked at.
pub(super) fn alerts(store: &dyn Store) -> Check {
    let open = all::<Alert>(store, "alert/").into_iter().filter(|(_, alert)| alert.state() == AlertState::Open);
    let open: Vec<_> = open.map(|(_, alert)| alert.message).collect();
    if open.is_empty() {
        return Check::ok("alerts", "none is open");
    }
    Check::warning("alerts", named(&open), "headgate alerts list shows them; acknowledge what is known")
}
