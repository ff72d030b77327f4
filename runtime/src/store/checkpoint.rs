//! Checkpoints: all records as of one commit, in the order of their keys, in one file.
//!
//! A checkpoint is the one before it merged with the log files since. It never asks the index, so that damage
//! there cannot get into what the index is rebuilt from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::codec::{self, KeyedRecord};
use super::files::Files;
use super::frame::Kind;
use super::index::Index;
use super::log::{self, LogFile};
use super::segment::{Purpose, ReadError, SegmentReader, SegmentWriter, corrupt, sync_parent};
use super::{Record, Sequence, StoreError};

const SUFFIX: &str = ".checkpoint";
const TEMPORARY: &str = "writing.temporary";
/// Records are gathered into frames of about this size.
const FRAME_BYTES: usize = 256 << 10;

/// A complete checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) path: PathBuf,
    /// The commit as of which it holds all records.
    pub(super) sequence: Sequence,
}

/// The newest checkpoint of a folder. What an interrupted writer left is removed.
pub(super) fn newest(files: &dyn Files, dir: &Path) -> Result<Option<Checkpoint>, StoreError> {
    let mut found = Vec::new();
    for name in files.list(dir).map_err(StoreError::io("list", dir))? {
        let path = dir.join(&name);
        if name == TEMPORARY {
            remove(files, &path)?;
        } else if let Some(sequence) = name.strip_suffix(SUFFIX).and_then(|number| number.parse().ok()) {
            found.push(Checkpoint { path, sequence: Sequence::new(sequence) });
        }
    }
    found.sort_by_key(|checkpoint| checkpoint.sequence);
    let newest = found.pop();
    for older in found {
        remove(files, &older.path)?;
    }
    Ok(newest)
}

/// Shows every record of a checkpoint to `visit`, in the order of keys. Fails if any of it is damaged, possibly
/// after records were shown.
pub(super) fn read(
    files: &dyn Files,
    checkpoint: &Checkpoint,
    mut visit: impl FnMut(KeyedRecord) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let path = &checkpoint.path;
    let mut reader = SegmentReader::open(files, path, Purpose::Checkpoint)?
        .filter(|reader| reader.base() == checkpoint.sequence.get())
        .ok_or_else(|| corrupt(path, 0, "the header is not as it was written"))?;
    let (mut count, mut number) = (0_u64, 0);
    loop {
        let offset = reader.position();
        let frame = match reader.next() {
            Ok(Some(frame)) => frame,
            Ok(None) => return Err(corrupt(path, offset, "the end is missing")),
            Err(ReadError::Store(error)) => return Err(error),
            Err(ReadError::Flaw(flaw)) => return Err(corrupt(path, flaw.offset, flaw.reason)),
        };
        number += 1;
        let misplaced = || corrupt(path, offset, "a frame stands where it does not belong");
        if frame.head.sequence != number {
            return Err(misplaced());
        }
        match frame.head.kind {
            Kind::End if frame.payload == count.to_le_bytes() => return Ok(()),
            Kind::Records => {
                let records = codec::records(frame.payload).ok_or_else(misplaced)?;
                count += records.len() as u64;
                records.into_iter().try_for_each(&mut visit)?;
            }
            _ => return Err(misplaced()),
        }
    }
}

