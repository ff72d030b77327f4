//! The file of the key-encryption key, the one that is to replace it, and those that were replaced.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::kek::{RawKey, parse_key};
use super::{KEY_LENGTH, VaultError, random};
use crate::domain::secret::hex;

const RETIRED: &str = ".retired";

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Where the key lies that is to replace the one in `path`.
pub(super) fn next_of(path: &Path) -> PathBuf {
    beside(path, ".next")
}

/// Where a key is kept that was replaced in `path`.
pub(super) fn retired_of(path: &Path, id: &str) -> PathBuf {
    beside(path, &format!(".{id}{RETIRED}"))
}

/// The files of keys that were replaced, which nothing needs but backups from before.
pub(super) fn retired(path: &Path) -> Vec<PathBuf> {
    let begin = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let entries = path.parent().and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            // The key in use may be one of those itself, under a store from before.
            name.strip_prefix(&begin).is_some_and(|rest| rest.starts_with('.') && rest.ends_with(RETIRED))
        })
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

/// The key in a file; nothing where there is no file. Others must not be able to read it.
pub(super) fn read(path: &Path) -> Result<Option<RawKey>, VaultError> {
    let bad = |reason: String| VaultError::BadKeyFile { path: path.to_owned(), reason };
    let text = match fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(bad(error.to_string())),
    };
    let mode = fs::metadata(path).map_err(|error| bad(error.to_string()))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(bad(format!("others may read it (mode {:o}). Run: chmod 600 {}", mode & 0o777, path.display())));
    }
    parse_key(&text, path).map(Some)
}

/// The key in a file, which is made where there is neither file nor store.
pub(super) fn read_or_create(path: &Path, store_exists: bool) -> Result<RawKey, VaultError> {
    match read(path)? {
        Some(key) => Ok(key),
        None if store_exists => Err(VaultError::MissingKey(path.to_owned())),
        None => create(path, |unfinished| fs::rename(unfinished, path)),
    }
}

/// The key that is to replace the one in `path`, made where there is none. One that is there is never written over:
/// it may be the only copy of what some keys are wrapped with.
pub(super) fn read_or_create_next(path: &Path) -> Result<RawKey, VaultError> {
    let path = next_of(path);
    match read(&path)? {
        Some(key) => Ok(key),
        // Unlike a renaming, a link takes nobody's place.
        None => create(&path, |unfinished| fs::hard_link(unfinished, &path).and_then(|()| fs::remove_file(unfinished))),
    }
}

/// Makes a key in a file, which `name` gives its name.
fn create(path: &Path, name: impl FnOnce(&Path) -> io::Result<()>) -> Result<RawKey, VaultError> {
    let mut key = Zeroizing::new([0; KEY_LENGTH]);
    random(key.as_mut());
    let written = write(path, &Zeroizing::new(hex(key.as_ref()) + "\n"), name);
    written.map_err(|error| VaultError::BadKeyFile { path: path.to_owned(), reason: error.to_string() })?;
    Ok(key)
}

/// Whether the file can be replaced later, tried with a link: a file that is mounted by itself cannot be linked to
/// from its folder, and a folder that cannot be written to takes no link.
pub(super) fn check_replaceable(path: &Path) -> Result<(), VaultError> {
    let probe = beside(path, ".probe");
    let tried =
        remove_if_there(&probe).and_then(|()| fs::hard_link(path, &probe)).and_then(|()| fs::remove_file(&probe));
    tried.map_err(|error| VaultError::BadKeyFile {
        path: path.to_owned(),
        reason: format!(
            "another one cannot take its place ({error}). Let the server write to its folder, and mount the folder rather than the file alone; or give the server the old and the new key in HEADGATE_KEY, with a comma between them"
        ),
    })
}

/// Puts the next key in the place of the old one, which is kept under its id. At each moment there is a key in `path`.
pub(super) fn replace(path: &Path, old: &str) -> Result<(), VaultError> {
    let replaced = || {
        let retired = retired_of(path, old);
        match fs::hard_link(path, &retired) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        sync_folders(path)?;
        fs::rename(next_of(path), path)?;
        sync_folders(path)
    };
    replaced().map_err(|error| VaultError::BadKeyFile { path: path.to_owned(), reason: error.to_string() })
}

/// Writes the key where a power cut cannot lose it after the first secret was sealed with it.
fn write(path: &Path, text: &str, name: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Written whole before it has its name: a process that ends in between leaves no half key behind.
    let unfinished = path.with_extension("new");
    remove_if_there(&unfinished)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    name(&unfinished)?;
    sync_folders(path)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    fs::remove_file(path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

/// The file's folder may be as new as the file.
fn sync_folders(path: &Path) -> io::Result<()> {
    let folders = path.ancestors().skip(1).take(2).filter(|folder| !folder.as_os_str().is_empty());
    folders.map(fs::File::open).try_for_each(|folder| folder?.sync_all())
}
