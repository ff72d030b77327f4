//! What a method call through a connection costs beside the app's own time, measured in turns in one run.
//!
//! ```sh
//! CARGO_PROFILE_DEV_OPT_LEVEL=3 cargo bench --profile dev -p headgate-tests --bench connection
//! ```
//!
//! An app on this machine answers a GET with 500 bytes. `plain` is a client with a pool that asks it. `call` is a flow that
//! calls a method of the connector `http`, which asks the same: the time is that of the run's step, from the flow's call until
//! its output. Each sample of one is followed by one of the other, so that what disturbs the machine disturbs both.
//! `empty` is a call of a method that sends no request: what the sandbox costs without egress.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on has failed")]

use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use headgate_tests::Hostile;
use serde_json::{Value, json};
use tokio::net::TcpListener;

const SAMPLES: usize = 600;
const WARM_UP: usize = 100;
const ROUNDS: usize = 5;
const BODY: usize = 500;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let url = app().await;
    let exempt = url.trim_start_matches("http://").parse().unwrap();
    let hostile = Hostile::start(|settings| {
        settings.egress.allow_private = vec![exempt];
        settings.log = "warn".to_owned();
    })
    .await;
    let secret = json!({"key": "pat-of-the-benchmark"});
    let http =
        json!({"name": "http", "connector": "http", "auth": "bearer", "config": {"base_url": url}, "secrets": secret});
    hostile.connect("http-connector", http).await;
    hostile.app.install("hostile-connector").await;
    let silent = json!({"name": "silent", "connector": "hostile", "config": {"base_url": url}, "secrets": {"token": "pat-of-silence"}});
    hostile.app.connect("hostile", "silent", silent).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();

    let request = json!({"do": "call", "slot": "app", "method": "request", "input": {"path": "/a"}});
    let empty = json!({"do": "call", "slot": "silent", "method": "flood", "input": 8});
    for _ in 0..WARM_UP {
        step(&hostile, &request).await;
        step(&hostile, &empty).await;
        plain(&client, &url).await;
    }
    println!("round   plain p50  p90     call p50  p90    empty p50   added p50  p90   (us)");
    let mut added = Vec::new();
    for round in 1..=ROUNDS {
        let (mut plains, mut calls, mut empties) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..SAMPLES / ROUNDS {
            plains.push(plain(&client, &url).await);
            calls.push(step(&hostile, &request).await);
            empties.push(step(&hostile, &empty).await);
        }
        let mut more: Vec<_> = calls.iter().zip(&plains).map(|(call, plain)| call - plain).collect();
        added.extend(more.iter().copied());
        let [p, c, e, m] = [&mut plains, &mut calls, &mut empties, &mut more].map(|times| percentiles(times));
        println!("{round:5} {:10.0} {:5.0} {:11.0} {:6.0} {:10.0} {:11.0} {:5.0}", p.0, p.1, c.0, c.1, e.0, m.0, m.1);
    }
    let (median, most) = percentiles(&mut added);
    println!("added by a call through a connection: median {median:.0} us, p90 {most:.0} us ({SAMPLES} pairs)");
    hostile.app.stop().await;
}

async fn app() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let body = "x".repeat(BODY);
    let router = Router::new().route("/a", get(move || std::future::ready(body.clone())));
    tokio::spawn(axum::serve(listener, router).into_future());
    format!("http://{address}")
}

/// How long a plain request takes, in microseconds.
async fn plain(client: &reqwest::Client, url: &str) -> f64 {
    let started = Instant::now();
    let answer = client.get(format!("{url}/a")).bearer_auth("pat-of-the-benchmark").send().await.unwrap();
    assert_eq!(answer.text().await.unwrap().len(), BODY);
    microseconds(started.elapsed())
}

/// How long the flow's one call took, in microseconds.
async fn step(hostile: &Hostile, order: &Value) -> f64 {
    let ended = hostile.order(order.clone()).await;
    let step = &ended.run["steps"][0];
    assert!(step["error"].is_null(), "{}", ended.run);
    step["duration_us"].as_f64().unwrap()
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The median and the 90th percentile.
fn percentiles(times: &mut [f64]) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() * 9 / 10])
}
