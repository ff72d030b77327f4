//! The segments of the run history as readers see them: finished ones with a row file each, and the rows of the
//! one that is written to.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::row_file::{self, RowFile, Summary, Unusable};
use super::rows::{self, Row, Rows};
use crate::store::files::Files;
use crate::store::segment::{Flaw, Purpose, ReadError, SegmentReader};
use crate::store::{StoreError, lock};

/// A segment takes entries that are at most this much newer than its first, so that pruning by age can delete it.
pub(super) const SEGMENT_SPAN_MS: u64 = 24 * 60 * 60 * 1000;

/// A finished segment.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) summary: Summary,
}

impl Segment {
    pub(super) fn row_path(&self) -> PathBuf {
        row_path(&self.path)
    }

    /// Whether an entry of this id may have been in the part that cannot be read.
    pub(super) fn may_have_lost(&self, id: u128) -> bool {
        let (min, max) = self.summary.span;
        let near = u128::from(SEGMENT_SPAN_MS) << 80;
        let inside = id >= min.saturating_sub(near) && id <= max.saturating_add(near);
        self.summary.damaged && (self.summary.rows == 0 || inside)
    }

    pub(super) fn damage(&self) -> StoreError {
        damaged(&self.path, 0, "a part of it cannot be read, and entries may be missing")
    }
}

/// What readers share with the writer.
pub(super) struct Segments {
    pub(super) files: Arc<dyn Files>,
    pub(super) dir: PathBuf,
    shared: Mutex<Shared>,
    /// Held while a row file is made anew, so that two readers do not do it at once.
    rebuilding: Mutex<()>,
}

struct Shared {
    /// Oldest first.
    finished: Vec<Arc<Segment>>,
    active_path: PathBuf,
    active: Rows,
}

/// What was found when the folder was opened.
pub(super) struct Found {
    pub(super) finished: Vec<Arc<Segment>>,
    /// The last segment, if it can be written on: its path, its rows, where it ends and the next entry's number.
    pub(super) last: Option<(PathBuf, Scan)>,
    /// The number for the next entry.
    pub(super) next: u64,
}

/// What reading a whole segment gave.
pub(super) struct Scan {
    pub(super) rows: Rows,
    /// Where the valid frames end, in bytes.
    pub(super) end: u64,
    /// The number after the last entry's.
    pub(super) next: u64,
    /// Whether frames between others could not be read.
    pub(super) damaged: bool,
}

impl Segments {
    pub(super) fn new(files: Arc<dyn Files>, dir: &Path, finished: Vec<Arc<Segment>>, active: (PathBuf, Rows)) -> Self {
        let shared = Shared { finished, active_path: active.0, active: active.1 };
        Self { files, dir: dir.to_owned(), shared: Mutex::new(shared), rebuilding: Mutex::new(()) }
    }

    /// The finished segments, oldest first, and what `read` takes from the active rows, as of one moment.
    pub(super) fn look<T>(&self, read: impl FnOnce(&Path, &Rows) -> T) -> (Vec<Arc<Segment>>, T) {
        let shared = lock(&self.shared);
        (shared.finished.clone(), read(&shared.active_path, &shared.active))
    }

    /// Lets readers see entries that are on disk now.
    pub(super) fn publish(&self, add: impl FnOnce(&mut Rows)) {
        add(&mut lock(&self.shared).active);
    }

    /// The active segment is finished, and `next_path` is the active one from now on.
    pub(super) fn finish(&self, segment: Segment, next_path: PathBuf) {
        let mut shared = lock(&self.shared);
        shared.finished.push(Arc::new(segment));
        shared.active_path = next_path;
        shared.active = Rows::default();
    }

    /// Takes away the finished segments that `unwanted` picks.
    pub(super) fn forget(&self, unwanted: &[Arc<Segment>]) {
        lock(&self.shared).finished.retain(|segment| !unwanted.iter().any(|gone| Arc::ptr_eq(gone, segment)));
    }

