//! What keys are used for, and what groups may use.

use std::sync::Arc;

use headgate::domain::api_key::ApiKey;
use headgate::domain::id::ApiKeyId;
use headgate::domain::permission::Action;
use headgate::domain::usage::{Period, UsageRange};
use headgate::service::access::{Actor, Who};
use headgate::service::record::Record;
use headgate_tests::clock::TestClock;
use headgate_tests::held::Held;
use headgate_tests::{Answer, Key, TestApp, Trigger};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

const NOON: &str = "2026-11-22T12:00:00Z";

async fn app() -> (TestApp, TestClock) {
    let clock = TestClock::at(NOON.parse().unwrap());
    (TestApp::with_clock(clock.clock(), |_| {}).await, clock)
}

async fn with_flow(app: &TestApp) -> (Key, Trigger) {
    app.publish("echo", "echo").await;
    (app.key("erp").await, app.trigger("echo", json!({})).await)
}

async fn patch(app: &TestApp, body: Value) -> Answer {
    Answer::to(app.manage(Method::PATCH, "/groups/acme").json(&body)).await
}

fn figures(tally: &Value) -> [u64; 3] {
    ["requests", "succeeded", "failed"].map(|name| tally[name].as_u64().unwrap())
}

#[tokio::test]
async fn another_groups_key_has_no_usage_here() {
    let (app, _clock) = app().await;
    let (key, trigger) = with_flow(&app).await;
    app.post("/groups", json!({"name": "rival"})).await;
    assert_eq!(app.fire(&trigger, &key, "hello").await.status(), 200);
    app.until("/groups/acme/api-keys/erp/usage", |usage| usage["requests"] == 1).await;
    // What waits in memory and what was written.
    for _ in 0..2 {
        let answer = Answer::to(app.manage(Method::GET, &format!("/groups/rival/api-keys/{}/usage", key.id))).await;
        assert_eq!(answer.problem().0, 404, "{}", answer.text());
        app.app().service().write_usage().await.unwrap();
    }
}

#[tokio::test]
async fn a_keys_requests_are_counted_by_hour_day_and_flow() {
    let (app, clock) = app().await;
    let (key, trigger) = with_flow(&app).await;
    let unused = app.get("/groups/acme/api-keys/erp/usage").await;
    assert_eq!((figures(&unused), &unused["last_used"]), ([0, 0, 0], &Value::Null));
    for _ in 0..3 {
        assert_eq!(app.fire(&trigger, &key, "hello").await.status(), 200);
    }
    clock.forward(SignedDuration::from_hours(1));
    // Refused after the key was authenticated: counted as failed, with the flow where one was reached.
    let fetch = |url: &str| app.client().get(url).bearer_auth(&key.secret).send();
    assert_eq!(fetch(&trigger.url).await.unwrap().status(), 405);
    assert_eq!(fetch(&format!("{}/hooks/{}", app.url(), "x".repeat(24))).await.unwrap().status(), 404);
    // Never authenticated: not counted.
    assert_eq!(app.client().post(&trigger.url).send().await.unwrap().status(), 401);
    let later = app.trigger("echo", json!({"respond": "async"})).await;
    assert_eq!(app.fire(&later, &key, "later").await.status(), 202);

    let check = async |app: &TestApp| {
        let usage = app.get("/groups/acme/api-keys/erp/usage?by=hour").await;
        assert_eq!(figures(&usage), [6, 4, 2], "{usage}");
        assert_eq!((&usage["bytes_in"], &usage["last_address"]), (&json!(20), &json!("127.0.0.1")));
        assert!(usage["bytes_out"].as_u64().unwrap() > 15);
        assert_eq!(usage["last_used"], "2026-11-22T13:00:00Z");
        let periods: Vec<_> =
            usage["periods"].as_array().unwrap().iter().map(|p| (p["begin"].clone(), figures(p))).collect();
        assert_eq!(periods, [(json!(NOON), [3, 3, 0]), (json!("2026-11-22T13:00:00Z"), [3, 1, 2])]);
        let flows: Vec<_> =
            usage["flows"].as_array().unwrap().iter().map(|f| (f["name"].clone(), figures(f))).collect();
        assert_eq!(flows, [(json!("echo"), [5, 4, 1]), (Value::Null, [1, 0, 1])]);
        let group = app.get("/groups/acme/usage").await;
        assert_eq!((figures(&group["total"]), figures(&group["keys"][0])), ([6, 4, 2], [6, 4, 2]));
        assert_eq!(group["periods"].as_array().unwrap().len(), 1);
        assert_eq!(group["month"]["runs"], 4);
    };
    app.until("/groups/acme/usage", |usage| usage["month"]["runs"] == 4).await;
    check(&app).await;
    app.app().service().write_usage().await.unwrap();
    check(&app).await;
    // A further request goes beside what was written, and an orderly stop writes it.
    assert_eq!(app.fire(&trigger, &key, "hello").await.status(), 200);
    let app = app.restart().await;
    let usage = app.get("/groups/acme/api-keys/erp/usage").await;
    assert_eq!((figures(&usage), figures(&usage["ever"])), ([7, 5, 2], [7, 5, 2]));
    let id = key.id.parse().unwrap();
    assert_eq!(app.app().service().last_used(&id).unwrap().at, clock.now());
}

