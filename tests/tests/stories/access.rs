//! Who gets in: keys in all their forms, and what those are told who do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use headgate::domain::api_key::PlainApiKey;
use headgate::domain::id::Environment;
use headgate::domain::secret::checksum;
use headgate_tests::{Answer, Key, TestApp, Trigger};
use jiff::Timestamp;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

const MISSING: &str = "Missing API key. Send it as: Authorization: Bearer hg_...";
const MALFORMED: &str = "Invalid API key format. Expected: Bearer hg_...";

/// A server with the flow `mirror`, which answers what it was given, a key and a trigger.
struct Door {
    app: TestApp,
    key: Key,
    trigger: Trigger,
}

impl Door {
    async fn open() -> Self {
        Self::of(TestApp::start().await, json!({})).await
    }

    async fn with(settings: Value) -> Self {
        Self::of(TestApp::start().await, settings).await
    }

    async fn of(app: TestApp, settings: Value) -> Self {
        app.publish("mirror", "mirror").await;
        let key = app.key("crm").await;
        let trigger = app.trigger("mirror", settings).await;
        Self { app, key, trigger }
    }

    fn post(&self) -> RequestBuilder {
        self.to(&self.trigger.url)
    }

    fn to(&self, url: &str) -> RequestBuilder {
        self.app.client().post(url).body("hello")
    }

    async fn knock(&self, key: &str) -> Answer {
        Answer::to(self.post().bearer_auth(key)).await
    }

    async fn flow_id(&self) -> String {
        self.app.get("/groups/acme/flows/mirror").await["id"].as_str().unwrap().to_owned()
    }
}

/// A key of the right form that nobody made.
fn unknown_key() -> String {
    PlainApiKey::generate(&Environment::production(), |bytes| bytes.fill(7)).reveal().to_owned()
}

/// The same key with another secret, and the checksum that belongs to it.
fn with_another_secret(key: &str) -> String {
    let (prefix, secret) = key.rsplit_once('_').unwrap();
    let turned: String = secret[..43].chars().rev().collect();
    let text = format!("{prefix}_{turned}");
    let sum = checksum(&text);
    text + std::str::from_utf8(&sum).unwrap()
}

