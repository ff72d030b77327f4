//! Stories of the run history on real files.

use std::collections::BTreeMap;

use super::*;
use crate::store::{Database, Options};

fn options(segment_bytes: u64, queue_bytes: usize) -> Options {
    Options { history: HistoryOptions { segment_bytes, queue_bytes }, ..Options::default() }
}

fn open(dir: &Path, options: &Options) -> Database {
    Database::open(dir, options).unwrap()
}

/// The entry of number `n`: ids rise with it, one a millisecond.
fn entry(n: u64, group: &str, flow: &str, body: impl Into<Bytes>) -> Entry {
    entry_at(1_700_000_000_000 + n, group, flow, body)
}

fn entry_at(ms: u64, group: &str, flow: &str, body: impl Into<Bytes>) -> Entry {
    let id = Uuid::from_u128(u128::from(ms) << 80 | 7 << 76 | 2 << 62 | 1);
    Entry { id, group: group.to_owned(), flow: flow.to_owned(), body: body.into() }
}

fn all(group: &str) -> ListRuns {
    ListRuns { group: group.to_owned(), flow: None, before: None, limit: MAX_PAGE }
}

/// Every entry of a group, by pages.
fn pages(history: &History, list: &ListRuns, limit: usize) -> Vec<Entry> {
    let mut found: Vec<Entry> = Vec::new();
    loop {
        let before = found.last().map(|entry| entry.id);
        let page = history.list(&ListRuns { before, limit, ..list.clone() }).unwrap();
        assert!(page.damaged.is_empty(), "{:?}", page.damaged);
        if page.entries.is_empty() {
            return found;
        }
        found.extend(page.entries);
    }
}

#[tokio::test]
async fn entries_are_read_wherever_they_are() {
    let dir = tempfile::tempdir().unwrap();
    // Segments of two or three entries: most are finished, one is active, some wait.
    let options = options(500, 1 << 20);
    let database = open(dir.path(), &options);
    let mut expected = BTreeMap::new();
    for n in 0..60_u64 {
        // Out of order, and every third run's record is written a second time.
        let number = n * 7 % 60;
        let (group, flow) = (["acme", "beta"][number as usize % 2], ["sync", "mail", "lead"][number as usize % 3]);
        for version in 0..=u8::from(number.is_multiple_of(3)) {
            let entry = entry(number, group, flow, vec![version; 100]);
            expected.insert(entry.id, entry.clone());
            database.history.append(entry.clone()).await.unwrap();
            assert_eq!(database.history.get(group, entry.id).unwrap(), Some(entry), "visible at once");
            if n.is_multiple_of(4) {
                database.history.flush().await.unwrap();
            }
        }
    }
    let check = |history: &History| {
        for group in ["acme", "beta", "none"] {
            for flow in [None, Some("sync"), Some("mail"), Some("gone")] {
                let list = ListRuns { flow: flow.map(str::to_owned), ..all(group) };
                let wanted = |entry: &&Entry| entry.group == group && flow.is_none_or(|flow| entry.flow == flow);
                let wanted: Vec<_> = expected.values().rev().filter(wanted).cloned().collect();
                assert_eq!(pages(history, &list, 4), wanted, "{group} {flow:?}");
                assert_eq!(pages(history, &list, MAX_PAGE), wanted, "{group} {flow:?}");
            }
        }
        for entry in expected.values() {
            assert_eq!(history.get(&entry.group, entry.id).unwrap().as_ref(), Some(entry));
            assert_eq!(history.get("none", entry.id).unwrap(), None, "another group's");
        }
        assert_eq!(history.get("acme", Uuid::from_u128(5)).unwrap(), None);
    };
    check(&database.history);
    database.close().await.unwrap();
    let database = open(dir.path(), &options);
    check(&database.history);
    database.close().await.unwrap();
    // Row files can be made anew from the segments.
    for file in files(dir.path(), "idx") {
        std::fs::remove_file(file).unwrap();
    }
    let database = open(dir.path(), &options);
    check(&database.history);
    database.close().await.unwrap();
}

