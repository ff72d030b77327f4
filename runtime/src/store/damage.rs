//! Damage to any file of a closed store: it is repaired, or it is said. Never a panic, never wrong data.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use uuid::Uuid;

use super::*;
use crate::domain::digest::ModuleDigest;

/// At how many places each file is damaged.
const PLACES: usize = 10;

fn options() -> Options {
    let history = HistoryOptions { segment_bytes: 4000, queue_bytes: 1 << 20 };
    Options { checkpoint_bytes: 30_000, log_file_bytes: 3000, index_cache_bytes: 1 << 20, history }
}

/// A closed store in a folder, and what it holds.
struct Kept {
    dir: tempfile::TempDir,
    records: Vec<(String, Record)>,
    runs: Vec<Entry>,
    module: ModuleDigest,
}

impl Kept {
    /// Makes a store with a checkpoint, several log files, values in pieces, several run segments and a module.
    async fn make() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::open(dir.path(), &options()).unwrap();
        for number in 0..60_u32 {
            let value = format!("{number} ").repeat(if number == 3 { 30_000 } else { 200 });
            let batch = Batch::new().put(format!("flow/{number:03}"), value).put("newest", number.to_string());
            database.records.commit(batch.append("audit/", "x")).await.unwrap();
            let entry = Entry {
                id: Uuid::from_u128((1_700_000_000_000 + u128::from(number)) << 80 | 7 << 76 | 2 << 62),
                group: "acme".to_owned(),
                flow: format!("flow-{}", number % 3),
                body: format!("run {number} ").repeat(30).into(),
            };
            database.history.append_durable(entry).await.unwrap();
        }
        let module = database.modules.put(Bytes::from("a module".repeat(100))).await.unwrap();
        let records = database.records.scan("", None, 1000).unwrap();
        let runs = database.history.list(&everything()).unwrap().entries;
        assert_eq!((records.len(), runs.len()), (121, 60));
        database.close().await.unwrap();
        let kept = Self { dir, records, runs, module };
        for (folder, least) in [("log", 2), ("checkpoint", 1), ("index", 2), ("runs", 7), ("modules", 1)] {
            let files = files(&kept.dir.path().join(folder));
            assert!(files.len() >= least, "{folder} has only {files:?}");
        }
        kept
    }

    /// A copy of the folder with one file changed.
    fn damaged(&self, file: &Path, change: impl FnOnce(&Path)) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        for path in files(self.dir.path()) {
            let target = copy.path().join(path.strip_prefix(self.dir.path()).unwrap());
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::copy(&path, target).unwrap();
        }
        change(&copy.path().join(file));
        copy
    }

    /// Opens the folder and reads everything. Gives what was said; panics when something wrong is served.
    async fn look(&self, dir: &Path, what: &str) -> Vec<StoreError> {
        let database = match Database::open(dir, &options()) {
            Ok(database) => database,
            Err(error) => return vec![error],
        };
        let mut said = Vec::new();
        match database.records.scan("", None, 1000) {
            Ok(records) => assert!(records == self.records, "{what}: other records are served"),
            Err(error) => said.push(error),
        }
        let page = database.history.list(&everything()).unwrap();
        said.extend(page.damaged);
        assert!(page.entries.iter().all(|entry| self.runs.contains(entry)), "{what}: another run is listed");
        let all_listed = page.entries.len() == self.runs.len();
        for run in &self.runs {
            match database.history.get(&run.group, run.id) {
                Ok(Some(found)) => assert_eq!(found, *run, "{what}"),
                Ok(None) => said.push(gone(run)),
                Err(error) => said.push(error),
            }
        }
        match database.modules.get(self.module).await {
            Ok(Some(module)) => assert_eq!(ModuleDigest::of(&module), self.module, "{what}"),
            Ok(None) => said.push(StoreError::Closed),
            Err(error) => said.push(error),
        }
        assert!(all_listed || !said.is_empty(), "{what}: runs are missing from the list, and nothing says so");
        // What was opened can be written to.
        database.records.commit(Batch::new().put("after", "1")).await.unwrap();
        database.close().await.unwrap();
        said
    }
}

fn gone(run: &Entry) -> StoreError {
    StoreError::InvalidKey { key: run.id.to_string(), reason: "it is gone" }
}

fn is_gone(error: &StoreError) -> bool {
    matches!(error, StoreError::InvalidKey { .. })
}

fn everything() -> ListRuns {
    ListRuns { group: "acme".to_owned(), flow: None, before: None, limit: MAX_PAGE }
}

/// All files below a folder.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

/// Places spread over a file of this length: its beginning and end above all.
fn places(length: usize) -> impl Iterator<Item = usize> {
    let spread = (0..PLACES).map(move |n| n * length / PLACES);
    let ends = [1, 9, 13, 25, 40].into_iter().flat_map(move |n| [n, length.saturating_sub(n)]);
    spread.chain(ends).filter(move |place| *place < length)
}

