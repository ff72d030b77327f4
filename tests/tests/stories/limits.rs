//! How often, from where and for what a key may be used: what callers are told, and that it cannot be got around.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use headgate::domain::api_key::{ApiKey, KeyLimits, KeyPermission};
use headgate::domain::permission::{Action, Scope, ScopeSet};
use headgate::service::access::Actor;
use headgate::service::record::Record;
use headgate_tests::process::Process;
use headgate_tests::{Answer, Key, TestApp, Trigger};
use jiff::Timestamp;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

/// 2026-11-22, noon.
const NOON: i64 = 1_795_348_800;

/// A server that goes by a clock of the story's own, with the flow `mirror`, a key and a trigger.
struct Door {
    app: TestApp,
    key: Key,
    trigger: Trigger,
    seconds: Arc<AtomicI64>,
}

impl Door {
    async fn open(trigger: Value) -> Self {
        Self::with(trigger, &[]).await
    }

    /// Behind proxies of these networks.
    async fn with(trigger: Value, proxies: &[&str]) -> Self {
        let seconds = Arc::new(AtomicI64::new(NOON));
        let hands = seconds.clone();
        let clock = Arc::new(move || Timestamp::from_second(hands.load(Ordering::Relaxed)).unwrap());
        let proxies = proxies.iter().map(|network| network.parse().unwrap()).collect();
        let app = TestApp::with_clock(clock, |settings| settings.trusted_proxies = proxies).await;
        app.publish("mirror", "mirror").await;
        let (key, trigger) = (app.key("crm").await, app.trigger("mirror", trigger).await);
        Self { app, key, trigger, seconds }
    }

    fn post(&self) -> RequestBuilder {
        let url = format!("{}/hooks/{}", self.app.url(), self.trigger.routing_key);
        self.app.client().post(url).bearer_auth(&self.key.secret)
    }

    async fn knock(&self) -> Answer {
        Answer::to(self.post().body("hello")).await
    }

    fn wait(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::Relaxed);
    }

    async fn restart(self) -> Self {
        Self { app: self.app.restart().await, ..self }
    }

    async fn change(&self, change: impl FnOnce(&mut ApiKey)) {
        change_key(&self.app, "crm", change).await;
    }
}

/// Changes a key of `acme` behind the API.
async fn change_key(app: &TestApp, name: &str, change: impl FnOnce(&mut ApiKey)) {
    let (service, group) = (app.app().service(), "acme".parse().unwrap());
    let mut edit = service.edit(&Actor::system(), &group, Action::UpdateApiKey).await.unwrap();
    let mut key = ApiKey::clone(edit.catalog().key_named(&group, &name.parse().unwrap()).unwrap());
    change(&mut key);
    edit.put(Record::ApiKey(Arc::new(key)));
    edit.save().await.unwrap();
}

fn limit(rate_per_minute: Option<u32>, daily_quota: Option<u64>) -> impl FnOnce(&mut ApiKey) {
    move |key| key.limits = Some(Box::new(KeyLimits { rate_per_minute, daily_quota }))
}

/// `X-RateLimit-Limit`, `-Remaining`, `-Reset` and `Retry-After`.
fn standing(answer: &Answer) -> [&str; 4] {
    ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after"].map(|name| answer.header(name))
}

