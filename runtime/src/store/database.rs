//! A data folder: opening it, finding out how far each part of it came, and closing it.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::checkpoint::{self, Checkpoint};
use super::feed::Recent;
use super::files::{DiskFiles, Files};
use super::history::{History, HistoryOptions};
use super::index::Index;
use super::log::{self, CommitLog, Survey};
use super::modules::Modules;
use super::records::LogStore;
use super::writer::{self, Checkpoints, Health, Writer};
use super::{Commit, Sequence, Store, StoreError};

/// Commits are brought into the index in groups of about this size, in bytes, when it is rebuilt.
const REPLAY_BYTES: usize = 1 << 20;
/// How long a lock on a data folder is waited for, and how often it is tried: starting a program takes far less.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
const LOCK_RETRY: Duration = Duration::from_millis(10);

/// Sizes and times of a store. The defaults suit a server of one machine.
#[derive(Debug, Clone)]
pub struct Options {
    /// A checkpoint is written when the commit log is longer than this, in bytes. Its records since the last
    /// checkpoint are held in memory meanwhile, and read again at a start.
    pub checkpoint_bytes: u64,
    /// Another log file is begun when one is longer than this, in bytes.
    pub log_file_bytes: u64,
    /// Memory for sled's cache, in bytes.
    pub index_cache_bytes: u64,
    /// Sizes of the run history.
    pub history: HistoryOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            checkpoint_bytes: 64 << 20,
            log_file_bytes: 16 << 20,
            index_cache_bytes: 64 << 20,
            history: HistoryOptions::default(),
        }
    }
}

/// An open data folder. Only one process at a time can have it open.
pub struct Database {
    /// Records by key.
    pub records: Arc<dyn Store>,
    /// What ran.
    pub history: History,
    /// Modules by digest.
    pub modules: Modules,
    store: Arc<LogStore>,
}

impl Database {
    /// Opens a data folder, and makes it when there is none. Blocks: an index that is damaged or behind is
    /// brought up to date, and a torn end of a file is cut off, with a warning in the log.
    ///
    /// Fails with [`StoreError::Locked`], with [`StoreError::Corrupt`] or [`StoreError::Incomplete`] when
    /// acknowledged writes cannot be read any more, or with [`StoreError::Io`].
    pub fn open(dir: &Path, options: &Options) -> Result<Self, StoreError> {
        Self::open_on(Arc::new(DiskFiles), dir, options)
    }

    /// [`Self::open`] on the given file layer; the lock and the index are always on disk.
    pub(super) fn open_on(files: Arc<dyn Files>, dir: &Path, options: &Options) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir).map_err(StoreError::io("create", dir))?;
        let lock = Arc::new(lock_folder(dir)?);
        let folders = Folders::create(&*files, dir)?;
        let modules = Modules::open(Arc::clone(&files), &folders.modules)?;
        let writer = open_records(Arc::clone(&files), &folders, options, Arc::clone(&lock))?;
        // Threads are started when nothing else can fail, so that a failed opening leaves the folder at once.
        let history = History::open(files, &folders.runs, &options.history, lock)?;
        let store = LogStore::start(writer).map_err(StoreError::io("start a thread for", dir))?;
        let store = Arc::new(store);
        Ok(Self { records: Arc::clone(&store) as Arc<dyn Store>, history, modules, store })
    }

    /// Fails with [`StoreError::ReadOnly`] once writing has failed.
    pub fn health(&self) -> Result<(), StoreError> {
        self.store.health().and_then(|()| self.history.health())
    }

    /// Makes everything durable and lets the folder go. Later calls fail with [`StoreError::Closed`].
    ///
    /// A database that is dropped instead is closed in the background, soon.
    pub async fn close(self) -> Result<(), StoreError> {
        let (history, records) = (self.history.close().await, self.store.close().await);
        history.and(records)
    }
}

/// The folders inside a data folder.
pub(super) struct Folders {
    log: PathBuf,
    checkpoint: PathBuf,
    index: PathBuf,
    runs: PathBuf,
    pub(super) modules: PathBuf,
}

impl Folders {
    pub(super) fn of(dir: &Path) -> Self {
        Self {
            log: dir.join("log"),
            checkpoint: dir.join("checkpoint"),
            index: dir.join("index"),
            runs: dir.join("runs"),
            modules: dir.join("modules"),
        }
    }