#[tokio::test]
async fn without_a_key_every_path_gives_the_same_answer() {
    let door = Door::open().await;
    let hook = format!("/hooks/{}", door.trigger.routing_key);
    let execute = format!("/flows/{}/execute", door.flow_id().await);
    let mut answers = Vec::new();
    for path in [
        hook.as_str(),
        &format!("{hook}/"),
        &format!("/hooks/{}", "a".repeat(24)),
        "/hooks/short",
        &execute,
        "/flows/flw_aaaaaaaaaaaaaaaaaaaa/execute",
        "/g/acme/orders/7",
        "/g/nobody/orders/7",
        "/apps/orders/execute",
        "/",
        "/nothing/of/the/kind",
    ] {
        for method in [Method::POST, Method::GET, Method::OPTIONS] {
            let url = format!("{}{path}", door.app.url());
            let answer = Answer::to(door.app.client().request(method, url)).await;
            assert_eq!(answer.problem(), (401, "missing_api_key".into(), MISSING.into()), "{path}");
            assert_eq!(answer.header("www-authenticate"), "Bearer", "{path}");
            answers.push(answer.bytes());
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:#?}");
}

#[tokio::test]
async fn without_a_token_management_tells_nothing() {
    let app = TestApp::start().await;
    for path in ["", "/", "/groups", "/groups/acme", "/groups/nobody", "/groups/acme/flows/nothing", "/nothing"] {
        for method in [Method::GET, Method::DELETE] {
            let url = format!("{}/api/v1{path}", app.url());
            let answer = Answer::to(app.client().request(method, url)).await;
            let message = "Missing token. Log in (POST /api/v1/auth/login) and send: Authorization: Bearer TOKEN; or send an API key: Authorization: Bearer hg_...";
            assert_eq!(answer.problem(), (401, "missing_token".into(), message.into()), "{path}");
            assert_eq!(answer.header("www-authenticate"), "Bearer", "{path}");
        }
    }
}

#[tokio::test]
async fn missing_and_malformed_are_told_apart_unknown_and_wrong_are_not() {
    let door = Door::open().await;
    let refused = |request: RequestBuilder| async { Answer::to(request).await };
    let answer = refused(door.post()).await;
    assert_eq!(answer.problem(), (401, "missing_api_key".into(), MISSING.into()));

    let mistyped = door.key.secret.replace("hg_live_", "hg_test_");
    for value in ["Bearer", "Bearer x", &format!("Bearer {mistyped}"), "Key=", "Basic c2VuZGVyOnNlY3JldA=="] {
        let answer = refused(door.post().header("authorization", value)).await;
        assert_eq!(answer.problem(), (401, "malformed_api_key".into(), MALFORMED.into()), "{value}");
        assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_token\"");
    }

    let unknown = door.knock(&unknown_key()).await;
    let wrong = door.knock(&with_another_secret(&door.key.secret)).await;
    assert_eq!(unknown.problem(), (401, "invalid_api_key".into(), "Invalid API key".into()));
    assert_eq!(unknown.bytes(), wrong.bytes());
    assert_eq!(door.knock(&door.key.secret).await.status, 200);
}

#[tokio::test]
async fn a_keys_state_is_said_to_whoever_knows_its_secret() {
    let seconds = Arc::new(AtomicI64::new(1_800_000_000));
    let hands = seconds.clone();
    let clock = Arc::new(move || Timestamp::from_second(hands.load(Ordering::Relaxed)).unwrap());
    let door = Door::of(TestApp::with_clock(clock, |_| {}).await, json!({})).await;
    let expires = Timestamp::from_second(1_800_000_100).unwrap().to_string();
    let made = door.app.post("/groups/acme/api-keys", json!({"name": "short-lived", "expires": expires})).await;
    let short_lived = made["api_key"].as_str().unwrap();

    seconds.store(1_800_000_099, Ordering::Relaxed);
    assert_eq!(door.knock(short_lived).await.status, 200);
    seconds.store(1_800_000_100, Ordering::Relaxed);
    assert_eq!(door.knock(&door.key.secret).await.status, 200);

    for (name, change) in [("off", "disable"), ("ended", "revoke")] {
        let key = door.app.key(name).await;
        door.app.post(&format!("/groups/acme/api-keys/{name}/{change}"), json!({})).await;
        let (code, message) = match change {
            "disable" => ("disabled_api_key", "API key is disabled"),
            _ => ("revoked_api_key", "API key has been revoked"),
        };
        said(&door, &key.secret, code, message).await;
    }
    said(&door, short_lived, "expired_api_key", "API key has expired").await;
}

async fn said(door: &Door, key: &str, code: &str, message: &str) {
    let answer = door.knock(key).await;
    assert_eq!(answer.problem(), (401, code.into(), message.into()));
    assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_token\"");
    let guessed = door.knock(&with_another_secret(key)).await;
    assert_eq!(guessed.problem(), (401, "invalid_api_key".into(), "Invalid API key".into()));
}

#[tokio::test]
async fn a_switch_is_seen_by_the_very_next_request() {
    let door = Door::open().await;
    let statuses = async |change: &str| {
        door.app.post(&format!("/groups/acme/api-keys/crm/{change}"), json!({})).await;
        door.knock(&door.key.secret).await.status
    };
    assert_eq!(door.knock(&door.key.secret).await.status, 200);
    assert_eq!(statuses("disable").await, 401);
    assert_eq!(statuses("enable").await, 200);
    assert_eq!(statuses("revoke").await, 401);
    let enable = door.app.manage(Method::POST, "/groups/acme/api-keys/crm/enable");
    assert_eq!(Answer::to(enable).await.status, 409);
    let door = Door { app: door.app.restart().await, ..door };
    let url = format!("{}/hooks/{}", door.app.url(), door.trigger.routing_key);
    let answer = Answer::to(door.to(&url).bearer_auth(&door.key.secret)).await;
    assert_eq!(answer.problem().1, "revoked_api_key");
}

