//! The audit log: an entry per change, in the same commit as the change.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::audit::{AuditChange, AuditEntry};
use crate::domain::id::GroupId;
use crate::domain::permission::Action;
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::error::ServiceError;
use crate::service::record::{decode, encode};
use crate::store::{Batch, Store};

const HEAD: &str = "audit-head";
const ENTRIES: &str = "audit/";
/// Entries answered at most.
pub const MAX_LISTED: usize = 500;
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
}

/// What checking the whole chain found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditCheck {
    /// How many entries there are.
    pub entries: u64,
    /// The hash of the newest one. Kept elsewhere, it shows later that nothing was cut off.
    pub head: String,
    /// The first entry that is not as it was written, and what is wrong with it.
    pub broken: Option<(u64, &'static str)>,
}

fn entry_key(sequence: u64) -> String {
    format!("{ENTRIES}{sequence:020}")
}

/// Entries of a group, newest first: the keys count down.
fn group_prefix(group: &GroupId) -> String {
    format!("audit-of/{group}/")
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
        let entry = entry.seal(&self.pepper);
        let head = AuditHead { sequence: entry.sequence, hash: entry.hash.clone() };
        let mut batch = batch.put(entry_key(entry.sequence), encode(&entry)).put(HEAD, encode(&head));
        if let Some(group) = &entry.group {
            let key = format!("{}{:020}", group_prefix(group), u64::MAX - entry.sequence);
            batch = batch.put(key, Vec::new());
        }
        (batch, head)
    }

    /// A group's entries, newest first; those before an entry where one is named.
    pub fn list_audit(
        &self,
        actor: &Actor,
        group: &GroupId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, ServiceError> {
        actor.authorise(&self.catalog(), group, Action::ReadAudit)?;
        let doing = "reading the audit log";
        let prefix = group_prefix(group);
        let after = before.map(|before| format!("{prefix}{:020}", u64::MAX - before));
        let index = self.store.scan(&prefix, after.as_deref(), limit.clamp(1, MAX_LISTED));
        let index = index.map_err(ServiceError::internal(doing))?;
        let numbers = index.iter().filter_map(|(key, _)| key.strip_prefix(&prefix)?.parse::<u64>().ok());
        numbers.filter_map(|number| self.audit_entry(u64::MAX - number).transpose()).collect()
    }

    /// The server's entries, of all groups and of none, newest first.
    pub fn list_server_audit(
        &self,
        actor: &Actor,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, ServiceError> {
        actor.authorise_server(Action::ReadServerAudit)?;
        let newest = AuditHead::read(self.store.as_ref())?.sequence;
        let end = before.map_or(newest, |before| newest.min(before.saturating_sub(1)));
        let limit = limit.clamp(1, MAX_LISTED) as u64;
        let begin = end.saturating_sub(limit) + 1;
        (begin..=end).rev().filter_map(|sequence| self.audit_entry(sequence).transpose()).collect()
    }

    fn audit_entry(&self, sequence: u64) -> Result<Option<AuditEntry>, ServiceError> {
        let record = self.store.get(&entry_key(sequence)).map_err(ServiceError::internal("reading the audit log"))?;
        record.map(|record| decode(&record.value)).transpose()
    }

    /// Checks that every entry is as it was written, and that none is missing.
    pub async fn verify_audit(self: &Arc<Self>, actor: &Actor) -> Result<AuditCheck, ServiceError> {
        actor.authorise_server(Action::VerifyAudit)?;
        let service = self.clone();
        let check = tokio::task::spawn_blocking(move || service.check_audit());
        check.await.map_err(ServiceError::internal("checking the audit log"))?
    }

    fn check_audit(&self) -> Result<AuditCheck, ServiceError> {
        let head = AuditHead::read(self.store.as_ref())?;
        let mut before = AuditHead::default();
        let broken = |before: &AuditHead, reason| {
            Ok(AuditCheck {
                entries: head.sequence,
                head: head.hash.clone(),
                broken: Some((before.sequence + 1, reason)),
            })
        };
        let mut after: Option<String> = None;
        // What is written while this check is running is left to the next one.
        while before.sequence < head.sequence {
            let page = self.store.scan(ENTRIES, after.as_deref(), PAGE);
            let page = page.map_err(ServiceError::internal("reading the audit log"))?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            let left = (head.sequence - before.sequence) as usize;
            for (_, record) in page.iter().take(left) {
                let Ok(entry) = decode::<AuditEntry>(&record.value) else {
                    return broken(&before, "it cannot be read");
                };
                if entry.sequence != before.sequence + 1 {
                    return broken(&before, "it is missing");
                }
                if entry.previous != before.hash {
                    return broken(&before, "it does not follow the entry before it");
                }
                if entry.hash != entry.expected_hash(&self.pepper) {
                    return broken(&before, "it was changed after it was written");
                }
                before = AuditHead { sequence: entry.sequence, hash: entry.hash };
            }
        }
        if before != head {
            return broken(&before, "it is missing");
        }
        Ok(AuditCheck { entries: head.sequence, head: head.hash, broken: None })
    }
}
