//! Exporting a group: everything of it in one archive, with its secrets sealed or without them.
//!
//! The records are read by their keys, whatever they are. What becomes of each kind is told by [`KINDS`], which a test
//! compares with the kinds there are.

mod sealing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::domain::archive::{
    Contents, Entry, Header, MemberNote, ModulePart, RecordsPart, SecretPlace, ServerRegistration, Taken, TakenSecret,
    assemble, header_line, sha256, take_secrets,
};
use crate::domain::digest::ModuleDigest;
use crate::domain::id::GroupId;
use crate::domain::permission::Action;
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;
use crate::service::record::decode;
use crate::service::vault::Place;

pub(super) use sealing::Sealing;

/// Records of a group in an archive at most: an import is one commit, and an entry of the audit log.
pub(super) const MOST_RECORDS: usize = 5000;
/// Their size together at most, in bytes, for the same reason.
pub(super) const MOST_RECORD_BYTES: usize = 10 << 20;
/// Records read at a time.
const PAGE: usize = 500;
/// How long a caller waits for the place in memory.
const TURN_WAIT: Duration = Duration::from_secs(10);

/// What becomes of a kind of record in an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It comes along, and is a record of the catalog.
    Catalog,
    /// It comes along, and lies beside the catalog.
    Beside,
    /// It comes along with the secrets only.
    Token,
    /// It stays behind, for this reason.
    LeftOut(&'static str),
}

/// Every noun of the store's keys, and what becomes of its records. A new kind of record is a line here; where it holds
/// secrets, `domain/archive/secrets.rs` has to know what they are sealed for.
pub const KINDS: &[(&str, Kind)] = &[
    ("group", Kind::Catalog),
    ("app-registration", Kind::Catalog),
    ("api-key", Kind::Catalog),
    ("connector", Kind::Catalog),
    ("connection", Kind::Catalog),
    ("flow", Kind::Catalog),
    ("trigger", Kind::Catalog),
    ("published-app", Kind::Catalog),
    ("schedule", Kind::Catalog),
    ("app-trigger", Kind::Catalog),
    ("connector-version", Kind::Beside),
    ("flow-version", Kind::Beside),
    ("flow-manifest", Kind::Beside),
    ("flow-publication", Kind::Beside),
    ("flow-sample", Kind::Beside),
    ("oauth-token", Kind::Token),
    ("user", Kind::LeftOut("people are of a server")),
    ("member", Kind::LeftOut("people are of a server; the archive lists them for information")),
    ("session", Kind::LeftOut("logins are of a server")),
    ("schedule-state", Kind::LeftOut("a schedule begins anew where it is imported")),
    ("app-trigger-state", Kind::LeftOut("an app trigger begins anew where it is imported")),
    ("idempotency", Kind::LeftOut("what happened stays where it happened")),
    ("idempotency-end", Kind::LeftOut("what happened stays where it happened")),
    ("deployed-module", Kind::LeftOut("a watched folder is of a server")),
    ("run", Kind::LeftOut("what happened stays where it happened")),
    ("usage", Kind::LeftOut("what happened stays where it happened")),
    ("usage-total", Kind::LeftOut("what happened stays where it happened")),
    ("spent", Kind::LeftOut("what happened stays where it happened")),
    ("quota", Kind::LeftOut("what happened stays where it happened")),
    ("audit", Kind::LeftOut("what happened stays where it happened")),
    ("audit-of", Kind::LeftOut("what happened stays where it happened")),
    ("audit-head", Kind::LeftOut("what happened stays where it happened")),
    ("alert", Kind::LeftOut("what happened stays where it happened")),
    ("alert-outbox", Kind::LeftOut("what happened stays where it happened")),
    ("connection-health", Kind::LeftOut("what happened stays where it happened")),
    ("data-key", Kind::LeftOut("each server has keys of its own")),
    ("server", Kind::LeftOut("it is the server's")),
    ("secrets", Kind::LeftOut("it is the server's")),
];

