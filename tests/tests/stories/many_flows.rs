//! Many flows on one server: what each takes of memory while it waits, of the start, and of the one that is called.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use futures::future::join_all;
use futures::{StreamExt as _, stream};
use headgate::service::ServiceSettings;
use headgate_tests::process::Process;
use headgate_tests::{Key, TestApp, Trigger, guests};
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;

/// How much of it. The full figures are taken with `FLOWS=10000 DISTINCT=500 cargo test --workspace --test stories many_flows -- --nocapture`.
struct Size {
    flows: u32,
    /// Modules that they share.
    distinct: u32,
    rounds: usize,
    round: Duration,
    /// Modules that are always ready: the server's default, or few of few.
    ready_flows: usize,
    /// What the throughput is to be beside that of one flow alone. Short rounds tell little.
    least: f64,
}

impl Size {
    fn wanted() -> Self {
        let figure = |name| std::env::var(name).ok().map(|value| value.parse().unwrap());
        match (figure("FLOWS"), figure("DISTINCT")) {
            (Some(flows), Some(distinct)) => {
                let (round, ready_flows) = (Duration::from_secs(1), ServiceSettings::default().ready_flows);
                Self { flows, distinct, rounds: 10, round, ready_flows, least: 0.9 }
            }
            _ => {
                let round = Duration::from_millis(200);
                Self { flows: 240, distinct: 24, rounds: 5, round, ready_flows: 2, least: 0.5 }
            }
        }
    }
}

/// The most that a flow takes of memory while it waits, in KiB.
const IDLE: u64 = 50;
/// The longest start.
const READY: Duration = Duration::from_secs(5);
/// Requests under way at a time.
const CALLERS: usize = 16;
/// Flows made at a time.
const MAKERS: usize = 8;
/// Edits whose time is taken.
const EDITS: u32 = 50;

/// A data folder with flows that share some modules; each has a trigger of its own.
struct Stage {
    dir: TempDir,
    token: String,
    key: Key,
    triggers: Vec<Trigger>,
}

impl Stage {
    async fn set(flows: u32, distinct: u32) -> Self {
        let app = TestApp::start().await;
        let key = app.key("caller").await;
        let begun = Instant::now();
        let mut triggers = vec![flow(&app, 0, distinct).await];
        let before = edits(&app).await;
        let more = stream::iter(1..flows).map(|number| flow(&app, number, distinct)).buffered(MAKERS);
        triggers.extend(more.collect::<Vec<_>>().await);
        let took = begun.elapsed();
        let after = edits(&app).await;
        println!(
            "{flows} flows of {distinct} modules: set up in {took:.1?}; {before:.0} edits/s with the first, {after:.0} edits/s with all"
        );
        let token = app.token().to_owned();
        Self { dir: app.stop().await, token, key, triggers }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The compiled modules, and when each was written.
    fn compiled(&self) -> BTreeMap<PathBuf, SystemTime> {
        let files = std::fs::read_dir(self.data().join("cache")).unwrap().map(|file| file.unwrap());
        files.map(|file| (file.path(), file.metadata().unwrap().modified().unwrap())).collect()
    }

    /// A server on the folder that has compiled nothing, and how long it took until it was ready.
    async fn server(&self, ready_flows: usize) -> (Process, Duration) {
        let before = self.compiled();
        let begun = Instant::now();
        let settings = [("SERVICE__READY_FLOWS", ready_flows.to_string())];
        let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
        let server = Process::start(&self.data(), &self.token, &settings).await;
        let ready = reqwest::get(format!("{}/readyz", server.url())).await.unwrap();
        let took = begun.elapsed();
        assert_eq!(ready.status(), 200);
        assert_eq!(self.compiled(), before, "all compiled modules come from the cache");
        (server, took)
    }

    /// Calls flows one after the other, from the first one on and over again.
    async fn call(&self, server: &Process, times: usize) {
        for trigger in self.triggers.iter().cycle().take(times) {
            self.answered(server, trigger).await;
        }
    }

    async fn answered(&self, server: &Process, trigger: &Trigger) {
        let answer = server.fire(trigger, &self.key, "x").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.text().await.unwrap(), "x");
    }

    /// Answers of the first flow in a second.
    async fn throughput(&self, server: &Process, round: Duration) -> f64 {
        let begun = Instant::now();
        let callers = (0..CALLERS).map(async |_| {
            let mut answers = 0;
            while begun.elapsed() < round {
                self.answered(server, &self.triggers[0]).await;
                answers += 1;
            }
            answers
        });
        let answers: u32 = join_all(callers).await.into_iter().sum();
        f64::from(answers) / begun.elapsed().as_secs_f64()
    }
}

