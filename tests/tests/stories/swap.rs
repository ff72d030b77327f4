//! Publishing while requests come in: each is answered by a version that was published then, and nothing is left over.

use std::time::{Duration, Instant};

use headgate_tests::process::Process;
use headgate_tests::{Key, TestApp, Trigger, guests};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

/// What the full figure is taken with: `SWAPS=1000 SWAP_RATE=500 cargo test -p headgate-tests --test stories swap::each -- --nocapture`.
fn figure(name: &str, usual: u32) -> u32 {
    std::env::var(name).map_or(usual, |value| value.parse().unwrap())
}

/// A data folder with a flow of two versions: the second one says the body's digest in a header.
struct Stage {
    dir: TempDir,
    token: String,
    key: Key,
    trigger: Trigger,
}

const FLOW: &str = "/groups/acme/flows/swapped";

impl Stage {
    async fn set() -> Self {
        let app = TestApp::start().await;
        app.publish("swapped", "echo").await;
        app.push("swapped", "hash").await;
        let key = app.key("caller").await;
        let trigger = app.trigger("swapped", json!({})).await;
        let token = app.token().to_owned();
        Self { dir: app.stop().await, token, key, trigger }
    }

    async fn server(&self) -> Process {
        let settings = [("WASM__FLOW_INSTANCES", "64")];
        Process::start(&self.dir.path().join("data"), &self.token, &settings).await
    }

    /// Which version answers.
    async fn answering(&self, server: &Process) -> u64 {
        let answer = server.fire(&self.trigger, &self.key, "x").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        version_of(&answer)
    }
}

fn version_of(answer: &reqwest::Response) -> u64 {
    if answer.headers().contains_key("x-body-sha256") { 2 } else { 1 }
}

/// While a version may have been the published one: from when its publication was asked for until the next one was
/// answered.
struct Window {
    version: u64,
    from: Instant,
    to: Option<Instant>,
}

/// An answer, and when its request was under way.
struct Seen {
    status: u16,
    version: u64,
    from: Instant,
    to: Instant,
}

impl Seen {
    fn is_right(&self, windows: &[Window]) -> bool {
        let overlaps = |window: &&Window| window.from <= self.to && window.to.is_none_or(|to| self.from <= to);
        self.status == 200 && windows.iter().filter(overlaps).any(|window| window.version == self.version)
    }
}

/// Sends a request every so often, whatever becomes of those before, until it is aborted or told to stop.
async fn load(stage: &Stage, server: &Process, rate: u32, until: impl Future) -> Vec<Seen> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    let mut requests = JoinSet::new();
    let mut until = std::pin::pin!(until);
    loop {
        tokio::select! {
            _ = &mut until => break,
            _ = ticks.tick() => {
                let request = server.fire(&stage.trigger, &stage.key, "x");
                requests.spawn(async move {
                    let from = Instant::now();
                    let answer = request.send().await.unwrap();
                    let (status, version) = (answer.status().as_u16(), version_of(&answer));
                    Seen { status, version, from, to: Instant::now() }
                });
            }
        }
    }
    requests.join_all().await
}

