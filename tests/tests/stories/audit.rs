//! The audit log: every change is in it, nothing secret is, and what is done to it afterwards is noticed.

use headgate::store::Batch;
use headgate_tests::records::tampered;
use headgate_tests::{Answer, TestApp};
use reqwest::Method;
use serde_json::{Value, json};

fn entries(page: &Value) -> &Vec<Value> {
    page["entries"].as_array().unwrap()
}

fn actions(page: &Value) -> Vec<&str> {
    entries(page).iter().map(|entry| entry["action"].as_str().unwrap()).collect()
}

async fn verified(app: &TestApp) -> Value {
    app.get("/audit/verify").await
}

#[tokio::test]
async fn every_change_is_listed_with_who_what_when_and_from_where() {
    let app = TestApp::start().await;
    app.key("crm").await;
    let change = app.manage(Method::PATCH, "/groups/acme/api-keys/crm").json(&json!({"name": "crm-production"}));
    assert_eq!(Answer::to(change).await.status, 200);
    app.post("/groups", json!({"name": "rival"})).await;
    let page = app.get("/groups/acme/audit").await;
    assert_eq!(actions(&page), ["api-key.update", "api-key.create"]);
    let entry = &entries(&page)[0];
    assert_eq!((&entry["group"], &entry["address"]), (&json!("acme"), &json!("127.0.0.1")));
    assert!(entry["at"].is_string() && entry["by"]["kind"].is_string(), "{entry}");
    let change = &entry["changes"][0];
    assert_eq!((&change["noun"], &change["before"]), (&json!("api-key"), &json!({"name": "crm"})));
    assert_eq!(change["after"], json!({"name": "crm-production"}));
    assert_eq!(entries(&page)[1]["changes"][0]["before"], Value::Null);
    // The server's log has what belongs to no group as well.
    assert_eq!(actions(&app.get("/audit?limit=1").await), ["group.create"]);
}

#[tokio::test]
async fn the_log_is_read_in_pages_and_by_noun() {
    let app = TestApp::start().await;
    for name in ["a", "b", "c", "d", "e"] {
        app.key(name).await;
    }
    app.post("/groups/acme/flows", json!({"name": "orders"})).await;
    for root in ["/groups/acme/audit", "/audit"] {
        let (mut path, mut seen) = (format!("{root}?limit=2&noun=api-key"), Vec::new());
        loop {
            let page = app.get(&path).await;
            seen.extend(entries(&page).iter().map(|entry| entry["changes"][0]["after"]["name"].clone()));
            let Some(next) = page["next"].as_u64() else { break };
            path = format!("{root}?limit=2&noun=api-key&before={next}");
        }
        assert_eq!(seen, ["e", "d", "c", "b", "a"], "{root}");
    }
    assert_eq!(actions(&app.get("/groups/acme/audit?limit=1").await), ["flow.create"]);
}

#[tokio::test]
async fn nothing_secret_is_in_the_log() {
    let app = TestApp::start().await;
    app.install("conformance-connector").await;
    app.publish("mirror", "mirror").await;
    let key = app.key("crm").await;
    let renewed = app.post("/groups/acme/api-keys/crm/regenerate", json!({"slot": "secondary"})).await;
    let (token, signing) = ("pat-na1-canary-0123456789", "a signing secret for two");
    let connection = json!({
        "name": "app", "connector": "conformance", "auth": "bearer",
        "config": {"base_url": "https://app.example/v1", "region": "us"}, "secrets": {"token": token},
    });
    app.connect("mirror", "app", connection).await;
    let trigger = app.trigger("mirror", json!({"signature": {"scheme": "github", "secret": signing}})).await;
    let path = format!("/groups/acme/flows/mirror/triggers/{}/routing-key", trigger.id);
    let moved = app.post(&path, json!({})).await;
    let with_key = app.post("/groups/acme/flows/mirror/triggers", json!({"new_key": {"name": "erp"}})).await;
    let log = app.get("/audit?limit=500").await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let secret = |key: &str| key.rsplit_once('_').unwrap().1.to_owned();
    for canary in [
        secret(&key.secret),
        secret(&text(&renewed["api_key"])),
        secret(&text(&with_key["new_key"]["api_key"])),
        trigger.routing_key,
        text(&moved["routing_key"]),
        token.to_owned(),
        signing.to_owned(),
        app.token().to_owned(),
    ] {
        assert!(!log.to_string().contains(&canary), "{canary} in {log}");
    }
    // Not even the hashes and ciphertexts that the store keeps: where one belongs stands what only tells them apart.
    for change in entries(&log).iter().flat_map(|entry| entry["changes"].as_array().unwrap()) {
        let text = change.to_string();
        let longest = text.split(|c: char| !c.is_ascii_hexdigit()).map(str::len).max().unwrap();
        assert!(longest < 32 || text.contains("sha256:"), "{text}");
    }
    assert!(log.to_string().contains("(secret, "), "{log}");
}

