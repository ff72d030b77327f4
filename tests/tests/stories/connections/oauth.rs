//! OAuth connections through their life, at an app that gives tokens, refuses them and revokes them.

use std::cell::Cell;
use std::sync::{Arc, Mutex, OnceLock};

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use headgate::domain::connection::Connection;
use headgate::domain::id::ConnectionId;
use headgate::service::access::Actor;
use headgate::service::{Clock, Service};
use headgate::settings::Settings;
use headgate_tests::crm::{Received, StandIn};
use headgate_tests::{Answer, TestApp};
use jiff::Timestamp;
use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::{CONNECTIONS, FLOW, Stage, acme, health, path};

/// Nobody listens there.
const LOOPBACK: &str = "http://127.0.0.1:9/done";

/// What an app knows of its one account.
#[derive(Default)]
struct Account {
    /// How many tokens it gave.
    given: u32,
    /// The access token it takes; none after the authorization was taken back.
    takes: Option<String>,
    /// Whether it refuses to refresh.
    ended: bool,
    revoked: Vec<String>,
}

type Shared = Arc<Mutex<Account>>;

/// The stage with an app that does OAuth.
struct Consent {
    stage: Stage,
    account: Shared,
    registration: String,
}

fn field(body: &str, name: &str) -> Option<String> {
    url_fields(body).into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

fn url_fields(body: &str) -> Vec<(String, String)> {
    let url = Url::parse(&format!("http://x/?{body}")).unwrap();
    url.query_pairs().into_owned().collect()
}

/// Tokens, revocation and the CRM's one lead.
fn answer(account: &Shared, request: &Received) -> Response {
    let mut account = account.lock().unwrap();
    let body = String::from_utf8_lossy(&request.body);
    match request.uri.path() {
        "/token" if account.ended && field(&body, "grant_type").as_deref() == Some("refresh_token") => {
            (StatusCode::BAD_REQUEST, axum::Json(json!({"error": "invalid_grant"}))).into_response()
        }
        "/token" => {
            account.given += 1;
            let (access, refresh) =
                (format!("access-canary-{}", account.given), format!("refresh-canary-{}", account.given));
            account.takes = Some(access.clone());
            let tokens = json!({"access_token": access, "refresh_token": refresh, "token_type": "bearer", "expires_in": 3600, "scope": "read"});
            axum::Json(tokens).into_response()
        }
        "/revoke" => {
            account.revoked.extend(field(&body, "token"));
            account.takes = None;
            StatusCode::OK.into_response()
        }
        _ => {
            let given = request.headers.get("authorization").and_then(|value| value.to_str().ok());
            let taken = account.takes.as_ref().is_some_and(|token| given == Some(&format!("Bearer {token}")));
            if !taken {
                let body = json!({"status": "error", "message": "no such token", "category": "INVALID_AUTHENTICATION"});
                return (StatusCode::UNAUTHORIZED, axum::Json(body)).into_response();
            }
            let lead = json!({"id": "51", "properties": {"email": "ada@example.com", "hs_lead_status": "NEW"}});
            axum::Json(json!({"id": "51", "properties": {}, "total": 1, "results": [lead]})).into_response()
        }
    }
}

impl Consent {
    async fn set() -> Self {
        Self::with_clock(Arc::new(Timestamp::now)).await
    }

    async fn with_clock(clock: Clock) -> Self {
        let account = Shared::default();
        let known = account.clone();
        let crm = StandIn::start(move |request| answer(&known, request)).await;
        let exempt = crm.address.to_string();
        let change = |settings: &mut Settings| settings.egress.allow_private = vec![exempt.parse().unwrap()];
        let app = TestApp::with_clock(clock, change).await;
        app.install("hubspot").await;
        app.publish(FLOW, FLOW).await;
        let (key, trigger) = (app.key("crm").await, app.trigger(FLOW, json!({"description": "deals"})).await);
        let stage = Stage { app, crm, key, trigger };
        let scope = |name: &str, required: bool| json!({"name": name, "required": required});
        let auth = json!([{
            "id": "own", "title": "Own app", "kind": "oauth_advanced",
            "authorization_url": "${config.api_url}/auth",
            "token_url": "${config.api_url}/token",
            "revocation_url": "${config.api_url}/revoke",
            "scopes": [scope("read", true), scope("write", false)],
        }]);
        stage
            .upgrade(|manifest| {
                manifest["auth"] = auth;
                for method in manifest["methods"].as_array_mut().unwrap() {
                    let scope = if method["name"] == "update_contact" { "write" } else { "read" };
                    method["scopes"] = json!([scope]);
                }
            })
            .await;
        let registration = json!({"name": "own", "connector": "hubspot", "client_id": "headgate", "client_secret": "client-canary", "token_hosts": ["127.0.0.1"]});
        let registration =
            stage.app.post("/groups/acme/app-registrations", registration).await["id"].as_str().unwrap().to_owned();
        Self { stage, account, registration }
    }

    fn account(&self) -> std::sync::MutexGuard<'_, Account> {
        self.account.lock().unwrap()
    }

    /// Makes a connection and binds the flow's slot to it; answers its path.
    async fn connect(&self) -> String {
        let new = json!({"name": "crm", "connector": "hubspot", "config": {"api_url": self.stage.crm.url()}, "registration": self.registration});
        path(&self.stage.app.connect(FLOW, "crm", new).await)
    }

    /// A person consents at the app; answers the connection.
    async fn authorize(&self, path: &str) -> Value {
        let app = &self.stage.app;
        let begun = app.post(&format!("{path}/authorize"), json!({"return_to": LOOPBACK})).await;
        let page = Url::parse(begun["url"].as_str().unwrap()).unwrap();
        let state = field(page.query().unwrap(), "state").unwrap();
        let callback = Url::parse_with_params(
            &format!("{}/oauth/callback", app.url()),
            [("state", state.as_str()), ("code", "c0de")],
        );
        let back = Answer::to(app.client().get(callback.unwrap())).await;
        let back = Url::parse(back.header("location")).unwrap();
        let code = field(back.query().unwrap(), "code").unwrap();
        app.post(&format!("{path}/authorize/finish"), json!({ "code": code })).await
    }

    async fn test(&self, path: &str) -> Value {
        self.stage.app.post(&format!("{path}/test"), json!({})).await
    }
}

