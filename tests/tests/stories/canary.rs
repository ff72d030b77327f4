//! The guest cannot read the secret. It is looked for everywhere: in the memory of the instances that use it while
//! they use it, in answers, records and logs, and in each file the server leaves behind.
//!
//! Each search has its positive control: something that must be there, found by the same code.

mod oauth;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use headgate_tests::canary::Canary;
use headgate_tests::canary::memory::{LinearMemory, linear_memories};
use headgate_tests::crm::{Received, StandIn};
use headgate_tests::{Hostile, PASSWORD, logs};
use serde_json::{Value, json};

/// The secret of the connection. Every encoding changes it.
const SECRET: &str = r#"pat/c4n4ry"+&=%7-2b6d~4c1a"#;
/// What flow and connector both hold: it is in the event, and in the method's input.
const MARKER: &str = "/marker-of-the-event-9d3f?&\"%=1";
/// A setting of the connection, which is no secret.
const SETTING: &str = "X-Setting-Of-The-Connection-51aa";
/// The secret that a trigger shares with its sender.
const SIGNING: &str = "signing-secret-0f1e2d3c4b5a";

/// What the scans saw while calls were under way.
#[derive(Default)]
struct Scans {
    leaks: Vec<String>,
    /// For each scan, how many memories hold the marker as it is, and its forms that were found in any.
    controls: Vec<(usize, BTreeSet<&'static str>)>,
}

impl Scans {
    /// Searches the memories of all guests of this process. `during` says what is under way.
    fn scan(&mut self, during: &str) {
        let (secret, marker) = (Canary::new(SECRET), Canary::new(MARKER));
        let found = |canary: &Canary, memory: &LinearMemory| -> BTreeSet<&'static str> {
            memory.contents.iter().flat_map(|bytes| canary.found_in(bytes)).collect()
        };
        let (mut holders, mut forms) = (0, BTreeSet::new());
        for memory in linear_memories() {
            let leaked = found(&secret, &memory);
            if !leaked.is_empty() {
                self.leaks.push(format!(
                    "during {during}, the guest's memory at {:#x} holds the secret in the forms {leaked:?}",
                    memory.start
                ));
            }
            let control = found(&marker, &memory);
            holders += usize::from(control.contains("raw"));
            forms.extend(control);
        }
        self.controls.push((holders, forms));
    }
}

/// An app that hands back the credentials it is sent, in every form, and scans the guests' memories meanwhile.
async fn reflecting() -> (StandIn, Arc<Mutex<Scans>>) {
    let scans = Arc::new(Mutex::new(Scans::default()));
    let scanning = scans.clone();
    let answer = move |request: &Received| {
        scanning.lock().unwrap().scan(request.uri.path());
        reflection(request)
    };
    (StandIn::start(answer).await, scans)
}

fn reflection(request: &Received) -> Response {
    let sent = request.headers["authorization"].to_str().unwrap();
    let forms = Canary::new(sent.trim_start_matches("Bearer ")).forms().to_vec();
    let body: String = forms.iter().map(|(name, form)| format!("{name}: {form}\n")).collect();
    let mut response = body.into_response();
    for (_, form) in forms {
        response.headers_mut().append("x-reflected", HeaderValue::from_str(&form).unwrap());
    }
    response
}

/// A server with the secret in a connection, on its way to an app.
async fn server(app: &StandIn) -> Hostile {
    logs::capture();
    let exempt = app.address.to_string().parse().unwrap();
    let hostile = Hostile::start(|settings| settings.egress.allow_private = vec![exempt]).await;
    let config = json!({"base_url": format!("{}/api", app.url()), "header_name": SETTING});
    let connection =
        json!({"name": "app", "connector": "http", "auth": "bearer", "config": config, "secrets": {"key": SECRET}});
    hostile.connect("http-connector", connection).await;
    hostile
}

#[tokio::test]
async fn neither_instance_holds_the_secret_while_a_request_is_under_way() {
    let (app, scans) = reflecting().await;
    let hostile = server(&app).await;
    let forms: Vec<_> = Canary::new(MARKER).forms().iter().map(|(_, form)| form.clone()).collect();
    let ended =
        hostile.call("request", json!({"path": "/a", "query": {"marker": MARKER, "forms": forms.join(" ")}})).await;
    assert_eq!(ended.body["output"]["status"], 200, "{}", ended.body);

    let scans = scans.lock().unwrap();
    let (holders, forms) = &scans.controls[0];
    assert!(*holders >= 2, "the marker is in flow and connector, and was found in {holders} memories");
    let all: BTreeSet<_> = Canary::new(MARKER).forms().iter().map(|(name, _)| *name).collect();
    assert_eq!(forms, &all, "the search finds each form in a guest's memory");
    assert!(scans.leaks.is_empty(), "{}", scans.leaks.join("\n"));
    let sent = app.received().remove(0).headers["authorization"].clone();
    assert_eq!(sent, format!("Bearer {SECRET}"), "the app was sent the secret all the same");
}

