//! The history's writer: a thread that takes what waits, writes it in one go, and makes it durable.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use super::queue::{Queue, Work};
use super::rows;
use super::segments::{self, SEGMENT_SPAN_MS, Segment, Segments, segment_path};
use super::{Entry, PruneRuns, Pruned, row_file};
use crate::store::StoreError;
use crate::store::frame::Kind;
use crate::store::segment::{Purpose, SegmentWriter};

/// Frames are handed to the system in pieces of about this size.
const WRITE_BYTES: usize = 1 << 20;

/// The thread's own things.
pub(super) struct Writer {
    pub(super) queue: Arc<Queue>,
    pub(super) segments: Arc<Segments>,
    pub(super) file: SegmentWriter,
    pub(super) path: PathBuf,
    pub(super) base: u64,
    /// The number of the next entry.
    pub(super) next: u64,
    /// When the newest entry of all was made, in Unix milliseconds.
    pub(super) newest_ms: u64,
    /// The same as of the active segment's first entry. A record that comes late, of a run that waited for days,
    /// does not change it.
    pub(super) begun_ms: Option<u64>,
    pub(super) segment_bytes: u64,
    /// The lock of the data folder: held as long as anything may write there.
    pub(super) _lock: Arc<File>,
}

impl Writer {
    /// Works until the queue is closed or writing fails.
    pub(super) fn run(mut self) {
        loop {
            let Work { entries, bytes, waiters, prunes, last } = self.queue.take();
            if let Err(error) = self.write(&mut entries.values()) {
                return self.queue.fail(&error);
            }
            self.queue.done(bytes);
            waiters.into_iter().for_each(|waiter| drop(waiter.send(Ok(()))));
            for (prune, reply) in prunes {
                if let Err(error) = self.roll_if_old(prune) {
                    return self.queue.fail(&error);
                }
                // Nobody may wait any more; the work is done all the same.
                let _ = reply.send(self.prune(prune));
            }
            if last {
                if let Err(error) = self.file.finish() {
                    self.queue.fail(&error);
                }
                return;
            }
        }
    }

    /// Writes entries, makes them durable and lets readers see them.
    fn write(&mut self, entries: &mut dyn Iterator<Item = &Entry>) -> Result<(), StoreError> {
        let mut written: Vec<(&Entry, u64)> = Vec::new();
        for entry in entries {
            if self.is_full(entry) {
                self.settle(&mut written)?;
                self.roll()?;
            }
            let (offset, _) = self.file.push(Kind::Entry, self.next, |buffer| rows::put_entry(buffer, entry));
            self.next += 1;
            self.newest_ms = self.newest_ms.max(made_ms(entry.id.as_u128()));
            self.begun_ms.get_or_insert(self.newest_ms);
            written.push((entry, offset));
            if self.file.buffered() > WRITE_BYTES {
                self.file.write()?;
            }
        }
        self.settle(&mut written)
    }

    fn settle(&mut self, written: &mut Vec<(&Entry, u64)>) -> Result<(), StoreError> {
        if written.is_empty() {
            return Ok(());
        }
        self.file.sync()?;
        self.segments.publish(|rows| {
            for (entry, offset) in written.drain(..) {
                rows.insert(&entry.group, entry.id, &entry.flow, offset);
            }
        });
        Ok(())
    }

    fn is_full(&self, entry: &Entry) -> bool {
        let made = made_ms(entry.id.as_u128());
        let too_far = self.begun_ms.is_some_and(|begun| made.saturating_sub(begun) > SEGMENT_SPAN_MS);
        self.next > self.base && (self.file.len() >= self.segment_bytes || too_far)
    }

    /// Finishes the active segment and begins another one.
    fn roll(&mut self) -> Result<(), StoreError> {
        self.file.finish()?;
        let files = Arc::clone(&self.segments.files);
        let (_, (summary, written)) = self.segments.look(|path, rows| {
            let summary = segments::summary(self.base, self.file.len(), false, rows);
            (summary, row_file::write(&*files, &path.with_extension("idx"), summary, rows))
        });
        written?;
        let path = segment_path(&self.segments.dir, self.next);
        self.file = SegmentWriter::create(&*files, &path, Purpose::Runs, self.next)?;
        self.base = self.next;
        self.begun_ms = None;
        let finished = std::mem::replace(&mut self.path, path.clone());
        self.segments.finish(Segment { path: finished, summary }, path);
        Ok(())
    }

    /// Finishes the active segment when everything in it is too old, so that it can go.
    fn roll_if_old(&mut self, prune: PruneRuns) -> Result<(), StoreError> {
        let (_, newest) = self.segments.look(|_, rows| rows.span().map(|(_, max)| made_ms(max)));
        match (prune.before_ms, newest) {
            (Some(before), Some(newest)) if newest < before => self.roll(),
            _ => Ok(()),
        }
    }

    fn prune(&self, prune: PruneRuns) -> Result<Pruned, StoreError> {
        let (finished, ()) = self.segments.look(|_, _| ());
        let unwanted = unwanted(&finished, prune, self.file.len());
        self.segments.forget(&unwanted);
        let mut pruned = Pruned { segments: 0, bytes: 0 };
        let files = &self.segments.files;
        for segment in unwanted {
            for path in [&segment.path, &segment.row_path()] {
                match files.remove(path) {
                    Ok(()) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => return Err(StoreError::io("remove", path)(error)),
                }
            }
            pruned.segments += 1;
            pruned.bytes += segment.summary.data_bytes;
        }
        files.sync_dir(&self.segments.dir).map_err(StoreError::io("make durable", &self.segments.dir))?;
        Ok(pruned)
    }
}

/// Which finished segments are to go: those whose newest entry is too old, and the oldest while all are too many.
fn unwanted(finished: &[Arc<Segment>], prune: PruneRuns, active_bytes: u64) -> Vec<Arc<Segment>> {
    let is_old = |segment: &Segment| {
        let newest = made_ms(segment.summary.span.1);
        segment.summary.rows > 0 && prune.before_ms.is_some_and(|before| newest < before)
    };
    // A segment of which nothing can be read is as old as the ones around it.
    let old_end = finished.iter().rposition(|segment| is_old(segment)).map_or(0, |last| last + 1);
    let mut total = active_bytes + finished.iter().map(|segment| segment.summary.data_bytes).sum::<u64>();
    let mut unwanted = Vec::new();
    for (at, segment) in finished.iter().enumerate() {
        let by_age = at < old_end && (is_old(segment) || segment.summary.rows == 0);
        if by_age || prune.max_bytes.is_some_and(|most| total > most) {
            total -= segment.summary.data_bytes;
            unwanted.push(Arc::clone(segment));
        }
    }
    unwanted
}

/// When an id was made, in Unix milliseconds (RFC 9562, section 5.7).
pub(super) fn made_ms(id: u128) -> u64 {
    (id >> 80) as u64
}