#[tokio::test]
async fn an_authorized_connection_shows_its_token_its_scopes_and_what_they_lack() {
    let consent = Consent::set().await;
    let path = consent.connect().await;
    let fresh = consent.stage.app.get(&path).await;
    let (word, reason) = health(&fresh);
    assert!(word == "grey" && reason.contains("headgate connections authorize"), "{reason}");
    assert_eq!(fresh["scopes"], json!({"wanted": ["read"], "missing": []}));
    assert_eq!(consent.test(&path).await["result"], "not_connected");
    let connected = consent.authorize(&path).await;
    assert_eq!(health(&connected).0, "green");
    assert_eq!(
        (&connected["authorized_by"], &connected["registration"]),
        (&json!("operator@example.com"), &json!(consent.registration))
    );
    assert!(connected["expires"].is_string() && connected["last_refreshed"].is_string(), "{connected}");
    assert_eq!(consent.test(&path).await["result"], "valid");
    consent.stage.fire().await;
    let used = consent.stage.app.get(&path).await;
    let missing = json!([{"method": "update_contact", "any_of": ["write"]}]);
    assert_eq!(used["scopes"], json!({"wanted": ["read"], "granted": ["read"], "missing": missing}));
    let text = used.to_string();
    assert!(!text.contains("-canary"), "{text}");
}

#[tokio::test]
async fn a_test_renews_a_refused_token_once_and_tells_when_the_authorization_ended() {
    let consent = Consent::set().await;
    let path = consent.connect().await;
    consent.authorize(&path).await;
    consent.account().takes = None;
    assert_eq!(consent.test(&path).await["result"], "valid");
    assert_eq!(consent.account().given, 2);
    // Now the account's owner takes the access away.
    {
        let mut account = consent.account();
        (account.takes, account.ended) = (None, true);
    }
    let found = consent.test(&path).await;
    assert_eq!(found["result"], "revoked", "{found}");
    let view = consent.stage.app.get(&path).await;
    assert_eq!((health(&view).0.as_str(), &view["last_test"]["result"]), ("red", &json!("revoked")));
    // Connected again it is the same connection, and its flow works.
    consent.account().ended = false;
    let again = consent.authorize(&path).await;
    assert_eq!((health(&again).0.as_str(), &again["id"]), ("green", &view["id"]));
    assert_eq!(consent.test(&path).await["result"], "valid");
}

