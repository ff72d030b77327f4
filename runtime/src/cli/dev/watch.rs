//! Which folders hold the source, and when something in them changes.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::cli::CliError;

/// How long nothing has to be written before a change is taken for complete: editors write a file in several ways.
const SETTLE: Duration = Duration::from_millis(50);
/// What building writes itself, beside hidden files and folders.
const OUTPUTS: [&str; 4] = ["target", "node_modules", "Cargo.lock", "package-lock.json"];
/// Marks folders of outputs with other names.
const CACHE: &str = "CACHEDIR.TAG";

/// The folders that are watched.
pub(super) struct Watch {
    watched: Mutex<Watched>,
    changed: Arc<Notify>,
}

struct Watched {
    watcher: RecommendedWatcher,
    roots: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
}

impl Watch {
    /// Watches a crate's folder.
    pub(super) fn begin(root: &Path) -> Result<Self, CliError> {
        let root = root.canonicalize().map_err(CliError::file("find", root))?;
        if !root.is_dir() {
            return Err(CliError::Usage(format!(
                "{} is a file. Name the folder of a crate; `headgate push FILE` pushes a component",
                root.display()
            )));
        }
        let changed = Arc::new(Notify::new());
        let heard = changed.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| is_change(&event)) {
                heard.notify_one();
            }
        });
        let watcher = watcher.map_err(|error| {
            CliError::Program(format!(
                "the system does not say when files change: {error}. Use `headgate push` and `headgate run`"
            ))
        })?;
        let watched = Mutex::new(Watched { watcher, roots: BTreeSet::from([root]), folders: BTreeSet::new() });
        let watch = Self { watched, changed };
        watch.look_through(&[]);
        Ok(watch)
    }

    /// Watches these folders besides, and folders that have come since.
    pub(super) fn look_through(&self, roots: &[PathBuf]) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.roots.extend(roots.iter().cloned());
        let mut found = BTreeSet::new();
        for root in &watched.roots {
            find_folders(root, &mut found);
        }
        // What is gone is watched no more, and may come again.
        watched.folders.retain(|folder| found.contains(folder));
        for folder in found {
            if watched.folders.contains(&folder) {
                continue;
            }
            match watched.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => drop(watched.folders.insert(folder)),
                Err(error) => eprintln!("changes in {} go unnoticed: {error}", folder.display()),
            }
        }
    }

    /// Waits until something has changed and nothing changes any more; answers when it began.
    pub(super) async fn changed(&self) -> Instant {
        self.changed.notified().await;
        let begun = Instant::now();
        while timeout(SETTLE, self.changed.notified()).await.is_ok() {}
        begun
    }
}

/// A folder with all below it that may hold source.
fn find_folders(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    if folder.join(CACHE).is_file() || !found.insert(folder.to_owned()) {
        return;
    }
    // A folder that goes away meanwhile has nothing to be watched.
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        // Not through links, which may lead in a circle.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && !is_output(&entry.file_name()) {
            find_folders(&entry.path(), found);
        }
    }
}

/// Whether an event can mean another source: building reads all of it, and writes beside it.
fn is_change(event: &notify::Event) -> bool {
    let is_write = matches!(event.kind, EventKind::Access(AccessKind::Close(AccessMode::Write)));
    (is_write || !event.kind.is_access()) && !event.paths.iter().all(|path| path.file_name().is_some_and(is_output))
}

fn is_output(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with('.') || name.ends_with('~') || OUTPUTS.contains(&&*name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_building_writes_is_no_source() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["src/deep", "target/debug", ".git/objects", "node_modules/x", "out/debug"] {
            std::fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        std::fs::write(folder.path().join("out").join(CACHE), "").unwrap();
        let mut found = BTreeSet::new();
        find_folders(folder.path(), &mut found);
        let found: Vec<_> = found.iter().map(|found| found.strip_prefix(folder.path()).unwrap()).collect();
        assert_eq!(found, ["", "src", "src/deep"].map(Path::new));
    }

    #[test]
    fn reading_is_no_change() {
        let event = |kind, path: &str| notify::Event::new(kind).add_path(path.into());
        let modify = EventKind::Modify(notify::event::ModifyKind::Any);
        assert!(is_change(&event(modify, "/x/src/lib.rs")));
        assert!(is_change(&event(EventKind::Access(AccessKind::Close(AccessMode::Write)), "/x/src/lib.rs")));
        assert!(!is_change(&event(EventKind::Access(AccessKind::Open(AccessMode::Read)), "/x/src/lib.rs")));
        for output in ["/x/Cargo.lock", "/x/target", "/x/src/.lib.rs.swp", "/x/src/lib.rs~"] {
            assert!(!is_change(&event(modify, output)), "{output}");
        }
    }

    #[tokio::test]
    async fn a_new_folder_is_watched_at_the_next_look() {
        let folder = tempfile::tempdir().unwrap();
        let watch = Watch::begin(folder.path()).unwrap();
        let new = folder.path().join("src");
        std::fs::create_dir(&new).unwrap();
        watch.changed().await;
        watch.look_through(&[]);
        std::fs::write(new.join("lib.rs"), "").unwrap();
        watch.changed().await;
    }
}
