//! Module files: `modules/<sha256>.wasm`, named by what is in them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::StoreError;
use super::files::Files;
use super::segment::{corrupt, sync_parent};
use crate::domain::digest::ModuleDigest;

/// The largest module, in bytes; a Python guest has about 18 MiB.
pub const MAX_MODULE_BYTES: usize = 256 << 20;

const SUFFIX: &str = ".wasm";
const TEMPORARY: &str = ".temporary";

/// The modules of a data folder. Cheap to clone.
#[derive(Clone)]
pub struct Modules(Arc<Inner>);

struct Inner {
    files: Arc<dyn Files>,
    dir: PathBuf,
    /// Tells apart the temporary names of writes that happen at the same time.
    writes: AtomicU64,
}

impl Modules {
    /// Opens the folder, which exists, and removes what interrupted writes left there.
    pub(super) fn open(files: Arc<dyn Files>, dir: &Path) -> Result<Self, StoreError> {
        for name in files.list(dir).map_err(StoreError::io("list", dir))? {
            if name.ends_with(TEMPORARY) {
                let path = dir.join(name);
                files.remove(&path).map_err(StoreError::io("remove", &path))?;
            }
        }
        Ok(Self(Arc::new(Inner { files, dir: dir.to_owned(), writes: AtomicU64::new(0) })))
    }

    /// The modules of a folder that is only looked at: nothing is made or removed.
    pub(super) fn unopened(files: Arc<dyn Files>, dir: &Path) -> Self {
        Self(Arc::new(Inner { files, dir: dir.to_owned(), writes: AtomicU64::new(0) }))
    }

    /// Whether there is a file for this module. It is read and verified; blocks.
    pub(super) fn verify(&self, digest: ModuleDigest) -> Result<bool, StoreError> {
        self.0.get(digest).map(|found| found.is_some())
    }

    /// Keeps a module, durable when it resolves. A module that is there already stays; a damaged one is replaced.
    pub async fn put(&self, bytes: Bytes) -> Result<ModuleDigest, StoreError> {
        if bytes.len() > MAX_MODULE_BYTES {
            let (size, limit) = (bytes.len() as u64, MAX_MODULE_BYTES as u64);
            return Err(StoreError::TooLarge { what: "a module (bytes)", size, limit });
        }
        self.blocking(move |inner| inner.put(&bytes)).await
    }

    /// The bytes of a module, verified; `None` when there is none. Fails with [`StoreError::Corrupt`] when the
    /// file does not have the digest it is named by.
    pub async fn get(&self, digest: ModuleDigest) -> Result<Option<Bytes>, StoreError> {
        self.blocking(move |inner| inner.get(digest)).await
    }

    /// Whether there is a file for this module. It is not read.
    pub fn contains(&self, digest: ModuleDigest) -> Result<bool, StoreError> {
        Ok(self.0.read(digest)?.is_some())
    }

    /// The size of a module in bytes, as its file has it; `None` when there is none. It is not read.
    pub fn size(&self, digest: ModuleDigest) -> Result<Option<u64>, StoreError> {
        let file = self.0.read(digest)?;
        file.map(|file| file.len().map_err(StoreError::io("read", &self.0.path(digest)))).transpose()
    }

    /// The digests of all modules, in order.
    pub fn list(&self) -> Result<Vec<ModuleDigest>, StoreError> {
        let dir = &self.0.dir;
        let names = self.0.files.list(dir).map_err(StoreError::io("list", dir))?;
        let mut digests: Vec<_> =
            names.iter().filter_map(|name| ModuleDigest::from_hex(name.strip_suffix(SUFFIX)?).ok()).collect();
        digests.sort();
        Ok(digests)
    }

    /// Removes a module; whether there was one. Durable when it resolves.
    pub async fn remove(&self, digest: ModuleDigest) -> Result<bool, StoreError> {
        self.blocking(move |inner| inner.remove(digest)).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = Arc::clone(&self.0);
        // The task is not awaited to its end only when the whole runtime stops.
        tokio::task::spawn_blocking(move || work(&inner)).await.map_err(|_| StoreError::Closed)?
    }
}

