//! Examining a server: its store, key, clock, modules, disk, settings, and what its connections reach. Nothing is changed,
//! and nothing secret is told.

mod disk;
mod folder;
mod reach;
mod records;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::domain::doctor::{Check, Examination};
use crate::domain::permission::Action;
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::error::ServiceError;
use crate::service::vault::examine;
use crate::store::{self, Examined, Store, StoreError};
use crate::wasm::egress::{Egress, EgressSettings};
use crate::wasm::look_at_cache;

/// Why `headgate doctor` finds fault. All are settings under `doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DoctorSettings {
    /// The least free space on the disk of the data folder, in bytes. 1 GiB: a checkpoint and some modules.
    pub min_free_disk: u64,
    /// How many hosts of connections are tried at most. 50.
    pub hosts: usize,
    /// How long one of them may take to answer. 5 s.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub host_timeout: Duration,
}

impl Default for DoctorSettings {
    fn default() -> Self {
        Self { min_free_disk: 1 << 30, hosts: 50, host_timeout: Duration::from_secs(5) }
    }
}

/// Where everything is, and how it was set up.
#[derive(Debug, Clone)]
pub struct Premises {
    /// When fault is found.
    pub settings: DoctorSettings,
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// The file of the key-encryption key.
    pub key_file: PathBuf,
    /// Where the server listens.
    pub listen: SocketAddr,
    /// Where callers reach it, where that is set.
    pub public_url: Option<Url>,
    /// Whether proxies in front of it are named.
    pub behind_proxy: bool,
}

impl Default for Premises {
    fn default() -> Self {
        Self {
            settings: DoctorSettings::default(),
            data_dir: PathBuf::new(),
            key_file: PathBuf::new(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            public_url: None,
            behind_proxy: false,
        }
    }
}

/// What is needed to examine a server that does not run.
pub struct Stopped {
    /// Where everything is.
    pub premises: Premises,
    /// How far requests may reach.
    pub egress: EgressSettings,
    /// The key-encryption key, where it comes from the environment.
    pub key: Option<SecretString>,
    /// The time.
    pub now: Timestamp,
}

/// How often a store that is being written is read before damage is believed.
const READINGS: usize = 3;

impl Service {
    /// Examines this server while it works.
    pub async fn examine(self: &Arc<Self>, actor: &Actor) -> Result<Examination, ServiceError> {
        let catalog = self.catalog();
        actor.authorise_server(&catalog, Action::Examine)?;
        let folder = self.premises.data_dir.clone();
        let reading = move || read_running(&store::Examination::of_running(&folder));
        let read = tokio::task::spawn_blocking(reading).await.map_err(ServiceError::internal("examining the store"))?;
        let mut checks = vec![folder::store(read.as_ref())];
        checks.push(match self.vault.key_file() {
            Some(file) => folder::key(&examine(self.store.as_ref(), file, None)),
            None => Check::ok("key", "it comes from HEADGATE_KEY, and opens all secrets"),
        });
        checks.push(folder::clock(self.store.as_ref(), self.now()));
        checks.push(folder::modules(store::Examination::of_running(&self.premises.data_dir), &catalog).await);
        checks.push(folder::cache(self.wasm.cache_state()));
        checks.push(disk::check(&self.premises).await);
        checks.push(records::settings(&self.premises));
        checks.push(records::connections(&catalog, self.store.as_ref()));
        checks.push(records::alerts(self.store.as_ref()));
        let client = self.wasm.guarded_client().map_err(ServiceError::internal("making a client"))?;
        checks.extend(reach::hosts(&catalog, &client, &self.premises.settings).await);
        Ok(Examination { at: self.now(), running: true, checks })
    }
}

/// Examines the data folder of a server that does not run. Fails with [`StoreError::Locked`] where one does.
pub async fn examine_stopped(stopped: Stopped) -> Result<Examination, StoreError> {
    let Stopped { premises, egress, key, now } = stopped;
    let examination = |checks| Examination { at: now, running: false, checks };
    let folder = match store::Examination::of_stopped(&premises.data_dir) {
        Ok(folder) => folder,
        Err(error @ StoreError::Locked { .. }) => return Err(error),
        Err(error) => {
            let remedy = "Name the data folder with --data-dir. A server that starts there makes a new store";
            return Ok(examination(vec![Check::problem("store", error.to_string(), remedy)]));
        }
    };
    let reading = tokio::task::spawn_blocking(move || (folder.read(true), folder));
    let (read, folder) = reading.await.map_err(|_| StoreError::Closed)?;
    let mut checks = vec![folder::store(read.as_ref())];
    checks.extend([disk::check(&premises).await, records::settings(&premises)]);
    checks.push(folder::cache(look_at_cache(&premises.data_dir.join("cache"), None)));
    let Ok(Examined { records, .. }) = read else { return Ok(examination(checks)) };
    checks.push(folder::key(&examine(&records, &premises.key_file, key)));
    checks.push(folder::clock(&records, now));
    match super::read_catalog(&records) {
        Err(error) => {
            let source = std::error::Error::source(&error).map_or_else(String::new, ToString::to_string);
            checks.push(Check::problem(
                "records",
                source,
                "Start the server version that wrote them, or restore a backup",
            ));
        }
        Ok(catalog) => {
            checks.push(folder::modules(folder, &catalog).await);
            checks.push(records::connections(&catalog, &records));
            checks.push(records::alerts(&records));
            match Egress::new(egress).and_then(|egress| egress.guarded_client()) {
                Ok(client) => checks.extend(reach::hosts(&catalog, &client, &premises.settings).await),
                Err(error) => checks.push(Check::problem("hosts", error.to_string(), "Install the CA certificates")),
            }
        }
    }
    Ok(examination(checks))
}

/// Reads a store that is being written: what looks damaged may only be half written.
fn read_running(folder: &store::Examination) -> Result<Examined, StoreError> {
    let mut read = folder.read(false);
    for _ in 1..READINGS {
        if read.is_ok() {
            break;
        }
        read = folder.read(false);
    }
    read
}

/// Every record of a prefix, decoded. What cannot be read is left out: other checks say so.
fn all<T: serde::de::DeserializeOwned>(store: &dyn Store, prefix: &str) -> Vec<(String, T)> {
    /// Records read at a time.
    const PAGE: usize = 500;
    let (mut found, mut after) = (Vec::new(), None::<String>);
    while let Ok(page) = store.scan(prefix, after.as_deref(), PAGE) {
        let decoded = page
            .iter()
            .filter_map(|(key, record)| Some((key.clone(), crate::service::record::decode(&record.value).ok()?)));
        found.extend(decoded);
        match page.into_iter().last() {
            Some((key, _)) => after = Some(key),
            None => break,
        }
    }
    found
}

/// The first of some names, and how many more there are.
fn named(names: &[String]) -> String {
    /// Names told at most.
    const TOLD: usize = 10;
    let told = names.iter().take(TOLD).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(TOLD) {
        0 => told,
        more => format!("{told} and {more} more"),
    }
}
