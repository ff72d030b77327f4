//! Alerts: one per cause, sent with a signature that others can verify, acknowledged by people.

mod causes;

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use axum::response::IntoResponse as _;
use headgate::domain::api_key::ApiKey;
use headgate::domain::id::{ApiKeyId, GroupId};
use headgate::domain::permission::{Action, Role};
use headgate::domain::secret::checksum;
use headgate::domain::user::{Member, Session, User};
use headgate::service::Service;
use headgate::service::access::{Actor, Who};
use headgate::service::audit::AuditQuery;
use headgate::service::error::ServiceError;
use headgate::service::record::Record;
use headgate::service::usage::Seen;
use headgate_tests::clock::TestClock;
use headgate_tests::crm::{Received, StandIn};
use headgate_tests::{Answer, Key, TestApp};
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

const ALERTS: &str = "/groups/acme/alerts";

/// A receiver of alerts that answers as it is told, and a server whose group sends its alerts there.
struct Stage {
    app: TestApp,
    clock: TestClock,
    receiver: StandIn,
    status: Arc<AtomicU16>,
    secret: String,
}

impl Stage {
    async fn set() -> Self {
        let status = Arc::new(AtomicU16::new(204));
        let answer = status.clone();
        let receiver = StandIn::start(move |_| {
            let status = axum::http::StatusCode::from_u16(answer.load(Ordering::SeqCst)).unwrap();
            (status, [("location", "http://127.0.0.1:1/")]).into_response()
        })
        .await;
        let clock = TestClock::at(Timestamp::now());
        let exempt = receiver.address.to_string();
        let app = TestApp::with_clock(clock.clock(), |settings| {
            settings.egress.allow_private = vec![exempt.parse().unwrap()]
        })
        .await;
        let endpoint = json!({"alert_endpoint": {"url": receiver.url()}});
        let changed = Answer::to(app.manage(Method::PATCH, "/groups/acme").json(&endpoint)).await.json();
        let secret = changed["alert_secret"].as_str().unwrap().to_owned();
        Self { app, clock, receiver, status, secret }
    }

    fn service(&self) -> &Arc<Service> {
        self.app.app().service()
    }

    async fn look(&self) {
        self.service().write_usage().await.unwrap();
        self.service().evaluate_alerts().await.unwrap();
    }

    async fn deliver(&self) {
        self.service().deliver_alerts().await.unwrap();
    }

    /// Messages that arrived, with their bodies.
    fn messages(&self) -> Vec<(Received, Value)> {
        let received = self.receiver.received().into_iter();
        received.map(|message| (message.clone(), serde_json::from_slice(&message.body).unwrap())).collect()
    }

    fn types(&self) -> Vec<String> {
        self.messages().iter().map(|(_, body)| body["type"].as_str().unwrap().to_owned()).collect()
    }

    /// Changes a key as no operation of the API does yet.
    async fn change_key(&self, key: &Key, change: impl FnOnce(&mut ApiKey)) -> Arc<ApiKey> {
        let mut edit = self.service().edit(&Actor::system(), &acme(), Action::UpdateApiKey).await.unwrap();
        let mut changed = ApiKey::clone(edit.catalog().api_keys.get(&key.id.parse::<ApiKeyId>().unwrap()).unwrap());
        change(&mut changed);
        let changed = Arc::new(changed);
        edit.put(Record::ApiKey(changed.clone()));
        edit.save().await.unwrap();
        changed
    }

    fn use_key(&self, key: &Arc<ApiKey>, times: u64) {
        for _ in 0..times {
            let seen = Seen::default();
            seen.key(key);
            self.service().count(&seen, true, 0, None);
        }
    }
}

fn acme() -> GroupId {
    "acme".parse().unwrap()
}

/// A well-formed key with this id and a secret that is not its own.
fn forged(id: &str) -> String {
    let text = format!("hg_live_{id}_{}", "a".repeat(43));
    format!("{text}{}", std::str::from_utf8(&checksum(&text)).unwrap())
}

