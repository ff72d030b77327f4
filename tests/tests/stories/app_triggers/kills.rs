//! A server that is killed while it polls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::response::IntoResponse as _;
use headgate_tests::TestApp;
use headgate_tests::crm::StandIn;
use headgate_tests::process::Process;
use serde_json::{Value, json};

/// How often the server is killed.
const KILLS: u64 = 4;
/// Records of one answer.
const PAGE: u64 = 5;

#[tokio::test]
async fn kill_9_loses_no_record_and_runs_none_twice() {
    // An app that has always more: after the cursor N the records N to N + 4 are new.
    let answered = Arc::new(AtomicU64::new(0));
    let count = answered.clone();
    let stand_in = StandIn::start(move |request| {
        let cursor = request.uri.query().unwrap().trim_start_matches("cursor=").parse::<u64>();
        let Ok(from) = cursor else {
            return axum::Json(json!({"records": [], "cursor": 0, "more": false})).into_response();
        };
        count.fetch_add(1, Ordering::SeqCst);
        let records: Vec<_> = (from..from + PAGE).map(|n| json!([n.to_string(), {"n": n}])).collect();
        axum::Json(json!({"records": records, "cursor": from + PAGE, "more": false})).into_response()
    })
    .await;
    let exempt = stand_in.address.to_string();
    let app = TestApp::with(|settings| settings.egress.allow_private = vec![exempt.parse().unwrap()]).await;
    app.install("poll-connector").await;
    app.publish("greet", "echo").await;
    let config = json!({"base_url": stand_in.url()});
    let connection =
        json!({"name": "app", "connector": "polls", "config": config, "secrets": {"token": "a-token-of-the-app"}});
    let connection = app.post("/groups/acme/connections", connection).await["id"].clone();
    let wanted = json!({"connection": connection, "trigger": "new_record", "input": {"list": "all"}, "every_s": 10});
    let path = "/groups/acme/flows/greet/app-triggers";
    let made = app.post(path, wanted).await;
    let poll = format!("{path}/{}/poll", made["id"].as_str().unwrap());
    app.post(&poll, Value::Null).await;
    let token = app.token().to_owned();
    let dir = app.stop().await;
    let folder = dir.path().join("data");
    let settings = [("EGRESS__ALLOW_PRIVATE", exempt.as_str())];
    for kill in 0..KILLS {
        let server = Process::start(&folder, &token, &settings).await;
        let before = answered.load(Ordering::SeqCst);
        // One poll after the other, until the server is killed between an answer and its commit, or after it.
        let request = server.manage(reqwest::Method::POST, &poll);
        let polling = tokio::spawn(async move { while request.try_clone().unwrap().send().await.is_ok() {} });
        while answered.load(Ordering::SeqCst) < before + 2 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(kill)).await;
        server.kill().await;
        polling.await.unwrap();
    }
    let server = Process::start(&folder, &token, &settings).await;
    let shown = server.get(path).await;
    let cursor = shown[0]["state"]["cursor"].as_u64().unwrap();
    let runs = loop {
        let runs = server.get("/groups/acme/runs?flow=greet&limit=500").await;
        if runs.as_array().unwrap().iter().all(|run| run["state"] == "succeeded") {
            break runs;
        }
    };
    let mut records = Vec::new();
    for run in runs.as_array().unwrap() {
        let run = server.get(&format!("/groups/acme/runs/{}", run["id"].as_str().unwrap())).await;
        let body: Value = serde_json::from_str(run["event"]["body"]["text"].as_str().unwrap()).unwrap();
        records.push(body["n"].as_u64().unwrap());
    }
    server.kill().await;
    records.sort_unstable();
    assert!(cursor >= KILLS * PAGE, "{cursor}");
    // A poll of the server's own may have come in between the two readings.
    records.retain(|record| *record < cursor);
    assert_eq!(records, (0..cursor).collect::<Vec<_>>());
}
