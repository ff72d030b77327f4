//! The store between processes: one that is killed, and a second one on the same folder.

#![expect(clippy::unwrap_used, reason = "this file is tests and what only they call")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use headgate::store::{Batch, Database, Entry, ListRuns, MAX_PAGE, Options, StoreError};
use uuid::Uuid;

/// Names the data folder to the child.
const FOLDER: &str = "HEADGATE_TEST_STORE";

/// What the killed child does. Without its variable, as when all tests run, it does nothing.
#[test]
fn child_that_commits_until_it_is_killed() {
    let Some(dir) = std::env::var_os(FOLDER) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let database = Database::open(Path::new(&dir), &small()).unwrap();
        let before = database.records.latest().get();
        let writers = (0..4).map(|writer| {
            let (records, history) = (database.records.clone(), database.history.clone());
            tokio::spawn(async move {
                for number in 0.. {
                    let name = format!("{before}/{writer}/{number}");
                    let batch =
                        Batch::new().put(format!("a/{name}"), name.clone()).put(format!("b/{name}"), name.clone());
                    let sequence = records.commit(batch).await.unwrap();
                    say(&format!("commit {sequence} {name}"));
                    if number % 10 == 0 {
                        let id = Uuid::now_v7();
                        let entry = Entry { id, group: "acme".into(), flow: "sync".into(), body: name.into() };
                        history.append_durable(entry).await.unwrap();
                        say(&format!("run {id}"));
                    }
                }
            })
        });
        futures::future::join_all(writers.collect::<Vec<_>>()).await;
    });
}

/// One line in one write, so that what was acknowledged is said whole or not at all.
fn say(line: &str) {
    std::io::stdout().lock().write_all(format!("\n{line}\n").as_bytes()).unwrap();
}

fn small() -> Options {
    Options { checkpoint_bytes: 200_000, log_file_bytes: 50_000, ..Options::default() }
}

fn start(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_commits_until_it_is_killed", "--nocapture"])
        .env(FOLDER, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn kill_9_takes_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (mut commits, mut runs) = (Vec::new(), Vec::new());
    for round in 0..6 {
        let mut child = start(dir.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let enough = commits.len() + 300 + round * 150;
        while commits.len() < enough {
            note(&lines.next().unwrap(), &mut commits, &mut runs);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had said before it died counts as well.
        lines.for_each(|line| note(&line, &mut commits, &mut runs));

        let database = Database::open(dir.path(), &small()).unwrap();
        for (sequence, name) in &commits {
            for part in ["a", "b"] {
                let record = database.records.get(&format!("{part}/{name}")).unwrap();
                let record = record.unwrap_or_else(|| panic!("{part}/{name} was acknowledged and is gone"));
                assert_eq!((record.version.get(), &record.value[..]), (*sequence, name.as_bytes()));
            }
        }
        let halves = |part| database.records.scan(part, None, usize::MAX).unwrap().len();
        assert_eq!(halves("a/"), halves("b/"), "a batch is there by half");
        for id in &runs {
            assert!(database.history.get("acme", *id).unwrap().is_some(), "run {id} was acknowledged and is gone");
        }
        let list = ListRuns { group: "acme".into(), flow: None, before: None, limit: MAX_PAGE };
        assert!(database.history.list(&list).unwrap().entries.len() >= runs.len().min(MAX_PAGE));
        database.close().await.unwrap();
    }
}

fn note(line: &str, commits: &mut Vec<(u64, String)>, runs: &mut Vec<Uuid>) {
    match line.split(' ').collect::<Vec<_>>()[..] {
        ["commit", sequence, name] => commits.push((sequence.parse().unwrap(), name.to_owned())),
        ["run", id] => runs.push(id.parse().unwrap()),
        _ => {}
    }
}

#[tokio::test]
async fn a_second_process_is_told_that_the_folder_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = start(dir.path());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("commit ")));
    let error = Database::open(dir.path(), &small()).err().unwrap();
    assert!(matches!(&error, StoreError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("in use by another process"), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
    // The lock goes with the process.
    Database::open(dir.path(), &small()).unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_dropped_is_closed_soon_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(dir.path(), &small()).unwrap();
    let run = Entry { id: Uuid::now_v7(), group: "acme".into(), flow: "sync".into(), body: "queued".into() };
    database.history.append(run.clone()).await.unwrap();
    database.records.commit(Batch::new().put("k", "1")).await.unwrap();
    drop(database);
    let started = Instant::now();
    let database = loop {
        match Database::open(dir.path(), &small()) {
            Err(StoreError::Locked { .. }) => tokio::task::yield_now().await,
            other => break other.unwrap(),
        }
        assert!(started.elapsed() < Duration::from_secs(20), "the folder is still locked");
    };
    assert_eq!(database.history.get("acme", run.id).unwrap(), Some(run));
    assert_eq!(database.records.get("k").unwrap().unwrap().value, "1");
    database.close().await.unwrap();
}