#[tokio::test]
async fn neither_instance_holds_the_secret_after_an_app_reflected_it() {
    let (app, scans) = reflecting().await;
    let hostile = server(&app).await;
    hostile.app.install("hostile-connector").await;
    let connection = json!({
        "name": "reflected",
        "connector": "hostile",
        "config": {"base_url": app.url()},
        "secrets": {"token": SECRET},
    });
    hostile.app.connect("hostile", "reflected", connection).await;
    // The connector holds its first answer during its second request, the flow its first output during its second call.
    let first = json!({"path": format!("/first?{}", "a".repeat(8)), "then": "/connector-holds-an-answer"});
    let second = json!({"path": "/flow-holds-an-output", "to": "output"});
    let order =
        json!({"do": "call", "slot": "reflected", "method": "reflect", "input": first, "then": ["reflect", second]});
    let ended = hostile.order(order).await;
    assert_eq!(ended.body["then"]["output"]["status"], 200, "{}", ended.body);
    assert!(ended.body.to_string().contains("[redacted]"), "the app reflected what it was sent: {}", ended.body);

    let scans = scans.lock().unwrap();
    assert_eq!(scans.controls.len(), 3, "each request was scanned");
    assert!(scans.leaks.is_empty(), "{}", scans.leaks.join("\n"));
}

/// Calls the flow in all its ways, and answers everything a caller or a member could read of it.
async fn everything_readable(hostile: &Hostile) -> Vec<(String, String)> {
    let app = &hostile.app;
    let mut read = Vec::new();
    let input = json!({"path": "/a", "query": {"marker": MARKER}});
    let call = json!({"do": "call", "slot": "app", "method": "request", "input": input});
    let failing =
        json!({"do": "relay", "slot": "app", "method": "request", "input": {"path": "/a", "headers": {"Cookie": "x"}}});
    let denied = json!({"do": "relay", "slot": "app", "method": "request", "input": {"path": "/%2e%2e/a"}});
    for order in [call.clone(), failing, denied, json!({"do": "panic"})] {
        let ended = hostile.order(order.clone()).await;
        read.push((format!("the answer to {order}"), format!("{:?} {}", ended.headers, ended.body)));
        read.push((format!("the run of {order}"), ended.run.to_string()));
    }
    let later = app.trigger("hostile", json!({"respond": "async"})).await;
    let accepted: Value = app.fire(&later, &hostile.key, call.to_string()).await.json().await.unwrap();
    let run = app.ended(accepted["run"].as_str().unwrap()).await;
    assert_eq!(run["state"], "succeeded", "{run}");
    read.push(("an asynchronous run".to_owned(), run.to_string()));
    let signature = json!({"scheme": "github", "secret": SIGNING});
    let signed = app.trigger("hostile", json!({"signature": signature})).await;
    let refused = app.fire(&signed, &hostile.key, call.to_string()).await;
    assert_eq!(refused.status(), 403);
    read.push(("an answer to an unsigned webhook".to_owned(), refused.text().await.unwrap()));
    for path in ["connections", "connectors", "flows", "flows/hostile/triggers", "api-keys", "runs"] {
        read.push((path.to_owned(), app.get(&format!("/groups/acme/{path}")).await.to_string()));
    }
    read
}

#[tokio::test]
async fn no_answer_record_log_or_file_holds_a_secret() {
    let (app, scans) = reflecting().await;
    let hostile = server(&app).await;
    let read = everything_readable(&hostile).await;
    let leaks = std::mem::take(&mut scans.lock().unwrap().leaks);
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));

    let (id, key) = (hostile.key.id.clone(), hostile.key.secret.clone());
    let token = hostile.app.token().to_owned();
    // A key is its form, its id, and then the secret with its checksum.
    let key_secret = key.rsplit('_').next().unwrap();
    assert!(key_secret.len() > 30 && !key_secret.contains(&id), "{} letters", key_secret.len());
    let folder = hostile.app.stop().await;
    for (what, secret) in [
        ("the connection's secret", SECRET),
        ("the trigger's signing secret", SIGNING),
        ("the API key", key.as_str()),
        ("the API key's secret", key_secret),
        ("the operator's access token", &token),
        ("the operator's password", PASSWORD),
    ] {
        let canary = Canary::new(secret);
        for (place, text) in &read {
            canary.assert_absent(&format!("{what}: {place}"), text);
        }
        canary.assert_absent(&format!("{what}: the server's log"), logs::written());
        let (found, files) = canary.found_below(folder.path());
        assert!(found.is_empty(), "{what} lies in clear: {}", found.join("; "));
        assert!(files > 5, "only {files} files were searched");
    }
    controls(&read, &app.address.to_string(), folder.path());
}

/// What must be found, where nothing else may be.
fn controls(read: &[(String, String)], app: &str, folder: &Path) {
    let marker = Canary::new(MARKER);
    let runs = read.iter().filter(|(place, _)| place.contains("run"));
    let holders = runs.filter(|(_, text)| !marker.found_in(text.as_bytes()).is_empty()).count();
    assert!(holders >= 2, "the marker is in the records of the runs");
    assert!(!logs::lines_with(&["a connector's request was denied", app]).is_empty(), "the log was captured");
    let (in_store, _) = Canary::new(SETTING).found_below(folder);
    assert!(!in_store.is_empty(), "a setting that is no secret is found in the store's bytes");
    let (in_history, _) = marker.found_below(folder);
    assert!(!in_history.is_empty(), "what runs record is found in the store's bytes");
    let data = folder.join("data");
    for part in ["log", "index", "runs", "modules", "cache", "keys"] {
        let below = std::fs::read_dir(data.join(part)).unwrap_or_else(|error| panic!("{part}: {error}"));
        assert!(below.count() > 0, "{part} was not among the files that were searched");
    }
}