async fn knock(app: &TestApp, key: &str, times: usize) {
    let url = format!("{}/hooks/{}", app.url(), "x".repeat(24));
    for _ in 0..times {
        assert_eq!(app.client().post(&url).bearer_auth(key).send().await.unwrap().status(), 401);
    }
}

async fn only(app: &TestApp, path: &str) -> Value {
    let alerts = app.get(path).await;
    assert_eq!(alerts.as_array().unwrap().len(), 1, "{alerts}");
    alerts[0].clone()
}

#[tokio::test]
async fn a_thousand_failures_are_one_alert_and_one_verifiable_message() {
    let stage = Stage::set().await;
    let app = &stage.app;
    let key = app.key("erp").await;
    knock(app, &forged(&key.id), 19).await;
    stage.look().await;
    assert_eq!(app.get(ALERTS).await, json!([]));
    knock(app, &forged(&key.id), 981).await;
    for _ in 0..3 {
        stage.look().await;
        stage.deliver().await;
    }
    let alert = only(app, ALERTS).await;
    assert_eq!(
        (&alert["kind"], &alert["state"], &alert["count"]),
        (&json!("failed_authentication"), &json!("open"), &json!(1000))
    );
    assert_eq!(alert["subject"], format!("api-key:{}", key.id));
    assert_eq!((&alert["details"]["address"], &alert["delivery"]["state"]), (&json!("127.0.0.1"), &json!("delivered")));
    assert_eq!(stage.types(), ["alert.opened"]);

    let (message, body) = stage.messages().remove(0);
    let webhook = Webhook::new(&stage.secret).unwrap();
    webhook.verify(&message.body, &message.headers).unwrap();
    assert!(webhook.verify(b"{}", &message.headers).is_err());
    assert_eq!((&body["data"]["id"], &body["data"]["group"]), (&alert["id"], &json!("acme")));
    // The key itself stands nowhere, nor does the signing secret.
    for text in [alert.to_string(), body.to_string()] {
        assert!(!text.contains("hg_live_") && !text.contains("whsec_"), "{text}");
    }

    // At rest it closes by itself; what comes then is another alert.
    stage.clock.forward(SignedDuration::from_mins(6));
    stage.look().await;
    stage.deliver().await;
    assert_eq!(only(app, ALERTS).await["state"], "closed");
    assert_eq!(stage.types(), ["alert.opened", "alert.closed"]);
    knock(app, &forged(&key.id), 20).await;
    stage.look().await;
    let alerts = app.get(&format!("{ALERTS}?state=open")).await;
    assert_eq!(alerts[0]["count"], 20);
    assert_ne!(alerts[0]["id"], alert["id"]);
    assert_eq!(app.get(ALERTS).await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn keys_that_do_not_exist_concern_the_server() {
    let stage = Stage::set().await;
    knock(&stage.app, &forged("aaaaaaaaaaaa"), 15).await;
    // Whoever has no key at all is lost, not an intruder.
    let missing = stage.app.client().post(format!("{}/hooks/x", stage.app.url()));
    for _ in 0..20 {
        assert_eq!(missing.try_clone().unwrap().send().await.unwrap().status(), 401);
    }
    stage.look().await;
    assert_eq!(stage.app.get("/alerts").await, json!([]));
    knock(&stage.app, &forged("bbbbbbbbbbbb"), 5).await;
    stage.look().await;
    assert_eq!(stage.app.get(ALERTS).await, json!([]));
    let alert = only(&stage.app, "/alerts").await;
    assert_eq!(
        (&alert["subject"], &alert["count"], &alert["delivery"]),
        (&json!("address:127.0.0.1"), &json!(20), &Value::Null)
    );
    let path = format!("/alerts/{}/acknowledge", alert["id"].as_str().unwrap());
    let acknowledged = stage.app.post(&path, json!({"note": "a scan"})).await;
    assert_eq!(
        (&acknowledged["state"], &acknowledged["acknowledged"]["note"]),
        (&json!("acknowledged"), &json!("a scan"))
    );
    // It outlives a restart, and stays acknowledged while it goes on.
    let app = stage.app.restart().await;
    knock(&app, &forged("bbbbbbbbbbbb"), 20).await;
    app.app().service().evaluate_alerts().await.unwrap();
    let alert = only(&app, "/alerts").await;
    assert_eq!((&alert["state"], &alert["count"]), (&json!("acknowledged"), &json!(40)));
}

#[tokio::test]
async fn a_message_that_was_not_taken_is_sent_again_also_after_a_restart() {
    let stage = Stage::set().await;
    stage.status.store(503, Ordering::SeqCst);
    let key = stage.app.key("erp").await;
    knock(&stage.app, &forged(&key.id), 20).await;
    stage.look().await;
    stage.deliver().await;
    let delivery = &only(&stage.app, ALERTS).await["delivery"];
    assert_eq!((&delivery["state"], &delivery["attempts"]), (&json!("pending"), &json!(1)));
    assert_eq!(delivery["error"], "the endpoint answered 503");
    // Not due yet: it is left alone.
    stage.deliver().await;
    assert_eq!(stage.messages().len(), 1);
    // Neither is a redirect followed.
    stage.status.store(302, Ordering::SeqCst);
    stage.clock.forward(SignedDuration::from_secs(7));
    stage.deliver().await;
    let delivery = &only(&stage.app, ALERTS).await["delivery"];
    assert_eq!(delivery["error"], "the endpoint answered 302, and redirects are not followed");

    let Stage { app, clock, receiver, status, secret } = stage;
    let stage = Stage { app: app.restart().await, clock, receiver, status, secret };
    stage.status.store(200, Ordering::SeqCst);
    stage.clock.forward(SignedDuration::from_mins(2));
    stage.deliver().await;
    let delivery = &only(&stage.app, ALERTS).await["delivery"];
    assert_eq!((&delivery["state"], &delivery["attempts"]), (&json!("delivered"), &json!(3)));
    let ids: Vec<_> = stage.messages().iter().map(|(message, _)| message.headers["webhook-id"].clone()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]) && ids.len() == 3, "{ids:?}");
}

