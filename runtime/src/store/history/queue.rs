//! The queue between those who append and the writer's thread: bounded in bytes, readable while it waits.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot};
use uuid::Uuid;

use super::{Entry, PruneRuns, Pruned};
use crate::store::writer::Health;
use crate::store::{StoreError, lock};

/// What an entry costs besides its texts and its body, about.
const ENTRY_OVERHEAD_BYTES: usize = 128;

/// Entries by id; a later append of an id takes the place of the earlier one.
pub(super) type Entries = BTreeMap<Uuid, Entry>;

pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    /// Free bytes. Fair: whoever waits first is served first.
    room: Semaphore,
    pub(super) health: Health,
    capacity: usize,
    /// How long the first entry of a batch waits for others.
    linger: Duration,
}

#[derive(Default)]
struct State {
    pending: Entries,
    pending_bytes: usize,
    /// What the writer is writing now, still to be read here.
    writing: Arc<Entries>,
    waiters: Vec<oneshot::Sender<Result<(), StoreError>>>,
    prunes: Vec<(PruneRuns, oneshot::Sender<Result<Pruned, StoreError>>)>,
    urgent: bool,
    closed: bool,
}

/// What the writer is to do next.
pub(super) struct Work {
    pub(super) entries: Arc<Entries>,
    pub(super) bytes: usize,
    pub(super) waiters: Vec<oneshot::Sender<Result<(), StoreError>>>,
    pub(super) prunes: Vec<(PruneRuns, oneshot::Sender<Result<Pruned, StoreError>>)>,
    /// Nothing comes after this.
    pub(super) last: bool,
}

impl Queue {
    pub(super) fn new(capacity: usize, linger: Duration) -> Self {
        let capacity = capacity.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        let room = Semaphore::new(capacity);
        let (state, wake, health) = (Mutex::default(), Condvar::new(), Health::default());
        Self { state, wake, room, health, capacity, linger }
    }

    /// Adds an entry as soon as there is room. With `durable`, the receiver hears when it is on disk.
    pub(super) async fn append(
        &self,
        entry: Entry,
        durable: Option<oneshot::Sender<Result<(), StoreError>>>,
    ) -> Result<(), StoreError> {
        let bytes = weight(&entry);
        // Half, so that an entry for which there is no room always finds the writer at work.
        if bytes > self.capacity / 2 {
            let (size, limit) = (bytes as u64, self.capacity as u64 / 2);
            return Err(StoreError::TooLarge { what: "a run's record (bytes)", size, limit });
        }
        if entry.group.len().max(entry.flow.len()) > usize::from(u16::MAX) {
            let (size, limit) = (entry.group.len().max(entry.flow.len()) as u64, u64::from(u16::MAX));
            return Err(StoreError::TooLarge { what: "the name of a group or flow (bytes)", size, limit });
        }
        let share = self.room.acquire_many(bytes as u32).await.map_err(|_| self.ended())?;
        let mut state = lock(&self.state);
        if state.closed || self.health.check().is_err() {
            return Err(self.ended());
        }
        share.forget();
        let (was_idle, before) = (state.pending.is_empty() && !state.urgent, state.pending_bytes);
        state.pending_bytes += bytes;
        if let Some(replaced) = state.pending.insert(entry.id, entry) {
            let bytes = weight(&replaced);
            state.pending_bytes -= bytes;
            self.room.add_permits(bytes);
        }
        let urgent = durable.is_some();
        state.waiters.extend(durable);
        state.urgent |= urgent;
        let high_water = self.capacity / 2;
        if was_idle || urgent || (before < high_water && state.pending_bytes >= high_water) {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Has `waiter` told when all that was appended before is on disk.
    pub(super) fn flush(&self, waiter: oneshot::Sender<Result<(), StoreError>>) -> Result<(), StoreError> {
        self.request(|state| state.waiters.push(waiter))
    }

    pub(super) fn prune(
        &self,
        prune: PruneRuns,
        reply: oneshot::Sender<Result<Pruned, StoreError>>,
    ) -> Result<(), StoreError> {
        self.request(|state| state.prunes.push((prune, reply)))
    }

    /// Lets the writer finish what waits; further appends fail.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        self.room.close();
        self.wake.notify_one();
    }

    /// What waits and what is being written, for readers. `read` is called under the lock.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Entries) -> T) -> (T, Arc<Entries>) {
        let state = lock(&self.state);
        (read(&state.pending), Arc::clone(&state.writing))
    }

    /// Waits for work; blocks. Entries are gathered for a while, unless somebody waits for them.
    pub(super) fn take(&self) -> Work {
        let mut state = lock(&self.state);
        let mut deadline = None;
        while !(state.urgent || state.closed || state.pending_bytes >= self.capacity / 2) {
            if state.pending.is_empty() {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + self.linger);
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.urgent = false;
        state.writing = Arc::new(std::mem::take(&mut state.pending));
        Work {
            entries: Arc::clone(&state.writing),
            bytes: std::mem::take(&mut state.pending_bytes),
            waiters: std::mem::take(&mut state.waiters),
            prunes: std::mem::take(&mut state.prunes),
            last: state.closed,
        }
    }

    /// What was taken is on disk and in the rows: it need not be read here any more.
    pub(super) fn done(&self, bytes: usize) {
        lock(&self.state).writing = Arc::default();
        self.room.add_permits(bytes);
    }

    /// Writing failed: whoever waits is told. Entries stay readable here until the process ends.
    pub(super) fn fail(&self, error: &StoreError) {
        let mut state = lock(&self.state);
        self.health.fail("writing to the run history", error);
        self.room.close();
        // Dropping them is the answer: the health says why.
        state.waiters.clear();
        state.prunes.clear();
    }

    fn request(&self, note: impl FnOnce(&mut State)) -> Result<(), StoreError> {
        let mut state = lock(&self.state);
        if state.closed || self.health.check().is_err() {
            return Err(self.ended());
        }
        note(&mut state);
        state.urgent = true;
        self.wake.notify_one();
        Ok(())
    }

    /// Why nothing can be appended any more.
    pub(super) fn ended(&self) -> StoreError {
        self.health.check().err().unwrap_or(StoreError::Closed)
    }
}

fn weight(entry: &Entry) -> usize {
    ENTRY_OVERHEAD_BYTES + entry.group.len() + entry.flow.len() + entry.body.len()
}
