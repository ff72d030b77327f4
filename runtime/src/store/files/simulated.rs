//! Files in memory whose power can be cut: what was not synced is lost, wholly or in part.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::{AppendFile, Files, ReadFile};
use crate::store::lock;

/// What a power cut can tear apart within a file, in bytes.
const SECTOR: usize = 512;

/// A file layer for tests. Clones are the same files.
#[derive(Clone, Default)]
pub(crate) struct SimulatedFiles(Arc<Mutex<Disk>>);

#[derive(Default)]
struct Disk {
    /// Contents by number.
    contents: Vec<Content>,
    /// Names as running programs see them.
    names: BTreeMap<PathBuf, usize>,
    /// Names as a power cut leaves them.
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names that no folder sync has made durable, in order.
    unsynced: Vec<(PathBuf, NameChange)>,
    /// So many more changing operations work; then `failure` strikes.
    fuse: Option<(u64, Failure)>,
    ignore_sync_data: bool,
}

/// The bytes of a file.
#[derive(Clone, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// An fsync failed: the system has forgotten what was not durable, and will say no more about it.
    doomed: bool,
}

#[derive(Clone)]
enum NameChange {
    Add(usize),
    Remove,
}

/// What happens when the fuse has burnt down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The power is off: nothing works until [`SimulatedFiles::power_on`].
    PowerCut,
    /// The disk is full: writing fails from now on, after a part of the bytes.
    Full,
    /// One `fdatasync` fails, and what it should have synced is never synced.
    Sync,
}

impl SimulatedFiles {
    /// The next `operations` changes work, then the failure strikes.
    pub(crate) fn fail_after(&self, operations: u64, failure: Failure) {
        lock(&self.0).fuse = Some((operations, failure));
    }

    /// The positive control: `fdatasync` answers and does nothing.
    pub(crate) fn ignore_sync_data(&self) {
        lock(&self.0).ignore_sync_data = true;
    }

    /// Brings back what a power cut leaves. `random` decides how much of what was not synced got to the disk.
    pub(crate) fn power_on(&self, random: &mut impl FnMut(usize) -> usize) {
        let mut disk = lock(&self.0);
        disk.fuse = None;
        let kept = random(disk.unsynced.len() + 1);
        let changes: Vec<_> = disk.unsynced.drain(..).take(kept).collect();
        changes.into_iter().for_each(|(path, change)| rename_in(&mut disk.durable_names, path, change));
        disk.names = disk.durable_names.clone();
        for content in &mut disk.contents {
            content.now = after_cut(content, random);
            content.durable = content.now.clone();
            content.doomed = false;
        }
    }

    fn content<T>(&self, path: &Path, work: impl FnOnce(&mut Content) -> T) -> io::Result<T> {
        let mut disk = lock(&self.0);
        let number = *disk.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(work(&mut disk.contents[number]))
    }
}

/// The bytes of a file after the power came back.
fn after_cut(content: &Content, random: &mut impl FnMut(usize) -> usize) -> Vec<u8> {
    let Content { now, durable, .. } = content;
    if !now.starts_with(durable) {
        // It was cut short, and perhaps grew again: all of that happened, or nothing.
        return if random(2) == 0 { durable.clone() } else { now.clone() };
    }
    let mut after = now[..durable.len() + random(now.len() - durable.len() + 1)].to_vec();
    let start = durable.len();
    // The length may have got to the disk before the bytes did.
    for sector in (start..after.len()).step_by(SECTOR) {
        if random(4) == 0 {
            let end = (sector + SECTOR).min(after.len());
            after[sector..end].fill(0);
        }
    }
    after
}

fn rename_in(names: &mut BTreeMap<PathBuf, usize>, path: PathBuf, change: NameChange) {
    match change {
        NameChange::Add(number) => names.insert(path, number),
        NameChange::Remove => names.remove(&path),
    };
}

impl Disk {
    /// Lets a changing operation happen; fails when it must not happen.
    fn step(&mut self, is_write: bool, is_sync: bool) -> io::Result<()> {
        let Some((left, failure)) = &mut self.fuse else { return Ok(()) };
        if *left > 0 {
            *left -= 1;
            return Ok(());
        }
        match failure {
            Failure::PowerCut => Err(io::Error::other("the power is off")),
            Failure::Full if is_write => Err(io::ErrorKind::StorageFull.into()),
            Failure::Sync if is_sync => {
                self.fuse = None;
                Err(io::Error::other("the device lost a write"))
            }
            Failure::Full | Failure::Sync => Ok(()),
        }
    }

    fn change_names(&mut self, changes: impl IntoIterator<Item = (PathBuf, NameChange)>) {
        for (path, change) in changes {
            rename_in(&mut self.names, path.clone(), change.clone());
            self.unsynced.push((path, change));
        }
    }
}

impl Files for SimulatedFiles {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let disk = lock(&self.0);
        let inside = disk.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let mut disk = lock(&self.0);
        let known = disk.names.get(path).copied();
        let number = match known {
            Some(number) => number,
            None => {
                disk.step(true, false)?;
                disk.contents.push(Content::default());
                let number = disk.contents.len() - 1;
                disk.change_names([(path.to_owned(), NameChange::Add(number))]);
                number
            }
        };
        Ok(Box::new(Handle { disk: Arc::clone(&self.0), number }))
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        let disk = lock(&self.0);
        let number = *disk.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Handle { disk: Arc::clone(&self.0), number }))
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        lock(&self.0).step(false, false)?;
        self.content(path, |content| {
            content.now.truncate(len as usize);
            content.durable.clone_from(&content.now);
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = lock(&self.0);
        disk.step(false, false)?;
        let number = *disk.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        disk.change_names([(to.to_owned(), NameChange::Add(number)), (from.to_owned(), NameChange::Remove)]);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = lock(&self.0);
        disk.step(false, false)?;
        if !disk.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        disk.change_names([(path.to_owned(), NameChange::Remove)]);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = lock(&self.0);
        disk.step(false, false)?;
        let (synced, others) =
            std::mem::take(&mut disk.unsynced).into_iter().partition(|(path, _)| path.parent() == Some(dir));
        disk.unsynced = others;
        let synced: Vec<_> = synced;
        synced.into_iter().for_each(|(path, change)| rename_in(&mut disk.durable_names, path, change));
        Ok(())
    }
}

struct Handle {
    disk: Arc<Mutex<Disk>>,
    number: usize,
}

impl AppendFile for Handle {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        let done = disk.step(true, false);
        // A write that fails, for want of space or of power, has written a part.
        let count = if done.is_ok() { bytes.len() } else { bytes.len() / 2 };
        disk.contents[self.number].now.extend_from_slice(&bytes[..count]);
        done
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        if let Err(error) = disk.step(false, true) {
            disk.contents[self.number].doomed = true;
            return Err(error);
        }
        let ignored = disk.ignore_sync_data;
        let content = &mut disk.contents[self.number];
        if !(ignored || content.doomed) {
            content.durable.clone_from(&content.now);
        }
        Ok(())
    }
}

impl ReadFile for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.disk).contents[self.number].now.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let disk = lock(&self.disk);
        let bytes = disk.contents[self.number].now.get(offset as usize..).unwrap_or_default();
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }
}