/// What becomes of records of a noun.
pub(super) fn kind(noun: &str) -> Option<Kind> {
    KINDS.iter().find(|(known, _)| *known == noun).map(|(_, kind)| *kind)
}

/// The module that a record names. A digest in any other field may be anybody's text, and the module another group's.
pub(super) fn module_of(noun: &str, record: &Value) -> Option<ModuleDigest> {
    let names = matches!(noun, "connector" | "connector-version" | "flow-version");
    names.then(|| record.get("digest")?.as_str()?.parse().ok()).flatten()
}

/// An archive as it is sent.
pub struct Exported {
    /// Its parts, one after the other.
    pub parts: Vec<Bytes>,
    /// Its size in bytes.
    pub size: u64,
    /// Held until it is sent: one archive at a time is in memory.
    pub turn: OwnedSemaphorePermit,
}

/// A group's records as they are brought into an archive.
struct Collected {
    contents: Contents,
    taken: Vec<Taken>,
    modules: BTreeMap<ModuleDigest, u64>,
    /// The size of the records so far.
    bytes: usize,
}

impl Service {
    /// A place for one archive in memory: there is one.
    pub(super) async fn archive_turn(&self) -> Result<OwnedSemaphorePermit, ServiceError> {
        let busy =
            || ServiceError::Overloaded { what: "Another archive is being written or read", retry_after: TURN_WAIT };
        let waiting = timeout(TURN_WAIT, self.archives.clone().acquire_owned()).await;
        waiting.map_err(|_| busy())?.map_err(|_| busy())
    }

    /// Everything of a group as an archive: with its secrets, sealed with a passphrase, or without them. An owner may
    /// take the second one. With the passphrase secrets can be read that nobody in the group could read before, so the
    /// first one is the operator's, who has the store and its key anyway.
    pub async fn export_group(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        passphrase: Option<SecretString>,
    ) -> Result<Exported, ServiceError> {
        let action = if passphrase.is_some() { Action::ExportSecrets } else { Action::ExportGroup };
        actor.authorise(&self.catalog(), group, action)?;
        let turn = self.archive_turn().await?;
        let sealing = match passphrase {
            Some(passphrase) => Some(Sealing::new(passphrase).await?),
            None => None,
        };
        // While it is held nobody changes anything: the archive is of one moment.
        let edit = self.edit(actor, group, action).await?;
        let collected = self.collect(edit.catalog(), group, sealing.is_some())?;
        let secrets = match &sealing {
            Some(_) => Some(self.open_taken(group, &collected.taken).await?),
            None => None,
        };
        let records = Bytes::from(serde_json::to_vec(&collected.contents).expect("records have text keys only"));
        check_bounds(&collected.contents, records.len())?;
        let header = Header {
            group: group.clone(),
            exported: self.now(),
            server: env!("CARGO_PKG_VERSION").to_owned(),
            records: RecordsPart { length: records.len() as u64, sha256: sha256(&records) },
            secrets: sealing.as_ref().zip(secrets.as_ref()).map(|(sealing, secrets)| sealing.describe(secrets)),
            modules: collected
                .modules
                .iter()
                .map(|(digest, length)| ModulePart { digest: *digest, length: *length })
                .collect(),
        };
        self.check_archive_size(header.modules.iter().map(|module| module.length).sum::<u64>() + records.len() as u64)?;
        let line = header_line(&header);
        let sealed = match sealing.as_ref().zip(secrets) {
            Some((sealing, secrets)) => Some(sealing.seal(&line, &secrets)?),
            None => None,
        };
        edit.save().await?;
        // A module is what its digest says, and none goes away: others need not wait until all are read.
        let mut modules = Vec::with_capacity(header.modules.len());
        for module in &header.modules {
            modules.push(self.module_bytes(&module.digest).await?);
        }
        let parts = assemble(line, records, sealed, modules);
        let size = parts.iter().map(|part| part.len() as u64).sum();
        Ok(Exported { parts, size, turn })
    }

