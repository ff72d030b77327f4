//! The commit log: segment files of commits, in order and without gaps. What it and the checkpoint before it hold
//! is the truth; everything else can be rebuilt.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::codec;
use super::files::Files;
use super::frame::Kind;
use super::segment::{Frame, Purpose, ReadError, SegmentReader, SegmentWriter, corrupt, sync_parent};
use super::{Commit, Sequence, StoreError};

/// A file of the log.
#[derive(Debug, Clone)]
pub(super) struct LogFile {
    pub(super) path: PathBuf,
    /// The sequence of its first commit.
    pub(super) base: Sequence,
    /// Its length in bytes.
    pub(super) bytes: u64,
}

/// What a log holds, before anything is changed in it.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) files: Vec<LogFile>,
    /// The newest commit, or the one before the first file's first.
    pub(super) last: Sequence,
    /// Where the last file ends: behind its last valid frame, 0 when not even its header was written.
    end: u64,
}

impl Survey {
    /// The commit with which the log begins.
    pub(super) fn first(&self) -> Option<Sequence> {
        self.files.first().map(|file| file.base)
    }
}

/// The log, open for appending.
pub(super) struct CommitLog {
    files: Arc<dyn Files>,
    dir: PathBuf,
    closed: Vec<LogFile>,
    active: SegmentWriter,
    active_file: LogFile,
    next: Sequence,
}

impl CommitLog {
    /// Opens a surveyed log for the commits after `after`; the torn end of its last file is cut off. A log that
    /// does not reach `after` is begun anew there: a checkpoint has all that it held.
    pub(super) fn open(
        files: Arc<dyn Files>,
        dir: &Path,
        mut survey: Survey,
        after: Sequence,
    ) -> Result<Self, StoreError> {
        if survey.last < after {
            for file in survey.files.drain(..) {
                files.remove(&file.path).map_err(StoreError::io("remove", &file.path))?;
            }
        }
        if let Some(file) = survey.files.pop() {
            if survey.end > 0
                && let Some(reader) = SegmentReader::open(&*files, &file.path, Purpose::Log)?
            {
                if survey.end < reader.len() {
                    tracing::warn!(
                        file = %file.path.display(), offset = survey.end, bytes = reader.len() - survey.end,
                        "cut off the end of the commit log: a write was torn there, and was never acknowledged"
                    );
                }
                let active = SegmentWriter::resume(&*files, &reader, survey.end)?;
                let (dir, next) = (dir.to_owned(), after.next());
                return Ok(Self { files, dir, closed: survey.files, active, active_file: file, next });
            }
            tracing::warn!(file = %file.path.display(), "removed a log file whose creation was interrupted");
            files.remove(&file.path).map_err(StoreError::io("remove", &file.path))?;
        }
        let (active, active_file) = create(&*files, dir, after.next())?;
        Ok(Self { files, dir: dir.to_owned(), closed: survey.files, active, active_file, next: after.next() })
    }

    /// The sequence of the next commit.
    pub(super) fn next(&self) -> Sequence {
        self.next
    }

    /// The size of all its files, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.closed.iter().map(|file| file.bytes).sum::<u64>() + self.active.len()
    }

    /// The size of the file that is written to, in bytes.
    pub(super) fn active_bytes(&self) -> u64 {
        self.active.len()
    }

    /// The files that are written no more, oldest first.
    pub(super) fn closed(&self) -> &[LogFile] {
        &self.closed
    }

    /// Adds the next commit, in memory.
    pub(super) fn push(&mut self, commit: &Commit) {
        self.active.push(Kind::Commit, commit.sequence.get(), |buffer| codec::put_changes(buffer, &commit.changes));
        self.next = commit.sequence.next();
    }

    /// Makes all added commits durable.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        self.active.sync()
    }

    /// Ends the active file and begins another one, unless there is no commit in it yet.
    pub(super) fn roll(&mut self) -> Result<(), StoreError> {
        if self.next == self.active_file.base {
            return Ok(());
        }
        self.active.finish()?;
        self.active_file.bytes = self.active.len();
        let (active, file) = create(&*self.files, &self.dir, self.next)?;
        self.active = active;
        self.closed.push(std::mem::replace(&mut self.active_file, file));
        Ok(())
    }

    /// Removes the files whose commits are all in a durable checkpoint of `sequence`.
    pub(super) fn remove_through(&mut self, sequence: Sequence) -> Result<(), StoreError> {
        while let Some(file) = self.closed.first() {
            let next = self.closed.get(1).unwrap_or(&self.active_file);
            if next.base > sequence.next() {
                break;
            }
            self.files.remove(&file.path).map_err(StoreError::io("remove", &file.path))?;
            self.closed.remove(0);
        }
        self.files.sync_dir(&self.dir).map_err(StoreError::io("make durable", &self.dir))
    }

    /// Makes all durable and ends the active file with a mark.
    pub(super) fn finish(&mut self) -> Result<(), StoreError> {
        self.active.finish()
    }
}

