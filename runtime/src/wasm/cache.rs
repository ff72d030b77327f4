//! Compiled components on disk, so that a restart compiles nothing again.
//!
//! A file is `<digest>-<compatibility>.cwasm`: an HMAC-SHA256 under the server's key over the file's name and its
//! contents, then the contents. Whoever can write into the folder but has no key cannot make the server run
//! anything; a file that does not check out is compiled again.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::domain::digest::ModuleDigest;
use crate::wasm::error::WasmError;
use crate::wasm::trusted::Authentic;

/// The length of the MAC in bytes.
const MAC: usize = 32;
const EXTENSION: &str = "cwasm";
/// Names what the key is used for here, and the form of the file.
const DOMAIN: &[u8] = b"headgate compiled component 1";

/// What is in a folder of compiled components.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheState {
    /// Compiled components.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// How many of them this build can use, where that is known.
    pub usable: Option<u64>,
}

/// Counts the compiled components in a folder; `compatibility` is what this build writes.
pub fn look_at_cache(folder: &Path, compatibility: Option<u64>) -> io::Result<CacheState> {
    let mut state = CacheState { usable: compatibility.map(|_| 0), ..CacheState::default() };
    let ours = compatibility.map(|compatibility| format!("-{compatibility:016x}.{EXTENSION}"));
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with(&format!(".{EXTENSION}")) {
            continue;
        }
        state.files += 1;
        state.bytes += entry.metadata()?.len();
        if let (Some(ours), Some(usable)) = (&ours, &mut state.usable) {
            *usable += u64::from(name.ends_with(ours));
        }
    }
    Ok(state)
}

/// A folder of compiled components, and the key that authenticates them.
pub struct ModuleCache {
    folder: PathBuf,
    key: Zeroizing<[u8; 32]>,
    writes: AtomicU64,
}

impl ModuleCache {
    /// Uses a folder, which is made when missing. `key` is the server's own and stays the same over restarts.
    pub fn open(folder: impl Into<PathBuf>, key: [u8; 32]) -> Result<Self, WasmError> {
        let folder = folder.into();
        let failed = |source| WasmError::Cache { path: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(failed)?;
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            // What a crash left half written.
            if path.extension().is_some_and(|extension| extension == "tmp") {
                fs::remove_file(path).map_err(failed)?;
            }
        }
        Ok(Self { folder, key: Zeroizing::new(key), writes: AtomicU64::new(0) })
    }

    /// The compiled form of a component, if it is there and the server itself wrote it.
    pub(super) fn read<T>(
        &self,
        digest: &ModuleDigest,
        compatibility: u64,
        load: impl FnOnce(&Authentic<'_>) -> wasmtime::Result<T>,
    ) -> Option<T> {
        let name = file_name(digest, compatibility);
        let file = match fs::read(self.folder.join(&name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(%digest, %error, "a compiled component cannot be read; it is compiled again");
                return None;
            }
        };
        let Some((mac, contents)) = file.split_at_checked(MAC) else {
            tracing::warn!(%digest, "a compiled component is cut off; it is compiled again");
            return None;
        };
        if self.mac(&name, contents).verify_slice(mac).is_err() {
            tracing::warn!(%digest, "a compiled component was not written by this server, or was changed since; it is compiled again");
            return None;
        }
        load(&Authentic(contents))
            .inspect_err(
                |error| tracing::warn!(%digest, %error, "a compiled component does not fit; it is compiled again"),
            )
            .ok()
    }

    /// Keeps the compiled form of a component. A file appears whole or not at all.
    pub(super) fn write(&self, digest: &ModuleDigest, compatibility: u64, contents: &[u8]) -> io::Result<()> {
        let name = file_name(digest, compatibility);
        let mac = self.mac(&name, contents).finalize().into_bytes();
        let count = self.writes.fetch_add(1, Ordering::Relaxed);
        let temporary = self.folder.join(format!("{name}.{}.{count}.tmp", std::process::id()));
        let written =
            write_parts(&temporary, &[&mac, contents]).and_then(|()| fs::rename(&temporary, self.folder.join(&name)));
        if written.is_err() {
            // The error that matters is the first one.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// What is in it; `compatibility` is what this build writes.
    pub(super) fn state(&self, compatibility: u64) -> io::Result<CacheState> {
        look_at_cache(&self.folder, Some(compatibility))
    }

    /// Forgets a component's compiled forms.
    pub fn forget(&self, digest: &ModuleDigest) -> io::Result<()> {
        let prefix = format!("{digest}-");
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn mac(&self, name: &str, contents: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.as_slice()).expect("HMAC takes keys of any length");
        mac.update(DOMAIN);
        mac.update(&(name.len() as u64).to_le_bytes());
        mac.update(name.as_bytes());
        mac.update(contents);
        mac
    }
}

fn file_name(digest: &ModuleDigest, compatibility: u64) -> String {
    format!("{digest}-{compatibility:016x}.{EXTENSION}")
}

fn write_parts(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = fs::File::create_new(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(cache: &ModuleCache, of: &[u8], compatibility: u64) -> Option<Vec<u8>> {
        cache.read(&ModuleDigest::of(of), compatibility, |code| Ok(code.0.to_vec()))
    }

    #[test]
    fn gives_back_only_what_this_server_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let cache = ModuleCache::open(folder.path(), [7; 32]).unwrap();
        assert_eq!(read(&cache, b"a", 1), None);
        cache.write(&ModuleDigest::of(b"a"), 1, b"code").unwrap();
        assert_eq!(read(&cache, b"a", 1).as_deref(), Some(&b"code"[..]));
        assert_eq!(read(&cache, b"a", 2), None, "another version's code");
        let other_key = ModuleCache::open(folder.path(), [8; 32]).unwrap();
        assert_eq!(read(&other_key, b"a", 1), None);

        let path = |of: &[u8]| folder.path().join(file_name(&ModuleDigest::of(of), 1));
        fs::copy(path(b"a"), path(b"b")).unwrap();
        assert_eq!(read(&cache, b"b", 1), None, "another component's code");
        let whole = fs::read(path(b"a")).unwrap();
        for changed in 0..whole.len() {
            let mut file = whole.clone();
            file[changed] ^= 1;
            fs::write(path(b"a"), &file).unwrap();
            assert_eq!(read(&cache, b"a", 1), None, "byte {changed} changed");
            fs::write(path(b"a"), &whole[..changed]).unwrap();
            assert_eq!(read(&cache, b"a", 1), None, "cut at {changed}");
        }
    }

    #[test]
    fn leaves_nothing_half_written() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("x.cwasm.1.0.tmp"), b"").unwrap();
        let cache = ModuleCache::open(folder.path(), [7; 32]).unwrap();
        let digest = ModuleDigest::of(b"a");
        cache.write(&digest, 1, b"code").unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        cache.forget(&digest).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
