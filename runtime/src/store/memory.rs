//! A store in memory: for the conformance suite and for tests of what stands on the store. It forgets.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::feed::Recent;
use super::{Batch, Feed, Record, Sequence, Store, StoreError, lock};

/// Records in memory.
#[derive(Debug)]
pub struct MemoryStore {
    state: Mutex<State>,
    recent: Arc<Recent>,
}

#[derive(Debug, Default)]
struct State {
    records: BTreeMap<String, Record>,
    latest: Sequence,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self { state: Mutex::default(), recent: Arc::new(Recent::new(Sequence::ZERO)) }
    }

    /// A store with these records, as of a commit.
    pub(super) fn of(records: BTreeMap<String, Record>, latest: Sequence) -> Self {
        Self { state: Mutex::new(State { records, latest }), recent: Arc::new(Recent::new(latest)) }
    }

    fn apply(&self, batch: Batch) -> Result<Sequence, StoreError> {
        batch.validate()?;
        let mut state = lock(&self.state);
        batch.check(|key| Ok(state.records.get(key).map(|record| record.version)))?;
        let version = state.latest.next();
        let commit = batch.resolve(version);
        for change in &commit.changes {
            match &change.value {
                Some(value) => {
                    state.records.insert(change.key.clone(), Record { value: value.clone(), version });
                }
                None => {
                    state.records.remove(&change.key);
                }
            }
        }
        state.latest = version;
        self.recent.extend([Arc::new(commit)]);
        Ok(version)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &str) -> Result<Option<Record>, StoreError> {
        Ok(lock(&self.state).records.get(key).cloned())
    }

    fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Record)>, StoreError> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        Ok(lock(&self.state)
            .records
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, record)| (key.clone(), record.clone()))
            .collect())
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Sequence, StoreError>> {
        async move { self.apply(batch) }.boxed()
    }

    fn feed(&self, after: Sequence) -> Result<Feed, StoreError> {
        self.recent.feed(after)
    }

    fn latest(&self) -> Sequence {
        lock(&self.state).latest
    }
}
