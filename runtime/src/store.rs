//! What Headgate keeps on disk: records, run history, modules. The only user of sled.
//!
//! A write is acknowledged after `fdatasync` of the commit log. sled is an index over that log: it answers reads,
//! and when it is behind or damaged it is rebuilt from the newest checkpoint and the log after it.
//!
//! ```text
//! <data folder>/
//!   lock                      held while a process works here
//!   log/<first sequence>.log  commits
//!   checkpoint/<last sequence>.checkpoint   all records as of that commit
//!   index/                    sled
//!   runs/<first>.runs, .idx   run history and its index
//!   modules/<sha256>.wasm
//! ```
//!
//! # Example
//!
//! ```
//! use headgate::store::{Batch, Database, Options, Store, StoreError};
//!
//! # async fn example() -> Result<(), StoreError> {
//! # let dir = tempfile::tempdir().expect("a temporary folder");
//! let database = Database::open(dir.path(), &Options::default())?;
//! let records = &database.records;
//!
//! let version = records.commit(Batch::new().require_absent("group/acme").put("group/acme", "{}")).await?;
//! let record = records.get("group/acme")?.expect("it was just written");
//! assert_eq!(record.version, version);
//!
//! // Compare and swap: only one of two such writers wins, the other one gets a conflict.
//! let swap = || Batch::new().require_version("group/acme", version).put("group/acme", r#"{"name":"Acme"}"#);
//! records.commit(swap()).await?;
//! assert!(matches!(records.commit(swap()).await, Err(StoreError::Conflict { .. })));
//! database.close().await
//! # }
//! # tokio::runtime::Runtime::new().expect("a runtime").block_on(example()).expect("the example works");
//! ```

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

mod batch;
mod checkpoint;
mod codec;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod damage;
mod database;
mod error;
mod examination;
mod feed;
mod files;
mod frame;
mod history;
mod index;
mod log;
mod memory;
mod modules;
#[cfg(test)]
mod power_cuts;
mod records;
mod segment;
mod writer;

pub use batch::{Batch, Change, Commit, MAX_BATCH_BYTES, MAX_BATCH_OPERATIONS, MAX_KEY_BYTES};
pub use database::{Database, Options};
pub use error::StoreError;
pub use examination::{Examination, Examined};
pub use feed::Feed;
pub use history::{Entry, History, HistoryOptions, ListRuns, MAX_PAGE, PruneRuns, Pruned, RunPage};
pub use memory::MemoryStore;
pub use modules::{MAX_MODULE_BYTES, Modules};

/// Records by key. Keys are `noun/...` texts of at most 512 bytes; values are bytes (callers put JSON in them).
pub trait Store: Send + Sync + 'static {
    /// The record of this key. Reads the page cache, and the disk when it is not there.
    fn get(&self, key: &str) -> Result<Option<Record>, StoreError>;

    /// At most `limit` records whose keys begin with `prefix`, in the order of their keys' bytes, beginning after
    /// the key `after`. A page is one consistent state: it has all of a commit or nothing.
    fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Record)>, StoreError>;

    /// Does all of the batch or nothing. When it resolves, the batch is on disk and visible.
    ///
    /// Dropping the future does not withdraw a batch that was handed to the writer.
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Sequence, StoreError>>;

    /// The commits after `after`, in order. Fails with [`StoreError::FeedGone`] when they are not all held any more.
    fn feed(&self, after: Sequence) -> Result<Feed, StoreError>;

    /// The newest commit that is visible.
    fn latest(&self) -> Sequence;
}

/// A record as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What was put.
    pub value: Bytes,
    /// The commit that put it.
    pub version: Sequence,
}

/// The place of a commit among all commits of a store: 1, 2, 3, ...
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(u64);

impl Sequence {
    /// Before the first commit.
    pub const ZERO: Self = Self(0);

    /// The sequence with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The sequence after this one.
    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Locks; a panic under a lock of this layer leaves its data whole, as every change is made in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
