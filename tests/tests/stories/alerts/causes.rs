//! What alerts are raised for, besides failed authentications, and when they close.

use headgate::domain::api_key::KeyLimits;
use headgate::domain::id::ConnectionId;
use headgate_tests::crm::StandIn;
use headgate_tests::{Answer, Key, TestApp};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::json;

use super::{ALERTS, Stage, only};

#[tokio::test]
async fn a_key_that_ends_soon_is_told_until_it_is_taken_care_of() {
    let stage = Stage::set().await;
    let in_days = |days: i64| (stage.clock.now() + SignedDuration::from_hours(24 * days)).to_string();
    for (name, days) in [("soon", 13), ("later", 15)] {
        stage.app.post("/groups/acme/api-keys", json!({"name": name, "expires": in_days(days)})).await;
    }
    stage.look().await;
    stage.look().await;
    let alert = only(&stage.app, ALERTS).await;
    assert_eq!((&alert["kind"], &alert["details"]["name"]), (&json!("key_expiring"), &json!("soon")));
    assert_eq!(alert["count"], 1);
    stage.app.post("/groups/acme/api-keys/soon/disable", json!({})).await;
    stage.look().await;
    assert_eq!(only(&stage.app, ALERTS).await["state"], "closed");
}

#[tokio::test]
async fn a_volume_far_above_a_keys_own_past_is_told() {
    let stage = Stage::set().await;
    stage.clock.set("2026-11-18T12:00:00Z");
    let (old, new) = (stage.app.key("old").await, stage.app.key("new").await);
    let (old, new) = (stage.change_key(&old, |_| {}).await, stage.change_key(&new, |_| {}).await);
    for _ in 0..3 {
        stage.use_key(&old, 250);
        stage.look().await;
        stage.clock.forward(SignedDuration::from_hours(24));
    }
    stage.use_key(&old, 1_250);
    stage.use_key(&new, 5_000);
    stage.look().await;
    assert_eq!(stage.app.get(ALERTS).await, json!([]));
    stage.use_key(&old, 1);
    stage.look().await;
    stage.use_key(&old, 1);
    stage.look().await;
    let alert = only(&stage.app, ALERTS).await;
    assert_eq!((&alert["kind"], &alert["count"]), (&json!("unusual_volume"), &json!(2)));
    assert_eq!((&alert["details"]["today"], &alert["details"]["busiest"]), (&json!(1252), &json!(250)));
    stage.clock.forward(SignedDuration::from_hours(24));
    stage.look().await;
    assert_eq!(only(&stage.app, ALERTS).await["state"], "closed");
}

#[tokio::test]
async fn approaching_a_limit_is_told_before_it_is_reached() {
    let stage = Stage::set().await;
    stage.clock.set("2026-11-22T12:00:00Z");
    let plain = stage.app.key("erp").await;
    let limits = KeyLimits { rate_per_minute: Some(100), daily_quota: Some(10) };
    let key = stage.change_key(&plain, |key| key.limits = Some(Box::new(limits))).await;
    let subjects = async || {
        let alerts = stage.app.get(&format!("{ALERTS}?state=open")).await;
        let mut subjects: Vec<_> =
            alerts.as_array().unwrap().iter().map(|a| a["subject"].as_str().unwrap().to_owned()).collect();
        subjects.sort();
        subjects
    };
    let (quota, rate) = (format!("daily-quota:{}", key.id.as_str()), format!("minute-rate:{}", key.id.as_str()));
    stage.use_key(&key, 1);
    stage.look().await;
    // Two minutes at 90 are a burst, three are a habit.
    for minute in 1..=3 {
        stage.use_key(&key, 90);
        stage.clock.forward(SignedDuration::from_secs(60));
        stage.look().await;
        assert_eq!(subjects().await.contains(&rate), minute == 3, "{minute}");
    }
    for request in 1..=8 {
        stage.look().await;
        assert!(!subjects().await.contains(&quota), "{request}");
        let listed = stage.app.manage_as(&plain.secret, Method::GET, "/groups/acme/flows");
        assert_eq!(Answer::to(listed).await.status, 200);
    }
    stage.look().await;
    assert_eq!(subjects().await, [quota.clone(), rate.clone()]);
    // A larger quota is far away again.
    let id = Key { id: key.id.as_str().to_owned(), secret: String::new() };
    let limits = KeyLimits { rate_per_minute: Some(100), daily_quota: Some(20) };
    stage.change_key(&id, |key| key.limits = Some(Box::new(limits))).await;
    stage.look().await;
    assert_eq!(subjects().await, [rate]);
    stage.clock.forward(SignedDuration::from_hours(13));
    stage.look().await;
    assert_eq!(subjects().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_months_allowance_is_told_at_four_fifths() {
    let stage = Stage::set().await;
    stage.app.publish("echo", "echo").await;
    let allow = async |runs: u64| {
        let change =
            stage.app.manage(Method::PATCH, "/groups/acme").json(&json!({"allowance": {"runs_per_month": runs}}));
        assert_eq!(Answer::to(change).await.status, 200);
    };
    allow(5).await;
    for run in 1..=4 {
        stage.app.post("/groups/acme/flows/echo/run", json!({})).await;
        stage.look().await;
        assert_eq!(stage.app.get(ALERTS).await.as_array().unwrap().len(), usize::from(run == 4));
    }
    assert_eq!(only(&stage.app, ALERTS).await["subject"], "allowance");
    allow(50).await;
    stage.look().await;
    assert_eq!(only(&stage.app, ALERTS).await["state"], "closed");
}

#[tokio::test]
async fn a_connection_whose_app_refuses_it_twice_is_told_until_it_works() {
    let crm = StandIn::crm("the-right-token").await;
    let exempt = crm.address.to_string();
    let app = TestApp::with(|settings| settings.egress.allow_private = vec![exempt.parse().unwrap()]).await;
    app.install("hubspot").await;
    app.publish("update-lead-status", "update-lead-status").await;
    let connection = |name: &str, token: &str| json!({"name": name, "connector": "hubspot", "config": {"api_url": crm.url()}, "secrets": {"token": token}});
    let broken = app.connect("update-lead-status", "crm", connection("crm", "the-wrong-token")).await;
    let (key, trigger) = (app.key("crm").await, app.trigger("update-lead-status", json!({})).await);
    let event =
        json!({"deal": {"id": "9001", "stage": "closedwon"}, "contact": {"email": "ada@example.com"}}).to_string();
    app.fire(&trigger, &key, event.clone()).await;
    assert_eq!(app.get(ALERTS).await, json!([]));
    app.fire(&trigger, &key, event).await;
    let alerts = app.until(ALERTS, |alerts| alerts != &json!([])).await;
    assert_eq!((&alerts[0]["kind"], &alerts[0]["details"]["name"]), (&json!("connection_broken"), &json!("crm")));
    assert_eq!(alerts[0]["subject"], format!("connection:{}", broken["id"].as_str().unwrap()));
    let service = app.app().service();
    let connection = service
        .catalog()
        .connections
        .get(&broken["id"].as_str().unwrap().parse::<ConnectionId>().unwrap())
        .cloned()
        .unwrap();
    service.alert_connection_restored(&connection).await.unwrap();
    assert_eq!(only(&app, ALERTS).await["state"], "closed");
}