#[tokio::test]
async fn a_rate_is_told_with_every_answer_and_refuses_what_is_beyond_it() {
    let door = Door::open(json!({})).await;
    assert_eq!(standing(&door.knock().await), ["", "", "", ""]);
    door.change(limit(Some(3), Some(1000))).await;
    let reset = (NOON + 60).to_string();

    // A flow cannot say otherwise.
    let order = json!({"answer": {"status": 200, "headers": [["x-ratelimit-remaining", "99"]], "body": ""}});
    let answer = Answer::to(door.post().body(order.to_string())).await;
    assert_eq!((answer.status, standing(&answer)), (200, ["3", "2", reset.as_str(), ""]));
    let order = json!({"fail": {"code": "no_tea", "message": "None.", "retryable": false, "details": {}}});
    let answer = Answer::to(door.post().body(order.to_string())).await;
    assert_eq!((answer.status, standing(&answer)), (502, ["3", "1", reset.as_str(), ""]));
    let asynchronous = door.app.trigger("mirror", json!({"respond": "async"})).await;
    let answer = Answer::to(door.app.client().post(&asynchronous.url).bearer_auth(&door.key.secret)).await;
    assert_eq!((answer.status, standing(&answer)), (202, ["3", "0", reset.as_str(), ""]));

    door.wait(20);
    for _ in 0..3 {
        let answer = door.knock().await;
        let (status, code, message) = answer.problem();
        assert_eq!((status, code.as_str()), (429, "rate_limited"));
        assert_eq!(
            message,
            "Rate limit exceeded: the API key \"crm\" may make 3 requests a minute. Try again in 40 s, or raise the key's rate_per_minute"
        );
        assert_eq!(standing(&answer), ["3", "0", reset.as_str(), "40"]);
    }
    door.wait(40);
    assert_eq!(door.knock().await.status, 200);
    // Other keys are not concerned.
    let other = door.app.key("erp").await;
    assert_eq!(door.app.fire(&door.trigger, &other, "").await.status(), 200);
}

#[tokio::test]
async fn a_quota_holds_over_a_restart_and_begins_again_at_midnight() {
    let door = Door::open(json!({})).await;
    door.change(limit(None, Some(5))).await;
    let midnight = (NOON + 12 * 3600).to_string();
    for remaining in ["4", "3", "2"] {
        assert_eq!(standing(&door.knock().await), ["5", remaining, midnight.as_str(), ""]);
    }
    let door = door.restart().await;
    for remaining in ["1", "0"] {
        assert_eq!(standing(&door.knock().await), ["5", remaining, midnight.as_str(), ""]);
    }
    let answer = door.knock().await;
    let (status, code, message) = answer.problem();
    assert_eq!((status, code.as_str(), standing(&answer)[3]), (429, "quota_exceeded", "43200"));
    assert!(message.starts_with("Daily quota exceeded: the API key \"crm\" may make 5 requests a day."), "{message}");
    let door = door.restart().await;
    assert_eq!(door.knock().await.status, 429);
    door.wait(12 * 3600);
    assert_eq!(standing(&door.knock().await)[1], "4");
}

#[tokio::test]
async fn a_server_that_is_killed_never_admits_more_than_the_quota() {
    let door = Door::open(json!({})).await;
    door.change(limit(None, Some(60))).await;
    let (token, Door { app, key, trigger, .. }) = (door.app.token().to_owned(), door);
    let folder = app.stop().await;
    let mut admitted = 0;
    for calls in [7, 11, 200] {
        let server = Process::start(&folder.path().join("data"), &token, &[]).await;
        for _ in 0..calls {
            let answer = Answer::to(server.fire(&trigger, &key, "hello")).await;
            assert!(matches!(answer.status, 200 | 429), "{answer:?}");
            admitted += usize::from(answer.status == 200);
        }
        server.kill().await;
    }
    // A block is three requests, and the next one is reserved before the last is spent.
    assert!((60 - 2 * 6..=60).contains(&admitted), "{admitted}");
}