    /// Reads a group's records, and takes their secrets out.
    fn collect(&self, catalog: &Catalog, group: &GroupId, with_tokens: bool) -> Result<Collected, ServiceError> {
        let mut collected =
            Collected { contents: Contents::default(), taken: Vec::new(), modules: BTreeMap::new(), bytes: 0 };
        for (noun, kind) in KINDS {
            match kind {
                Kind::LeftOut(_) => {}
                Kind::Token if !with_tokens => {}
                _ => self.collect_kind(catalog, noun, group, &mut collected)?,
            }
        }
        for connection in catalog.connections.values().filter(|connection| connection.group == *group) {
            let used = connection.oauth.as_ref().and_then(|part| catalog.app_registrations.get(&part.registration));
            let known = &mut collected.contents.server_registrations;
            if let Some(used) =
                used.filter(|used| used.group.is_none() && known.iter().all(|known| known.id != used.id))
            {
                let (id, connector, client_id) = (used.id.clone(), used.connector.clone(), used.client_id.clone());
                known.push(ServerRegistration { id, connector, client_id });
            }
        }
        let members = catalog.members_of(group).filter_map(|member| {
            let user = catalog.users.get(&member.user)?;
            Some(MemberNote { email: user.email.to_string(), role: member.role })
        });
        collected.contents.members = members.collect();
        Ok(collected)
    }

    fn collect_kind(
        &self,
        catalog: &Catalog,
        noun: &str,
        group: &GroupId,
        into: &mut Collected,
    ) -> Result<(), ServiceError> {
        let doing = "reading a group's records";
        if noun == "group" {
            let record = self.store.get(&format!("group/{group}")).map_err(ServiceError::internal(doing))?;
            let record = record.ok_or(ServiceError::NotFound { what: "Group" })?;
            return self.collect_one(catalog, noun, "", decode(&record.value)?, into);
        }
        let prefix = format!("{noun}/{group}/");
        let mut after: Option<String> = None;
        loop {
            let page = self.store.scan(&prefix, after.as_deref(), PAGE).map_err(ServiceError::internal(doing))?;
            for (key, record) in &page {
                self.collect_one(catalog, noun, &key[prefix.len()..], decode(&record.value)?, into)?;
            }
            match page.into_iter().last() {
                Some((key, _)) => after = Some(key),
                None => return Ok(()),
            }
        }
    }

    fn collect_one(
        &self,
        catalog: &Catalog,
        noun: &str,
        key: &str,
        mut record: Value,
        into: &mut Collected,
    ) -> Result<(), ServiceError> {
        strip(noun, &mut record);
        if let Some(digest) = module_of(noun, &record) {
            let size = self.modules.size(digest).map_err(ServiceError::internal("exporting a module"))?;
            let missing = || missing_module(catalog, noun, key, &record, digest);
            into.modules.insert(digest, size.ok_or_else(missing)?);
        }
        let id = key.rsplit('/').next().unwrap_or_default();
        take_secrets(noun, id, &mut record, &mut into.taken);
        let entry = Entry { kind: noun.to_owned(), key: key.to_owned(), record };
        into.bytes += serde_json::to_vec(&entry).map_or(0, |bytes| bytes.len());
        into.contents.entries.push(entry);
        // Nobody changes anything meanwhile: what cannot become an archive is not read to its end.
        if into.contents.entries.len() > MOST_RECORDS || into.bytes > MOST_RECORD_BYTES {
            return Err(too_much());
        }
        Ok(())
    }

    /// The secrets in clear, as JSON, in the order of their numbers.
    async fn open_taken(&self, group: &GroupId, taken: &[Taken]) -> Result<Zeroizing<Vec<u8>>, ServiceError> {
        let mut secrets = Vec::with_capacity(taken.len());
        for taken in taken {
            let text = match (&taken.secret, &taken.place) {
                (TakenSecret::Sealed(sealed), SecretPlace::Sealed { record, field }) => {
                    let opened = self.vault.open_secret(Place { group: group.as_str(), record, field }, sealed).await;
                    let opened = opened.map_err(ServiceError::internal("opening a secret for an export"))?;
                    Zeroizing::new(opened.expose_secret().to_owned())
                }
                (TakenSecret::Plain(text), _) => Zeroizing::new(text.clone()),
                (TakenSecret::Sealed(_), SecretPlace::RoutingKey) => Zeroizing::default(),
            };
            secrets.push(text);
        }
        let secrets: Vec<&str> = secrets.iter().map(|text| text.as_str()).collect();
        Ok(Zeroizing::new(serde_json::to_vec(&secrets).expect("texts serialise")))
    }

