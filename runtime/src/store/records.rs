//! The records of a data folder: reads from the index, writes through the writer's queue.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::feed::Recent;
use super::index::Index;
use super::writer::{CommitRequest, Health, Request, Writer};
use super::{Batch, Feed, MAX_BATCH_BYTES, Record, Sequence, Store, StoreError};

/// The most batches that wait for the writer; further ones wait for a place.
const QUEUE_BATCHES: usize = 1024;
/// The most bytes that wait for the writer, in KiB: two of the largest batches.
const QUEUE_KIB: usize = 2 * MAX_BATCH_BYTES / 1024;

/// The store on disk.
pub(super) struct LogStore {
    /// Taken away by `close`.
    index: ArcSwapOption<Index>,
    recent: Arc<Recent>,
    health: Arc<Health>,
    queue: mpsc::Sender<Request>,
    room: Arc<Semaphore>,
}

impl LogStore {
    /// Starts the writer's thread.
    pub(super) fn start(writer: Writer) -> std::io::Result<Self> {
        let (queue, requests) = mpsc::channel(QUEUE_BATCHES);
        let store = Self {
            index: ArcSwapOption::from(Some(Arc::clone(&writer.index))),
            recent: Arc::clone(&writer.recent),
            health: Arc::clone(&writer.health),
            queue,
            room: Arc::new(Semaphore::new(QUEUE_KIB)),
        };
        std::thread::Builder::new().name("headgate-store".to_owned()).spawn(move || writer.run(requests))?;
        Ok(store)
    }

    /// Makes all durable and ends the writer.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        self.index.store(None);
        let (reply, answer) = oneshot::channel();
        self.queue.send(Request::Close(reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Fails once the store is read-only.
    pub(super) fn health(&self) -> Result<(), StoreError> {
        self.health.check()
    }

    fn index(&self) -> Result<Arc<Index>, StoreError> {
        self.index.load_full().ok_or(StoreError::Closed)
    }

    async fn enqueue(&self, batch: Batch) -> Result<Sequence, StoreError> {
        self.health.check()?;
        let bytes = batch.validate()?;
        let share = Arc::clone(&self.room).acquire_many_owned(1 + (bytes / 1024) as u32);
        let _share = share.await.map_err(|_| StoreError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let request = Request::Commit(CommitRequest { batch, bytes, reply, _share });
        self.queue.send(request).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

impl Store for LogStore {
    fn get(&self, key: &str) -> Result<Option<Record>, StoreError> {
        self.index()?.get(key)
    }

    fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Record)>, StoreError> {
        self.index()?.scan(prefix, after, limit)
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Sequence, StoreError>> {
        self.enqueue(batch).boxed()
    }

    fn feed(&self, after: Sequence) -> Result<Feed, StoreError> {
        self.recent.feed(after)
    }

    fn latest(&self) -> Sequence {
        self.recent.latest()
    }
}
