//! The audit log: an entry per change, in the same commit as the change.

mod check;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::audit::{AuditChange, AuditEntry};
use crate::domain::id::GroupId;
use crate::domain::permission::Action;
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::error::ServiceError;
use crate::service::record::{decode, encode};
use crate::store::{Batch, Store};

pub use check::{AuditCheck, AuditPlace};

const HEAD: &str = "audit-head";
const ENTRIES: &str = "audit/";
/// What stands under this noun and id are the settings of the last start.
const SETTINGS: (&str, &str) = ("server", "settings");
/// Entries answered at most.
pub const MAX_LISTED: usize = 500;
/// Entries looked at for one page of those that are about something: reading them takes a fraction of a second.
const MAX_SCANNED: usize = 5000;
/// Entries read at a time.
const PAGE: usize = 1000;

/// The end of the chain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AuditHead {
    sequence: u64,
    hash: String,
}

impl AuditHead {
    pub(super) fn read(store: &dyn Store) -> Result<Self, ServiceError> {
        let record = store.get(HEAD).map_err(ServiceError::internal("reading the end of the audit log"))?;
        record.map_or_else(|| Ok(Self::default()), |record| decode(&record.value))
    }

    /// The batch with the entry that follows, and the chain's end after it.
    fn extend(&self, batch: Batch, entry: &AuditEntry) -> (Batch, Self) {
        let head = Self { sequence: entry.sequence, hash: entry.hash.clone() };
        let mut batch = batch.put(entry_key(entry.sequence), encode(entry)).put(HEAD, encode(&head));
        if let Some(group) = &entry.group {
            batch = batch.put(group_key(group, entry.sequence), Vec::new());
        }
        (batch, head)
    }
}

/// Some entries, newest first.
#[derive(Debug, Clone, Default)]
pub struct AuditPage {
    /// The entries.
    pub entries: Vec<AuditEntry>,
    /// Before which entry the next page begins; `None` at the beginning of the log.
    pub next: Option<u64>,
}

/// Which entries are wanted.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Those before this one; the newest when absent.
    pub before: Option<u64>,
    /// How many at most.
    pub limit: Option<usize>,
    /// Those that changed this kind of thing, such as `api-key`.
    pub noun: Option<String>,
}

fn entry_key(sequence: u64) -> String {
    format!("{ENTRIES}{sequence:020}")
}

/// Entries of a group, newest first: the keys count down.
fn group_prefix(group: &GroupId) -> String {
    format!("audit-of/{group}/")
}

fn group_key(group: &GroupId, sequence: u64) -> String {
    format!("{}{:020}", group_prefix(group), u64::MAX - sequence)
}

/// The newest entry; nothing in a new store.
pub(super) fn newest_entry(store: &dyn Store) -> Result<Option<AuditEntry>, ServiceError> {
    let head = AuditHead::read(store)?;
    let record = store.get(&entry_key(head.sequence)).map_err(ServiceError::internal("reading the newest entry"))?;
    record.map(|record| decode(&record.value)).transpose()
}

impl Service {
    /// Adds the entry of a change to its batch; answers the chain's new end.
    pub(super) fn note_in_audit(
        &self,
        batch: Batch,
        head: &AuditHead,
        actor: &Actor,
        action: Action,
        group: Option<GroupId>,
        changes: Vec<AuditChange>,
    ) -> (Batch, AuditHead) {
        let entry = AuditEntry {
            sequence: head.sequence + 1,
            at: self.now(),
            action: action.as_str().to_owned(),
            group,
            by: actor.for_audit(),
            address: actor.address(),
            changes,
            previous: head.hash.clone(),
            hash: String::new(),
        };
        head.extend(batch, &entry.seal(&self.pepper))
    }

    /// A group's entries, newest first.
    pub fn list_audit(&self, actor: &Actor, group: &GroupId, query: &AuditQuery) -> Result<AuditPage, ServiceError> {
        actor.authorise(&self.catalog(), group, Action::ReadAudit)?;
        self.page_of_group(group, query.before, limit(query), |entry| concerns(entry, query))
    }

    /// The server's entries, of all groups and of none, newest first.
    pub fn list_server_audit(&self, actor: &Actor, query: &AuditQuery) -> Result<AuditPage, ServiceError> {
        actor.authorise_server(&self.catalog(), Action::ReadServerAudit)?;
        let newest = AuditHead::read(self.store.as_ref())?.sequence;
        let from = query.before.map_or(newest, |before| newest.min(before.saturating_sub(1)));
        self.page((1..=from).rev(), limit(query), |entry| concerns(entry, query))
    }

