//! Examining a data folder: everything is read and verified, and nothing is changed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::database::{Folders, Truth, lock_file};
use super::files::{AppendFile, DiskFiles, Files, ReadFile};
use super::memory::MemoryStore;
use super::modules::Modules;
use super::{Record, Sequence, StoreError, checkpoint, log};
use crate::domain::digest::ModuleDigest;

/// A data folder that is looked at.
pub struct Examination {
    files: Arc<dyn Files>,
    dir: PathBuf,
    /// Held meanwhile where no server works there, so that none begins.
    _lock: Option<File>,
}

/// What checkpoint and log hold.
pub struct Examined {
    /// The newest commit.
    pub last: Sequence,
    /// The commit of the newest checkpoint.
    pub checkpoint: Option<Sequence>,
    /// The size of the log, in bytes.
    pub log_bytes: u64,
    /// The records, where they were asked for.
    pub records: MemoryStore,
}

impl Examination {
    /// Looks at a folder in which no server works. Fails with [`StoreError::Locked`] where one does, and with
    /// [`StoreError::Io`] where there is no store.
    pub fn of_stopped(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join("lock");
        let lock = File::open(&path).map_err(StoreError::io("open", &path))?;
        lock_file(&lock, dir, &path)?;
        Ok(Self { _lock: Some(lock), ..Self::of_running(dir) })
    }

    /// Looks at the folder of the server that asks. What is being written meanwhile may look damaged.
    pub fn of_running(dir: &Path) -> Self {
        Self { files: Arc::new(Untouched), dir: dir.to_owned(), _lock: None }
    }

    /// Reads checkpoint and log whole: checksums, and that no commit is missing. `keep` keeps the records in memory.
    pub fn read(&self, keep: bool) -> Result<Examined, StoreError> {
        let folders = Folders::of(&self.dir);
        let truth = Truth::read(&*self.files, &folders)?;
        if let Some(damage) = truth.damage {
            return Err(damage);
        }
        let found = truth.checkpoint.as_ref();
        let covered = found.map(|checkpoint| checkpoint.sequence);
        let mut records = BTreeMap::new();
        if keep && let Some(checkpoint) = found {
            checkpoint::read(&*self.files, checkpoint, |record| {
                records.insert(record.key, Record { value: record.value, version: record.version });
                Ok(())
            })?;
        }
        let mut log_bytes = 0;
        for (at, file) in truth.survey.files.iter().enumerate() {
            log_bytes += file.bytes;
            if !keep {
                continue;
            }
            log::read_file(&*self.files, file, at + 1 == truth.survey.files.len(), &mut |commit| {
                let version = commit.sequence;
                for change in commit.changes.into_iter().filter(|_| covered.is_none_or(|covered| version > covered)) {
                    match change.value {
                        Some(value) => drop(records.insert(change.key, Record { value, version })),
                        None => drop(records.remove(&change.key)),
                    }
                }
                Ok(())
            })?;
        }
        let last = truth.survey.last.max(covered.unwrap_or(Sequence::ZERO));
        Ok(Examined { last, checkpoint: covered, log_bytes, records: MemoryStore::of(records, last) })
    }

    /// Whether a module's file is there. Fails with [`StoreError::Corrupt`] where it is not what its name says.
    pub fn module(&self, digest: ModuleDigest) -> Result<bool, StoreError> {
        Modules::unopened(Arc::clone(&self.files), &Folders::of(&self.dir).modules).verify(digest)
    }
}

/// The operating system's files, of which none is changed.
struct Untouched;

impl Files for Untouched {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        DiskFiles.list(dir)
    }

    fn append(&self, _: &Path) -> io::Result<Box<dyn AppendFile>> {
        refused()
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        DiskFiles.read(path)
    }

    fn truncate(&self, _: &Path, _: u64) -> io::Result<()> {
        refused()
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    /// A start removes what it needs no more before it reads on. It is passed over here as well, and stays.
    fn remove(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

fn refused<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "an examination changes nothing"))
}

#[cfg(test)]
mod tests {
    use super::super::{Batch, Database, Options, Store as _};
    use super::*;

    /// Each file below a folder, with what is in it.
    fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut all = BTreeMap::new();
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                all.extend(contents(&path));
            } else {
                all.insert(path.clone(), std::fs::read(&path).unwrap());
            }
        }
        all
    }

    #[test]
    fn a_lock_that_is_let_go_of_at_once_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let lock = File::create(dir.path().join("lock")).unwrap();
        lock.lock().unwrap();
        let holder = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(50));
            drop(lock);
        });
        assert!(Examination::of_stopped(dir.path()).is_ok());
        holder.join().unwrap();
    }

    #[tokio::test]
    async fn a_folder_is_read_whole_and_not_changed() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::open(dir.path(), &Options::default()).unwrap();
        for number in 0..20 {
            let batch = Batch::new().put(format!("group/{}", number % 7), number.to_string()).delete("group/3");
            database.records.commit(batch).await.unwrap();
        }
        let module = database.modules.put(bytes::Bytes::from_static(b"\0asm")).await.unwrap();
        assert!(matches!(Examination::of_stopped(dir.path()), Err(StoreError::Locked { .. })));
        let running = Examination::of_running(dir.path());
        assert_eq!(running.read(false).unwrap().last.get(), 20);
        database.close().await.unwrap();
        std::fs::write(dir.path().join("checkpoint/writing.temporary"), b"x").unwrap();
        let before = contents(dir.path());

        let examination = Examination::of_stopped(dir.path()).unwrap();
        let read = examination.read(true).unwrap();
        assert_eq!(read.last.get(), 20);
        assert_eq!(read.records.get("group/5").unwrap().unwrap().value, &b"19"[..]);
        assert_eq!(read.records.get("group/3").unwrap(), None);
        assert!(examination.module(module).unwrap());
        assert!(!examination.module(ModuleDigest::of(b"other")).unwrap());
        assert_eq!(contents(dir.path()), before);

        let log = before.keys().find(|path| path.extension().is_some_and(|extension| extension == "log")).unwrap();
        let mut bytes = before[log].clone();
        bytes[100] ^= 1;
        std::fs::write(log, &bytes).unwrap();
        let error = examination.read(true).err().unwrap();
        assert!(matches!(&error, StoreError::Corrupt { path, .. } if path == log), "{error}");
    }

    #[test]
    fn where_there_is_no_store_it_is_said() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Examination::of_stopped(dir.path()), Err(StoreError::Io { .. })));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
