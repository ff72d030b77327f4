//! The one error type of the store.

use std::io;
use std::path::{Path, PathBuf};

use super::Sequence;

/// What went wrong in the store, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A precondition of a batch does not hold; nothing of the batch was written.
    #[error("the record `{key}` is not as the writer expected it: read it again and retry")]
    Conflict {
        /// The key whose precondition failed.
        key: String,
    },
    /// A key that the store does not take.
    #[error("`{}` is not a key: {reason}", key.escape_debug())]
    InvalidKey {
        /// The refused key.
        key: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// Something is larger than the store takes in one piece.
    #[error("{what} of {size} is too large: the most is {limit}")]
    TooLarge {
        /// What was too large, with its unit.
        what: &'static str,
        /// Its size.
        size: u64,
        /// The largest accepted size.
        limit: u64,
    },
    /// An earlier failure of the disk ended all writing. What was acknowledged is on disk; a write that
    /// failed with this error may or may not be there after the restart.
    #[error("the store is read-only since a write failed ({reason}): mend the disk and restart")]
    ReadOnly {
        /// The failure that ended writing.
        reason: String,
    },
    /// Another process works on the data folder.
    #[error("the data folder {} is in use by another process: stop that one, or choose another folder", dir.display())]
    Locked {
        /// The data folder.
        dir: PathBuf,
    },
    /// The operating system refused an operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted, e.g. `read`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A file does not hold what was written to it.
    #[error("{} is damaged at byte {offset} ({reason}): {remedy}", path.display())]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where the damage begins, in bytes from the start of the file.
        offset: u64,
        /// What does not fit.
        reason: String,
        /// What to do.
        remedy: String,
    },
    /// Files of the data folder do not fit together: acknowledged commits are missing.
    #[error("commits are missing from {}: {reason}; restore the data folder from a backup", dir.display())]
    Incomplete {
        /// The folder that lacks them.
        dir: PathBuf,
        /// Which commits, and how it is known.
        reason: String,
    },
    /// A file was written by a newer version of Headgate.
    #[error("{} has format {found}, and this version reads up to {known}: start a newer version", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: u16,
        /// The newest format known.
        known: u16,
    },
    /// The index (sled) returned something that it was not given.
    #[error("the index is damaged at `{key}` ({reason}): restart, and it is rebuilt from checkpoint and log")]
    IndexDamaged {
        /// The record that could not be read, or what was done.
        key: String,
        /// What does not fit.
        reason: String,
    },
    /// The change feed no longer, or not yet, holds the sequence asked for.
    #[error("changes after {after} are not held, only those after {floor} up to {latest}: read the records anew")]
    FeedGone {
        /// The sequence asked for.
        after: Sequence,
        /// A feed can start after this one.
        floor: Sequence,
        /// The newest commit.
        latest: Sequence,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Wraps an error of the operating system; for `map_err`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