#[tokio::test]
async fn usage_is_exported_as_csv() {
    let (app, clock) = app().await;
    let (key, trigger) = with_flow(&app).await;
    app.fire(&trigger, &key, "hello").await;
    clock.forward(SignedDuration::from_hours(24));
    app.fire(&trigger, &key, "hello").await;
    let file = Answer::to(app.manage(Method::GET, "/groups/acme/usage?from=2026-11-22&to=2026-11-23&format=csv")).await;
    assert_eq!((file.status, file.header("content-type")), (200, "text/csv; charset=utf-8"));
    let name = "attachment; filename=\"headgate-usage-acme-2026-11-22-2026-11-23-by-day.csv\"";
    assert_eq!(file.header("content-disposition"), name);
    let line = |day: &str| format!("{},erp,production,{day}T00:00:00Z,1,1,0,5,5", key.id);
    let head = "key,name,environment,begin,requests,succeeded,failed,bytes_in,bytes_out".to_owned();
    let lines: Vec<_> = file.text().lines().map(str::to_owned).collect();
    assert_eq!(lines, [head.clone(), line("2026-11-22"), line("2026-11-23")]);
    let file =
        Answer::to(app.manage(Method::GET, "/groups/acme/api-keys/erp/usage?from=2026-11-23&by=hour&format=csv")).await;
    let hour = line("2026-11-23").replace("T00", "T12");
    assert_eq!(file.text().lines().collect::<Vec<_>>(), [head.as_str(), hour.as_str()]);
}

#[tokio::test]
async fn a_range_is_bounded_and_its_faults_are_named() {
    let (app, _) = app().await;
    for (query, wanted) in [
        ("from=2020-01-01", "longer than the 400 days"),
        ("from=2026-10-01&by=hour", "longer than the 31 days"),
        ("from=2026-11-22&to=2026-11-21", "The range is empty"),
        ("from=yesterday", "neither a date (2026-11-22) nor a time"),
        ("by=week", "unknown variant `week`"),
        ("form=csv", "unknown field `form`"),
    ] {
        let answer = Answer::to(app.manage(Method::GET, &format!("/groups/acme/usage?{query}"))).await;
        let (status, _, message) = answer.problem();
        assert!(status == 400 && message.contains(wanted), "{query}: {status} {message}");
    }
}

#[tokio::test]
async fn a_deleted_key_keeps_its_usage() {
    let (app, _) = app().await;
    let (key, trigger) = with_flow(&app).await;
    app.fire(&trigger, &key, "hello").await;
    let service = app.app().service().clone();
    let id: ApiKeyId = key.id.parse().unwrap();
    let group = "acme".parse().unwrap();
    let mut edit = service.edit(&Actor::system(), &group, Action::DeleteApiKey).await.unwrap();
    let record = edit.catalog().api_keys.get(&id).cloned().unwrap();
    edit.remove(&Record::ApiKey(record));
    edit.save().await.unwrap();
    let app = app.restart().await;
    let usage = app.get(&format!("/groups/acme/api-keys/{}/usage", key.id)).await;
    assert_eq!((figures(&usage), &usage["deleted"], &usage["name"]), ([1, 1, 0], &json!(true), &json!("erp")));
    let group = app.get("/groups/acme/usage").await;
    assert_eq!((&group["keys"][0]["key"], &group["keys"][0]["deleted"]), (&json!(key.id), &json!(true)));
    let unknown = Answer::to(app.manage(Method::GET, "/groups/acme/api-keys/aaaaaaaaaaaa/usage")).await;
    assert_eq!(unknown.problem().0, 404);
    app.post("/groups", json!({"name": "rival"})).await;
    let foreign = format!("/groups/rival/api-keys/{}/usage", key.id);
    assert_eq!(Answer::to(app.manage(Method::GET, &foreign)).await.problem().0, 404);
}