#[tokio::test]
async fn what_is_appended_is_on_disk_without_being_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(dir.path(), &Options::default());
    let started = std::time::Instant::now();
    database.history.append(entry(1, "acme", "sync", "the body")).await.unwrap();
    let written = || {
        let bytes = files(dir.path(), "runs").into_iter().flat_map(|file| std::fs::read(file).unwrap());
        bytes.collect::<Vec<_>>().windows(8).any(|window| window == b"the body")
    };
    assert!(!written(), "it is written behind");
    while !written() {
        assert!(started.elapsed() < Duration::from_secs(1), "not on disk after a second");
        tokio::task::yield_now().await;
    }
    database.history.append_durable(entry(2, "acme", "sync", "at once")).await.unwrap();
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_full_queue_makes_callers_wait_and_drops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(dir.path(), &options(1 << 20, 4 << 10));
    let history = &database.history;
    let error = history.append(entry(0, "acme", "sync", vec![0; 3 << 10])).await.unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
    let appends = (0..500).map(|n| history.append(entry(n, "acme", "sync", vec![1; 1000])));
    for answer in futures::future::join_all(appends).await {
        answer.unwrap();
    }
    assert_eq!(pages(history, &all("acme"), MAX_PAGE).len(), 500);
    database.close().await.unwrap();
}

#[tokio::test]
async fn pruning_deletes_whole_segments_by_age_and_size() {
    const DAY: u64 = 24 * 60 * 60 * 1000;
    let dir = tempfile::tempdir().unwrap();
    let database = open(dir.path(), &options(1 << 20, 1 << 20));
    let history = &database.history;
    // More than a day apart: each gets a segment.
    for n in 0..10 {
        history.append(entry_at(1_700_000_000_000 + n * 2 * DAY, "acme", "sync", vec![0; 1000])).await.unwrap();
    }
    history.flush().await.unwrap();
    assert_eq!(files(dir.path(), "runs").len(), 10);
    let before_ms = Some(1_700_000_000_000 + 5 * DAY);
    let pruned = history.prune(PruneRuns { before_ms, max_bytes: None }).await.unwrap();
    assert_eq!(pruned.segments, 3);
    assert_eq!(history.list(&all("acme")).unwrap().entries.len(), 7);
    let pruned = history.prune(PruneRuns { before_ms: None, max_bytes: Some(5000) }).await.unwrap();
    assert_eq!(pruned.segments, 3);
    assert_eq!(history.list(&all("acme")).unwrap().entries.len(), 4);
    assert_eq!((files(dir.path(), "runs").len(), files(dir.path(), "idx").len()), (4, 3));
    // The segment that is written to goes as well when all of it is too old.
    history.prune(PruneRuns { before_ms: Some(u64::MAX), max_bytes: None }).await.unwrap();
    assert_eq!(history.list(&all("acme")).unwrap().entries, []);
    history.append_durable(entry(3, "acme", "sync", "after")).await.unwrap();
    database.close().await.unwrap();
    let database = open(dir.path(), &options(1 << 20, 1 << 20));
    assert_eq!(database.history.list(&all("acme")).unwrap().entries.len(), 1);
    database.close().await.unwrap();
}

#[tokio::test]
async fn records_that_come_late_do_not_begin_segments() {
    const DAY: u64 = 24 * 60 * 60 * 1000;
    let dir = tempfile::tempdir().unwrap();
    let database = open(dir.path(), &Options::default());
    for n in 0..20 {
        // Runs of today and runs that waited for a month, in turn.
        let made = 1_700_000_000_000 + n - if n % 2 == 0 { 0 } else { 30 * DAY };
        database.history.append_durable(entry_at(made, "acme", "sync", "")).await.unwrap();
    }
    assert_eq!(files(dir.path(), "runs").len(), 1);
    assert_eq!(database.history.list(&all("acme")).unwrap().entries.len(), 20);
    database.close().await.unwrap();
}

#[tokio::test]
async fn memory_and_files_keep_up_with_many_small_entries() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(dir.path(), &options(1 << 20, 8 << 20));
    let started = std::time::Instant::now();
    let count = 40_000;
    for n in 0..count {
        database.history.append(entry(n, "acme", "sync", vec![0; 200])).await.unwrap();
    }
    database.history.flush().await.unwrap();
    let rate = count as f64 / started.elapsed().as_secs_f64();
    println!("{rate:.0} appends a second, made durable");
    assert!(rate > 20_000.0, "only {rate:.0} appends a second");
    assert!(files(dir.path(), "idx").len() >= 8);
    let oldest = entry(0, "acme", "sync", vec![0; 200]);
    assert_eq!(database.history.get("acme", oldest.id).unwrap(), Some(oldest));
    database.close().await.unwrap();
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.join("runs")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    files.sort();
    files
}