#[tokio::test]
async fn the_causes_of_a_refusal_one_by_one() {
    let door = Door::open(json!({})).await;
    let refused = async |path: &str| {
        let url = format!("{}/hooks/{}{path}", door.app.url(), door.trigger.routing_key);
        Answer::to(door.app.client().post(url).bearer_auth(&door.key.secret)).await
    };
    let other = door.app.post("/groups/acme/flows", json!({"name": "other"})).await["id"].as_str().unwrap().to_owned();
    let mirror = door.app.get("/groups/acme/flows/mirror").await["id"].as_str().unwrap().to_owned();
    let selected = |flow: &str| KeyPermission::SelectedFlows(Box::new([flow.parse().unwrap()].into()));

    door.change(|key| key.permission = selected(&other)).await;
    let (status, code, message) = refused("").await.problem();
    assert_eq!((status, code.as_str()), (403, "no_permission_for_flow"));
    assert!(message.starts_with("The API key \"crm\" has no permission for this flow."), "{message}");

    door.change(|key| {
        key.permission = KeyPermission::ReadOnly;
        key.scopes = KeyPermission::ReadOnly.default_scopes();
    })
    .await;
    let (status, code, message) = refused("").await.problem();
    assert_eq!((status, code.as_str()), (403, "read_only_key"));
    assert!(message.starts_with("The API key \"crm\" is read-only."), "{message}");

    door.change(|key| {
        key.permission = selected(&mirror);
        key.scopes = ScopeSet::of(&[Scope::RunsRead]);
    })
    .await;
    let answer = refused("").await;
    let (status, code, message) = answer.problem();
    assert_eq!((status, code.as_str()), (403, "missing_scope"));
    assert!(message.starts_with("The API key \"crm\" has no scope flows:execute."), "{message}");
    let challenge = "Bearer error=\"insufficient_scope\", scope=\"flows:execute\"";
    assert_eq!(answer.header("www-authenticate"), challenge);

    door.change(|key| key.scopes = ScopeSet::all()).await;
    assert_eq!(refused("?_profile=test").await.problem().1, "wrong_environment");
    assert_eq!(refused("?_profile=production").await.status, 200);

    door.change(|key| key.networks = ["203.0.113.0/24".parse().unwrap()].into()).await;
    let (status, code, message) = refused("").await.problem();
    assert_eq!((status, code.as_str()), (403, "source_network"));
    assert!(message.starts_with("The API key \"crm\" may not be used from 127.0.0.1."), "{message}");

    // What is refused was not counted.
    door.change(limit(Some(1), Some(1))).await;
    assert_eq!(refused("").await.status, 403);
    door.change(|key| key.networks = Box::default()).await;
    assert_eq!(refused("").await.status, 200);
    assert_eq!(refused("").await.status, 429);
}

#[tokio::test]
async fn a_group_may_want_the_environment_named_outside_production() {
    let door = Door::open(json!({})).await;
    door.app.post("/groups/acme/flows/mirror/publish", json!({"environment": "test"})).await;
    let made = door.app.post("/groups/acme/api-keys", json!({"name": "trial", "environment": "test"})).await;
    let trial = made["api_key"].as_str().unwrap();
    let knock = async |query: &str, key: &str| {
        Answer::to(door.app.client().post(format!("{}{query}", door.trigger.url)).bearer_auth(key)).await
    };
    assert_eq!(knock("", trial).await.status, 200);

    let (service, group) = (door.app.app().service(), "acme".parse().unwrap());
    let mut edit = service.edit(&Actor::system(), &group, Action::UpdateGroup).await.unwrap();
    let mut record = headgate::domain::group::Group::clone(&edit.catalog().groups[&group]);
    record.profile_required = true;
    edit.put(Record::Group(Arc::new(record)));
    edit.save().await.unwrap();

    let (status, code, message) = knock("", trial).await.problem();
    assert_eq!((status, code.as_str()), (403, "wrong_environment"));
    assert!(message.ends_with("Add _profile=test to the URL's query"), "{message}");
    assert_eq!(knock("?_profile=test", trial).await.status, 200);
    assert_eq!(knock("?_profile=production", trial).await.status, 403);
    assert_eq!(knock("", &door.key.secret).await.status, 200);
}