impl Inner {
    fn put(&self, bytes: &[u8]) -> Result<ModuleDigest, StoreError> {
        let digest = ModuleDigest::of(bytes);
        let path = self.path(digest);
        match self.get(digest) {
            // A file that an interrupted process left under its final name may not be durable yet.
            Ok(Some(_)) => return sync_parent(&*self.files, &path).map(|()| digest),
            Ok(None) => {}
            Err(error @ StoreError::Corrupt { .. }) => tracing::warn!(%error, "a damaged module is written anew"),
            Err(error) => return Err(error),
        }
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        let temporary = self.dir.join(format!("{}.{number}{TEMPORARY}", digest.hex()));
        self.write(&temporary, bytes).inspect_err(|_| {
            // The write's own error is what the caller is told; the next start removes what is left.
            let _ = self.files.remove(&temporary);
        })?;
        self.files.rename(&temporary, &path).map_err(StoreError::io("rename", &temporary))?;
        sync_parent(&*self.files, &path)?;
        Ok(digest)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let mut file = self.files.append(path).map_err(StoreError::io("create", path))?;
        file.append(bytes).map_err(StoreError::io("write to", path))?;
        file.sync_data().map_err(StoreError::io("make durable", path))
    }

    fn get(&self, digest: ModuleDigest) -> Result<Option<Bytes>, StoreError> {
        let Some(file) = self.read(digest)? else { return Ok(None) };
        let path = self.path(digest);
        let damaged = |reason| {
            let mut error = corrupt(&path, 0, reason);
            if let StoreError::Corrupt { remedy, .. } = &mut error {
                "push the module again, or restore the file from a backup".clone_into(remedy);
            }
            error
        };
        let length = file.len().map_err(StoreError::io("read", &path))?;
        if length > MAX_MODULE_BYTES as u64 {
            return Err(damaged("it is larger than any module"));
        }
        let mut bytes = vec![0; length as usize];
        let read = file.read_at(0, &mut bytes).map_err(StoreError::io("read", &path))?;
        bytes.truncate(read);
        if ModuleDigest::of(&bytes) != digest {
            return Err(damaged("its SHA-256 is not the one it is named by"));
        }
        Ok(Some(bytes.into()))
    }

    fn remove(&self, digest: ModuleDigest) -> Result<bool, StoreError> {
        let path = self.path(digest);
        match self.files.remove(&path) {
            Ok(()) => sync_parent(&*self.files, &path).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(StoreError::io("remove", &path)(error)),
        }
    }

    fn read(&self, digest: ModuleDigest) -> Result<Option<Box<dyn super::files::ReadFile>>, StoreError> {
        let path = self.path(digest);
        match self.files.read(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("open", &path)(error)),
        }
    }

    fn path(&self, digest: ModuleDigest) -> PathBuf {
        self.dir.join(format!("{}{SUFFIX}", digest.hex()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::DiskFiles;
    use super::*;

    #[tokio::test]
    async fn a_module_is_kept_once_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("left.0.temporary"), "x").unwrap();
        let modules = Modules::open(Arc::new(DiskFiles), dir.path()).unwrap();
        let bytes = Bytes::from_static(b"\0asm and so on");
        let digest = ModuleDigest::of(&bytes);
        assert_eq!(modules.get(digest).await.unwrap(), None);
        assert!(!modules.contains(digest).unwrap());
        for _ in 0..2 {
            assert_eq!(modules.put(bytes.clone()).await.unwrap(), digest);
        }
        assert_eq!(modules.get(digest).await.unwrap(), Some(bytes));
        assert!(modules.contains(digest).unwrap());
        assert_eq!(modules.list().unwrap(), [digest]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing temporary is left");
        assert!(modules.remove(digest).await.unwrap());
        assert!(!modules.remove(digest).await.unwrap());
        assert_eq!(modules.get(digest).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_damaged_module_is_said_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let modules = Modules::open(Arc::new(DiskFiles), dir.path()).unwrap();
        let bytes = Bytes::from_static(b"\0asm and so on");
        let digest = modules.put(bytes.clone()).await.unwrap();
        let path = dir.path().join(format!("{}.wasm", digest.hex()));
        for damaged in [&b"\0asm and so ON"[..], &bytes[..5], b""] {
            std::fs::write(&path, damaged).unwrap();
            let error = modules.get(digest).await.unwrap_err();
            assert!(matches!(&error, StoreError::Corrupt { path: named, .. } if *named == path), "{error}");
            modules.put(bytes.clone()).await.unwrap();
            assert_eq!(modules.get(digest).await.unwrap(), Some(bytes.clone()));
        }
    }
}