#[tokio::test]
async fn a_disconnection_revokes_and_wipes_the_tokens_and_keeps_the_rest() {
    let consent = Consent::set().await;
    let path = consent.connect().await;
    consent.authorize(&path).await;
    let done = consent.stage.app.post(&format!("{path}/disconnect"), json!({})).await;
    assert_eq!(done["revoked"], true, "{done}");
    assert_eq!(consent.account().revoked, ["refresh-canary-1", "access-canary-1"]);
    let view = &done["connection"];
    assert_eq!(
        (health(view).0.as_str(), &view["authorized_by"], &view["expires"]),
        ("grey", &Value::Null, &Value::Null)
    );
    let before = consent.stage.crm.received().len();
    assert_ne!(consent.stage.fire().await, 200);
    assert_eq!(consent.test(&path).await["result"], "not_connected");
    assert_eq!(consent.stage.crm.received().len(), before, "nothing leaves without a token");
    let again = consent.authorize(&path).await;
    assert_eq!((health(&again).0.as_str(), again["used_by"].as_array().unwrap().len()), ("green", 1));
    assert_eq!(consent.test(&path).await["result"], "valid");
    // Deleting revokes as well.
    assert_eq!(consent.stage.delete(&path).await.status, 409);
    assert_eq!(consent.account().revoked.len(), 2, "a refused deletion revokes nothing");
    consent.stage.app.put(&format!("/groups/acme/flows/{FLOW}/slots/crm"), json!({"connection": null})).await;
    assert_eq!(consent.stage.delete(&path).await.status, 204);
    assert_eq!(consent.account().revoked[2..], ["refresh-canary-2", "access-canary-2"]);
}

#[tokio::test]
async fn other_scopes_want_another_authorization() {
    let consent = Consent::set().await;
    let path = consent.connect().await;
    consent.authorize(&path).await;
    // The same ones are no change.
    assert_eq!(consent.stage.patch(&path, json!({"scopes": ["read"]})).await.status, 200);
    assert_eq!(consent.account().revoked.len(), 0);
    let (status, _, message) = consent.stage.patch(&path, json!({"scopes": ["admin"]})).await.problem();
    assert!(status == 400 && message.contains("no scope \"admin\"; it has: read, write"), "{message}");
    let changed = consent.stage.patch(&path, json!({"scopes": ["write"]})).await.json();
    assert_eq!((health(&changed).0.as_str(), &changed["scopes"]["wanted"]), ("grey", &json!(["read", "write"])));
    assert_eq!(consent.account().revoked.len(), 2);
    let page = consent.stage.app.post(&format!("{path}/authorize"), json!({"return_to": LOOPBACK})).await;
    assert!(page["url"].as_str().unwrap().contains("scope=read+write"), "{page}");
    // So does another registration, which must be the group's and the connector's.
    consent.authorize(&path).await;
    let other = json!({"name": "other", "connector": "hubspot", "client_id": "other", "client_secret": "client-canary", "token_hosts": ["127.0.0.1"]});
    let other = consent.stage.app.post("/groups/acme/app-registrations", other).await["id"].clone();
    let unknown = format!("app_{}", "a".repeat(20));
    assert_eq!(consent.stage.patch(&path, json!({ "registration": unknown })).await.status, 404);
    let changed = consent.stage.patch(&path, json!({ "registration": other })).await.json();
    assert_eq!((health(&changed).0.as_str(), &changed["registration"]), ("grey", &other));
}

thread_local! {
    /// Whether this thread looks at the connection.
    static LOOKS: Cell<bool> = const { Cell::new(false) };
}

/// A clock that looks at a connection whenever it is asked for the time: that a change asks for just before it is durable.
#[derive(Default)]
struct Witness {
    subject: OnceLock<(Arc<Service>, ConnectionId)>,
    /// The connection as it was, and how it was said to stand.
    seen: Mutex<Vec<(Arc<Connection>, String)>>,
}