#[tokio::test]
async fn a_burst_of_changes_leaves_a_whole_chain() {
    let app = TestApp::start().await;
    let before = verified(&app).await["entries"].as_u64().unwrap();
    let burst = (0..100).map(|n| app.post("/groups/acme/api-keys", json!({"name": format!("key-{n}")})));
    futures::future::join_all(burst).await;
    let check = verified(&app).await;
    assert_eq!((&check["ok"], check["entries"].as_u64()), (&json!(true), Some(before + 100)));
    let app = app.restart().await;
    assert_eq!(verified(&app).await, check);
    assert_eq!(app.get("/groups/acme/api-keys").await.as_array().unwrap().len(), 100);
}

fn entry(sequence: u64) -> String {
    format!("audit/{sequence:020}")
}

#[tokio::test]
async fn what_is_done_to_the_log_afterwards_is_noticed() {
    let app = TestApp::start().await;
    for name in ["a", "b", "c"] {
        app.key(name).await;
    }
    let whole = verified(&app).await;
    assert_eq!(whole["ok"], true);
    let head = whole["head"].as_str().unwrap().to_owned();
    let (last, _) = head.split_once(':').unwrap();
    let last: u64 = last.parse().unwrap();
    let app = tampered(app, move |database| {
        let record = database.records.get(&entry(last - 1)).unwrap().unwrap();
        let text = String::from_utf8(record.value.to_vec()).unwrap();
        Batch::new().put(entry(last - 1), text.replace("127.0.0.1", "127.0.0.2"))
    })
    .await;
    let broken = json!({"sequence": last - 1, "reason": "it was changed after it was written"});
    let check = verified(&app).await;
    assert_eq!((&check["ok"], &check["broken"]), (&json!(false), &broken));
    let app = tampered(app, move |_| Batch::new().delete(entry(last - 1))).await;
    assert_eq!(verified(&app).await["broken"], json!({"sequence": last - 1, "reason": "it is missing"}));
}

#[tokio::test]
async fn a_log_that_was_cut_off_does_not_have_the_end_that_was_noted() {
    let app = TestApp::start().await;
    app.key("a").await;
    let noted = verified(&app).await["head"].as_str().unwrap().to_owned();
    app.key("b").await;
    let later = verified(&app).await["head"].as_str().unwrap().to_owned();
    let expect = |head: &str| format!("/audit/verify?expect={head}");
    assert_eq!(app.get(&expect(&noted)).await["ok"], true);
    let (sequence, hash) = noted.split_once(':').unwrap();
    let (sequence, hash): (u64, _) = (sequence.parse().unwrap(), hash.to_owned());
    let app = tampered(app, move |_| {
        let head = json!({"v": 1, "record": {"sequence": sequence, "hash": hash}}).to_string();
        Batch::new().put("audit-head", head).delete(entry(sequence + 1))
    })
    .await;
    assert_eq!(verified(&app).await["ok"], true);
    assert_eq!(app.get(&expect(&noted)).await["ok"], true);
    assert_eq!(app.get(&expect(&later)).await["broken"]["sequence"], sequence + 1);
    let answer = Answer::to(app.manage(Method::GET, "/audit/verify?expect=nonsense")).await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn changed_settings_are_in_the_log() {
    let app = TestApp::start().await.restart().await;
    let settings = async |app: &TestApp| app.get("/audit?noun=server").await;
    assert_eq!(entries(&settings(&app).await).len(), 0);
    let app = app.restart_with(|settings| settings.keys.unused_days = 7).await;
    let page = settings(&app).await;
    assert_eq!(actions(&page), ["settings.change"]);
    let change = &entries(&page)[0]["changes"][0];
    assert_eq!(change["before"], json!({"keys.unused_days": "90"}));
    assert_eq!(change["after"], json!({"keys.unused_days": "7"}));
    assert_eq!(entries(&page)[0]["by"]["kind"], "system");
    let app = app.restart().await;
    assert_eq!(entries(&settings(&app).await).len(), 1);
    assert_eq!(verified(&app).await["ok"], true);
}
