//! Keys that end while they are in use: nothing is accepted afterwards, and nothing of them is left lying about.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use headgate_tests::canary::Canary;
use headgate_tests::{Answer, Key, TestApp, Trigger, logs};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Callers that fire one trigger without a pause.
const CALLERS: usize = 32;
/// Requests before and after the change that the story is about.
const ENOUGH: usize = 1000;
/// How long a story waits for enough requests.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one caller saw: when it asked, and the status it was given.
type Seen = Vec<(Instant, u16)>;

/// Calls that go on until they are stopped.
struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    callers: Vec<tokio::task::JoinHandle<Seen>>,
}

impl Load {
    fn on(app: &TestApp, trigger: &Trigger, key: &Key) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let caller = || {
            let (stop, sent, client) = (stop.clone(), sent.clone(), app.client().clone());
            let (url, key) = (trigger.url.clone(), key.secret.clone());
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    let answer = client.post(&url).bearer_auth(&key).body("hello").send().await.unwrap();
                    seen.push((asked, answer.status().as_u16()));
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                seen
            })
        };
        let callers = (0..CALLERS).map(|_| caller()).collect();
        Self { stop, sent, callers }
    }

    /// Waits until so many more requests were answered.
    async fn run_for(&self, requests: usize) {
        let until = self.sent.load(Ordering::Relaxed) + requests;
        let waiting = async {
            while self.sent.load(Ordering::Relaxed) < until {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the callers come through");
    }

    async fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut seen = Vec::new();
        for caller in self.callers {
            seen.extend(caller.await.unwrap());
        }
        seen.sort_unstable();
        seen
    }
}