impl Witness {
    fn look(&self) {
        let Some((service, id)) = self.subject.get() else { return };
        // Looking asks for the time as well.
        if LOOKS.replace(true) {
            return;
        }
        let found = service.get_connection(&Actor::system(), &acme(), id).unwrap();
        self.seen.lock().unwrap().push((found.connection, found.reason));
        LOOKS.set(false);
    }
}

#[tokio::test]
async fn tokens_are_closed_before_a_change_that_makes_them_useless() {
    for (method, operation, body) in [
        (Method::POST, "/disconnect", json!({})),
        (Method::PATCH, "", json!({"scopes": ["write"]})),
        (Method::POST, "/accept-upgrade", json!({})),
    ] {
        let witness = Arc::new(Witness::default());
        let watching = witness.clone();
        let consent = Consent::with_clock(Arc::new(move || {
            watching.look();
            Timestamp::now()
        }))
        .await;
        let path = consent.connect().await;
        consent.authorize(&path).await;
        let mut body = body;
        if operation == "/accept-upgrade" {
            let change = |manifest: &mut Value| manifest["auth"][0]["token_url"] = json!("https://other.example/token");
            consent.stage.upgrade(change).await;
            body = json!({"upgrade": consent.stage.app.get(&path).await["upgrade"]});
        }
        let before = consent.stage.service().catalog().connections.values().next().unwrap().clone();
        let id = path.rsplit('/').next().unwrap().parse().unwrap();
        witness.subject.set((consent.stage.service().clone(), id)).ok().unwrap();
        let request = consent.stage.app.manage(method, &format!("{path}{operation}")).json(&body);
        assert_eq!(Answer::to(request).await.status, 200, "{operation}");
        let seen = witness.seen.lock().unwrap().clone();
        let works = |reason: &str| reason.starts_with("It works, ");
        let (old, new): (Vec<_>, Vec<_>) = seen.into_iter().partition(|(now, _)| Arc::ptr_eq(now, &before));
        assert!(old.iter().any(|(_, reason)| !works(reason)), "{operation}: {old:?} {new:?}");
        assert!(new.iter().all(|(_, reason)| !works(reason)), "{operation}: {new:?}");
    }
}

#[tokio::test]
async fn an_upgrade_that_moves_the_token_endpoint_wants_another_authorization() {
    let consent = Consent::set().await;
    let path = consent.connect().await;
    consent.authorize(&path).await;
    let stage = &consent.stage;
    stage.upgrade(|manifest| manifest["auth"][0]["token_url"] = json!("https://evil.example/token")).await;
    let view = stage.app.get(&path).await;
    assert_eq!(view["upgrade"][0]["what"], "oauth.token_url");
    // Until then the old one is used.
    consent.account().takes = None;
    assert_eq!(consent.test(&path).await["result"], "valid");
    let accept = stage.app.manage(Method::POST, &format!("{path}/accept-upgrade"));
    let accepted = Answer::to(accept.json(&json!({"upgrade": view["upgrade"]}))).await;
    assert_eq!(accepted.status, 200, "{}", accepted.text());
    let accepted = accepted.json();
    assert_eq!((health(&accepted).0.as_str(), &accepted["authorized_by"]), ("grey", &Value::Null));
    assert_eq!(consent.account().revoked, ["refresh-canary-2", "access-canary-2"]);
    assert_eq!(stage.app.get(CONNECTIONS).await[0]["upgrade"], json!([]));
}

#[tokio::test]
async fn a_client_of_its_own_is_neither_authorized_nor_disconnected() {
    let consent = Consent::set().await;
    let stage = &consent.stage;
    let auth = json!([{
        "id": "own", "title": "Own app", "kind": "oauth_advanced",
        "grant": "client_credentials", "token_url": "${config.api_url}/token",
    }]);
    stage.upgrade(|manifest| manifest["auth"] = auth).await;
    let path = consent.connect().await;
    assert_eq!(health(&stage.app.get(&path).await).0, "grey");
    assert_eq!(consent.test(&path).await["result"], "valid");
    assert_eq!(health(&stage.app.get(&path).await).0, "green");
    for operation in ["disconnect", "authorize"] {
        let answer = Answer::to(stage.app.manage(Method::POST, &format!("{path}/{operation}"))).await;
        assert_eq!(answer.status, 409, "{operation}: {}", answer.text());
    }
    assert_eq!(consent.test(&path).await["result"], "valid");
}
