//! The one writer: a thread that takes all batches that wait, writes them to the log in one go, makes them durable
//! with one `fdatasync`, brings them into the index, and then answers.

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::checkpoint::{self, Checkpoint};
use super::feed::Recent;
use super::files::Files;
use super::index::Index;
use super::log::CommitLog;
use super::{Batch, Commit, Sequence, StoreError};

/// The most bytes that are written with one `fdatasync`; more would only make the first of them wait.
const GROUP_BYTES: usize = 8 << 20;

/// What the writer is asked for.
pub(super) enum Request {
    Commit(CommitRequest),
    /// Finish: make all durable, and end.
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// A batch on its way.
pub(super) struct CommitRequest {
    pub(super) batch: Batch,
    pub(super) bytes: usize,
    pub(super) reply: oneshot::Sender<Result<Sequence, StoreError>>,
    /// The batch's share of the queue's bound, given back when it was answered.
    pub(super) _share: OwnedSemaphorePermit,
}

/// The failure that ended writing, once there was one.
#[derive(Debug, Default)]
pub(super) struct Health(OnceLock<String>);

impl Health {
    /// Fails with [`StoreError::ReadOnly`] once writing has failed.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match self.0.get() {
            Some(reason) => Err(StoreError::ReadOnly { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// Ends writing for good: after a failed write or fsync nobody knows what is on disk.
    pub(super) fn fail(&self, what: &'static str, error: &StoreError) {
        if self.0.set(error.to_string()).is_ok() {
            tracing::error!(%error, "{what} failed: the store is read-only until the next start");
        }
    }
}

/// The writer and all that it alone changes.
pub(super) struct Writer {
    pub(super) log: CommitLog,
    pub(super) index: Arc<Index>,
    pub(super) recent: Arc<Recent>,
    pub(super) health: Arc<Health>,
    pub(super) checkpoints: Checkpoints,
    pub(super) log_file_bytes: u64,
    /// The lock of the data folder: held as long as anything may write there.
    pub(super) _lock: Arc<File>,
}

impl Writer {
    /// Works until it is told to close, or until nobody can ask any more.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        while let Some(first) = queue.blocking_recv() {
            let mut group = Vec::new();
            let mut bytes = 0;
            let mut next = Some(first);
            let close = loop {
                match next {
                    Some(Request::Commit(request)) => {
                        bytes += request.bytes;
                        group.push(request);
                    }
                    Some(Request::Close(reply)) => break Some(reply),
                    None => break None,
                }
                next = if bytes < GROUP_BYTES { queue.try_recv().ok() } else { None };
            };
            self.commit(group);
            if let Some(reply) = close {
                let result = self.finish();
                // What is held, the index's files above all, is let go before the answer.
                drop(self);
                let _ = reply.send(result);
                return;
            }
        }
        if let Err(error) = self.finish() {
            tracing::error!(%error, "the store could not be closed in order");
        }
    }

    fn commit(&mut self, group: Vec<CommitRequest>) {
        if group.is_empty() {
            return;
        }
        let (commits, mut answers) = self.admit(group);
        if let Err(error) = self.write(&commits) {
            self.health.fail("writing to the commit log or the index", &error);
            for (_, answer) in &mut answers {
                *answer = self.health.check().map(|()| Sequence::ZERO);
            }
        }
        for (request, answer) in answers {
            // Whoever gave up waiting finds the commit in the store.
            let _ = request.send(answer);
        }
        if self.health.check().is_ok()
            && let Err(error) = self.tend()
        {
            self.health.fail("beginning a log file", &error);
        }
    }

    /// Checks the preconditions of each batch against what the batches before it leave behind.
    #[expect(clippy::type_complexity, reason = "the pairs are taken apart by the only caller")]
    fn admit(
        &self,
        group: Vec<CommitRequest>,
    ) -> (Vec<Arc<Commit>>, Vec<(oneshot::Sender<Result<Sequence, StoreError>>, Result<Sequence, StoreError>)>) {
        let mut ahead: HashMap<String, Option<Sequence>> = HashMap::new();
        let mut commits = Vec::with_capacity(group.len());
        let mut answers = Vec::with_capacity(group.len());
        let mut sequence = self.log.next();
        for CommitRequest { batch, reply, .. } in group {
            let checked = self.health.check().and_then(|()| {
                batch.check(|key| match ahead.get(key) {
                    Some(version) => Ok(*version),
                    None => self.index.version(key),
                })
            });
            answers.push((reply, checked.map(|()| sequence)));
            if !matches!(answers.last(), Some((_, Ok(_)))) {
                continue;
            }
            let commit = batch.resolve(sequence);
            for change in &commit.changes {
                ahead.insert(change.key.clone(), change.value.as_ref().map(|_| sequence));
            }
            commits.push(Arc::new(commit));
            sequence = sequence.next();
        }
        (commits, answers)
    }

