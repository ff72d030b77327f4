//! The files of the watched folder: listed and read within bounds, and never outside of it.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;

use crate::service::error::ServiceError;

/// Files that are looked at, at most: so many modules no server holds.
const MOST_FILES: usize = 10_000;
/// Folders within each other: GROUP/flows/ENVIRONMENT, and one more to be told that it is too many.
const DEEPEST: usize = 4;
const DOING: &str = "reading the watched folder";

/// A file's size and when it was written: as long as they stay, it counts as the same.
pub(super) type Stamp = (u64, Option<SystemTime>);

/// A file that may be a module.
#[derive(Debug)]
pub(super) struct Found {
    /// Relative to the folder.
    pub(super) path: PathBuf,
    /// As it is now.
    pub(super) stamp: Stamp,
}

/// All files named `*.wasm`. Hidden ones are passed over, so that whoever copies a file can give it its name at the end;
/// so is what a link reaches outside of the folder.
pub(super) async fn list(folder: PathBuf) -> Result<Vec<Found>, ServiceError> {
    let listed = tokio::task::spawn_blocking(move || list_now(&folder)).await;
    listed.map_err(ServiceError::internal(DOING))?.map_err(ServiceError::internal(DOING))
}

/// Reads a file of the folder.
pub(super) async fn read(folder: &Path, path: &Path, limit: u64) -> Result<Bytes, ServiceError> {
    let (folder, path) = (folder.to_owned(), path.to_owned());
    let read = tokio::task::spawn_blocking(move || read_now(&folder, &path, limit)).await;
    let bytes = read.map_err(ServiceError::internal(DOING))?.map_err(ServiceError::internal(DOING))?;
    if bytes.len() as u64 > limit {
        return Err(ServiceError::TooLarge { limit });
    }
    Ok(bytes.into())
}

fn list_now(folder: &Path) -> io::Result<Vec<Found>> {
    let root = folder.canonicalize()?;
    let mut found = Vec::new();
    let mut folders = vec![(PathBuf::new(), 0)];
    while let Some((inside, depth)) = folders.pop() {
        for entry in fs::read_dir(root.join(&inside))? {
            let name = entry?.file_name();
            let path = inside.join(&name);
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            // What vanished meanwhile is met again at the next look, or not at all.
            let Ok(real) = root.join(&path).canonicalize() else { continue };
            let Ok(metadata) = real.metadata() else { continue };
            if !real.starts_with(&root) {
                continue;
            }
            if metadata.is_dir() && depth < DEEPEST {
                folders.push((path, depth + 1));
            } else if metadata.is_file() && path.extension().is_some_and(|extension| extension == "wasm") {
                found.push(Found { path, stamp: (metadata.len(), metadata.modified().ok()) });
                if found.len() > MOST_FILES {
                    return Err(io::Error::other(format!("it has more than {MOST_FILES} modules")));
                }
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// One byte more than allowed, where the file is larger.
fn read_now(folder: &Path, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let root = folder.canonicalize()?;
    let real = root.join(path).canonicalize()?;
    if !real.starts_with(&root) {
        return Err(io::Error::other("it is a link to outside of the folder"));
    }
    let mut bytes = Vec::new();
    fs::File::open(real)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        list_now(folder).unwrap().into_iter().map(|found| found.path.display().to_string()).collect()
    }

    #[test]
    fn links_are_followed_inside_only() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folder = inside.path();
        fs::create_dir_all(folder.join("acme/flows")).unwrap();
        for file in ["acme/flows/a.wasm", "acme/flows/.b.wasm", "acme/flows/c.txt"] {
            fs::write(folder.join(file), "x").unwrap();
        }
        fs::write(outside.path().join("d.wasm"), "secret").unwrap();
        symlink(outside.path().join("d.wasm"), folder.join("acme/flows/d.wasm")).unwrap();
        symlink(outside.path(), folder.join("acme/connectors")).unwrap();
        symlink(folder.join("acme/flows/a.wasm"), folder.join("acme/flows/e.wasm")).unwrap();
        assert_eq!(names(folder), ["acme/flows/a.wasm", "acme/flows/e.wasm"]);
        assert!(read_now(folder, Path::new("acme/flows/d.wasm"), 10).is_err());
        assert!(read_now(folder, Path::new("../d.wasm"), 10).is_err());
        assert_eq!(read_now(folder, Path::new("acme/flows/e.wasm"), 10).unwrap(), b"x");
    }

    #[test]
    fn a_circle_of_links_ends() {
        let folder = tempfile::tempdir().unwrap();
        symlink(folder.path(), folder.path().join("again")).unwrap();
        fs::write(folder.path().join("a.wasm"), "x").unwrap();
        assert!(names(folder.path()).len() <= DEEPEST + 1);
    }
}