    pub(super) fn check_archive_size(&self, size: u64) -> Result<(), ServiceError> {
        let most = self.settings.max_archive;
        if size <= most {
            return Ok(());
        }
        Err(ServiceError::Invalid(format!(
            "The archive has {size} bytes, and {most} are allowed: it is held in memory. An operator can raise the setting service.max_archive"
        )))
    }
}

/// Takes out of a record what is of no use elsewhere. Hashes of API keys depend on the server's own key; and whoever
/// consented at an app is nobody on another server.
fn strip(noun: &str, record: &mut Value) {
    match noun {
        "api-key" => record["secrets"] = json!([]),
        "connection" => {
            if let Some(by) = record.pointer_mut("/oauth/authorized_by") {
                *by = Value::Null;
            }
        }
        _ => {}
    }
}

/// A damaged data folder: what is left of a group can be exported when its file is there again.
fn missing_module(catalog: &Catalog, noun: &str, key: &str, record: &Value, digest: ModuleDigest) -> ServiceError {
    // Versions lie below the flow's id, or the connector's name.
    let owner = key.split('/').next().unwrap_or_default();
    let (whose, again) = match noun {
        "flow-version" => {
            let flow = record["flow"].as_str().unwrap_or(owner);
            let name = catalog.flows.values().find(|found| found.id.as_str() == flow);
            let name = name.map_or(flow, |found| found.name.as_str());
            (format!("version {} of the flow \"{name}\"", record["version"]), "push")
        }
        _ => (format!("version {} of the connector \"{owner}\"", record["version"]), "install"),
    };
    ServiceError::Conflict(format!(
        "The module of {whose} is missing in the data folder ({digest}). Restore its file from a backup, or {again} the same file again"
    ))
}

fn too_much() -> ServiceError {
    ServiceError::Invalid(format!(
        "The group has more than an archive holds: {MOST_RECORDS} records, {MOST_RECORD_BYTES} bytes together. Copy the data folder instead"
    ))
}

/// Checks that an import can be one commit.
pub(super) fn check_bounds(contents: &Contents, bytes: usize) -> Result<(), ServiceError> {
    let records = contents.entries.len();
    if records <= MOST_RECORDS && bytes <= MOST_RECORD_BYTES {
        return Ok(());
    }
    Err(ServiceError::Invalid(format!(
        "The group has {records} records of {bytes} bytes; an archive holds {MOST_RECORDS} of {MOST_RECORD_BYTES} bytes together. Copy the data folder instead"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::record::PREFIXES;

    #[test]
    fn a_module_that_is_missing_is_named() {
        let digest = ModuleDigest::of(b"lost");
        let told = |noun, key, record| missing_module(&Catalog::default(), noun, key, &record, digest).to_string();
        let flow = told("flow-version", "flw_a/0000000003", json!({"flow": "flw_a", "version": 3}));
        assert!(flow.contains("version 3 of the flow \"flw_a\"") && flow.contains(&digest.to_string()), "{flow}");
        let connector = told("connector-version", "hubspot/0000000002", json!({"version": 2}));
        assert!(connector.contains("version 2 of the connector \"hubspot\""), "{connector}");
    }

    #[test]
    fn every_kind_of_record_is_exported_or_named_as_left_out() {
        for prefix in PREFIXES {
            let noun = prefix.trim_end_matches('/');
            let found = kind(noun);
            let told = matches!(found, Some(Kind::Catalog | Kind::LeftOut(_)));
            assert!(told, "{noun} is {found:?}: add a line to KINDS, in service/export.rs");
        }
    }
}
