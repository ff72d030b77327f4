use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use url::Url;
use wasmtime_wasi_http::Error as WasiError;

use super::resolver::{Guarded, Lookup, Reach};
use super::settings::EgressSettings;
use crate::domain::id::GroupId;

/// How many hosts of a client have a counter at once; those nobody uses are forgotten beyond it.
const MAX_HOSTS: usize = 1024;

/// HTTP clients, one per group and reach, so that a connection (and its TLS session) never serves two groups.
pub(super) struct Pools {
    settings: EgressSettings,
    lookup: Lookup,
    clients: Mutex<Clients>,
}

/// The client of one group.
pub(super) struct Client {
    pub(super) http: reqwest::Client,
    connections: usize,
    hosts: Mutex<HashMap<String, Arc<Semaphore>>>,
}

#[derive(Default)]
struct Clients {
    by_group: HashMap<(GroupId, Reach), (Arc<Client>, u64)>,
    /// Counts uses; the client with the lowest count was not used for longest.
    clock: u64,
}

impl Pools {
    /// Fails when no client can be made, e.g. without CA certificates.
    pub(super) fn new(settings: &EgressSettings, lookup: Lookup) -> Result<Self, reqwest::Error> {
        let pools = Self { settings: settings.clone(), lookup, clients: Mutex::default() };
        pools.build(Reach::Public)?;
        Ok(pools)
    }

    pub(super) fn client(&self, group: &GroupId, reach: Reach) -> Result<Arc<Client>, reqwest::Error> {
        let key = (group.clone(), reach);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.clock += 1;
        let now = clients.clock;
        if let Some((client, used)) = clients.by_group.get_mut(&key) {
            *used = now;
            return Ok(client.clone());
        }
        let client = Arc::new(self.build(reach)?);
        if clients.by_group.len() >= self.settings.max_clients.max(1) {
            let oldest = clients.by_group.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone());
            oldest.and_then(|key| clients.by_group.remove(&key));
        }
        clients.by_group.insert(key, (client.clone(), now));
        Ok(client)
    }

    pub(super) fn build(&self, reach: Reach) -> Result<Client, reqwest::Error> {
        let settings = &self.settings;
        let resolver =
            Guarded { lookup: self.lookup.clone(), reach, exemptions: settings.allow_private.clone().into() };
        let http = reqwest::Client::builder()
            .user_agent(concat!("headgate/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .http1_only()
            .dns_resolver(Arc::new(resolver))
            .connect_timeout(settings.connect_timeout)
            .pool_max_idle_per_host(settings.max_idle_per_host)
            .pool_idle_timeout(settings.idle_timeout)
            .build()?;
        Ok(Client { http, connections: settings.max_connections_per_host.max(1), hosts: Mutex::default() })
    }
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pools")
    }
}

impl Client {
    /// The right to one connection to the URL's host, to be kept until the answer's body has ended.
    pub(super) async fn permit(&self, url: &Url, until: Instant) -> Result<OwnedSemaphorePermit, WasiError> {
        let host = url[..url::Position::BeforePath].to_owned();
        let connections = {
            let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
            if hosts.len() >= MAX_HOSTS {
                hosts.retain(|_, connections| Arc::strong_count(connections) > 1);
            }
            hosts.entry(host).or_insert_with(|| Arc::new(Semaphore::new(self.connections))).clone()
        };
        match timeout_at(until, connections.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(WasiError::ConnectionLimitReached),
        }
    }
}