/// Changes each file at each of its places, one at a time, and looks. Gives the file, what was done and what was said.
async fn each_place(kept: &Arc<Kept>, change: fn(&Path, usize)) -> Vec<(PathBuf, String, Vec<StoreError>)> {
    let mut looks = Vec::new();
    for path in files(kept.dir.path()) {
        let file = path.strip_prefix(kept.dir.path()).unwrap().to_owned();
        let length = fs::metadata(&path).unwrap().len() as usize;
        for place in places(length) {
            let (kept, file) = (Arc::clone(kept), file.clone());
            looks.push(async move {
                let what = format!("{} of {length} bytes, at {place}", file.display());
                let copy = kept.damaged(&file, |path| change(path, place));
                let said = kept.look(copy.path(), &what).await;
                (file, what, said)
            });
        }
    }
    // Most of the time is waiting for the disk, so several are looked at together.
    futures::stream::iter(looks).map(tokio::spawn).buffered(8).map(Result::unwrap).collect().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_flipped_bit_anywhere_is_repaired_or_said() {
    let kept = Arc::new(Kept::make().await);
    let flip = |path: &Path, place: usize| {
        let mut bytes = fs::read(path).unwrap();
        bytes[place] ^= 1 << (place % 8);
        fs::write(path, bytes).unwrap();
    };
    let all = each_place(&kept, flip).await;
    for (_, what, said) in &all {
        assert!(!said.iter().any(is_gone), "{what}: a run is gone, and nothing says so");
        assert!(!said.iter().any(|error| matches!(error, StoreError::Io { .. })), "{what}: {said:?}");
    }
    let repaired = all.iter().filter(|(_, _, said)| said.is_empty()).count();
    assert!(repaired > 50 && all.len() - repaired > 50, "both happen: {repaired} of {} repaired", all.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_file_cut_short_is_repaired_or_said() {
    let kept = Arc::new(Kept::make().await);
    let mut runs = files(&kept.dir.path().join("runs")).into_iter();
    let newest_runs = runs.rfind(|path| path.extension().unwrap() == "runs").unwrap();
    let cut = |path: &Path, place: usize| {
        fs::OpenOptions::new().write(true).open(path).unwrap().set_len(place as u64).unwrap();
    };
    for (file, what, said) in each_place(&kept, cut).await {
        // The end of the newest run segment cannot be told from a write that a power cut tore: a warning says so.
        assert!(newest_runs.ends_with(file) || !said.iter().any(is_gone), "{what}: a run is gone silently");
    }
}

#[tokio::test]
async fn the_index_is_rebuilt_when_it_is_gone() {
    let kept = Kept::make().await;
    let copy = kept.damaged(Path::new("index"), |index| fs::remove_dir_all(index).unwrap());
    assert!(kept.look(copy.path(), "without an index").await.is_empty());
}

#[tokio::test]
async fn log_or_checkpoint_are_made_up_for_by_the_index() {
    let kept = Kept::make().await;
    for folder in ["log", "checkpoint"] {
        let copy = kept.damaged(Path::new(folder), |folder| fs::remove_dir_all(folder).unwrap());
        assert!(kept.look(copy.path(), folder).await.is_empty());
        // What was made up for is on its own feet: now the index may go.
        fs::remove_dir_all(copy.path().join("index")).unwrap();
        let database = Database::open(copy.path(), &options()).unwrap();
        assert_eq!(database.records.scan("flow/", None, 1000).unwrap().len(), 60);
        assert_eq!(database.records.get("after").unwrap().unwrap().value, "1");
        database.close().await.unwrap();
    }
}

#[tokio::test]
async fn without_the_checkpoint_and_the_index_the_store_does_not_open() {
    let kept = Kept::make().await;
    let copy = kept.damaged(Path::new("index"), |index| fs::remove_dir_all(index).unwrap());
    fs::remove_dir_all(copy.path().join("checkpoint")).unwrap();
    let error = Database::open(copy.path(), &options()).err().unwrap();
    assert!(matches!(error, StoreError::Incomplete { .. }), "{error}");
}

#[tokio::test]
async fn the_way_out_that_a_damaged_log_names_works() {
    let kept = Kept::make().await;
    let log = files(&kept.dir.path().join("log")).into_iter().next_back().unwrap();
    let copy = kept.damaged(log.strip_prefix(kept.dir.path()).unwrap(), |path| {
        let mut bytes = fs::read(path).unwrap();
        bytes[100] ^= 1;
        fs::write(path, bytes).unwrap();
    });
    let error = Database::open(copy.path(), &options()).err().unwrap();
    let StoreError::Corrupt { path, offset, remedy, .. } = &error else { panic!("{error}") };
    assert!(remedy.contains(&format!("cut the file to {offset} bytes")), "{remedy}");
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(*offset).unwrap();
    fs::remove_dir_all(copy.path().join("index")).unwrap();
    let database = Database::open(copy.path(), &options()).unwrap();
    let page = database.records.scan("flow/", None, 1000).unwrap();
    assert!(!page.is_empty() && page.len() < 60);
    assert!(page.iter().all(|record| kept.records.contains(record)));
    database.close().await.unwrap();
}
