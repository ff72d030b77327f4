//! What Wireflow's document on authentication promises, statement by statement; its samples are in `samples.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use headgate_tests::{Answer, TestApp};
use jiff::Timestamp;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

/// Makes a key of `acme`; answers its value.
async fn key(app: &TestApp, new: Value) -> String {
    let made = app.post("/groups/acme/api-keys", new).await;
    made["api_key"].as_str().unwrap().to_owned()
}

fn manage(app: &TestApp, key: &str, method: Method, path: &str) -> RequestBuilder {
    app.client().request(method, format!("{}/api/v1/groups/acme{path}", app.url())).bearer_auth(key)
}

async fn execute(app: &TestApp, flow: &Value, key: &str) -> Answer {
    let url = format!("{}/flows/{}/execute", app.url(), flow["id"].as_str().unwrap());
    Answer::to(app.client().post(url).bearer_auth(key).body("{}")).await
}

#[tokio::test]
async fn each_scope_allows_what_the_table_says() {
    let app = TestApp::start().await;
    let flow = app.publish("mirror", "mirror").await;
    for (scope, method, path, body) in [
        ("flows:read", Method::GET, "/flows", Value::Null),
        ("flows:read", Method::GET, "/flows/mirror", Value::Null),
        ("flows:write", Method::POST, "/flows", json!({"name": "another"})),
        ("runs:read", Method::GET, "/runs", Value::Null),
        ("usage:read", Method::GET, "/usage", Value::Null),
    ] {
        let name = format!("{}-{}", scope.replace(':', "-"), path.len());
        let with = key(&app, json!({"name": name, "scopes": [scope]})).await;
        let ask = |key: &str| {
            let request = manage(&app, key, method.clone(), path);
            if body.is_null() { request } else { request.json(&body) }
        };
        let answer = Answer::to(ask(&with)).await;
        assert!((200..300).contains(&answer.status), "{scope} {path}: {}", answer.text());
        let other = if scope == "runs:read" { "flows:read" } else { "runs:read" };
        let without = key(&app, json!({"name": format!("not-{name}"), "scopes": [other]})).await;
        assert_eq!(Answer::to(ask(&without)).await.problem().1, "missing_scope", "{scope} {path}");
    }
    let runs = key(&app, json!({"name": "executes", "scopes": ["flows:execute"]})).await;
    assert_eq!(execute(&app, &flow, &runs).await.status, 200);
    let reads = key(&app, json!({"name": "reads", "scopes": ["flows:read"]})).await;
    assert_eq!(execute(&app, &flow, &reads).await.problem().1, "missing_scope");
}

#[tokio::test]
async fn a_key_that_only_runs_flows_cannot_change_them() {
    let app = TestApp::start().await;
    let flow = app.publish("mirror", "mirror").await;
    let runs = key(&app, json!({"name": "minimal", "scopes": ["flows:execute"]})).await;
    assert_eq!(execute(&app, &flow, &runs).await.status, 200);
    let create = manage(&app, &runs, Method::POST, "/flows").json(&json!({"name": "another"}));
    assert_eq!(Answer::to(create).await.problem().1, "missing_scope");
}

#[tokio::test]
async fn run_once_with_a_key_runs_what_its_trigger_would_run() {
    let app = TestApp::start().await;
    let flow = app.publish("mirror", "mirror").await;
    app.push("mirror", "echo").await;
    let runs = key(&app, json!({"name": "runs", "scopes": ["flows:execute"]})).await;
    let writes = key(&app, json!({"name": "writes", "scopes": ["flows:execute", "flows:write"]})).await;
    let run = async |key: &str, version: Value| {
        let body = json!({"environment": "production", "version": version, "event": {}});
        let answer = Answer::to(manage(&app, key, Method::POST, "/flows/mirror/run").json(&body)).await;
        if answer.status == 200 { answer.json()["version"].to_string() } else { answer.problem().1 }
    };
    assert_eq!((run(&runs, Value::Null).await, run(&runs, json!(1)).await), ("1".to_owned(), "1".to_owned()));
    assert_eq!(
        (run(&runs, json!(2)).await.as_str(), run(&writes, json!(2)).await.as_str()),
        ("flow_not_published", "2")
    );
    let trigger = format!("/groups/acme/flows/mirror/triggers/{}", flow["execute_trigger"].as_str().unwrap());
    let closed = app.manage(Method::PATCH, &trigger).json(&json!({"keys": []}));
    assert_eq!(Answer::to(closed).await.status, 200);
    assert_eq!(run(&runs, Value::Null).await, "key_not_accepted");
}

#[tokio::test]
async fn a_key_is_only_shown_once() {
    let app = TestApp::start().await;
    let value = key(&app, json!({"name": "once"})).await;
    assert!(value.starts_with("hg_live_"));
    let secret = value.rsplit('_').next().unwrap();
    for path in ["/groups/acme/api-keys", "/groups/acme/api-keys/once"] {
        let shown = app.get(path).await.to_string();
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn expired_keys_are_told_so_and_a_blank_expiry_never_expires() {
    let now = Arc::new(AtomicI64::new(Timestamp::now().as_second()));
    let clock = now.clone();
    let clock = Arc::new(move || Timestamp::from_second(clock.load(Ordering::SeqCst)).unwrap());
    let app = TestApp::with_clock(clock, |_| {}).await;
    let flow = app.publish("mirror", "mirror").await;
    let month = key(&app, json!({"name": "month", "expires": "30d"})).await;
    let blank = key(&app, json!({"name": "blank"})).await;
    assert_eq!(execute(&app, &flow, &month).await.status, 200);
    now.fetch_add(31 * 24 * 60 * 60, Ordering::SeqCst);
    let expired = execute(&app, &flow, &month).await;
    assert_eq!(expired.problem(), (401, "expired_api_key".into(), "API key has expired".into()));
    now.fetch_add(3000 * 24 * 60 * 60, Ordering::SeqCst);
    assert_eq!(execute(&app, &flow, &blank).await.status, 200);
}

#[tokio::test]
async fn rotating_is_making_a_new_key_then_deleting_the_old_one() {
    let app = TestApp::start().await;
    let flow = app.publish("mirror", "mirror").await;
    let old = key(&app, json!({"name": "old"})).await;
    let new = key(&app, json!({"name": "new"})).await;
    assert_eq!((execute(&app, &flow, &old).await.status, execute(&app, &flow, &new).await.status), (200, 200));
    let deleted = app.manage(Method::DELETE, "/groups/acme/api-keys/old");
    assert_eq!(Answer::to(deleted).await.status, 204);
    assert_eq!(execute(&app, &flow, &old).await.problem().1, "invalid_api_key");
    assert_eq!(execute(&app, &flow, &new).await.status, 200);
}