#[tokio::test]
async fn a_forged_header_gets_around_neither_a_network_nor_a_limit() {
    let door = Door::open(json!({})).await;
    door.change(|key| key.networks = ["203.0.113.0/24".parse().unwrap()].into()).await;
    for name in ["x-forwarded-for", "forwarded", "x-real-ip", "true-client-ip", "cf-connecting-ip"] {
        let forged = if name == "forwarded" { "for=203.0.113.7" } else { "203.0.113.7" };
        let answer = Answer::to(door.post().header(name, forged)).await;
        assert_eq!(answer.problem().1, "source_network", "{name}");
    }
    door.change(|key| key.networks = Box::default()).await;
    door.change(limit(Some(2), None)).await;
    let mut statuses = Vec::new();
    for number in 0..4 {
        statuses.push(Answer::to(door.post().header("x-forwarded-for", format!("203.0.113.{number}"))).await.status);
    }
    assert_eq!(statuses, [200, 200, 429, 429]);
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_about_who_called_it() {
    let door = Door::with(json!({}), &["127.0.0.0/8"]).await;
    let allowed: IpAddr = "203.0.113.7".parse().unwrap();
    door.change(|key| key.networks = [allowed.into()].into()).await;
    for (forwarded, status) in [
        ("203.0.113.7", 200),
        ("198.51.100.4, 203.0.113.7", 200),
        ("203.0.113.7, 127.0.0.2", 200),
        ("203.0.113.7, 198.51.100.4", 403),
        ("198.51.100.4", 403),
    ] {
        let answer = Answer::to(door.post().header("x-forwarded-for", forwarded)).await;
        assert_eq!(answer.status, status, "{forwarded}");
    }
    assert_eq!(door.knock().await.status, 403);
}

#[tokio::test]
async fn an_api_key_manages_within_its_scopes_and_limits() {
    let door = Door::open(json!({})).await;
    let key = door.key.secret.clone();
    let flows = || door.app.client().get(format!("{}/api/v1/groups/acme/flows", door.app.url()));
    for (name, value) in [
        ("authorization", format!("Bearer {key}")),
        ("authorization", format!("Key={key}")),
        ("x-api-key", key.clone()),
    ] {
        let answer = Answer::to(flows().header(name, value)).await;
        assert_eq!((answer.status, standing(&answer)), (200, ["", "", "", ""]), "{}", answer.text());
    }
    // A URL is no place for a key here.
    let answer = Answer::to(door.app.client().get(format!("{}/api/v1/groups?api_key={key}", door.app.url()))).await;
    assert_eq!(answer.problem().1, "missing_token");

    let malformed = "Invalid API key format. Expected: Bearer hg_...";
    for (name, value, code) in [
        ("authorization", format!("Bearer {}", &key[..key.len() - 1]), "malformed_api_key"),
        ("authorization", "Key=nonsense".to_owned(), "malformed_api_key"),
        ("x-api-key", "nonsense".to_owned(), "malformed_api_key"),
        ("authorization", "Bearer sk-nonsense".to_owned(), "malformed_api_key"),
        ("authorization", "Bearer a.b.c".to_owned(), "invalid_token"),
        ("authorization", "Basic c2VuZGVyOnNlY3JldA==".to_owned(), "invalid_token"),
    ] {
        let (status, got, message) = Answer::to(flows().header(name, value.as_str())).await.problem();
        assert_eq!((status, got.as_str()), (401, code), "{value}");
        assert!(code != "malformed_api_key" || message == malformed, "{message}");
    }
    let other = door.app.key("erp").await;
    let both = flows().bearer_auth(&key).header("x-api-key", &other.secret);
    assert_eq!(Answer::to(both).await.problem().1, "ambiguous_api_key");

    door.change(|key| key.scopes = ScopeSet::of(&[Scope::FlowsExecute])).await;
    assert_eq!(Answer::to(flows().bearer_auth(&key)).await.problem().1, "missing_scope");
    door.change(|key| key.scopes = ScopeSet::all()).await;
    door.change(|key| key.networks = ["203.0.113.0/24".parse().unwrap()].into()).await;
    assert_eq!(Answer::to(flows().bearer_auth(&key)).await.problem().1, "source_network");
    door.change(|key| key.networks = Box::default()).await;

    // Webhooks and management count together.
    door.change(limit(Some(2), None)).await;
    let answer = Answer::to(flows().bearer_auth(&key)).await;
    assert_eq!((answer.status, standing(&answer)[1]), (200, "1"));
    assert_eq!(standing(&door.knock().await)[1], "0");
    let answer = Answer::to(flows().bearer_auth(&key)).await;
    assert_eq!((answer.problem().1.as_str(), standing(&answer)[3]), ("rate_limited", "60"));
    let disable = door.app.manage(Method::POST, "/groups/acme/api-keys/crm/disable");
    assert_eq!(Answer::to(disable).await.status, 200);
    assert_eq!(Answer::to(flows().bearer_auth(&key)).await.problem().1, "disabled_api_key");
}