#[tokio::test]
async fn an_endpoint_that_never_answers_well_is_given_up_after_a_day() {
    let stage = Stage::set().await;
    stage.status.store(500, Ordering::SeqCst);
    let key = stage.app.key("erp").await;
    knock(&stage.app, &forged(&key.id), 20).await;
    stage.look().await;
    for _ in 0..12 {
        stage.deliver().await;
        stage.clock.forward(SignedDuration::from_hours(12));
    }
    let delivery = &only(&stage.app, ALERTS).await["delivery"];
    assert_eq!((&delivery["state"], &delivery["attempts"]), (&json!("undeliverable"), &json!(10)));
    assert_eq!(stage.messages().len(), 10);
}

#[tokio::test]
async fn an_endpoint_cannot_reach_into_the_servers_own_network() {
    let receiver = StandIn::start(|_| "taken".into_response()).await;
    let app = TestApp::start().await;
    let key = app.key("erp").await;
    let endpoint = json!({"alert_endpoint": {"url": receiver.url()}});
    assert_eq!(Answer::to(app.manage(Method::PATCH, "/groups/acme").json(&endpoint)).await.status, 200);
    knock(&app, &forged(&key.id), 20).await;
    app.app().service().evaluate_alerts().await.unwrap();
    app.app().service().deliver_alerts().await.unwrap();
    let error = only(&app, ALERTS).await["delivery"]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("its address is not public (loopback)"), "{error}");
    assert!(receiver.received().is_empty());
}

