//! Power cuts at every kind of moment: what was acknowledged is there afterwards, and nothing is there by half.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::files::simulated::{Failure, SimulatedFiles};
use super::*;
use crate::domain::digest::ModuleDigest;

/// How many worlds each test tries.
const SEEDS: u64 = 60;

/// A generator of numbers below a bound, the same for the same seed (SplitMix64).
fn random(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed;
    move |bound| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

/// Small files, so that a few commits roll them and make checkpoints.
fn options() -> Options {
    let history = HistoryOptions { segment_bytes: 1500, queue_bytes: 1 << 20 };
    Options { checkpoint_bytes: 6000, log_file_bytes: 2000, index_cache_bytes: 1 << 20, history }
}

/// What was asked of a store, and what it acknowledged.
#[derive(Default)]
struct Ledger {
    /// By the number of each batch, the commit that it became. Batches without one were never acknowledged.
    batches: Vec<Option<Sequence>>,
    /// Acknowledged run records with their bodies, and those that were queued when the power went.
    runs: BTreeMap<Uuid, (Bytes, bool)>,
    modules: Vec<ModuleDigest>,
}

/// Keys of a batch: some of its own, and one that it shares with others.
fn batch_keys(number: usize) -> [String; 4] {
    let own = |part| format!("own/{number:04}/{part}");
    [own("a"), own("b"), own("c"), format!("shared/{}", number % 5)]
}

fn batch_value(number: usize) -> Bytes {
    // Some values are kept in pieces.
    let length = if number.is_multiple_of(17) { 60_000 } else { 30 + number * 37 % 400 };
    format!("{number} ").repeat(length / 4).into()
}

impl Ledger {
    /// Asks for batches, runs and modules until something fails.
    async fn work(&mut self, database: &Database, random: &mut impl FnMut(usize) -> usize) {
        for _ in 0..30 {
            let first = self.batches.len();
            let count = 1 + random(4);
            let commits = (first..first + count).map(|number| {
                let value = batch_value(number);
                let puts =
                    batch_keys(number).into_iter().fold(Batch::new(), |batch, key| batch.put(key, value.clone()));
                database.records.commit(puts)
            });
            let answers = futures::future::join_all(commits).await;
            self.batches.extend(answers.iter().map(|answer| answer.as_ref().ok().copied()));
            let run = self.run(random).await;
            let kept = if random(2) == 0 {
                database.history.append_durable(run.clone()).await
            } else {
                database.history.append(run.clone()).await.and(Err(StoreError::Closed))
            };
            self.runs.insert(run.id, (run.body, kept.is_ok()));
            let module = Bytes::from(format!("module {first}").repeat(1 + random(200)));
            self.modules.extend(database.modules.put(module).await);
            if answers.iter().any(Result::is_err) {
                break;
            }
        }
    }

    async fn run(&self, random: &mut impl FnMut(usize) -> usize) -> Entry {
        let id = Uuid::from_u128((1_700_000_000_000 + self.runs.len() as u128) << 80 | 7 << 76 | 2 << 62);
        let body = format!("run {id} ").repeat(1 + random(10)).into();
        Entry { id, group: "acme".to_owned(), flow: "sync".to_owned(), body }
    }

    /// Compares a store with what it acknowledged. What it has beyond that counts as acknowledged from now on,
    /// because it was seen.
    async fn check(&mut self, database: &Database) -> Result<(), String> {
        let mut newest_shared = [None; 5];
        for (number, acknowledged) in self.batches.iter_mut().enumerate() {
            let keys = batch_keys(number);
            let read = |key: &String| database.records.get(key).map_err(|error| error.to_string());
            let own = keys[..3].iter().map(read).collect::<Result<Vec<_>, _>>()?;
            let versions: Vec<_> = own.iter().map(|record| record.as_ref().map(|record| record.version)).collect();
            if versions.iter().any(|version| *version != versions[0]) {
                return Err(format!("batch {number} is there by half: {versions:?}"));
            }
            if acknowledged.is_some() && *acknowledged != versions[0] {
                return Err(format!("batch {number} was acknowledged as {acknowledged:?} and is {:?}", versions[0]));
            }
            if own.iter().flatten().any(|record| record.value != batch_value(number)) {
                return Err(format!("batch {number} has other values"));
            }
            *acknowledged = versions[0];
            newest_shared[number % 5] = newest_shared[number % 5].max(versions[0].map(|version| (version, number)));
        }
        for (shared, newest) in newest_shared.into_iter().enumerate() {
            let record = database.records.get(&format!("shared/{shared}")).map_err(|error| error.to_string())?;
            let wanted = newest.map(|(version, number)| Record { version, value: batch_value(number) });
            if record != wanted {
                return Err(format!("shared/{shared} is not what its last writer wrote"));
            }
        }
        let scanned = database.records.scan("own/", None, usize::MAX).map_err(|error| error.to_string())?.len();
        let present = self.batches.iter().flatten().count() * 3;
        if scanned != present {
            return Err(format!("a scan shows {scanned} records of {present}"));
        }
        self.check_runs(database)?;
        for digest in &self.modules {
            if database.modules.get(*digest).await.map_err(|error| error.to_string())?.is_none() {
                return Err(format!("the module {digest} is gone"));
            }
        }
        Ok(())
    }

    fn check_runs(&mut self, database: &Database) -> Result<(), String> {
        for (id, (body, acknowledged)) in &mut self.runs {
            match database.history.get("acme", *id).map_err(|error| error.to_string())? {
                Some(entry) if entry.body == *body => *acknowledged = true,
                Some(_) => return Err(format!("run {id} has another body")),
                None if *acknowledged => return Err(format!("run {id} is gone")),
                None => {}
            }
        }
        let list = ListRuns { group: "acme".to_owned(), flow: None, before: None, limit: MAX_PAGE };
        let page = database.history.list(&list).map_err(|error| error.to_string())?;
        let known: Vec<_> = self.runs.iter().rev().filter(|(_, run)| run.1).map(|(id, _)| *id).collect();
        if !page.damaged.is_empty() || page.entries.iter().map(|entry| entry.id).collect::<Vec<_>>() != known {
            return Err(format!("the list of runs is not the runs: {:?}", page.damaged));
        }
        Ok(())
    }
}

/// What becomes of the index while the power is off. It is never synced, so anything may.
fn disturb_index(dir: &Path, older: &Path, random: &mut impl FnMut(usize) -> usize) {
    let index = dir.join("index");
    match random(3) {
        0 if index.exists() => drop(std::fs::remove_dir_all(&index)),
        1 if older.exists() => {
            let _ = std::fs::remove_dir_all(&index);
            copy(older, &index);
        }
        _ => {}
    }
    if older.exists() {
        std::fs::remove_dir_all(older).unwrap();
    }
    if index.exists() {
        copy(&index, older);
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            match std::fs::copy(entry.path(), to.join(entry.file_name())) {
                // sled's threads end a little after their database: a file can go while its folder is copied.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                copied => drop(copied.unwrap()),
            }
        } else {
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    }
}

/// One world: four times it is worked in, fails at a random moment, and is looked at after the power came back.
fn world(seed: u64, failure: Failure, files: &SimulatedFiles) -> Result<(), String> {
    let random = &mut random(seed);
    let dir = tempfile::tempdir().unwrap();
    let older = tempfile::tempdir().unwrap();
    let older = older.path().join("index");
    let mut ledger = Ledger::default();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for _ in 0..4 {
            files.fail_after(1 + random(150) as u64, failure);
            match Database::open_on(Arc::new(files.clone()), dir.path(), &options()) {
                Ok(database) => {
                    ledger.check(&database).await?;
                    ledger.work(&database, random).await;
                    // With the power off it cannot be closed in order, but its threads end.
                    let _ = database.close().await;
                }
                Err(StoreError::Io { .. }) => {}
                Err(error) => return Err(error.to_string()),
            }
            files.power_on(random);
            disturb_index(dir.path(), &older, random);
        }
        let open = Database::open_on(Arc::new(files.clone()), dir.path(), &options());
        let database = open.map_err(|error| error.to_string())?;
        ledger.check(&database).await?;
        database.close().await.map_err(|error| error.to_string())
    })
}

