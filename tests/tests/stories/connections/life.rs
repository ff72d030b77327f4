//! What becomes of a connection, and what its view says meanwhile.

use headgate_tests::Answer;
use reqwest::Method;
use serde_json::{Value, json};

use super::{CONNECTIONS, FLOW, Stage, TOKEN, health, path};

#[tokio::test]
async fn a_connection_shows_how_it_stands_and_who_uses_it() {
    let stage = Stage::set().await;
    let path = stage.connect("crm", TOKEN).await;
    let fresh = stage.app.get(&path).await;
    assert_eq!(health(&fresh), ("grey".into(), "Nobody has used or tested it yet".into()));
    assert_eq!(
        (&fresh["kind"], &fresh["secrets"], &fresh["last_used"]),
        (&json!("api_key"), &json!(["token"]), &Value::Null)
    );
    let used = &fresh["used_by"][0];
    assert_eq!(
        (&used["name"], &used["slot"], &used["environment"]),
        (&json!(FLOW), &json!("crm"), &json!("production"))
    );
    assert_eq!(used["triggers"][0], json!({"id": stage.trigger.id, "description": "deals"}));
    assert_eq!(stage.fire().await, 200);
    let used = stage.app.get(&path).await;
    assert_eq!(health(&used).0, "green");
    assert_ne!(used["last_used"], Value::Null);
    assert_eq!(stage.app.get(CONNECTIONS).await[0]["health"], "green");
    // What is remembered is still there after a restart.
    let app = stage.app.restart().await;
    let after = app.get(&path).await;
    assert_eq!((&after["last_used"], health(&after).0), (&used["last_used"], "green".into()));
    assert!(!after.to_string().contains(TOKEN));
}

#[tokio::test]
async fn refused_credentials_turn_a_connection_red_until_others_are_entered() {
    let stage = Stage::set().await;
    let path = stage.connect("crm", "pat-na1-the-wrong-one").await;
    for _ in 0..2 {
        assert_ne!(stage.fire().await, 200);
    }
    let broken = stage.app.get(&path).await;
    assert_eq!(health(&broken).0, "red");
    assert!(broken["last_error"]["message"].as_str().unwrap().contains("unauthorized"), "{broken}");
    stage.app.until("/groups/acme/alerts", |alerts| alerts[0]["kind"] == "connection_broken").await;
    let changed = stage.patch(&path, json!({"name": "sales", "secrets": {"token": TOKEN}})).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let changed = changed.json();
    assert_eq!((&changed["name"], health(&changed).0), (&json!("sales"), "green".into()));
    assert_eq!(changed["last_error"], Value::Null);
    stage.app.until("/groups/acme/alerts", |alerts| alerts[0]["state"] == "closed").await;
    assert_eq!(stage.fire().await, 200);
}

#[tokio::test]
async fn where_credentials_go_cannot_be_changed() {
    let stage = Stage::set().await;
    let elsewhere = headgate_tests::crm::StandIn::crm(TOKEN).await;
    let path = stage.connect("crm", TOKEN).await;
    let answer = stage.patch(&path, json!({"config": {"api_url": elsewhere.url()}})).await;
    let (status, _, message) = answer.problem();
    assert_eq!(status, 409);
    assert!(message.contains("Make a new connection"), "{message}");
    // The value it has is no change.
    assert_eq!(stage.patch(&path, json!({"config": {"api_url": stage.crm.url()}})).await.status, 200);
    assert_eq!(stage.fire().await, 200);
    assert_eq!(elsewhere.received().len(), 0);
    // Nor can the default, or the header's name of the generic connector.
    assert_eq!(stage.patch(&path, json!({"config": {"api_url": null}})).await.status, 409);
    stage.app.install("http-connector").await;
    let generic = json!({"name": "any", "connector": "http", "auth": "header", "config": {"base_url": stage.crm.url()}, "secrets": {"key": "s3cret-key"}});
    let generic = super::path(&stage.app.post(CONNECTIONS, generic).await);
    for config in [json!({"header_name": "X-Other"}), json!({"base_url": elsewhere.url()})] {
        assert_eq!(stage.patch(&generic, json!({ "config": config })).await.status, 409, "{config}");
    }
    // A setting that does not say where credentials go can be changed.
    let changed = stage.patch(&generic, json!({"config": {"query_name": "k"}})).await;
    assert_eq!((changed.status, &changed.json()["config"]["query_name"]), (200, &json!("k")));
}

