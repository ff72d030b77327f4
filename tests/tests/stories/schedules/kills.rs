//! A server that is killed between two times, or in the middle of one.

use std::collections::BTreeMap;

use headgate_tests::TestApp;
use headgate_tests::process::Process;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{path, schedule};

/// How often the server is killed.
const KILLS: usize = 4;

#[tokio::test]
async fn kill_9_neither_loses_a_time_nor_runs_it_twice() {
    let app = TestApp::start().await;
    app.publish("often", "echo").await;
    let wanted = json!({"cron": "* * * * * *", "catch_up": "all", "overlap": "allow"});
    let schedule = schedule(&app, "often", wanted).await;
    let (token, created) = (app.token().to_owned(), app.get(&schedule).await["created"].clone());
    let dir = app.stop().await;
    let folder = dir.path().join("data");
    for kill in 0..KILLS {
        let server = Process::start(&folder, &token, &[]).await;
        let before = decided(&server).await;
        // At a time of its own in the life of each second.
        while decided(&server).await <= before + SignedDuration::from_secs(1) {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(240 * kill as u64)).await;
        server.kill().await;
    }
    let server = Process::start(&folder, &token, &[]).await;
    let until = decided(&server).await;
    let mut times: BTreeMap<Timestamp, usize> = BTreeMap::new();
    let runs = loop {
        let runs = server.get("/groups/acme/runs?flow=often&limit=500").await;
        if runs.as_array().unwrap().iter().all(|run| run["state"] == "succeeded") {
            break runs;
        }
    };
    for run in runs.as_array().unwrap() {
        let run = server.get(&format!("/groups/acme/runs/{}", run["id"].as_str().unwrap())).await;
        let body: Value = serde_json::from_str(run["event"]["body"]["text"].as_str().unwrap()).unwrap();
        *times.entry(body["scheduled_at"].as_str().unwrap().parse().unwrap()).or_default() += 1;
    }
    server.kill().await;
    assert!(times.values().all(|count| *count == 1), "{times:?}");
    let created: Timestamp = created.as_str().unwrap().parse().unwrap();
    let first = Timestamp::from_second(created.as_second() + 1).unwrap();
    let mut expected = first;
    while expected <= until {
        assert!(times.contains_key(&expected), "{expected} is missing of {times:?}");
        expected += SignedDuration::from_secs(1);
    }
}

/// The newest time that was decided on.
async fn decided(server: &Process) -> Timestamp {
    let shown = server.get(&path("often")).await;
    let last = shown[0]["last_run"]["scheduled_at"].as_str();
    last.map_or(Timestamp::UNIX_EPOCH, |last| last.parse().unwrap())
}