#[tokio::test]
async fn a_key_sees_the_usage_of_its_environment() {
    let (app, _) = app().await;
    let (key, trigger) = with_flow(&app).await;
    app.fire(&trigger, &key, "hello").await;
    let service = app.app().service();
    let catalog = service.catalog();
    let production = catalog.api_keys.get(&key.id.parse::<ApiKeyId>().unwrap()).unwrap();
    let test = ApiKey { environment: "test".parse().unwrap(), ..ApiKey::clone(production) };
    let range = || UsageRange::parse(None, None, Period::Day, service.now()).unwrap();
    let group = "acme".parse().unwrap();
    for (key, seen) in [(production.clone(), 1), (Arc::new(test), 0)] {
        let actor = Actor::new(Who::Key(key), None);
        let usage = service.group_usage(&actor, &group, range()).await.unwrap();
        assert_eq!((usage.keys.len(), usage.sum.requests), (seen as usize, seen));
        assert_eq!(service.key_usage(&actor, &group, "erp", range()).await.is_ok(), seen == 1);
    }
}

#[tokio::test]
async fn a_spent_allowance_answers_402_until_it_is_raised_or_the_month_ends() {
    let (app, clock) = app().await;
    let (key, trigger) = with_flow(&app).await;
    let later = app.trigger("echo", json!({"respond": "async"})).await;
    let changed = patch(&app, json!({"allowance": {"runs_per_month": 2}})).await;
    assert_eq!(changed.json()["allowance"], json!({"runs_per_month": 2}));
    for trigger in [&trigger, &later] {
        assert!(app.fire(trigger, &key, "hello").await.status().is_success());
    }
    app.until("/groups/acme", |group| group["month"]["runs"] == 2).await;
    let refused = async |answer: Answer| {
        let (status, code, message) = answer.problem();
        assert_eq!((status, code.as_str()), (402, "allowance_spent"));
        assert!(message.contains("allowance of 2 runs") && message.contains("2026-12-01T00:00:00Z"), "{message}");
        // Eight days and a half.
        assert_eq!(answer.header("retry-after"), "734400");
    };
    for trigger in [&trigger, &later] {
        refused(Answer::to(app.client().post(&trigger.url).bearer_auth(&key.secret)).await).await;
    }
    refused(Answer::to(app.manage(Method::POST, "/groups/acme/flows/echo/run").json(&json!({}))).await).await;
    // What was spent outlives a restart.
    let app = app.restart().await;
    let trigger = Trigger { url: format!("{}/hooks/{}", app.url(), trigger.routing_key), ..trigger };
    refused(Answer::to(app.client().post(&trigger.url).bearer_auth(&key.secret)).await).await;
    patch(&app, json!({"allowance": {"runs_per_month": 3}})).await;
    assert_eq!(app.fire(&trigger, &key, "hello").await.status(), 200);
    assert_eq!(app.fire(&trigger, &key, "hello").await.status(), 402);
    clock.set("2026-12-01T00:00:00Z");
    assert_eq!(app.fire(&trigger, &key, "hello").await.status(), 200);
    assert_eq!(app.get("/groups/acme").await["month"]["month"], "2026-12");
    let usage = app.get("/groups/acme/usage").await;
    assert_eq!((&usage["month"]["runs"], &usage["allowance"]["runs_per_month"]), (&json!(1), &json!(3)));
    assert!(usage["month"]["run_seconds"].as_f64().unwrap() > 0.0);
    patch(&app, json!({"allowance": {"run_seconds_per_month": 0}})).await;
    assert_eq!(app.fire(&trigger, &key, "hello").await.status(), 402);
    assert!(patch(&app, json!({"allowance": null})).await.json().get("allowance").is_none());
    assert_eq!(app.fire(&trigger, &key, "hello").await.status(), 200);
}