    /// Reads from a segment's row file; one that is damaged or gone is made anew first.
    pub(super) fn rows<T>(
        &self,
        segment: &Segment,
        read: impl Fn(&mut RowFile) -> Result<T, Unusable>,
    ) -> Result<T, StoreError> {
        let path = segment.row_path();
        let attempt = || RowFile::open(&*self.files, &path).and_then(|mut rows| read(&mut rows));
        if let Ok(found) = attempt() {
            return Ok(found);
        }
        let _one = lock(&self.rebuilding);
        if let Err(Unusable(reason)) = attempt() {
            tracing::warn!(file = %path.display(), reason, "the row file of a run segment is made anew");
            index(&*self.files, &segment.path, segment.summary.base)?;
        }
        attempt().map_err(|Unusable(reason)| damaged(&path, 0, &reason))
    }

    /// Reads the entry of a row.
    pub(super) fn entry(
        &self,
        reader: &mut SegmentReader,
        path: &Path,
        group: &str,
        row: Row,
    ) -> Result<super::Entry, StoreError> {
        let frame = match reader.at(row.offset) {
            Ok(frame) => frame,
            Err(ReadError::Flaw(Flaw { offset, reason })) => return Err(damaged(path, offset, reason)),
            Err(ReadError::Store(error)) => return Err(error),
        };
        match rows::entry(frame.payload) {
            Some((id, found, flow, body)) if id.as_u128() == row.id && found == group => Ok(super::Entry {
                id,
                group: group.to_owned(),
                flow: flow.to_owned(),
                body: bytes::Bytes::copy_from_slice(body),
            }),
            _ => Err(damaged(path, row.offset, "another entry stands there than its row says")),
        }
    }