    /// Makes the commits durable and then visible.
    fn write(&mut self, commits: &[Arc<Commit>]) -> Result<(), StoreError> {
        if commits.is_empty() {
            return Ok(());
        }
        commits.iter().for_each(|commit| self.log.push(commit));
        self.log.sync()?;
        apply(&self.index, commits)?;
        self.recent.extend(commits.iter().cloned());
        Ok(())
    }

    /// Keeps log files and the log at their sizes.
    fn tend(&mut self) -> Result<(), StoreError> {
        if self.log.active_bytes() > self.log_file_bytes {
            self.log.roll()?;
        }
        self.checkpoints.attend(&mut self.log)
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        self.checkpoints.cancel();
        self.recent.close();
        self.health.check()?;
        self.log.finish()?;
        self.index.flush()
    }
}

/// Brings commits into the index.
pub(super) fn apply(index: &Index, commits: &[Arc<Commit>]) -> Result<(), StoreError> {
    let Some(last) = commits.last() else {
        return Ok(());
    };
    let writes = commits.iter().flat_map(|commit| {
        commit.changes.iter().map(|change| (change.key.as_str(), commit.sequence, change.value.as_ref()))
    });
    index.apply(writes, last.sequence)
}

/// Checkpoints, written on a thread of their own while commits go on.
pub(super) struct Checkpoints {
    files: Arc<dyn Files>,
    dir: PathBuf,
    /// The size of the log, in bytes, at which a checkpoint is begun.
    log_bytes: u64,
    /// The same after a failure: the disk may be full, and trying at every commit would help nobody.
    begin_at: u64,
    newest: Option<Checkpoint>,
    running: Option<JoinHandle<Result<Checkpoint, StoreError>>>,
    cancelled: Arc<AtomicBool>,
}

impl Checkpoints {
    pub(super) fn new(files: Arc<dyn Files>, dir: PathBuf, log_bytes: u64, newest: Option<Checkpoint>) -> Self {
        let cancelled = Arc::default();
        Self { files, dir, log_bytes, begin_at: log_bytes, newest, running: None, cancelled }
    }

    /// Takes note of a checkpoint that is done, and begins one when the log has grown enough.
    fn attend(&mut self, log: &mut CommitLog) -> Result<(), StoreError> {
        if let Some(running) = self.running.take_if(|running| running.is_finished()) {
            match running.join() {
                Ok(Ok(checkpoint)) => self.adopt(checkpoint, log),
                Ok(Err(error)) => self.put_off(&error.to_string(), log.bytes()),
                Err(_) => self.put_off("its thread panicked", log.bytes()),
            }
        }
        if self.running.is_none() && log.bytes() > self.begin_at {
            log.roll()?;
            self.begin(log);
        }
        Ok(())
    }

    fn begin(&mut self, log: &CommitLog) {
        let (files, dir) = (Arc::clone(&self.files), self.dir.clone());
        let (newest, cancelled) = (self.newest.clone(), Arc::clone(&self.cancelled));
        // What is merged is held in memory: after failures the log may be far longer than wanted.
        let mut held = 0;
        let bound = self.log_bytes.saturating_mul(2);
        let log_files: Vec<_> = log
            .closed()
            .iter()
            .take_while(|file| {
                held += file.bytes;
                held <= bound || held == file.bytes
            })
            .cloned()
            .collect();
        let work = move || checkpoint::write(&*files, &dir, newest.as_ref(), &log_files, &cancelled);
        match thread::Builder::new().name("headgate-checkpoint".to_owned()).spawn(work) {
            Ok(handle) => self.running = Some(handle),
            Err(error) => self.put_off(&error.to_string(), log.bytes()),
        }
    }

    /// The new checkpoint is durable: what it replaces may go.
    fn adopt(&mut self, checkpoint: Checkpoint, log: &mut CommitLog) {
        tracing::info!(sequence = %checkpoint.sequence, "wrote a checkpoint");
        let sequence = checkpoint.sequence;
        let older = self.newest.replace(checkpoint).filter(|older| older.sequence != sequence);
        let removed = log.remove_through(sequence).and_then(|()| match older {
            Some(older) => checkpoint::remove(&*self.files, &older.path),
            None => Ok(()),
        });
        if let Err(error) = removed {
            tracing::warn!(%error, "files that a checkpoint replaced are still there; the next start removes them");
        }
        self.begin_at = self.log_bytes;
    }

    fn put_off(&mut self, reason: &str, log_bytes: u64) {
        self.begin_at = log_bytes + self.log_bytes / 2;
        tracing::warn!(reason, "a checkpoint failed; the log is kept, and the next attempt comes when it has grown");
    }

    /// Ends a running checkpoint without one.
    fn cancel(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
        if let Some(running) = self.running.take() {
            // Whatever became of it, the log still has everything, and the next start finds a finished one.
            let _ = running.join();
        }
    }
}