    fn create(files: &dyn Files, dir: &Path) -> Result<Self, StoreError> {
        let folders = Self::of(dir);
        for folder in [&folders.log, &folders.checkpoint, &folders.runs, &folders.modules] {
            files.create_dir(folder).map_err(StoreError::io("create", folder))?;
        }
        files.sync_dir(dir).map_err(StoreError::io("make durable", dir))?;
        // The data folder itself may be new.
        let above = dir.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        files.sync_dir(above).map_err(StoreError::io("make durable", above))?;
        Ok(folders)
    }
}

fn lock_folder(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let lock = lock.map_err(StoreError::io("open", &path))?;
    lock_file(&lock, dir, &path)?;
    Ok(lock)
}

/// Locks a data folder by its lock file. Blocks for a moment when somebody has it: a process that a server has just
/// begun to start holds the server's lock, until it becomes another program.
pub(super) fn lock_file(lock: &File, dir: &Path, path: &Path) -> Result<(), StoreError> {
    let begun = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_PATIENCE => std::thread::sleep(LOCK_RETRY),
            Err(TryLockError::WouldBlock) => return Err(StoreError::Locked { dir: dir.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(StoreError::io("lock", path)(source)),
        }
    }
}

fn open_records(
    files: Arc<dyn Files>,
    folders: &Folders,
    options: &Options,
    lock: Arc<File>,
) -> Result<Writer, StoreError> {
    let mut truth = Truth::read(&*files, folders)?;
    let (index, checkpoint) = truth.bring_up(&*files, folders, options.index_cache_bytes)?;
    let last = index.applied();
    let recent = if truth.recent.latest() == last { truth.recent } else { Recent::new(last) };
    Ok(Writer {
        log: CommitLog::open(Arc::clone(&files), &folders.log, truth.survey, last)?,
        index: Arc::new(index),
        recent: Arc::new(recent),
        health: Arc::new(Health::default()),
        checkpoints: Checkpoints::new(files, folders.checkpoint.clone(), options.checkpoint_bytes, checkpoint),
        log_file_bytes: options.log_file_bytes,
        _lock: lock,
    })
}

/// What checkpoint and log say, read whole and verified, before anything is changed.
pub(super) struct Truth {
    pub(super) checkpoint: Option<Checkpoint>,
    /// Why checkpoint and log together do not give all records.
    pub(super) damage: Option<StoreError>,
    pub(super) survey: Survey,
    recent: Recent,
}

impl Truth {
    pub(super) fn read(files: &dyn Files, folders: &Folders) -> Result<Self, StoreError> {
        let checkpoint = checkpoint::newest(files, &folders.checkpoint)?;
        let mut damage = match checkpoint.as_ref().map(|checkpoint| checkpoint::read(files, checkpoint, |_| Ok(()))) {
            Some(Err(error @ StoreError::Corrupt { .. })) => Some(error),
            Some(Err(error)) => return Err(error),
            Some(Ok(())) | None => None,
        };
        let covered = checkpoint.as_ref().filter(|_| damage.is_none()).map_or(Sequence::ZERO, |found| found.sequence);
        let mut recent = None;
        let survey = log::survey(files, &folders.log, covered, |commit| {
            let floor = Sequence::new(commit.sequence.get() - 1);
            recent.get_or_insert_with(|| Recent::new(floor)).extend([Arc::new(commit)]);
        })?;
        if let Some(first) = survey.first().filter(|first| damage.is_none() && *first > covered.next()) {
            let reason = format!("the checkpoint has them up to {covered}, and the log begins with {first}");
            damage = Some(StoreError::Incomplete { dir: folders.log.clone(), reason });
        }
        let recent = recent.unwrap_or_else(|| Recent::new(survey.last));
        Ok(Self { checkpoint, damage, survey, recent })
    }

    /// The commit that the index must have reached for the log to bring it up to date.
    fn needed(&self) -> Sequence {
        let covered = self.checkpoint.as_ref().map_or(Sequence::ZERO, |checkpoint| checkpoint.sequence);
        let before_log = self.survey.first().map_or(0, |first| first.get() - 1);
        covered.max(Sequence::new(before_log))
    }