fn worlds(failure: Failure) {
    for seed in 0..SEEDS {
        let files = SimulatedFiles::default();
        world(seed, failure, &files).unwrap_or_else(|error| panic!("{failure:?}, seed {seed}: {error}"));
    }
}

#[test]
fn a_power_cut_takes_nothing_that_was_acknowledged() {
    worlds(Failure::PowerCut);
}

#[test]
fn a_full_disk_takes_nothing_that_was_acknowledged() {
    worlds(Failure::Full);
}

#[test]
fn a_failed_fsync_acknowledges_nothing() {
    worlds(Failure::Sync);
}

/// The positive control: without `fdatasync` the same check must find losses, or it proves nothing.
#[test]
fn without_fdatasync_the_check_finds_losses() {
    let found = (0..20).filter(|seed| {
        let files = SimulatedFiles::default();
        files.ignore_sync_data();
        world(*seed, Failure::PowerCut, &files).is_err()
    });
    let found = found.count();
    assert!(found >= 10, "only {found} of 20 worlds without fdatasync lost something");
}

#[tokio::test]
async fn after_a_failed_write_the_store_is_read_only_and_says_so() {
    for failure in [Failure::Full, Failure::Sync] {
        let dir = tempfile::tempdir().unwrap();
        let files = SimulatedFiles::default();
        let database = Database::open_on(Arc::new(files.clone()), dir.path(), &Options::default()).unwrap();
        let (records, history) = (&database.records, &database.history);
        records.commit(Batch::new().put("k", "1")).await.unwrap();
        let run = Entry { id: Uuid::from_u128(1), group: "acme".into(), flow: "sync".into(), body: Bytes::new() };
        history.append_durable(run.clone()).await.unwrap();
        assert!(database.health().is_ok());

        files.fail_after(0, failure);
        // The second attempt meets a disk that works again, in the case of the fsync.
        for value in ["2", "3"] {
            let error = records.commit(Batch::new().put("k", value)).await.unwrap_err();
            assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
        }
        files.fail_after(0, failure);
        for _ in 0..2 {
            let error = history.append_durable(run.clone()).await.unwrap_err();
            assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
        }
        assert!(matches!(database.health(), Err(StoreError::ReadOnly { .. })));
        assert_eq!(records.get("k").unwrap().unwrap().value, "1", "reading goes on");
        assert_eq!(history.get("acme", run.id).unwrap(), Some(run));
        assert!(database.close().await.is_err());
    }
}