    /// The newest entries of a group that are about one thing, or were made by it.
    pub(super) fn audit_about(
        &self,
        group: &GroupId,
        noun: &str,
        id: &str,
        limit: usize,
    ) -> Result<AuditPage, ServiceError> {
        // A trigger or a flow that names the thing has its id among its fields.
        let quoted = format!("\"{id}\"");
        let mentions = |state: &Option<Value>| state.as_ref().is_some_and(|state| state.to_string().contains(&quoted));
        let about = |change: &AuditChange| {
            (change.noun == noun && change.id == id) || mentions(&change.before) || mentions(&change.after)
        };
        self.page_of_group(group, None, limit, |entry| entry.by.id == id || entry.changes.iter().any(about))
    }

    fn page_of_group(
        &self,
        group: &GroupId,
        before: Option<u64>,
        limit: usize,
        wanted: impl Fn(&AuditEntry) -> bool,
    ) -> Result<AuditPage, ServiceError> {
        let prefix = group_prefix(group);
        let after = before.map(|before| group_key(group, before));
        let index = self.store.scan(&prefix, after.as_deref(), MAX_SCANNED + 1);
        let index = index.map_err(ServiceError::internal("reading the audit log"))?;
        let numbers = index.iter().filter_map(|(key, _)| key.strip_prefix(&prefix)?.parse::<u64>().ok());
        self.page(numbers.map(|number| u64::MAX - number), limit, wanted)
    }

    /// The first of these entries that are wanted.
    fn page(
        &self,
        mut numbers: impl Iterator<Item = u64>,
        limit: usize,
        wanted: impl Fn(&AuditEntry) -> bool,
    ) -> Result<AuditPage, ServiceError> {
        let mut entries = Vec::new();
        let mut last = None;
        for sequence in numbers.by_ref().take(MAX_SCANNED) {
            last = Some(sequence);
            let record =
                self.store.get(&entry_key(sequence)).map_err(ServiceError::internal("reading the audit log"))?;
            let Some(record) = record else { continue };
            let entry = decode::<AuditEntry>(&record.value)?;
            if wanted(&entry) {
                entries.push(entry);
            }
            if entries.len() == limit {
                break;
            }
        }
        Ok(AuditPage { entries, next: last.filter(|_| numbers.next().is_some()) })
    }

    /// Checks that every entry is as it was written and none is missing; and that an end of the log that was noted
    /// earlier is still a part of it.
    pub async fn verify_audit(
        self: &Arc<Self>,
        actor: &Actor,
        expected: Option<AuditPlace>,
    ) -> Result<AuditCheck, ServiceError> {
        actor.authorise_server(&self.catalog(), Action::VerifyAudit)?;
        let service = self.clone();
        let check = move || check::check(service.store.as_ref(), &service.pepper, expected.as_ref());
        tokio::task::spawn_blocking(check).await.map_err(ServiceError::internal("checking the audit log"))?
    }

    /// Notes the settings of this start, which are not secret; where they differ from the last start's the audit log
    /// says so.
    pub async fn note_settings(self: &Arc<Self>, listing: &BTreeMap<String, String>) -> Result<(), ServiceError> {
        let doing = "recording the settings";
        let (noun, id) = SETTINGS;
        let (key, after) = (format!("{noun}/{id}"), json!(listing));
        match self.store.get(&key).map_err(ServiceError::internal(doing))? {
            // The first start changes nothing.
            None => {
                let batch = Batch::new().put(key, encode(&after));
                self.store.commit(batch).await.map_err(ServiceError::internal(doing))?;
                Ok(())
            }
            Some(record) => {
                let before = decode::<Value>(&record.value)?;
                if before == after {
                    return Ok(());
                }
                let mut edit = self.edit_server(&Actor::system(), Action::ChangeSettings).await?;
                edit.put_value(SETTINGS, before, after);
                edit.save().await
            }
        }
    }
}

fn limit(query: &AuditQuery) -> usize {
    /// Entries answered when nothing is said.
    const DEFAULT: usize = 100;
    query.limit.unwrap_or(DEFAULT).clamp(1, MAX_LISTED)
}

fn concerns(entry: &AuditEntry, query: &AuditQuery) -> bool {
    query.noun.as_ref().is_none_or(|noun| entry.changes.iter().any(|change| change.noun == *noun))
}