#[tokio::test]
async fn while_a_secret_is_changed_both_sign() {
    let stage = Stage::set().await;
    let endpoint = json!({"alert_endpoint": {"url": stage.receiver.url(), "new_secret": true}});
    let change = stage.app.manage(Method::PATCH, "/groups/acme").json(&endpoint);
    let new = Answer::to(change).await.json()["alert_secret"].as_str().unwrap().to_owned();
    let key = stage.app.key("erp").await;
    knock(&stage.app, &forged(&key.id), 20).await;
    stage.look().await;
    stage.deliver().await;
    let (message, _) = stage.messages().remove(0);
    assert_eq!(message.headers["webhook-signature"].to_str().unwrap().split(' ').count(), 2);
    for secret in [&stage.secret, &new] {
        Webhook::new(secret).unwrap().verify(&message.body, &message.headers).unwrap();
    }
    stage.clock.forward(SignedDuration::from_hours(25));
    stage.look().await;
    stage.deliver().await;
    let (message, body) = stage.messages().remove(1);
    assert_eq!(body["type"], "alert.closed");
    assert_eq!(message.headers["webhook-signature"].to_str().unwrap().split(' ').count(), 1);
}

#[tokio::test]
async fn an_editor_acknowledges_and_a_viewer_does_not() {
    let stage = Stage::set().await;
    let key = stage.app.key("erp").await;
    knock(&stage.app, &forged(&key.id), 20).await;
    stage.look().await;
    let id = only(&stage.app, ALERTS).await["id"].as_str().unwrap().parse().unwrap();
    let service = stage.service();
    let as_role = async |name: &str, role: Role| {
        let mut edit = service.edit(&Actor::system(), &acme(), Action::AddMember).await.unwrap();
        let user: User = serde_json::from_value(json!({
            "id": format!("usr_{name:0>20}"), "email": format!("{name}@example.com"), "name": name, "created": service.now(),
        }))
        .unwrap();
        let user = Arc::new(user);
        edit.put(Record::User(user.clone()));
        let member = Member { group: acme(), user: user.id.clone(), role, since: service.now() };
        edit.put(Record::Member(Arc::new(member)));
        let (now, id) = (service.now(), format!("ses_{name:0>20}"));
        let session = json!({
            "id": id, "user": user.id, "refresh": "0".repeat(64), "created": now, "refreshed": now, "expires": now,
        });
        let session: Session = serde_json::from_value(session).unwrap();
        edit.put(Record::Session(Arc::new(session.clone())));
        edit.save().await.unwrap();
        Actor::new(Who::User { user, session: session.id }, None)
    };
    let (viewer, editor) = (as_role("viewer", Role::Viewer).await, as_role("editor", Role::Editor).await);
    let refused = service.acknowledge_alert(&viewer, &acme(), &id, None).await.unwrap_err();
    assert!(matches!(refused, ServiceError::Forbidden(_)), "{refused}");
    assert_eq!(service.list_alerts(&viewer, &acme(), None).await.unwrap().len(), 1);
    assert!(matches!(service.list_server_alerts(&editor, None).await.unwrap_err(), ServiceError::Forbidden(_)));
    let alert = service.acknowledge_alert(&editor, &acme(), &id, Some("mine".to_owned())).await.unwrap();
    assert_eq!(alert.acknowledged.unwrap().by, "editor@example.com");
    let entry = service.list_audit(&Actor::system(), &acme(), &AuditQuery::default()).unwrap().entries.remove(0);
    assert_eq!((entry.action.as_str(), entry.by.name.as_str()), ("alert.acknowledge", "editor@example.com"));
    // Somebody else's alert, or none, cannot be acknowledged.
    stage.app.post("/groups", json!({"name": "rival"})).await;
    let foreign = format!("/groups/rival/alerts/{id}/acknowledge");
    assert_eq!(Answer::to(stage.app.manage(Method::POST, &foreign).json(&json!({}))).await.problem().0, 404);
}
