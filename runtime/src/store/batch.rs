//! Batches: what a writer asks for, and the changes that come of it.

use bytes::Bytes;

use super::{Sequence, StoreError};

/// The longest key, in bytes of UTF-8.
pub const MAX_KEY_BYTES: usize = 512;
/// The largest batch, in bytes of keys and values. It is held in memory and written in one piece.
pub const MAX_BATCH_BYTES: usize = 32 << 20;
/// The most operations in one batch; four digits tell its appends apart.
pub const MAX_BATCH_OPERATIONS: usize = 10_000;

/// Operations that happen together or not at all, with the conditions under which they may.
///
/// Operations work in the order given. Preconditions are checked against the state before the batch.
#[derive(Debug, Clone, Default)]
#[must_use = "a batch does nothing until it is committed"]
pub struct Batch {
    operations: Vec<Operation>,
    preconditions: Vec<Precondition>,
}

/// What a commit did to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: String,
    /// Its new value; `None` when the record was deleted.
    pub value: Option<Bytes>,
}

/// One commit as the feed tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its place among all commits; the first has 1.
    pub sequence: Sequence,
    /// Its changes, in the batch's order.
    pub changes: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Operation {
    Put(String, Bytes),
    Delete(String),
    Append(String, Bytes),
}

#[derive(Debug, Clone)]
enum Precondition {
    Absent(String),
    Present(String),
    Version(String, Sequence),
}

impl Batch {
    /// A batch without operations.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a record, new or not.
    pub fn put(mut self, key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.operations.push(Operation::Put(key.into(), value.into()));
        self
    }

    /// Removes a record; nothing happens when there is none.
    pub fn delete(mut self, key: impl Into<String>) -> Self {
        self.operations.push(Operation::Delete(key.into()));
        self
    }

    /// Writes a record whose key is `prefix` and the commit's sequence in 20 digits. A further append of the
    /// same batch gets its ordinal too (`-0001`, ...), so that keys differ and their order is the batch's.
    pub fn append(mut self, prefix: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.operations.push(Operation::Append(prefix.into(), value.into()));
        self
    }

    /// The batch fails with a conflict if there is a record of this key.
    pub fn require_absent(mut self, key: impl Into<String>) -> Self {
        self.preconditions.push(Precondition::Absent(key.into()));
        self
    }

    /// The batch fails with a conflict if there is no record of this key.
    pub fn require_present(mut self, key: impl Into<String>) -> Self {
        self.preconditions.push(Precondition::Present(key.into()));
        self
    }

    /// The batch fails with a conflict unless the record of this key was written by commit `version`.
    pub fn require_version(mut self, key: impl Into<String>, version: Sequence) -> Self {
        self.preconditions.push(Precondition::Version(key.into(), version));
        self
    }

    /// Whether the batch asks for no change at all.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Checks keys and sizes, and returns the batch's size in bytes.
    pub(super) fn validate(&self) -> Result<usize, StoreError> {
        if self.operations.len() > MAX_BATCH_OPERATIONS {
            let (size, limit) = (self.operations.len() as u64, MAX_BATCH_OPERATIONS as u64);
            return Err(StoreError::TooLarge { what: "a batch (operations)", size, limit });
        }
        let mut size = 0;
        for operation in &self.operations {
            let (key, value) = match operation {
                Operation::Put(key, value) | Operation::Append(key, value) => (key, value.len()),
                Operation::Delete(key) => (key, 0),
            };
            validate_key(key)?;
            size += key.len() + value;
        }
        if size > MAX_BATCH_BYTES {
            let (size, limit) = (size as u64, MAX_BATCH_BYTES as u64);
            return Err(StoreError::TooLarge { what: "a batch (bytes)", size, limit });
        }
        Ok(size)
    }

    /// Checks the preconditions; `version` tells by which commit a key's record was written.
    pub(super) fn check(
        &self,
        mut version: impl FnMut(&str) -> Result<Option<Sequence>, StoreError>,
    ) -> Result<(), StoreError> {
        for precondition in &self.preconditions {
            let (key, holds) = match precondition {
                Precondition::Absent(key) => (key, version(key)?.is_none()),
                Precondition::Present(key) => (key, version(key)?.is_some()),
                Precondition::Version(key, wanted) => (key, version(key)? == Some(*wanted)),
            };
            if !holds {
                return Err(StoreError::Conflict { key: key.clone() });
            }
        }
        Ok(())
    }

    /// The changes that this batch makes as commit `sequence`.
    pub(super) fn resolve(self, sequence: Sequence) -> Commit {
        let mut appends = 0;
        let changes = self
            .operations
            .into_iter()
            .map(|operation| match operation {
                Operation::Put(key, value) => Change { key, value: Some(value) },
                Operation::Delete(key) => Change { key, value: None },
                Operation::Append(prefix, value) => {
                    let ordinal = if appends == 0 { String::new() } else { format!("-{appends:04}") };
                    appends += 1;
                    Change { key: format!("{prefix}{:020}{ordinal}", sequence.get()), value: Some(value) }
                }
            })
            .collect();
        Commit { sequence, changes }
    }
}

fn validate_key(key: &str) -> Result<(), StoreError> {
    let reason = if key.is_empty() {
        "it is empty"
    } else if key.len() > MAX_KEY_BYTES {
        "it is longer than 512 bytes"
    } else if key.chars().any(char::is_control) {
        "it has a control character"
    } else {
        return Ok(());
    };
    Err(StoreError::InvalidKey { key: key.to_owned(), reason })
}