/// Makes a flow that is published and has a trigger.
async fn flow(app: &TestApp, number: u32, distinct: u32) -> Trigger {
    let (name, module) = (format!("flow-{number}"), guests::stamped("echo", number % distinct));
    app.post("/groups/acme/flows", json!({ "name": name })).await;
    let push = app.manage(Method::PUT, &format!("/groups/acme/flows/{name}/versions")).body(module);
    let pushed = push.header("content-type", "application/wasm").send().await.unwrap();
    assert_eq!(pushed.status(), 201, "{}", pushed.text().await.unwrap());
    app.post(&format!("/groups/acme/flows/{name}/publish"), json!({})).await;
    app.trigger(&name, json!({})).await
}

/// Calls a flow where the server is now.
async fn called(app: &TestApp, trigger: &Trigger, key: &Key) {
    let call = app.client().post(format!("{}/hooks/{}", app.url(), trigger.routing_key));
    assert_eq!(call.bearer_auth(&key.secret).body("x").send().await.unwrap().status(), 200);
}

/// Edits of a flow in a second, one after the other.
async fn edits(app: &TestApp) -> f64 {
    let begun = Instant::now();
    for number in 0..EDITS {
        let change = json!({ "description": format!("edit {number}") });
        let edit = app.manage(Method::PATCH, "/groups/acme/flows/flow-0").json(&change);
        assert_eq!(edit.send().await.unwrap().status(), 200);
    }
    f64::from(EDITS) / begun.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_flows_cost_little_beside_one() {
    // Built before any time is taken.
    guests::component("echo");
    let Size { flows, distinct, rounds, round, ready_flows, least } = Size::wanted();
    let (one, many) = (Stage::set(1, 1).await, Stage::set(flows, distinct).await);
    let (alone, took_alone) = one.server(ready_flows).await;
    let (among, took) = many.server(ready_flows).await;
    println!("ready after {took_alone:.2?} alone, {took:.2?} with {flows} flows");

    let more = || (alone.resident(), among.resident(), among.resident().saturating_sub(alone.resident()));
    let (before, after, idle) = more();
    println!("resident: {before} KiB alone, {after} KiB with {flows} flows: {} KiB for each", idle / u64::from(flows));
    one.call(&alone, 2 * distinct as usize).await;
    let begun = Instant::now();
    many.call(&among, distinct as usize).await;
    let first = begun.elapsed();
    many.call(&among, distinct as usize).await;
    let again = begun.elapsed() - first;
    let (before, after, called) = more();
    println!(
        "resident, all modules called a moment ago: {before} KiB alone, {after} KiB: {} KiB for each flow, {} KiB for each module",
        called / u64::from(flows),
        called / u64::from(distinct)
    );
    println!("calls of flows that were not ready: {:.2?} each; again: {:.2?} each", first / distinct, again / distinct);

    let mut ratios = Vec::new();
    for _ in 0..rounds {
        let (alone, among) = (one.throughput(&alone, round).await, many.throughput(&among, round).await);
        println!("{alone:.0} answers/s alone, {among:.0} among {flows} flows: {:.3}", among / alone);
        ratios.push(among / alone);
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios[rounds / 2];
    println!("throughput: median {median:.3} of alone");

    assert!(took <= READY, "ready after {took:?}");
    assert!(idle <= IDLE * u64::from(flows), "{idle} KiB for {flows} flows");
    assert!(median >= least, "{median} of the throughput alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_that_are_not_called_are_let_go_of_and_come_back() {
    let app = TestApp::with(|settings| settings.service.ready_flows = 0).await;
    let key = app.key("caller").await;
    let triggers = [flow(&app, 0, 2).await, flow(&app, 1, 2).await];
    let app = app.restart().await;
    let figures = || app.app().service().shelf_figures();
    assert_eq!((figures().published, figures().alive, figures().made_ready), (0, 0, 2), "looked at and let go of");
    join_all((0..CALLERS).map(|_| called(&app, &triggers[0], &key))).await;
    assert_eq!((figures().published, figures().made_ready), (1, 3), "the first caller makes it ready for all");
    assert_eq!(app.app().service().sandbox().compilations(), 0);

    let app = app.restart_with(|settings| settings.service.ready_ms = 50).await;
    let figures = || app.app().service().shelf_figures();
    for calls in 1..=2 {
        called(&app, &triggers[1], &key).await;
        assert_eq!(figures().made_ready, 2 + calls);
        let idle = async {
            while figures().alive > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(READY, idle).await.expect("it is let go of");
    }
}