#[tokio::test]
async fn a_change_that_does_not_fit_is_refused_whole() {
    let stage = Stage::set().await;
    let path = stage.connect("crm", TOKEN).await;
    stage.app.post(CONNECTIONS, stage.connection("other", TOKEN)).await;
    for (change, status, message) in [
        (json!({"name": "other"}), 409, "exists already"),
        (json!({"secrets": {"tokn": TOKEN}}), 400, "no secret \"tokn\"; it has: token"),
        (json!({"secrets": {"token": "short"}}), 400, "must have 6 to"),
        (json!({"config": {"zone": "eu"}}), 400, "no setting \"zone\""),
        (json!({"scopes": ["read"]}), 400, "Only an OAuth connection"),
        (json!({"registration": format!("app_{}", "a".repeat(20))}), 400, "Only an OAuth connection"),
        (json!({"environment": "test"}), 400, "unknown field"),
    ] {
        let mut whole = json!({"name": "renamed"});
        whole.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let answer = stage.patch(&path, whole).await;
        let (found, _, text) = answer.problem();
        assert_eq!(found, status, "{change}: {text}");
        assert!(text.contains(message), "{text} should contain {message}");
        assert_eq!(stage.app.get(&path).await["name"], "crm");
    }
    assert_eq!(stage.fire().await, 200);
}

#[tokio::test]
async fn a_disconnected_connection_keeps_its_place_and_works_again_when_it_is_connected() {
    let stage = Stage::set().await;
    let path = stage.connect("crm", TOKEN).await;
    assert_eq!(stage.fire().await, 200);
    let done = stage.app.post(&format!("{path}/disconnect"), json!({})).await;
    assert!(done["message"].as_str().unwrap().contains("wiped"), "{done}");
    let (word, reason) = health(&done["connection"]);
    assert_eq!((word.as_str(), &done["connection"]["secrets"]), ("grey", &json!([])));
    assert!(reason.contains("headgate connections update"), "{reason}");
    let before = stage.crm.received().len();
    assert_eq!(stage.fire().await, 424);
    assert_eq!(stage.crm.received().len(), before, "nothing leaves without credentials");
    let test = stage.app.post(&format!("{path}/test"), json!({})).await;
    assert_eq!(test["result"], "not_connected");
    assert_eq!(stage.patch(&path, json!({"secrets": {"token": TOKEN}})).await.status, 200);
    assert_eq!(stage.fire().await, 200);
    assert!(!stage.app.get("/groups/acme/audit").await.to_string().contains(TOKEN));
}

#[tokio::test]
async fn what_a_flow_uses_is_not_deleted_and_what_is_deleted_leaves_nothing() {
    let stage = Stage::set().await;
    let path = stage.connect("crm", TOKEN).await;
    assert_eq!(stage.fire().await, 200);
    let (status, _, message) = stage.delete(&path).await.problem();
    assert_eq!(status, 409);
    for part in [FLOW, "slot crm", "production", &format!("{} (deals)", stage.trigger.id), "/execute"] {
        assert!(message.contains(part), "{message} should name {part}");
    }
    stage.app.put(&format!("/groups/acme/flows/{FLOW}/slots/crm"), json!({"connection": null})).await;
    stage.service().write_usage().await.unwrap();
    assert_eq!(stage.delete(&path).await.status, 204);
    assert_eq!(Answer::to(stage.app.manage(Method::GET, &path)).await.status, 404);
    // One of the same name begins anew.
    let again = stage.app.post(CONNECTIONS, stage.connection("crm", TOKEN)).await;
    assert_eq!((health(&again).0.as_str(), &again["last_used"]), ("grey", &Value::Null));
}