    /// The index with all commits, and the checkpoint behind it.
    ///
    /// The index never has a commit that was not durable in the log. So when it is whole and ahead of what checkpoint
    /// and log still give, nothing is lost, and a new checkpoint is written from it.
    fn bring_up(
        &mut self,
        files: &dyn Files,
        folders: &Folders,
        cache_bytes: u64,
    ) -> Result<(Index, Option<Checkpoint>), StoreError> {
        let known = self.survey.last.max(self.needed());
        let found = Index::open(&folders.index, cache_bytes).and_then(|index| match index.applied() {
            applied if applied >= self.needed() => Ok(index),
            applied => {
                let reason = format!("it ends with commit {applied}, before what the log has");
                Err(StoreError::IndexDamaged { key: "the newest commits".to_owned(), reason })
            }
        });
        let index = match (found, self.damage.take()) {
            (Ok(index), damage) => {
                self.damage = damage;
                index
            }
            (Err(_), Some(damage)) => return Err(damage),
            (Err(error), None) if self.survey.first().is_none() && self.checkpoint.is_none() => {
                return Err(error);
            }
            (Err(error), None) => {
                tracing::warn!(%error, "the index is rebuilt from checkpoint and log");
                self.rebuild(files, folders, cache_bytes)?
            }
        };
        self.replay(files, &index)?;
        if self.damage.is_none() && index.applied() <= known {
            return Ok((index, self.checkpoint.clone()));
        }
        let damage = self.damage.as_ref().map_or_else(|| "the log ends too early".to_owned(), ToString::to_string);
        tracing::warn!(damage, "commits were missing; the index has them all, and a checkpoint is written from it");
        let fresh = checkpoint::write_from_index(files, &folders.checkpoint, &index)?;
        if let Some(old) = self.checkpoint.as_ref().filter(|old| **old != fresh) {
            checkpoint::remove(files, &old.path)?;
        }
        Ok((index, Some(fresh)))
    }

    /// A new index with the records of the checkpoint.
    fn rebuild(&self, files: &dyn Files, folders: &Folders, cache_bytes: u64) -> Result<Index, StoreError> {
        let dir = &folders.index;
        if dir.exists() {
            std::fs::remove_dir_all(dir).map_err(StoreError::io("remove", dir))?;
        }
        let index = Index::open(dir, cache_bytes)?;
        let Some(checkpoint) = &self.checkpoint else {
            return Ok(index);
        };
        let (mut records, mut bytes) = (Vec::new(), 0);
        checkpoint::read(files, checkpoint, |record| {
            bytes += record.key.len() + record.value.len();
            records.push(record);
            if bytes < REPLAY_BYTES {
                return Ok(());
            }
            bytes = 0;
            // Until the last record is in, the index does not claim any commit: a start after a crash here begins anew.
            let group = std::mem::take(&mut records);
            index.apply(group.iter().map(|r| (r.key.as_str(), r.version, Some(&r.value))), Sequence::ZERO)
        })?;
        let rest = records.iter().map(|r| (r.key.as_str(), r.version, Some(&r.value)));
        index.apply(rest, checkpoint.sequence)?;
        Ok(index)
    }

    /// Brings the commits of the log that the index lacks into it.
    fn replay(&self, files: &dyn Files, index: &Index) -> Result<(), StoreError> {
        let applied = index.applied();
        if applied < self.survey.last {
            tracing::info!(from = %applied.next(), to = %self.survey.last, "bringing the index up to the log");
        }
        let (mut group, mut bytes) = (Vec::<Arc<Commit>>::new(), 0);
        for (at, file) in self.survey.files.iter().enumerate() {
            let last = at + 1 == self.survey.files.len();
            log::read_file(files, file, last, &mut |commit| {
                if commit.sequence <= applied {
                    return Ok(());
                }
                bytes += commit.changes.iter().map(|c| c.value.as_ref().map_or(0, bytes::Bytes::len)).sum::<usize>();
                group.push(Arc::new(commit));
                if bytes < REPLAY_BYTES && group.len() < 1000 {
                    return Ok(());
                }
                bytes = 0;
                writer::apply(index, &std::mem::take(&mut group))
            })?;
        }
        writer::apply(index, &group)
    }
}