/// Merges a checkpoint with the log files after it into a new checkpoint; durable when it returns.
/// Holds the log files' changes in memory. Fails with [`StoreError::Closed`] once `cancelled`.
pub(super) fn write(
    files: &dyn Files,
    dir: &Path,
    previous: Option<&Checkpoint>,
    log_files: &[LogFile],
    cancelled: &AtomicBool,
) -> Result<Checkpoint, StoreError> {
    let mut sequence = previous.map_or(Sequence::ZERO, |checkpoint| checkpoint.sequence);
    let mut newer: BTreeMap<String, (Sequence, Option<Bytes>)> = BTreeMap::new();
    for file in log_files {
        log::read_file(files, file, false, &mut |commit| {
            sequence = sequence.max(commit.sequence);
            for change in commit.changes {
                newer.insert(change.key, (commit.sequence, change.value));
            }
            stop_if(cancelled)
        })?;
    }
    let mut output = Output::create(files, dir, sequence)?;
    let mut newer = newer.into_iter().peekable();
    if let Some(previous) = previous {
        read(files, previous, |record| {
            stop_if(cancelled)?;
            while let Some(change) = newer.next_if(|(key, _)| *key < record.key) {
                output.put_change(change)?;
            }
            match newer.next_if(|(key, _)| *key == record.key) {
                Some(change) => output.put_change(change),
                None => output.put(&record),
            }
        })?;
    }
    newer.try_for_each(|change| output.put_change(change))?;
    output.end(files, dir)
}

/// Writes a checkpoint in place of a damaged one, from the index; durable when it returns.
pub(super) fn write_from_index(files: &dyn Files, dir: &Path, index: &Index) -> Result<Checkpoint, StoreError> {
    let mut output = Output::create(files, dir, index.applied())?;
    let mut after = None;
    loop {
        let page = index.scan("", after.as_deref(), 100)?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        for (key, Record { value, version }) in page {
            output.put(&KeyedRecord { key, version, value })?;
        }
    }
    output.end(files, dir)
}

/// Removes a checkpoint that a newer one replaces.
pub(super) fn remove(files: &dyn Files, path: &Path) -> Result<(), StoreError> {
    files.remove(path).map_err(StoreError::io("remove", path))?;
    sync_parent(files, path)
}

fn stop_if(cancelled: &AtomicBool) -> Result<(), StoreError> {
    if cancelled.load(Ordering::Relaxed) { Err(StoreError::Closed) } else { Ok(()) }
}

/// A checkpoint as it is written.
struct Output {
    writer: SegmentWriter,
    sequence: Sequence,
    records: Vec<u8>,
    count: u64,
    number: u64,
}

impl Output {
    /// Begins under a temporary name; what an earlier attempt left there is removed.
    fn create(files: &dyn Files, dir: &Path, sequence: Sequence) -> Result<Self, StoreError> {
        let temporary = dir.join(TEMPORARY);
        if files.read(&temporary).is_ok() {
            remove(files, &temporary)?;
        }
        let writer = SegmentWriter::create(files, &temporary, Purpose::Checkpoint, sequence.get())?;
        Ok(Self { writer, sequence, records: Vec::new(), count: 0, number: 0 })
    }

    fn put_change(&mut self, (key, change): (String, (Sequence, Option<Bytes>))) -> Result<(), StoreError> {
        match change {
            (version, Some(value)) => self.put(&KeyedRecord { key, version, value }),
            (_, None) => Ok(()),
        }
    }

    fn put(&mut self, record: &KeyedRecord) -> Result<(), StoreError> {
        codec::put_record(&mut self.records, record);
        self.count += 1;
        if self.records.len() >= FRAME_BYTES { self.push_records() } else { Ok(()) }
    }

    fn push_records(&mut self) -> Result<(), StoreError> {
        self.number += 1;
        let records = std::mem::take(&mut self.records);
        self.writer.push(Kind::Records, self.number, |buffer| buffer.extend_from_slice(&records));
        self.writer.write()
    }

    fn end(mut self, files: &dyn Files, dir: &Path) -> Result<Checkpoint, StoreError> {
        if !self.records.is_empty() {
            self.push_records()?;
        }
        self.writer.push(Kind::End, self.number + 1, |buffer| buffer.extend_from_slice(&self.count.to_le_bytes()));
        self.writer.sync()?;
        let (temporary, sequence) = (dir.join(TEMPORARY), self.sequence);
        let path = dir.join(format!("{:020}{SUFFIX}", sequence.get()));
        files.rename(&temporary, &path).map_err(StoreError::io("rename", &temporary))?;
        sync_parent(files, &path)?;
        Ok(Checkpoint { path, sequence })
    }
}