/// Publishes and rolls back in turn; answers when what was published, and the resident memory at a fifth of the way.
async fn swap(server: &Process, swaps: u32) -> (Vec<Window>, u64) {
    let mut windows = vec![Window { version: 1, from: Instant::now(), to: None }];
    let mut warm = 0;
    for swap in 1..=swaps {
        let from = Instant::now();
        let (what, body, version) = match swap % 2 {
            0 => ("rollback", json!({}), 1),
            _ => ("publish", json!({"version": 2}), 2),
        };
        let request = server.manage(Method::POST, &format!("{FLOW}/{what}")).json(&body);
        let answer = request.send().await.unwrap();
        let to = Instant::now();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        windows.last_mut().unwrap().to = Some(to);
        windows.push(Window { version, from, to: None });
        if swap == swaps.div_ceil(5) {
            warm = server.resident();
        }
        // Between two publications requests see the one version only.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (windows, warm)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_is_answered_by_a_version_that_is_published() {
    let (swaps, rate) = (figure("SWAPS", 60), figure("SWAP_RATE", 50));
    let stage = Stage::set().await;
    let server = stage.server().await;
    let (done, is_done) = tokio::sync::oneshot::channel::<()>();
    let begun = Instant::now();
    let swapping = async {
        let swapped = swap(&server, swaps).await;
        drop(done);
        swapped
    };
    let ((windows, warm), seen) = tokio::join!(swapping, load(&stage, &server, rate, is_done));
    let took = begun.elapsed();
    let wrong = seen.iter().filter(|seen| !seen.is_right(&windows)).count();
    let of = |version| seen.iter().filter(|seen| seen.version == version).count();
    let resident = server.resident();
    println!(
        "{swaps} swaps in {took:?}; {} answers ({:.0}/s), {} of version 1, {} of version 2, {wrong} wrong; resident {warm} KiB warm, {resident} KiB at the end",
        seen.len(),
        seen.len() as f64 / took.as_secs_f64(),
        of(1),
        of(2),
    );
    let failed: Vec<u16> = seen.iter().map(|seen| seen.status).filter(|status| *status != 200).collect();
    assert!(failed.is_empty(), "not answered with 200: {failed:?}");
    assert_eq!(wrong, 0, "answered by a version that was not published");
    assert!(of(1) > 0 && of(2) > 0, "both versions answered");
    assert!(resident * 10 <= warm * 11, "memory grew from {warm} to {resident} KiB");
    let history = server.get(&format!("{FLOW}/publications?limit=1")).await;
    assert_eq!(history[0]["number"], swaps + 1);
}

#[tokio::test]
async fn a_killed_server_comes_back_with_what_was_published_last() {
    let stage = Stage::set().await;
    let mut server = stage.server().await;
    for (what, body, version) in
        [("publish", json!({"version": 2}), 2), ("rollback", json!({}), 1), ("rollback", json!({}), 2)]
    {
        let request = server.manage(Method::POST, &format!("{FLOW}/{what}")).json(&body);
        assert_eq!(request.send().await.unwrap().status(), 200);
        server.kill().await;
        server = stage.server().await;
        assert_eq!(stage.answering(&server).await, version, "{what}");
        assert_eq!(server.get(FLOW).await["published"]["production"], version);
    }
    // Killed in the middle of one: it happened or not, and all agree on which.
    let request = server.manage(Method::POST, &format!("{FLOW}/rollback")).json(&json!({}));
    let asked = tokio::spawn(request.send());
    server.kill().await;
    let _ = asked.await;
    let server = stage.server().await;
    let published = server.get(FLOW).await["published"]["production"].clone();
    assert_eq!(stage.answering(&server).await, published.as_u64().unwrap());
    assert_eq!(server.get(&format!("{FLOW}/publications")).await[0]["version"], published);
}

#[tokio::test]
async fn modules_that_are_published_no_more_are_let_go() {
    let app = TestApp::start().await;
    app.publish("swapped", "echo").await;
    let (key, trigger) = (app.key("caller").await, app.trigger("swapped", json!({})).await);
    for stamp in 0..24 {
        let request = app.manage(Method::PUT, &format!("{FLOW}/versions")).body(guests::stamped("echo", stamp));
        let pushed = request.header("content-type", "application/wasm").send().await.unwrap();
        assert_eq!(pushed.status(), 201);
        app.post(&format!("{FLOW}/publish"), json!({})).await;
        assert_eq!(app.fire(&trigger, &key, "x").await.status(), 200);
    }
    let figures = app.app().service().shelf_figures();
    assert_eq!((figures.published, figures.unpublished), (1, 16), "the last few stay for their rollback");
    assert_eq!(figures.alive, 17, "nothing else is in memory");
    // Drafts take the same places.
    for version in 1..=8 {
        let run: Value = app.post(&format!("{FLOW}/run"), json!({"version": version, "event": {}})).await;
        assert_eq!((&run["state"], &run["version"]), (&json!("succeeded"), &json!(version)));
    }
    let figures = app.app().service().shelf_figures();
    assert_eq!((figures.published, figures.unpublished, figures.alive), (1, 16, 17));
}
