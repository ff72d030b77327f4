//! Run history: what ran, in append-only segment files. It is written behind: an append returns when the entry is
//! queued, and the entry is on disk well within a second. Nothing is dropped: a full queue makes callers wait.
//!
//! No entry is in sled, and memory does not grow with the history: each finished segment has its rows in a file.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use self::queue::Queue;
use self::row_file::Summary;
use self::rows::Row;
use self::segments::Segments;
use super::StoreError;
use super::files::Files;
use super::segment::{Purpose, SegmentReader, SegmentWriter};

mod queue;
mod row_file;
mod rows;
mod segments;
#[cfg(test)]
mod tests;
mod writer;

/// How long an entry waits for others before they are written together. With the write itself it stays below the
/// 500 ms that are promised.
const LINGER: Duration = Duration::from_millis(200);
/// The most entries that one page has.
pub const MAX_PAGE: usize = 1000;

/// Sizes of the run history.
#[derive(Debug, Clone)]
pub struct HistoryOptions {
    /// Another segment is begun when one is longer than this, in bytes. The rows of the segment that is written to
    /// are in memory: some 50 bytes an entry.
    pub segment_bytes: u64,
    /// The most that waits to be written, in bytes. An entry may have half of it.
    pub queue_bytes: usize,
}

impl Default for HistoryOptions {
    fn default() -> Self {
        Self { segment_bytes: 32 << 20, queue_bytes: 32 << 20 }
    }
}

/// The record of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The run's id, a UUID version 7: its time orders the history.
    pub id: Uuid,
    /// The group it belongs to.
    pub group: String,
    /// The flow that ran.
    pub flow: String,
    /// Whatever the caller keeps of the run.
    pub body: Bytes,
}

/// Which runs to list.
#[derive(Debug, Clone)]
pub struct ListRuns {
    /// Of this group.
    pub group: String,
    /// Only of this flow.
    pub flow: Option<String>,
    /// Only runs older than this one: the last id of the page before.
    pub before: Option<Uuid>,
    /// At most so many, and never more than [`MAX_PAGE`].
    pub limit: usize,
}

/// A page of runs, newest first.
#[derive(Debug, Default)]
pub struct RunPage {
    /// The runs that can be read.
    pub entries: Vec<Entry>,
    /// Why others, that belong between them, cannot.
    pub damaged: Vec<StoreError>,
}

/// Which runs may go. Whole segments are deleted, so some that may go stay until their segment can.
#[derive(Debug, Clone, Copy, Default)]
pub struct PruneRuns {
    /// Those made before this moment, in Unix milliseconds.
    pub before_ms: Option<u64>,
    /// The oldest ones, while all segments together have more bytes.
    pub max_bytes: Option<u64>,
}

/// What pruning did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// Deleted segments.
    pub segments: usize,
    /// Their size in bytes.
    pub bytes: u64,
}

/// The run history of a data folder. Cheap to clone.
#[derive(Clone)]
pub struct History {
    queue: Arc<Appending>,
    segments: Arc<Segments>,
    /// Closed when the writer's thread has ended.
    ended: watch::Receiver<()>,
}

/// The queue as those who append hold it: when nobody does any more, the writer ends.
struct Appending(Arc<Queue>);

impl std::ops::Deref for Appending {
    type Target = Queue;

    fn deref(&self) -> &Queue {
        &self.0
    }
}

