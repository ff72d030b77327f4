//! What happens when the time comes while the run before it is under way, or the queue is full.

use headgate_tests::TestApp;
use headgate_tests::clock::TestClock;
use headgate_tests::held::Held;
use jiff::SignedDuration;
use serde_json::json;

use super::{bodies, ended, schedule, tick};

/// A server with a flow whose runs last until the app answers.
async fn stage(queue: usize) -> (TestApp, TestClock, Held) {
    let held = Held::start().await;
    let exempt = held.address.to_string();
    let clock = TestClock::at("2026-01-01T00:00:30Z".parse().unwrap());
    let app = TestApp::with_clock(clock.clock(), |settings| {
        settings.egress.allow_private = vec![exempt.parse().unwrap()];
        settings.service.queue = queue;
    })
    .await;
    app.install("http-connector").await;
    app.publish("slow", "hostile-flow").await;
    let base_url = format!("http://{}", held.address);
    let connection = json!({"name": "app", "connector": "http", "auth": "none", "config": {"base_url": base_url}});
    app.connect("slow", "app", connection).await;
    (app, clock, held)
}

/// A schedule of each minute, whose time comes three times while the first run is under way. Answers how many times the
/// app was asked in the end, and how many were left out.
async fn three_times(overlap: &str) -> (usize, u64) {
    let (app, clock, held) = stage(100).await;
    let event = json!({"do": "call", "slot": "app", "method": "request", "input": {"path": "/"}});
    let path = schedule(&app, "slow", json!({"cron": "* * * * *", "event": event, "overlap": overlap})).await;
    for minute in 1..=3 {
        clock.set(&format!("2026-01-01T00:0{minute}:00Z"));
        tick(&app).await;
        held.asked(1).await;
    }
    let shown = app.get(&path).await;
    held.release();
    let waiting = shown["waiting"].as_array().unwrap().len();
    assert_eq!(waiting, usize::from(overlap == "queue"));
    // What waits begins at the end of the one before, with no time of its own to wake the scheduler.
    let expected = 3 - shown["skipped"].as_u64().unwrap() as usize;
    let runs = ended(&app, "slow", expected).await;
    assert_eq!(runs.len(), expected);
    (held.paths().len(), shown["skipped"].as_u64().unwrap())
}

#[tokio::test]
async fn skipped_queued_or_beside_each_other() {
    assert_eq!(three_times("skip").await, (1, 2));
    assert_eq!(three_times("queue").await, (2, 1));
    assert_eq!(three_times("allow").await, (3, 0));
}

#[tokio::test]
async fn a_time_that_finds_the_queue_full_is_kept_and_tried_again() {
    let (app, clock, held) = stage(1).await;
    app.publish("quick", "echo").await;
    let event = json!({"do": "call", "slot": "app", "method": "request", "input": {"path": "/"}});
    schedule(&app, "slow", json!({"cron": "1 0 1 1 *", "event": event})).await;
    let quick = schedule(&app, "quick", json!({"cron": "2 0 1 1 *"})).await;
    clock.set("2026-01-01T00:01:00Z");
    tick(&app).await;
    held.asked(1).await;
    clock.set("2026-01-01T00:02:00Z");
    tick(&app).await;
    assert_eq!(app.get(&quick).await["waiting"], json!(["2026-01-01T00:02:00Z"]));
    held.release();
    ended(&app, "slow", 1).await;
    // Much later than a time that passed while the server was down would be begun.
    clock.set("2026-01-01T00:10:00Z");
    tick(&app).await;
    while app.get(&quick).await["waiting"] != json!([]) {
        // The run that ended had not left the queue yet.
        clock.forward(SignedDuration::from_secs(5));
        tick(&app).await;
    }
    let runs = ended(&app, "quick", 1).await;
    assert_eq!(bodies(&runs)[0]["scheduled_at"], "2026-01-01T00:02:00Z");
    assert_eq!((&app.get(&quick).await["waiting"], runs.len()), (&json!([]), 1));
}