#[tokio::test]
async fn a_key_has_three_forms_in_a_header() {
    let door = Door::open().await;
    let key = &door.key.secret;
    for (name, value) in [
        ("authorization", format!("Bearer {key}")),
        ("authorization", format!("bearer {key}")),
        ("authorization", format!("Key={key}")),
        ("x-api-key", key.clone()),
    ] {
        let answer = Answer::to(door.post().header(name, value)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["caller"], "Key: crm");
        assert!(!answer.text().contains(key), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_senders_own_credentials_do_no_harm_and_go_no_further() {
    let door = Door::open().await;
    let own = [("authorization", "Basic c2VuZGVyOnNlY3JldA=="), ("cookie", "session=4711"), ("x-event", "deal")];
    let request = own.into_iter().fold(door.post(), |request, (name, value)| request.header(name, value));
    let answer = Answer::to(request.header("x-api-key", &door.key.secret)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("x-event"), "{}", answer.text());
    let run = door.app.get(&format!("/groups/acme/runs/{}", answer.header("headgate-run-id"))).await.to_string();
    for text in ["c2VuZGVyOnNlY3JldA", "4711", "authorization", "cookie", &door.key.secret] {
        assert!(!answer.text().contains(text), "{text} in {}", answer.text());
        assert!(!run.contains(text), "{text} in {run}");
    }
}

#[tokio::test]
async fn two_different_keys_are_refused_the_same_one_twice_is_not() {
    let door = Door::open().await;
    let other = door.app.key("erp").await;
    let both = door.post().bearer_auth(&door.key.secret).header("x-api-key", &other.secret);
    let message = "Two different API keys were sent. Send one";
    assert_eq!(Answer::to(both).await.problem(), (401, "ambiguous_api_key".into(), message.into()));
    let twice = door.post().bearer_auth(&door.key.secret).header("x-api-key", &door.key.secret);
    assert_eq!(Answer::to(twice).await.status, 200);
}

#[tokio::test]
async fn a_trigger_says_why_it_does_not_run() {
    let door = Door::open().await;
    let refused = async |request: RequestBuilder, expected: &str| {
        let (status, code, message) = Answer::to(request).await.problem();
        assert_eq!((status, code.as_str()), (403, expected));
        message
    };
    door.app.key("erp").await;
    let narrow = door.app.trigger("mirror", json!({"keys": ["erp"]})).await;
    let message = refused(door.to(&narrow.url).bearer_auth(&door.key.secret), "key_not_accepted").await;
    assert!(message.starts_with("This trigger does not accept the API key \"crm\"."), "{message}");

    let made = door.app.post("/groups/acme/api-keys", json!({"name": "trial", "environment": "test"})).await;
    let trial = made["api_key"].as_str().unwrap();
    assert!(trial.starts_with("hg_test_"));
    let message = refused(door.post().bearer_auth(trial), "flow_not_published").await;
    assert_eq!(message, "The flow \"mirror\" is not published in test. Publish a version of it there");
    door.app.post("/groups/acme/flows/mirror/publish", json!({"environment": "test"})).await;
    assert_eq!(door.knock(trial).await.json()["environment"], "test");

    let other = door.to(&format!("{}?_profile=production", door.trigger.url)).bearer_auth(trial);
    let message = refused(other, "wrong_environment").await;
    assert!(message.starts_with("Wrong environment: the API key \"trial\" belongs to test."), "{message}");
    let named = Answer::to(door.to(&format!("{}?_profile=test&a=1", door.trigger.url)).bearer_auth(trial)).await;
    assert_eq!(named.json()["query"], json!([["a", "1"]]), "{}", named.text());
}

#[tokio::test]
async fn what_is_not_ones_own_looks_like_what_is_not_there() {
    let door = Door::open().await;
    door.app.post("/groups", json!({"name": "rival"})).await;
    let rival = door.app.post("/groups/rival/api-keys", json!({"name": "rival"})).await;
    let rival = rival["api_key"].as_str().unwrap();
    let gone = door.app.trigger("mirror", json!({})).await;
    let delete = door.app.manage(Method::DELETE, &format!("/groups/acme/flows/mirror/triggers/{}", gone.id));
    assert_eq!(Answer::to(delete).await.status, 204);

    let url = door.app.url();
    let execute = format!("{url}/flows/{}/execute", door.flow_id().await);
    let mut answers = Vec::new();
    for (url, key) in [
        (door.trigger.url.clone(), rival),
        (gone.url, &door.key.secret),
        (format!("{url}/hooks/{}", "a".repeat(24)), &door.key.secret),
        (format!("{url}/hooks/short"), &door.key.secret),
        (format!("{url}/hooks/{}%2e", door.trigger.routing_key), &door.key.secret),
        (execute.clone(), rival),
        (format!("{url}/flows/flw_{}/execute", "a".repeat(20)), rival),
        (format!("{url}/flows/mirror/execute"), &door.key.secret),
    ] {
        let answer = Answer::to(door.to(&url).bearer_auth(key)).await;
        assert_eq!(answer.problem(), (404, "not_found".into(), "Trigger not found".into()), "{url}");
        answers.push(answer.bytes());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:#?}");
    // Both doors open to whom they belong.
    assert_eq!(door.knock(&door.key.secret).await.status, 200);
    assert_eq!(Answer::to(door.to(&execute).bearer_auth(&door.key.secret)).await.status, 200);
}

#[tokio::test]
async fn the_execute_trigger_takes_a_post_and_no_routing_key() {
    let door = Door::open().await;
    let url = format!("{}/flows/{}/execute", door.app.url(), door.flow_id().await);
    let answer = Answer::to(door.to(&format!("{url}?a=1")).bearer_auth(&door.key.secret)).await;
    let event = answer.json();
    assert_eq!((&event["method"], &event["query"]), (&json!("POST"), &json!([["a", "1"]])));
    assert_eq!(event["run"], answer.header("headgate-run-id"));
    let get = Answer::to(door.app.client().get(&url).bearer_auth(&door.key.secret)).await;
    assert_eq!((get.problem().0, get.header("allow")), (405, "POST"));
    let in_query = Answer::to(door.to(&format!("{url}?api_key={}", door.key.secret))).await;
    assert_eq!(in_query.problem().1, "api_key_in_wrong_place");
}

#[tokio::test]
async fn a_trigger_takes_the_methods_it_was_made_for() {
    let door = Door::with(json!({"methods": ["GET", "POST", "PUT", "PATCH", "DELETE"]})).await;
    let ask = async |method: Method, url: &str| {
        Answer::to(door.app.client().request(method, url).bearer_auth(&door.key.secret)).await
    };
    for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let answer = ask(method.clone(), &door.trigger.url).await;
        assert_eq!(answer.json()["method"], method.as_str());
    }
    let some = door.app.trigger("mirror", json!({"methods": ["PUT", "GET"]})).await;
    for (method, url, allowed) in [
        (Method::OPTIONS, &door.trigger.url, "DELETE, GET, PATCH, POST, PUT"),
        (Method::POST, &some.url, "GET, PUT"),
        (Method::DELETE, &some.url, "GET, PUT"),
    ] {
        let answer = ask(method, url).await;
        assert_eq!(answer.problem(), (405, "method_not_allowed".into(), format!("This URL takes {allowed}")));
        assert_eq!(answer.header("allow"), allowed);
    }
    let answer = Answer::to(door.app.manage(Method::DELETE, "/groups")).await;
    assert_eq!((answer.problem().0, answer.header("allow")), (405, "GET,HEAD,POST"));
}

#[tokio::test]
async fn a_trailing_slash_makes_no_difference() {
    let door = Door::with(json!({"key_in_path": true})).await;
    let hook = &door.trigger.url;
    let execute = format!("{}/flows/{}/execute", door.app.url(), door.flow_id().await);
    for url in [format!("{hook}/"), format!("{hook}/?a=1"), format!("{execute}/")] {
        assert_eq!(Answer::to(door.to(&url).bearer_auth(&door.key.secret)).await.status, 200, "{url}");
    }
    assert_eq!(Answer::to(door.to(&format!("{hook}/{}/", door.key.secret))).await.status, 200);
    let groups = Answer::to(door.app.manage(Method::GET, "/groups/")).await;
    assert_eq!(groups.json(), door.app.get("/groups").await);
}