    /// Opens a segment for reading entries; `None` when it was pruned.
    pub(super) fn open(&self, path: &Path) -> Result<Option<SegmentReader>, StoreError> {
        match SegmentReader::open(&*self.files, path, Purpose::Runs) {
            Ok(Some(reader)) => Ok(Some(reader)),
            Ok(None) => Err(damaged(path, 0, "the header is missing")),
            Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Finds the segments of a folder. Only the last one is read whole; others are known by their row files, which are
/// made anew where they do not fit.
pub(super) fn find(files: &dyn Files, dir: &Path) -> Result<Found, StoreError> {
    let names = files.list(dir).map_err(StoreError::io("list", dir))?;
    for name in names.iter().filter(|name| is_left_over(name, &names)) {
        let path = dir.join(name);
        files.remove(&path).map_err(StoreError::io("remove", &path))?;
    }
    let mut bases: Vec<u64> = names.iter().filter_map(|name| name.strip_suffix(".runs")?.parse().ok()).collect();
    bases.sort_unstable();
    let mut found = Found { finished: Vec::new(), last: None, next: 1 };
    let Some(newest) = bases.pop() else { return Ok(found) };
    for base in bases {
        found.finished.push(Arc::new(finished(files, &segment_path(dir, base), base)?));
    }
    let path = segment_path(dir, newest);
    found.next = newest;
    match SegmentReader::open(files, &path, Purpose::Runs) {
        Ok(Some(mut reader)) => {
            let scan = scan(&mut reader, newest)?;
            if scan.damaged || row_path_exists(files, &path) {
                // A hole in what was durable once stays as evidence; writing goes on in another segment.
                found.next = scan.next.max(newest + 1);
                found.finished.push(Arc::new(index(files, &path, newest)?));
            } else {
                found.next = scan.next;
                found.last = Some((path, scan));
            }
        }
        Ok(None) => {
            tracing::warn!(file = %path.display(), "removed a run segment whose creation was interrupted");
            files.remove(&path).map_err(StoreError::io("remove", &path))?;
        }
        Err(StoreError::Corrupt { .. }) => {
            // An entry has more than one byte: the number is free.
            found.next = newest + length(files, &path)?;
            found.finished.push(Arc::new(index(files, &path, newest)?));
        }
        Err(error) => return Err(error),
    }
    Ok(found)
}

fn finished(files: &dyn Files, path: &Path, base: u64) -> Result<Segment, StoreError> {
    match RowFile::open(files, &row_path(path)) {
        Ok(rows) if rows.summary.base == base => Ok(Segment { path: path.to_owned(), summary: rows.summary }),
        Ok(_) => index(files, path, base),
        Err(Unusable(reason)) => {
            tracing::warn!(file = %path.display(), reason, "the row file of a run segment is made anew");
            index(files, path, base)
        }
    }
}

/// Makes the row file of a segment from the segment.
fn index(files: &dyn Files, path: &Path, base: u64) -> Result<Segment, StoreError> {
    let opened = match SegmentReader::open(files, path, Purpose::Runs) {
        Err(error @ StoreError::Corrupt { .. }) => {
            tracing::warn!(%error, "a run segment cannot be read at all");
            None
        }
        other => other?,
    };
    let (rows, data_bytes, damaged) = match opened {
        Some(mut reader) => {
            let scan = scan(&mut reader, base)?;
            (scan.rows, reader.len(), scan.damaged || scan.end < reader.len())
        }
        None => (Rows::default(), length(files, path)?, true),
    };
    if damaged {
        tracing::warn!(file = %path.display(), "a part of a run segment cannot be read");
    }
    let segment = Segment { path: path.to_owned(), summary: summary(base, data_bytes, damaged, &rows) };
    row_file::write(files, &segment.row_path(), segment.summary, &rows)?;
    Ok(segment)
}

pub(super) fn summary(base: u64, data_bytes: u64, damaged: bool, rows: &Rows) -> Summary {
    Summary { base, data_bytes, damaged, rows: rows.len() as u32, span: rows.span().unwrap_or_default() }
}

/// Reads all entries of a segment; goes on behind damage where a later frame is found.
fn scan(reader: &mut SegmentReader, base: u64) -> Result<Scan, StoreError> {
    let mut scan = Scan { rows: Rows::default(), end: reader.position(), next: base, damaged: false };
    loop {
        let flaw = match reader.next() {
            Ok(None) => {
                scan.end = reader.position();
                return Ok(scan);
            }
            Ok(Some(frame)) => {
                if let Some((id, group, flow, _)) = rows::entry(frame.payload) {
                    scan.rows.insert(group, id, flow, frame.offset);
                    scan.next = frame.head.sequence + 1;
                } else {
                    scan.damaged = true;
                }
                scan.end = reader.position();
                continue;
            }
            Err(ReadError::Store(error)) => return Err(error),
            Err(ReadError::Flaw(flaw)) => flaw,
        };
        // Without a frame that vouches for the place, it and what follows is a torn write.
        let Some(later) = reader.find(flaw.offset, |head| head.synced > flaw.offset)? else {
            scan.end = flaw.offset;
            return Ok(scan);
        };
        scan.damaged = true;
        let resume = reader.find(flaw.offset, |_| true)?.unwrap_or(later);
        reader.seek(resume);
    }
}

fn damaged(path: &Path, offset: u64, reason: &str) -> StoreError {
    let remedy = "its other entries can be read; restore the file from a backup, or let pruning remove it".to_owned();
    StoreError::Corrupt { path: path.to_owned(), offset, reason: reason.to_owned(), remedy }
}

/// Temporary files, and row files whose segment is gone.
fn is_left_over(name: &str, names: &[String]) -> bool {
    name.ends_with(".temporary")
        || name.strip_suffix(".idx").is_some_and(|base| !names.contains(&format!("{base}.runs")))
}

fn length(files: &dyn Files, path: &Path) -> Result<u64, StoreError> {
    files.read(path).and_then(|file| file.len()).map_err(StoreError::io("read", path))
}

fn row_path_exists(files: &dyn Files, path: &Path) -> bool {
    files.read(&row_path(path)).is_ok()
}

fn row_path(path: &Path) -> PathBuf {
    path.with_extension("idx")
}

pub(super) fn segment_path(dir: &Path, base: u64) -> PathBuf {
    dir.join(format!("{base:020}.runs"))
}
