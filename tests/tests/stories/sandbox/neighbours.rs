//! Runaway guests and full pools: what the others notice.

use std::time::{Duration, Instant};

use headgate_tests::{Hostile, Key, TestApp, Trigger};
use serde_json::{Value, json};

/// How long a story waits for a condition before it gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many runaway guests there are at once: more than cores, so that without turns nobody else would compute.
const HOGS: usize = 6;
const CALLS: usize = 60;

async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"));
}

fn running(app: &TestApp) -> usize {
    app.app().service().sandbox().occupancy().0.running
}

fn queued(app: &TestApp) -> usize {
    app.app().service().sandbox().occupancy().0.queued
}

async fn median_latency(app: &TestApp, trigger: &Trigger, key: &Key) -> Duration {
    let mut latencies = Vec::new();
    for _ in 0..CALLS {
        let began = Instant::now();
        let answer = app.fire(trigger, key, "neighbour").await;
        assert_eq!(answer.text().await.unwrap(), "neighbour");
        latencies.push(began.elapsed());
    }
    latencies.sort();
    latencies[CALLS / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_loops_are_stopped_and_their_neighbours_keep_their_latency() {
    let hostile = Hostile::start(|settings| settings.wasm.cpu = Duration::from_secs(3)).await;
    let app = &hostile.app;
    app.publish("echo", "echo").await;
    let echo = app.trigger("echo", json!({})).await;
    let alone = median_latency(app, &echo, &hostile.key).await;

    let hogs = futures::future::join_all((0..HOGS).map(|_| hostile.order(json!({"do": "loop"}))));
    let measure = async {
        until("the hogs run", || running(app) >= HOGS).await;
        let beside = median_latency(app, &echo, &hostile.key).await;
        (beside, running(app))
    };
    let (hogs, (beside, still_running)) = tokio::join!(hogs, measure);
    assert_eq!(still_running, HOGS, "the hogs were to run while the neighbour was measured");
    for hog in hogs {
        assert_eq!((hog.status.as_u16(), &hog.body["code"]), (502, &json!("cpu_limit")), "{}", hog.body);
    }
    println!("median latency of a neighbour: {alone:?} alone, {beside:?} beside {HOGS} endless loops");
    // Without turns each hop of a call would wait for the stretches of all hogs, 30 ms and more.
    assert!(beside < alone * 10 + Duration::from_millis(15), "{alone:?} alone, {beside:?} beside the hogs");
}

#[tokio::test]
async fn a_full_pool_queues_and_a_place_is_given_on() {
    let hostile = Hostile::start(|settings| settings.wasm.flow_instances = 1).await;
    let app = &hostile.app;
    let first = hostile.order(json!({"do": "sleep", "milliseconds": 400}));
    let second = async {
        until("the first call has the place", || running(app) == 1).await;
        hostile.order(json!({"do": "open", "slot": "x"})).await
    };
    let seen = async {
        until("the second call queues", || queued(app) == 1).await;
        running(app)
    };
    let (first, second, seen) = tokio::join!(first, second, seen);
    assert_eq!((first.status.as_u16(), second.status.as_u16(), seen), (200, 200, 1), "{second:?}");
}

#[tokio::test]
async fn who_queues_too_long_is_told_when_to_come_back() {
    let hostile = Hostile::start(|settings| {
        settings.wasm.flow_instances = 1;
        settings.wasm.queue_wait = Duration::from_millis(200);
    })
    .await;
    let app = &hostile.app;
    let trigger = app.trigger("hostile", json!({"timeout_ms": 3000})).await;
    let holder = hostile.order_by(&trigger, json!({"do": "sleep", "milliseconds": 600_000}));
    let late = async {
        until("the place is taken", || running(app) == 1).await;
        let began = Instant::now();
        let late = hostile.order(json!({"do": "open", "slot": "x"})).await;
        (late, began.elapsed())
    };
    let (holder, (late, waited)) = tokio::join!(holder, late);
    assert_eq!(holder.status, 504);
    assert_eq!(late.status, 503, "{late:?}");
    assert_eq!((&late.body["code"], &late.headers["retry-after"]), (&json!("overloaded"), &"1".parse().unwrap()));
    assert!(waited >= Duration::from_millis(200), "it waited for {waited:?} only");
    assert_eq!(late.run, Value::Null, "nothing was run");
    let after = hostile.order(json!({"do": "open", "slot": "x"})).await;
    assert_eq!(after.status, 200, "the place is free again");
}

#[tokio::test]
async fn a_queue_has_an_end() {
    let hostile = Hostile::start(|settings| {
        settings.wasm.flow_instances = 1;
        settings.wasm.queue_length = 1;
    })
    .await;
    let app = &hostile.app;
    let trigger = app.trigger("hostile", json!({"timeout_ms": 1000})).await;
    let holder = hostile.order_by(&trigger, json!({"do": "sleep", "milliseconds": 600_000}));
    let second = async {
        until("the place is taken", || running(app) == 1).await;
        hostile.order(json!({"do": "open", "slot": "x"})).await
    };
    let third = async {
        until("the queue is full", || queued(app) == 1).await;
        hostile.order(json!({"do": "open", "slot": "x"})).await
    };
    let (holder, second, third) = tokio::join!(holder, second, third);
    assert_eq!((holder.status.as_u16(), second.status.as_u16(), third.status.as_u16()), (504, 200, 503));
}