async fn stage() -> (TestApp, Key, Trigger) {
    let app = TestApp::start().await;
    app.publish("mirror", "mirror").await;
    let (key, trigger) = (app.key("crm").await, app.trigger("mirror", json!({})).await);
    (app, key, trigger)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_revoked_under_load_lets_nothing_in_after_the_answer() {
    let (app, key, trigger) = stage().await;
    for (change, code) in [("disable", "disabled_api_key"), ("revoke", "revoked_api_key")] {
        let load = Load::on(&app, &trigger, &key);
        let begun = Instant::now();
        load.run_for(ENOUGH).await;
        app.post(&format!("/groups/acme/api-keys/crm/{change}"), json!({})).await;
        let answered = Instant::now();
        load.run_for(ENOUGH).await;
        let seen = load.stop().await;
        println!("{change}: {:.0} requests a second", seen.len() as f64 / begun.elapsed().as_secs_f64());

        let (before, after): (Seen, Seen) = seen.into_iter().partition(|(asked, _)| *asked < answered);
        assert!(before.len() >= ENOUGH && before.iter().filter(|(_, status)| *status == 200).count() > ENOUGH / 2);
        assert!(after.len() >= ENOUGH - CALLERS, "{}", after.len());
        let accepted = after.iter().filter(|(_, status)| *status != 401).count();
        assert_eq!(accepted, 0, "of {} after the answer", after.len());
        let answer = Answer::to(app.client().post(&trigger.url).bearer_auth(&key.secret)).await;
        assert_eq!(answer.problem().1, code);
        let enable = app.manage(Method::POST, "/groups/acme/api-keys/crm/enable");
        assert_eq!(Answer::to(enable).await.status, if change == "disable" { 200 } else { 409 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_with_an_overlap_fails_no_call() {
    let seconds = Arc::new(AtomicI64::new(1_800_000_000));
    let hands = seconds.clone();
    let clock = Arc::new(move || Timestamp::from_second(hands.load(Ordering::Relaxed)).unwrap());
    let app = TestApp::with_clock(clock, |_| {}).await;
    app.publish("mirror", "mirror").await;
    let (old, trigger) = (app.key("crm").await, app.trigger("mirror", json!({})).await);

    let old_load = Load::on(&app, &trigger, &old);
    old_load.run_for(ENOUGH / 4).await;
    let made = app.post("/groups/acme/api-keys/crm/rotate", json!({"overlap": "24h"})).await;
    let new = Key { secret: made["api_key"].as_str().unwrap().to_owned(), ..old.clone() };
    assert_ne!(new.secret, old.secret);
    let new_load = Load::on(&app, &trigger, &new);
    new_load.run_for(ENOUGH / 4).await;
    old_load.run_for(ENOUGH / 4).await;
    for (seen, which) in [(old_load.stop().await, "old"), (new_load.stop().await, "new")] {
        let failed = seen.iter().filter(|(_, status)| *status != 200).count();
        assert_eq!(failed, 0, "of {} calls with the {which} value", seen.len());
    }

    for (passed, old_status) in [(24 * 3600 - 1, 200), (24 * 3600, 401)] {
        seconds.store(1_800_000_000 + passed, Ordering::Relaxed);
        assert_eq!(app.fire(&trigger, &old, "").await.status(), old_status);
        assert_eq!(app.fire(&trigger, &new, "").await.status(), 200);
    }
}

#[tokio::test]
async fn a_key_revoked_while_the_body_comes_in_runs_nothing() {
    let (app, key, trigger) = stage().await;
    for (change, status) in [("disable", "401 Unauthorized"), ("enable", "200 OK"), ("revoke", "401 Unauthorized")] {
        let runs = app.get("/groups/acme/runs").await.as_array().unwrap().len();
        let mut slow = TcpStream::connect(app.app().address()).await.unwrap();
        let head = format!(
            "POST /hooks/{} HTTP/1.1\r\nhost: headgate\r\nauthorization: Bearer {}\r\ncontent-length: 5\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
            trigger.routing_key, key.secret
        );
        if change == "enable" {
            app.post("/groups/acme/api-keys/crm/enable", json!({})).await;
        }
        slow.write_all(head.as_bytes()).await.unwrap();
        // The server asks for the body once the key was let in.
        let mut asked = [0; 25];
        slow.read_exact(&mut asked).await.unwrap();
        assert!(asked.starts_with(b"HTTP/1.1 100 Continue"), "{}", String::from_utf8_lossy(&asked));
        if change != "enable" {
            app.post(&format!("/groups/acme/api-keys/crm/{change}"), json!({})).await;
        }
        slow.write_all(b"hello").await.unwrap();
        let mut answer = String::new();
        slow.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{change}: {answer}");
        let more = app.get("/groups/acme/runs").await.as_array().unwrap().len() - runs;
        assert_eq!(more, usize::from(change == "enable"), "{change}");
    }
}

#[tokio::test]
async fn a_key_revoked_while_the_body_comes_in_changes_nothing() {
    let app = TestApp::start().await;
    let manager = json!({"name": "manager", "scopes": ["keys:manage"]});
    let manager = app.post("/groups/acme/api-keys", manager).await["api_key"].as_str().unwrap().to_owned();
    let mut slow = TcpStream::connect(app.app().address()).await.unwrap();
    let body = r#"{"name": "heir", "scopes": ["keys:manage"]}"#;
    let head = format!(
        "POST /api/v1/groups/acme/api-keys HTTP/1.1\r\nhost: headgate\r\nauthorization: Bearer {manager}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
        body.len()
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut asked = [0; 25];
    slow.read_exact(&mut asked).await.unwrap();
    assert!(asked.starts_with(b"HTTP/1.1 100 Continue"), "{}", String::from_utf8_lossy(&asked));
    app.post("/groups/acme/api-keys/manager/revoke", json!({})).await;
    slow.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 Unauthorized") && answer.contains("revoked_api_key"), "{answer}");
    assert_eq!(app.get("/groups/acme/api-keys").await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_expires_at_the_second_under_way_or_not() {
    let seconds = Arc::new(AtomicI64::new(1_800_000_000));
    let hands = seconds.clone();
    let clock = Arc::new(move || Timestamp::from_second(hands.load(Ordering::Relaxed)).unwrap());
    let app = TestApp::with_clock(clock, |_| {}).await;
    app.publish("mirror", "mirror").await;
    let trigger = app.trigger("mirror", json!({})).await;
    let expires = Timestamp::from_second(1_800_000_060).unwrap().to_string();
    let made = app.post("/groups/acme/api-keys", json!({"name": "short", "expires": expires})).await;
    let key = made["api_key"].as_str().unwrap();
    for (second, expected) in [(59, None), (60, Some("expired_api_key")), (59, None), (61, Some("expired_api_key"))] {
        seconds.store(1_800_000_000 + second, Ordering::Relaxed);
        for path in [format!("/hooks/{}", trigger.routing_key), "/api/v1/groups/acme/flows".to_owned()] {
            let method = if path.starts_with("/hooks") { Method::POST } else { Method::GET };
            let answer =
                Answer::to(app.client().request(method, format!("{}{path}", app.url())).bearer_auth(key)).await;
            match expected {
                None => assert_eq!(answer.status, 200, "{second} {}", answer.text()),
                Some(code) => assert_eq!(answer.problem().1, code, "{second}"),
            }
        }
    }
}

#[tokio::test]
async fn a_key_in_the_url_is_in_no_log_run_trace_metric_or_file() {
    logs::capture();
    let app = TestApp::start().await;
    app.publish("mirror", "mirror").await;
    let key = app.key("crm").await;
    let open = json!({"key_in_query": true, "key_in_path": true});
    let trigger = app.trigger("mirror", open.clone()).await;
    let mut queued = open;
    queued["respond"] = json!("async");
    let queued = app.trigger("mirror", queued).await;
    let closed = app.trigger("mirror", json!({})).await;
    let canary = Canary::new(&key.secret);

    let fail = json!({"fail": {"code": "no_tea", "message": "None.", "retryable": false, "details": {}}}).to_string();
    let mut ran = Vec::new();
    for (trigger, body, status) in
        [(&trigger, "hello", 200), (&trigger, &fail, 502), (&queued, "hello", 202), (&closed, "hello", 401)]
    {
        for url in [
            format!("{}?a=1&api_key={}", trigger.url, key.secret),
            format!("{}?auth-key={}&a=1", trigger.url, key.secret),
            format!("{}/{}?a=1", trigger.url, key.secret),
        ] {
            let request = app.client().post(&url).header("referer", &url).header("x-original-url", &url);
            let answer = Answer::to(request.body(body.to_owned())).await;
            assert_eq!(answer.status, status, "{}", answer.text());
            canary.assert_absent("the answer", answer.bytes());
            match answer.header("headgate-run-id") {
                "" => assert_eq!(status, 401),
                run => ran.push(run.to_owned()),
            }
        }
    }
    assert_eq!(ran.len(), 9);
    for run in &ran {
        canary.assert_absent("the run", app.ended(run).await.to_string());
    }
    // Whatever else the server tells about its keys and itself.
    for path in
        ["/api/v1/groups/acme/api-keys", "/api/v1/groups/acme/api-keys/crm", "/api/v1/groups/acme/runs", "/metrics"]
            .into_iter()
            .chain(["/api/v1/groups/acme/usage", "/api/v1/groups/acme/audit", "/api/v1/groups/acme/alerts"])
    {
        let answer = Answer::to(app.client().get(format!("{}{path}", app.url())).bearer_auth(app.token())).await;
        canary.assert_absent(path, answer.bytes());
    }
    let folder = app.stop().await;
    let (found, files) = canary.found_below(folder.path());
    assert!(files > 3 && found.is_empty(), "{found:#?}");
    canary.assert_absent("the log", logs::written());
}