impl Drop for Appending {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl History {
    /// Opens the history in a folder that exists, and starts its writer's thread.
    pub(super) fn open(
        files: Arc<dyn Files>,
        dir: &Path,
        options: &HistoryOptions,
        lock: Arc<File>,
    ) -> Result<Self, StoreError> {
        let found = segments::find(&*files, dir)?;
        let (file, path, base, next, rows) = match found.last {
            Some((path, scan)) => {
                let (file, base) = resume(&*files, &path, scan.end)?;
                (file, path, base, scan.next, scan.rows)
            }
            None => {
                let path = segments::segment_path(dir, found.next);
                let file = SegmentWriter::create(&*files, &path, Purpose::Runs, found.next)?;
                (file, path, found.next, found.next, rows::Rows::default())
            }
        };
        let queue = Arc::new(Queue::new(options.queue_bytes, LINGER));
        let newest = found.finished.iter().map(|segment| segment.summary.span.1).max().map_or(0, writer::made_ms);
        let begun_ms = rows.span().map(|(min, _)| writer::made_ms(min).max(newest));
        let newest_ms = rows.span().map_or(newest, |(_, max)| writer::made_ms(max).max(newest));
        let segments = Arc::new(Segments::new(files, dir, found.finished, (path.clone(), rows)));
        let (alive, ended) = watch::channel(());
        let appending = Arc::new(Appending(Arc::clone(&queue)));
        let history = Self { queue: appending, segments: Arc::clone(&segments), ended };
        let segment_bytes = options.segment_bytes;
        let writer =
            writer::Writer { queue, segments, file, path, base, next, newest_ms, begun_ms, segment_bytes, _lock: lock };
        let thread = std::thread::Builder::new().name("headgate-history".to_owned());
        let work = move || {
            writer.run();
            drop(alive);
        };
        thread.spawn(work).map_err(StoreError::io("start a thread for", dir))?;
        Ok(history)
    }

    /// Queues an entry; it can be read at once and is on disk within 500 ms. Waits while the queue is full.
    /// An entry of the same id takes the place of an earlier one.
    pub async fn append(&self, entry: Entry) -> Result<(), StoreError> {
        self.queue.append(entry, None).await
    }

    /// Appends an entry and resolves when it is on disk.
    pub async fn append_durable(&self, entry: Entry) -> Result<(), StoreError> {
        let (waiter, done) = oneshot::channel();
        self.queue.append(entry, Some(waiter)).await?;
        done.await.map_err(|_| self.queue.ended())?
    }

    /// Resolves when everything appended before is on disk.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let (waiter, done) = oneshot::channel();
        self.queue.flush(waiter)?;
        done.await.map_err(|_| self.queue.ended())?
    }

    /// Deletes segments that are too old or too many.
    pub async fn prune(&self, prune: PruneRuns) -> Result<Pruned, StoreError> {
        let (reply, done) = oneshot::channel();
        self.queue.prune(prune, reply)?;
        done.await.map_err(|_| self.queue.ended())?
    }

    /// Fails with [`StoreError::ReadOnly`] once writing has failed.
    pub fn health(&self) -> Result<(), StoreError> {
        self.queue.health.check()
    }

