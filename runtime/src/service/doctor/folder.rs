//! What lies in the data folder: the store, its key, modules and what was compiled of them; and the clock beside it.

use std::collections::BTreeMap;
use std::io;

use jiff::{SignedDuration, Timestamp};

use super::named;
use crate::domain::audit::AuditEntry;
use crate::domain::digest::ModuleDigest;
use crate::domain::doctor::Check;
use crate::service::audit::newest_entry;
use crate::service::catalog::Catalog;
use crate::service::vault::VaultError;
use crate::store::{Examination, Examined, Store, StoreError};
use crate::wasm::CacheState;

/// How far a clock may be behind the newest change.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_secs(60);

/// Whether checkpoint and log are whole.
pub(super) fn store(read: Result<&Examined, &StoreError>) -> Check {
    match read {
        Ok(read) => {
            let checkpoint = read.checkpoint.map_or_else(|| "none yet".to_owned(), |at| at.to_string());
            let log = read.log_bytes;
            let finding = format!(
                "every checksum is right and no commit is missing: newest commit {}, checkpoint {checkpoint}, log {log} bytes",
                read.last
            );
            Check::ok("store", finding)
        }
        Err(error) => {
            let remedy = "Stop the server, copy the data folder as it is, and then do as the finding says. Where the index still has what the log lost, a start mends it";
            Check::problem("store", error.to_string(), remedy)
        }
    }
}

/// Whether the key-encryption key is there and opens the groups' keys.
pub(super) fn key(examined: &Result<usize, VaultError>) -> Check {
    match examined {
        Ok(groups) => Check::ok(
            "key",
            format!("it is there, only its owner can read it, and it opens the keys of {groups} groups"),
        ),
        Err(error) => {
            let remedy = match error {
                VaultError::MissingKey(_) => {
                    "Put the key file back from your backup before the server is restarted: without it no secret can be opened again"
                }
                VaultError::WrongKey { .. } => "Name the right key with key_file or HEADGATE_KEY",
                VaultError::BadKeyFile { .. } => "Do as the finding says, or put the key file back from your backup",
                _ => "Restore the data folder and the key file of one backup",
            };
            Check::problem("key", error.to_string(), remedy)
        }
    }
}

/// Whether the clock is behind what was already written.
pub(super) fn clock(store: &dyn Store, now: Timestamp) -> Check {
    let newest = match newest_entry(store) {
        Ok(Some(AuditEntry { at, .. })) => at,
        Ok(None) => return Check::ok("clock", format!("it is {now}, and nothing was changed yet")),
        Err(_) => return Check::warning("clock", "the newest change cannot be read", "Look at the check of the store"),
    };
    if now < newest.saturating_sub(CLOCK_SLACK).unwrap_or(newest) {
        let finding = format!("it is {now}, and the newest change was made at {newest}, later than that");
        let remedy = "Set the machine's clock, and keep it right with NTP: sessions, tokens and schedules go by it";
        return Check::problem("clock", finding, remedy);
    }
    Check::ok("clock", format!("it is {now}; the newest change was made at {newest}"))
}

/// Whether the file of each module that runs is there and whole.
pub(super) async fn modules(folder: Examination, catalog: &Catalog) -> Check {
    let mut used: BTreeMap<ModuleDigest, String> = BTreeMap::new();
    for flow in catalog.flows.values() {
        for (environment, publication) in &flow.published {
            let user = format!("the flow {} of {} ({environment})", flow.name, flow.group);
            used.insert(publication.digest, user);
        }
    }
    for connector in catalog.connectors.values() {
        used.insert(connector.digest, format!("the connector {} of {}", connector.name, connector.place()));
    }
    let count = used.len();
    let look = move || {
        let faulty = used.into_iter().filter_map(|(digest, user)| match folder.module(digest) {
            Ok(true) => None,
            Ok(false) => Some(format!("{digest} is missing, of {user}")),
            Err(error) => Some(format!("{error}, of {user}")),
        });
        faulty.collect::<Vec<_>>()
    };
    let remedy = "Restore these files from a backup, or push the modules again";
    match tokio::task::spawn_blocking(look).await {
        Ok(faulty) if faulty.is_empty() => {
            Check::ok("modules", format!("{count} are in use, and their files are whole"))
        }
        Ok(faulty) => Check::problem("modules", named(&faulty), remedy),
        Err(_) => Check::warning("modules", "they could not be looked at", "Try again"),
    }
}

/// How much is compiled, and whether it is of use.
pub(super) fn cache(state: io::Result<CacheState>) -> Check {
    match state {
        Ok(CacheState { files, bytes, usable: Some(usable) }) if usable < files => {
            let finding = format!("{files} compiled modules of {bytes} bytes, of which this build uses {usable}");
            Check::ok("cache", format!("{finding}; the others are of other builds and may be removed"))
        }
        Ok(CacheState { files, bytes, .. }) => Check::ok("cache", format!("{files} compiled modules of {bytes} bytes")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Check::ok("cache", "none yet; the first start compiles")
        }
        Err(error) => {
            let remedy =
                "Let the server read and write the folder cache in its data folder, or each start compiles all";
            Check::warning("cache", format!("it cannot be read: {error}"), remedy)
        }
    }
}