#[tokio::test]
async fn a_slot_is_bound_to_a_connection_that_is_made_for_it() {
    let stage = Stage::set().await;
    let slot = format!("/groups/acme/flows/{FLOW}/slots/crm");
    let bind = |environment: &str, create: Value| json!({"environment": environment, "create": create});
    let flow = stage.app.put(&slot, bind("production", stage.connection("crm", TOKEN))).await;
    let id = flow["slots"]["production"]["crm"].as_str().unwrap().to_owned();
    assert_eq!(stage.fire().await, 200);
    // Where the connection belongs is where the slot is.
    let flow = stage.app.put(&slot, bind("test", stage.connection("crm", TOKEN))).await;
    let test = path(&json!({"id": flow["slots"]["test"]["crm"]}));
    assert_eq!(stage.app.get(&test).await["environment"], "test");
    // Neither is done when one cannot be.
    let mut other = stage.connection("more", TOKEN);
    other["environment"] = json!("test");
    for (body, status) in [
        (bind("production", stage.connection("crm", TOKEN)), 409),
        (bind("production", other), 400),
        (bind("moon", stage.connection("more", TOKEN)), 400),
        (json!({"connection": id, "create": stage.connection("more", TOKEN)}), 400),
    ] {
        let answer = Answer::to(stage.app.manage(Method::PUT, &slot).json(&body)).await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    assert_eq!(stage.app.get(CONNECTIONS).await.as_array().unwrap().len(), 2);
    let missing = "/groups/acme/flows/nothing/slots/crm";
    let body = bind("production", stage.connection("more", TOKEN));
    assert_eq!(Answer::to(stage.app.manage(Method::PUT, missing).json(&body)).await.status, 404);
    assert_eq!(stage.app.get(CONNECTIONS).await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_test_says_whether_the_app_takes_the_credentials() {
    let stage = Stage::set().await;
    let right = stage.connect("crm", TOKEN).await;
    let test = async |path: &str| stage.app.post(&format!("{path}/test"), json!({})).await;
    let found = test(&right).await;
    assert_eq!((&found["result"], &found["status"]), (&json!("valid"), &json!(200)), "{found}");
    let request = stage.crm.received().pop().unwrap();
    assert_eq!(request.uri.to_string(), "/crm/v3/objects/contacts?limit=1");
    assert_eq!(request.headers["authorization"], format!("Bearer {TOKEN}").as_str());
    let view = stage.app.get(&right).await;
    assert_eq!((health(&view).0.as_str(), &view["last_test"]["result"]), ("green", &json!("valid")));
    let wrong = path(&stage.app.post(CONNECTIONS, stage.connection("wrong", "pat-na1-the-wrong-one")).await);
    let found = test(&wrong).await;
    assert_eq!((&found["result"], &found["status"]), (&json!("refused"), &json!(401)), "{found}");
    let view = stage.app.get(&wrong).await;
    assert_eq!(health(&view), ("red".into(), found["message"].as_str().unwrap().to_owned()));
    assert_eq!(stage.patch(&wrong, json!({"secrets": {"token": TOKEN}})).await.status, 200);
    assert_eq!(test(&wrong).await["result"], "valid");
    let mut nowhere = stage.connection("nowhere", TOKEN);
    nowhere["config"]["api_url"] = json!("http://127.0.0.1:1");
    let nowhere = path(&stage.app.post(CONNECTIONS, nowhere).await);
    assert_eq!(test(&nowhere).await["result"], "unreachable");
    assert!(!test(&nowhere).await.to_string().contains(TOKEN));
}