    /// Makes everything durable and ends the writer; resolves when its thread has let everything go.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        self.queue.close();
        // The thread never sends: what ends the waiting is that it drops its end.
        let _ = self.ended.clone().changed().await;
        self.health()
    }

    /// The entry of a run. Reads the disk. Fails with [`StoreError::Corrupt`] when it is damaged, or may have been
    /// in a part of a segment that is.
    pub fn get(&self, group: &str, id: Uuid) -> Result<Option<Entry>, StoreError> {
        // Entries move from the queue to the active segment to finished ones: looking in this order misses none.
        let (queued, writing) = self.queue.read(|pending| pending.get(&id).cloned());
        if let Some(entry) = queued.or_else(|| writing.get(&id).cloned()) {
            return Ok((entry.group == group).then_some(entry));
        }
        let (finished, active) = self.segments.look(|path, rows| Some((path.to_owned(), rows.get(group, id)?)));
        if let Some((path, row)) = active {
            return self.read(&path, group, row);
        }
        for segment in finished.iter().rev() {
            let (min, max) = segment.summary.span;
            if segment.summary.rows > 0
                && (min..=max).contains(&id.as_u128())
                && let Some(row) = self.segments.rows(segment, |rows| rows.get(group, id.as_u128()))?
            {
                return self.read(&segment.path, group, row);
            }
        }
        match finished.iter().find(|segment| segment.may_have_lost(id.as_u128())) {
            Some(segment) => Err(segment.damage()),
            None => Ok(None),
        }
    }

    /// A page of a group's runs, newest first. Reads the disk.
    pub fn list(&self, list: &ListRuns) -> Result<RunPage, StoreError> {
        let limit = list.limit.min(MAX_PAGE);
        let before = list.before.map_or(u128::MAX, |id| id.as_u128());
        let matches =
            |entry: &&Entry| entry.group == list.group && list.flow.as_ref().is_none_or(|flow| *flow == entry.flow);
        let newest = |entries: &queue::Entries| -> Vec<Entry> {
            let older = entries.range(..Uuid::from_u128(before)).rev();
            older.map(|(_, entry)| entry).filter(matches).take(limit).cloned().collect()
        };
        let mut page = Page { limit, places: BTreeMap::new() };
        let (queued, writing) = self.queue.read(newest);
        page.add(queued.into_iter().map(|entry| (entry.id.as_u128(), Place::Memory(entry))));
        page.add(newest(&writing).into_iter().map(|entry| (entry.id.as_u128(), Place::Memory(entry))));
        let flow = list.flow.as_deref();
        let (finished, (path, rows)) =
            self.segments.look(|path, rows| (path.to_owned(), rows.newest(&list.group, flow, before, limit)));
        let active = finished.len();
        page.add(rows.into_iter().map(|row| (row.id, Place::Disk(active, row))));
        let mut damaged = Vec::new();
        for (at, segment) in finished.iter().enumerate().rev() {
            let Summary { rows, span: (min, max), .. } = segment.summary;
            let reaches = min < before && page.wants(max);
            if segment.summary.damaged && (reaches || rows == 0) {
                damaged.push(segment.damage());
            }
            if reaches && rows > 0 {
                match self.segments.rows(segment, |rows| rows.newest(&list.group, flow, before, limit)) {
                    Ok(rows) => page.add(rows.into_iter().map(|row| (row.id, Place::Disk(at, row)))),
                    Err(error) => damaged.push(error),
                }
            }
        }
        let paths = finished.iter().map(|segment| segment.path.clone()).chain([path]).collect();
        Ok(self.read_page(page, paths, &list.group, damaged))
    }

    fn read_page(&self, page: Page, paths: Vec<PathBuf>, group: &str, damaged: Vec<StoreError>) -> RunPage {
        let mut readers: HashMap<usize, Option<SegmentReader>> = HashMap::new();
        let mut result = RunPage { entries: Vec::new(), damaged };
        for (_, place) in page.places.into_iter().rev() {
            let (at, row) = match place {
                Place::Memory(entry) => {
                    result.entries.push(entry);
                    continue;
                }
                Place::Disk(at, row) => (at, row),
            };
            let reader = readers.entry(at).or_insert_with(|| {
                self.segments.open(&paths[at]).unwrap_or_else(|error| {
                    result.damaged.push(error);
                    None
                })
            });
            // Without a reader the segment was pruned a moment ago, or its damage is noted already.
            let Some(reader) = reader else { continue };
            match self.segments.entry(reader, &paths[at], group, row) {
                Ok(entry) => result.entries.push(entry),
                Err(error) => result.damaged.push(error),
            }
        }
        result
    }

    fn read(&self, path: &Path, group: &str, row: Row) -> Result<Option<Entry>, StoreError> {
        match self.segments.open(path)? {
            Some(mut reader) => self.segments.entry(&mut reader, path, group, row).map(Some),
            None => Ok(None),
        }
    }
}

/// The newest entries found so far.
struct Page {
    limit: usize,
    places: BTreeMap<u128, Place>,
}

enum Place {
    Memory(Entry),
    /// In the segment of this index.
    Disk(usize, Row),
}

impl Page {
    /// Adds places; what was added before stands for the newer entry of an id.
    fn add(&mut self, places: impl Iterator<Item = (u128, Place)>) {
        for (id, place) in places {
            self.places.entry(id).or_insert(place);
            if self.places.len() > self.limit {
                self.places.pop_first();
            }
        }
    }

    /// Whether an entry of this id would be on the page.
    fn wants(&self, id: u128) -> bool {
        self.places.len() < self.limit || self.places.first_key_value().is_some_and(|(smallest, _)| id >= *smallest)
    }
}

fn resume(files: &dyn Files, path: &Path, end: u64) -> Result<(SegmentWriter, u64), StoreError> {
    let reader = SegmentReader::open(files, path, Purpose::Runs)?;
    let reader = reader.ok_or_else(|| super::segment::corrupt(path, 0, "the header is missing"))?;
    if end < reader.len() {
        tracing::warn!(
            file = %path.display(), offset = end, bytes = reader.len() - end,
            "cut off the end of the run history: a write was torn there"
        );
    }
    Ok((SegmentWriter::resume(files, &reader, end)?, reader.base()))
}
