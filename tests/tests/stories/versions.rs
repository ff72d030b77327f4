//! Versions of a flow, and the environments they are published in.

use headgate_tests::{Answer, TestApp, guests};
use reqwest::Method;
use serde_json::{Value, json};

const FLOW: &str = "/groups/acme/flows/orders";

async fn push(app: &TestApp, guest: &str, query: &str) -> Answer {
    let request = app.manage(Method::PUT, &format!("{FLOW}/versions{query}"));
    Answer::to(request.header("content-type", "application/wasm").body(guests::component(guest))).await
}

async fn refused(app: &TestApp, what: &str, body: Value) -> (u16, String, String) {
    Answer::to(app.manage(Method::POST, &format!("{FLOW}/{what}")).json(&body)).await.problem()
}

fn numbers(list: &Value, member: &str) -> Vec<u64> {
    list.as_array().unwrap().iter().map(|item| item[member].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_version_knows_where_it_came_from_and_is_not_made_twice() {
    let app = TestApp::start().await;
    app.post("/groups/acme/flows", json!({"name": "orders"})).await;
    let first = push(&app, "echo", "?note=first&revision=4f1c2a9d&dirty=true").await;
    assert_eq!(first.status, 201, "{first:?}");
    let version = first.json();
    assert_eq!((&version["version"], &version["note"]), (&json!(1), &json!("first")));
    assert_eq!(version["author"]["name"], headgate_tests::OPERATOR);
    assert_eq!(version["source"], json!({"revision": "4f1c2a9d", "dirty": true}));
    let again = push(&app, "echo", "?note=again").await;
    assert_eq!((again.status, again.json()), (200, version), "the newest version is this module already");
    assert_eq!(push(&app, "hash", "").await.json()["version"], 2);
    // Whoever pushes an older module wants it to be the newest.
    let third = push(&app, "echo", "").await;
    assert_eq!((third.status, &third.json()["version"]), (201, &json!(3)));
    assert_eq!(third.json()["source"], Value::Null);

    for (query, page) in [
        ("", &[3, 2, 1][..]),
        ("?limit=2", &[3, 2]),
        ("?before=2", &[1]),
        ("?before=1", &[]),
        ("?before=99&limit=1", &[3]),
    ] {
        assert_eq!(numbers(&app.get(&format!("{FLOW}/versions{query}")).await, "version"), page, "{query}");
    }
    let details = app.get(&format!("{FLOW}/versions/2")).await;
    let imports = details["imports"].as_array().unwrap();
    assert!(imports.iter().any(|import| import.as_str().unwrap().starts_with("headgate:runtime/")), "{imports:?}");
    assert_eq!(details["manifest"], json!({"slots": []}), "it says that it opens no slot");
    assert_eq!(app.get(&format!("{FLOW}/versions/1")).await["manifest"], json!({}), "it says nothing");
    let (status, _, message) = push(&app, "mirror", "?revision=a%20b").await.problem();
    assert_eq!(status, 400, "{message}");
    assert_eq!(app.get(FLOW).await["latest"], 3);
}

#[tokio::test]
async fn a_draft_gives_its_number_to_the_next_push_until_it_is_published() {
    let app = TestApp::start().await;
    app.post("/groups/acme/flows", json!({"name": "orders"})).await;
    assert_eq!(push(&app, "echo", "").await.json().get("draft"), None);
    for (guest, status) in [("hash", 201), ("hash", 200), ("mirror", 201)] {
        let draft = push(&app, guest, "?draft=true").await;
        assert_eq!((draft.status, &draft.json()["version"], &draft.json()["draft"]), (status, &json!(2), &json!(true)));
    }
    // The same module in earnest is no draft any more.
    let second = push(&app, "mirror", "?note=done").await;
    assert_eq!((second.status, &second.json()["version"], second.json().get("draft")), (201, &json!(2), None));
    assert_eq!(push(&app, "hash", "?draft=true").await.json()["version"], 3);

    app.post(&format!("{FLOW}/publish"), json!({"environment": "test"})).await;
    assert_eq!(app.get(&format!("{FLOW}/versions/3")).await.get("draft"), None, "it is published");
    assert_eq!(push(&app, "hash", "?draft=true").await.status, 200, "and stays as it is");
    assert_eq!(push(&app, "echo", "?draft=true").await.json()["version"], 4);
    assert_eq!(numbers(&app.get(&format!("{FLOW}/versions")).await, "version"), [4, 3, 2, 1]);
    let app = app.restart().await;
    assert_eq!(app.get(&format!("{FLOW}/versions/4")).await["draft"], true);
    // Nobody replaced it: two publications at once do not get into each other's way.
    let publish = async |environment: &str| {
        let body = json!({"version": 4, "environment": environment});
        app.post(&format!("{FLOW}/publish"), body).await
    };
    tokio::join!(publish("test"), publish("production"));
    assert_eq!(app.get(FLOW).await["published"], json!({"production": 4, "test": 4}));
    assert_eq!(app.get(&format!("{FLOW}/versions/4")).await.get("draft"), None);
}

/// Which version answers a request in an environment: the second one says the body's digest.
async fn answering(app: &TestApp, url: &str, key: &str) -> Option<u64> {
    let answer = Answer::to(app.client().post(url).bearer_auth(key).body("x")).await;
    match answer.status {
        200 => Some(if answer.header("x-body-sha256").is_empty() { 1 } else { 2 }),
        _ => {
            assert_eq!((answer.status, answer.problem().1.as_str()), (403, "flow_not_published"), "{answer:?}");
            None
        }
    }
}

#[tokio::test]
async fn a_version_goes_through_the_environments_and_back() {
    let app = TestApp::start().await;
    app.post("/groups/acme/flows", json!({"name": "orders"})).await;
    let url = app.trigger("orders", json!({})).await.url;
    let keys = ["test", "production"].map(|environment| json!({"name": environment, "environment": environment}));
    let [test, production] = keys.map(|key| app.post("/groups/acme/api-keys", key));
    let secret = |key: Value| key["api_key"].as_str().unwrap().to_owned();
    let (test, production) = (secret(test.await), secret(production.await));
    let (status, _, message) = refused(&app, "publish", json!({})).await;
    assert_eq!(status, 409, "{message}");
    push(&app, "echo", "").await;
    push(&app, "hash", "").await;

    let published = app.post(&format!("{FLOW}/publish"), json!({"version": 1, "environment": "test"})).await;
    assert_eq!((&published["published"], &published["checked"]), (&json!({"test": 1}), &json!(false)));
    assert_eq!((answering(&app, &url, &test).await, answering(&app, &url, &production).await), (Some(1), None));
    app.post(&format!("{FLOW}/promote"), json!({"from": "test", "to": "production"})).await;
    assert_eq!(answering(&app, &url, &production).await, Some(1));
    let published = app.post(&format!("{FLOW}/publish"), json!({})).await;
    assert_eq!((&published["publication"]["replaced"], &published["checked"]), (&json!(1), &json!(true)));
    assert_eq!(answering(&app, &url, &production).await, Some(2));
    for version in [1, 2] {
        app.post(&format!("{FLOW}/rollback"), json!({})).await;
        assert_eq!(answering(&app, &url, &production).await, Some(version), "a rollback of a rollback returns");
    }
    app.post(&format!("{FLOW}/rollback"), json!({"version": 1})).await;
    app.post(&format!("{FLOW}/unpublish"), json!({"environment": "production"})).await;
    assert_eq!((answering(&app, &url, &production).await, answering(&app, &url, &test).await), (None, Some(1)));
    app.post(&format!("{FLOW}/rollback"), json!({})).await;

    for (what, body, part) in [
        ("promote", json!({"from": "test", "to": "test"}), "both ends"),
        ("promote", json!({"from": "staging", "to": "test"}), "no environment \"staging\""),
        ("rollback", json!({"environment": "test"}), "No other version"),
        ("rollback", json!({"environment": "test", "version": 2}), "never published in test"),
        ("publish", json!({"version": 7}), "Version not found"),
    ] {
        let (status, _, message) = refused(&app, what, body).await;
        assert!((400..500).contains(&status) && message.contains(part), "{what}: {status} {message}");
    }
    app.post(&format!("{FLOW}/unpublish"), json!({"environment": "test"})).await;
    for (what, body) in
        [("unpublish", json!({"environment": "test"})), ("promote", json!({"from": "test", "to": "production"}))]
    {
        let (status, _, message) = refused(&app, what, body).await;
        assert!(status == 409 && message.contains("published in test"), "{what}: {status} {message}");
    }

    let app = app.restart().await;
    let url = format!("{}{}", app.url(), &url[url.find("/hooks/").unwrap()..]);
    assert_eq!((answering(&app, &url, &production).await, answering(&app, &url, &test).await), (Some(1), None));
    let history = app.get(&format!("{FLOW}/publications")).await;
    let entries: Vec<_> =
        history.as_array().unwrap().iter().map(|entry| (&entry["reason"], &entry["version"])).collect();
    let said: Vec<_> =
        entries.iter().map(|(reason, version)| format!("{} {version}", reason.as_str().unwrap())).collect();
    let expected = ["rollback 1", "unpublish null", "rollback 1", "rollback 2", "rollback 1", "publish 2", "promote 1"];
    assert_eq!(said, expected);
    assert_eq!((&history[6]["from"], &history[0]["by"]["name"]), (&json!("test"), &json!(headgate_tests::OPERATOR)));
    let page = app.get(&format!("{FLOW}/publications?before=3&limit=1")).await;
    assert_eq!(numbers(&page, "number"), [2]);
    let audit = app.get("/groups/acme/audit?noun=flow&limit=500").await["entries"].to_string();
    for action in ["flow.publish", "flow.promote", "flow.rollback", "flow.unpublish"] {
        assert!(audit.contains(action), "{action}");
    }
}

#[tokio::test]
async fn what_a_version_declares_has_to_be_there() {
    let app = TestApp::start().await;
    app.post("/groups/acme/flows", json!({"name": "orders"})).await;
    push(&app, "confirm-lead", "").await;
    let missing = async || {
        let answer = Answer::to(app.manage(Method::POST, &format!("{FLOW}/publish")).json(&json!({}))).await;
        let (status, code, message) = answer.problem();
        assert_eq!((status, code.as_str()), (409, "not_publishable"), "{message}");
        assert_eq!(app.get(FLOW).await["published"], json!({}), "nothing is published");
        let missing = answer.json()["details"]["missing"].as_array().unwrap().clone();
        for one in &missing {
            assert!(message.contains(one["cause"].as_str().unwrap()), "{message}");
            assert!(message.contains(one["remedy"].as_str().unwrap()), "{message}");
        }
        missing.iter().map(|one| format!("{}: {}", one["cause"], one["remedy"])).collect::<Vec<_>>()
    };
    let found = missing().await;
    assert_eq!(found.len(), 4, "{found:?}");
    for (found, parts) in found.iter().zip([
        ["\\\"crm\\\" is bound to no connection in production", "headgate connections create --connector hubspot"],
        ["\\\"hubspot\\\" of the slot \\\"crm\\\" is not installed", "headgate connectors install"],
        ["\\\"mail\\\" is bound to no connection", "--flow orders --slot mail"],
        ["\\\"gmail\\\" of the slot \\\"mail\\\" is not installed", "headgate connectors install"],
    ]) {
        assert!(parts.iter().all(|part| found.contains(part)), "{found}");
    }
    app.install("hubspot").await;
    app.install("gmail").await;
    let connection = json!({"name": "crm", "connector": "hubspot", "secrets": {"token": "a-token"}});
    let made = app.connect("orders", "crm", connection).await;
    let found = missing().await;
    assert!(found.len() == 1 && found[0].contains("\\\"mail\\\" is bound to no connection"), "{found:?}");
    app.put(&format!("{FLOW}/slots/mail"), json!({"connection": made["id"]})).await;
    let found = missing().await;
    assert!(found.len() == 1 && found[0].contains("wants one of \\\"gmail\\\""), "{found:?}");
    // A version that says nothing is not checked, and what was bound stays.
    push(&app, "echo", "").await;
    assert_eq!(app.post(&format!("{FLOW}/publish"), json!({})).await["checked"], false);
}

#[tokio::test]
async fn a_flow_opens_no_slot_that_it_does_not_declare() {
    let app = TestApp::start().await;
    app.install("http-connector").await;
    app.publish("orders", "hash").await;
    let connection =
        json!({"name": "app", "connector": "http", "auth": "none", "config": {"base_url": "https://app.example"}});
    app.connect("orders", "app", connection).await;
    let (key, trigger) = (app.key("caller").await, app.trigger("orders", json!({})).await);
    let request = app.client().post(&trigger.url).bearer_auth(&key.secret);
    let answer = Answer::to(request.header("x-open-slot", "app").body("x")).await;
    let (status, code, message) = answer.problem();
    assert_eq!((status, code.as_str()), (502, "slot_undeclared"), "{message}");
    assert!(message.contains("slots(app: ...)"), "{message}");
    assert_eq!(app.fire(&trigger, &key, "x").await.status(), 200);
}

#[tokio::test]
async fn two_versions_are_compared() {
    let app = TestApp::start().await;
    app.post("/groups/acme/flows", json!({"name": "orders"})).await;
    push(&app, "echo", "").await;
    push(&app, "confirm-lead", "").await;
    let diff = app.get(&format!("{FLOW}/diff")).await;
    assert_eq!((&diff["before"]["version"], &diff["after"]["version"]), (&json!(1), &json!(2)));
    assert_eq!(diff["same_module"], false);
    let slots: Vec<_> = diff["slots"].as_array().unwrap().iter().collect();
    assert_eq!((&slots[0]["slot"], &slots[0]["methods_added"]), (&json!("crm"), &json!(["get_contact"])));
    assert_eq!((&slots[1]["connector_before"], &slots[1]["connector_after"]), (&json!(null), &json!("gmail")));
    assert!(diff["imports_added"].to_string().contains("connections"), "{}", diff["imports_added"]);
    assert_eq!(app.get(&format!("{FLOW}/diff?from=2&to=1")).await["size_change"].as_i64().map(i64::signum), Some(-1));
    app.post(&format!("{FLOW}/publish"), json!({"version": 1, "environment": "test"})).await;
    assert_eq!(app.get(&format!("{FLOW}/diff?from=test&to=1")).await["same_module"], true);
    for (query, status) in
        [("from=production&to=1", 409), ("from=9&to=1", 404), ("from=A%20B&to=1", 400), ("from=staging", 400)]
    {
        let answer = Answer::to(app.manage(Method::GET, &format!("{FLOW}/diff?{query}"))).await;
        assert_eq!(answer.problem().0, status, "{query}");
    }
}

#[tokio::test]
async fn a_flow_is_renamed_and_deleted_with_all_that_is_its_own() {
    let app = TestApp::start().await;
    app.publish("orders", "echo").await;
    app.post("/groups/acme/flows", json!({"name": "taken"})).await;
    let (key, trigger) = (app.key("caller").await, app.trigger("orders", json!({})).await);
    let patch = async |body: Value| Answer::to(app.manage(Method::PATCH, FLOW).json(&body)).await;
    assert_eq!(patch(json!({"name": "taken"})).await.problem().0, 409);
    let id = patch(json!({"description": "of the shop"})).await.json()["id"].clone();
    let renamed = patch(json!({"name": "shop-orders"})).await.json();
    assert_eq!((&renamed["id"], &renamed["description"]), (&id, &json!("of the shop")));
    assert_eq!(patch(json!({"name": "orders"})).await.problem().0, 404, "the old name is nobody's");
    assert_eq!(app.fire(&trigger, &key, "x").await.status(), 200);
    app.post("/groups/acme/flows", json!({"name": "orders"})).await;

    let path = "/groups/acme/flows/shop-orders";
    let delete = async |query: &str| Answer::to(app.manage(Method::DELETE, &format!("{path}{query}"))).await;
    let (status, _, message) = delete("").await.problem();
    assert!(status == 409 && message.contains("--force"), "{status} {message}");
    assert_eq!(delete("?force=true").await.status, 204);
    assert_eq!(delete("?force=true").await.problem().0, 404);
    assert_eq!(app.fire(&trigger, &key, "x").await.status(), 404);
    assert_eq!(app.app().service().shelf_figures().published, 0);
    let app = app.restart().await;
    let left: Vec<_> =
        app.get("/groups/acme/flows").await.as_array().unwrap().iter().map(|flow| flow["name"].clone()).collect();
    assert_eq!(left, ["orders", "taken"]);
}