#[tokio::test]
async fn an_allowance_holds_when_many_call_at_once() {
    let (app, _) = app().await;
    let (key, trigger) = with_flow(&app).await;
    patch(&app, json!({"allowance": {"runs_per_month": 5}})).await;
    let calls = (0..40).map(|_| app.fire(&trigger, &key, "hello"));
    let answers = futures::future::join_all(calls).await;
    let with = |status: u16| answers.iter().filter(|answer| answer.status() == status).count();
    assert_eq!((with(200), with(402)), (5, 35));
}

#[tokio::test]
async fn a_run_under_way_counts_against_the_allowance_and_a_caller_who_left_as_a_failure() {
    let held = Held::start().await;
    let exempt = held.address.to_string();
    let app = TestApp::with(|settings| settings.egress.allow_private = vec![exempt.parse().unwrap()]).await;
    app.install("http-connector").await;
    app.publish("obey", "hostile-flow").await;
    let config = json!({"base_url": format!("http://{exempt}")});
    app.connect("obey", "app", json!({"name": "app", "connector": "http", "auth": "none", "config": config})).await;
    let (key, trigger) = (app.key("erp").await, app.trigger("obey", json!({})).await);
    patch(&app, json!({"allowance": {"runs_per_month": 1}})).await;
    let call = json!({"do": "call", "slot": "app", "method": "request", "input": {"path": "/"}}).to_string();
    let caller = tokio::spawn(app.client().post(&trigger.url).bearer_auth(&key.secret).body(call).send());
    held.asked(1).await;
    assert_eq!(app.fire(&trigger, &key, "{}").await.status(), 402);
    caller.abort();
    let usage = app.until("/groups/acme/usage", |usage| usage["total"]["requests"] == 2).await;
    assert_eq!((figures(&usage["total"]), &usage["month"]["runs"]), ([2, 0, 2], &json!(0)));
    held.release();
    app.until("/groups/acme/usage", |usage| usage["month"]["runs"] == 1).await;
}

#[tokio::test]
async fn a_group_is_changed_in_parts() {
    let (app, _) = app().await;
    let changed = patch(&app, json!({"description": "Orders", "environments": ["staging"], "profile_required": true}))
        .await
        .json();
    assert_eq!(changed["environments"], json!(["production", "test", "staging"]));
    assert_eq!((&changed["description"], &changed["profile_required"]), (&json!("Orders"), &json!(true)));
    app.post("/groups/acme/api-keys", json!({"name": "stage", "environment": "staging"})).await;
    let (status, _, message) = patch(&app, json!({"environments": ["production", "test"]})).await.problem();
    assert_eq!(
        (status, message.as_str()),
        (409, "The environment \"staging\" is used by the API key \"stage\". Move or delete that first")
    );
    assert_eq!(patch(&app, json!({"descripton": "x"})).await.status, 400);

    let url = "https://ops.example.com/alerts?team=secret";
    let made = patch(&app, json!({"alert_endpoint": {"url": url}})).await.json();
    let secret = made["alert_secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && secret.len() > 40, "{secret}");
    let shown = app.get("/groups/acme").await;
    assert_eq!(shown["alert_endpoint"], url);
    assert!(!shown.to_string().contains("whsec_"));
    // The same secret stays when only the URL changes, and is never told again.
    let moved = patch(&app, json!({"alert_endpoint": {"url": "https://ops.example.com/moved"}})).await.json();
    assert_eq!(moved.get("alert_secret"), None);
    let renewed = patch(&app, json!({"alert_endpoint": {"url": url, "new_secret": true}})).await.json();
    assert_ne!(renewed["alert_secret"], made["alert_secret"]);
    for (endpoint, wanted) in [
        (json!({"url": "ftp://x.example/"}), "begins with https://"),
        (json!({"url": "https://me:pw@x.example/"}), "no user name"),
        (json!({"url": url, "secret": "whsec_short"}), "24 to 64 bytes"),
    ] {
        let (status, _, message) = patch(&app, json!({ "alert_endpoint": endpoint })).await.problem();
        assert!(status == 400 && message.contains(wanted), "{status} {message}");
    }
    assert_eq!(patch(&app, json!({"alert_endpoint": null})).await.json().get("alert_endpoint"), None);
}