/// Reads the log from its first file that has commits after `checkpoint`, removes the files before that one, and
/// shows every commit to `visit`. Fails on damage, except where the last write was torn.
pub(super) fn survey(
    files: &dyn Files,
    dir: &Path,
    checkpoint: Sequence,
    mut visit: impl FnMut(Commit),
) -> Result<Survey, StoreError> {
    let mut found = list(files, dir)?;
    while found.len() > 1 && found[1].base <= checkpoint.next() {
        let file = found.remove(0);
        files.remove(&file.path).map_err(StoreError::io("remove", &file.path))?;
        sync_parent(files, &file.path)?;
    }
    let mut survey = Survey { files: Vec::new(), last: Sequence::ZERO, end: 0 };
    let count = found.len();
    for (index, mut file) in found.into_iter().enumerate() {
        if index > 0 && file.base != survey.last.next() {
            let reason = format!("the log has none between {} and {}", survey.last, file.base);
            return Err(StoreError::Incomplete { dir: dir.to_owned(), reason });
        }
        survey.last = Sequence::new(file.base.get() - 1);
        survey.end = read_file(files, &file, index + 1 == count, &mut |commit| {
            survey.last = commit.sequence;
            visit(commit);
            Ok(())
        })?;
        file.bytes = survey.end;
        survey.files.push(file);
    }
    Ok(survey)
}

/// Shows the commits of one file to `visit`; returns where the valid part ends. Only the `last` file may end torn.
pub(super) fn read_file(
    files: &dyn Files,
    file: &LogFile,
    last: bool,
    visit: &mut dyn FnMut(Commit) -> Result<(), StoreError>,
) -> Result<u64, StoreError> {
    let Some(mut reader) = SegmentReader::open(files, &file.path, Purpose::Log)? else {
        return if last { Ok(0) } else { Err(corrupt(&file.path, 0, "the header is not as it was written")) };
    };
    if reader.base() != file.base.get() {
        return Err(corrupt(&file.path, 0, "the header does not belong to a file of this name"));
    }
    let mut expected = file.base;
    loop {
        let flaw = match reader.next() {
            Ok(None) => return Ok(reader.position()),
            Ok(Some(frame)) => {
                visit(decode(&frame, expected).map_err(|reason| corrupt(&file.path, frame.offset, reason))?)?;
                expected = expected.next();
                continue;
            }
            Err(ReadError::Store(error)) => return Err(error),
            Err(ReadError::Flaw(flaw)) => flaw,
        };
        if !last || reader.was_durable(flaw.offset)? {
            return Err(damaged(&file.path, flaw.offset, flaw.reason, expected));
        }
        return Ok(flaw.offset);
    }
}

fn decode(frame: &Frame<'_>, expected: Sequence) -> Result<Commit, &'static str> {
    if frame.head.kind != Kind::Commit || frame.head.sequence != expected.get() {
        return Err("a frame stands where it does not belong");
    }
    codec::commit(expected, frame.payload).ok_or("a commit cannot be read")
}

fn damaged(path: &Path, offset: u64, reason: &str, lost: Sequence) -> StoreError {
    let remedy = format!(
        "restore the data folder from a backup; without one, cut the file to {offset} bytes and remove the log files \
         after it and the folder `index`: commits from {lost} on are then lost"
    );
    StoreError::Corrupt { path: path.to_owned(), offset, reason: reason.to_owned(), remedy }
}

fn create(files: &dyn Files, dir: &Path, base: Sequence) -> Result<(SegmentWriter, LogFile), StoreError> {
    let path = dir.join(format!("{:020}.log", base.get()));
    let writer = SegmentWriter::create(files, &path, Purpose::Log, base.get())?;
    let bytes = writer.len();
    Ok((writer, LogFile { path, base, bytes }))
}

fn list(files: &dyn Files, dir: &Path) -> Result<Vec<LogFile>, StoreError> {
    let names = files.list(dir).map_err(StoreError::io("list", dir))?;
    let mut found: Vec<_> = names
        .iter()
        .filter_map(|name| {
            let base = name.strip_suffix(".log")?.parse().ok().filter(|base| *base > 0)?;
            Some(LogFile { path: dir.join(name), base: Sequence::new(base), bytes: 0 })
        })
        .collect();
    found.sort_by_key(|file| file.base);
    Ok(found)
}
