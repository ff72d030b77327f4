//! What a flow gets of its group's connections: those in its slots, when they can be used, and nothing of the others.

use std::sync::{Arc, Mutex};

use axum::response::IntoResponse as _;
use headgate::store::Batch;
use headgate_tests::canary::Canary;
use headgate_tests::canary::memory::linear_memories;
use headgate_tests::crm::StandIn;
use headgate_tests::held::Held;
use headgate_tests::records::{records, tampered};
use headgate_tests::{Answer, Hostile};
use reqwest::Method;
use serde_json::{Value, json};

const TOKEN: &str = "pat-of-the-gates-5d1c07";

fn connection(name: &str, base_url: &str) -> Value {
    json!({"name": name, "connector": "hostile", "auth": "bearer", "config": {"base_url": base_url}, "secrets": {"token": TOKEN}})
}

/// A server with one connection, to an app that answers 200 to everything.
async fn stage() -> (StandIn, Hostile) {
    let app = StandIn::start(|_| "fine".into_response()).await;
    let exempt = app.address.to_string().parse().unwrap();
    let hostile = Hostile::start(|settings| settings.egress.allow_private = vec![exempt]).await;
    hostile.connect("hostile-connector", connection("app", &app.url())).await;
    (app, hostile)
}

fn relay(slot: &str, url: &str) -> Value {
    json!({"do": "relay", "slot": slot, "method": "fetch", "input": {"url": url}})
}

#[tokio::test]
async fn a_slot_that_is_not_bound_here_is_a_conflict_with_its_remedy() {
    let (app, hostile) = stage().await;
    let server = &hostile.app;
    // Bound, but elsewhere: in another environment, in another flow, in another group.
    let mut tested = connection("tested", &app.url());
    tested["environment"] = json!("test");
    let tested = server.post("/groups/acme/connections", tested).await;
    let bind = json!({"connection": tested["id"], "environment": "test"});
    server.put("/groups/acme/flows/hostile/slots/tested", bind).await;
    server.publish("another", "hostile-flow").await;
    server.connect("another", "theirs", connection("theirs", &app.url())).await;

    for slot in ["nothing", "tested", "theirs", "../app", "APP"] {
        let ended = hostile.order(relay(slot, &app.url())).await;
        assert_eq!((ended.status.as_u16(), &ended.body["code"]), (409, &json!("slot_unbound")), "{}", ended.body);
        let message = ended.body["error"].as_str().unwrap();
        let remedy = format!("headgate connections bind hostile {slot} CONNECTION --env production");
        assert!(message.contains(&remedy), "{message}");
        assert!(!ended.body.to_string().contains("con_"), "{}", ended.body);
        assert_eq!(ended.run["state"], "failed");
    }
    assert_eq!(app.received().len(), 0);
    assert_eq!(hostile.order(relay("app", &app.url())).await.status, 200);
}

/// A connection without its secrets, as after it was disconnected.
async fn disconnected() -> (StandIn, Hostile) {
    let (app, hostile) = stage().await;
    let Hostile { app: server, key, trigger } = hostile;
    let server = tampered(server, move |database| {
        let (key, mut record) = records(database, "connection/acme/").remove(0);
        record["record"]["secrets"] = json!({});
        Batch::new().put(key, record.to_string())
    });
    (app, Hostile::again(server.await, key, trigger))
}

/// A connection that somebody has to consent to.
async fn unauthorized() -> (StandIn, Hostile) {
    let (app, hostile) = stage().await;
    hostile.app.install("oauth-connector").await;
    let registration = json!({"name": "own", "connector": "account", "client_id": "headgate", "client_secret": "of-the-client", "token_hosts": ["127.0.0.1"]});
    let registration = hostile.app.post("/groups/acme/app-registrations", registration).await;
    let config = json!({"api_url": app.url(), "oauth_url": app.url()});
    let connection = json!({"name": "account", "connector": "account", "auth": "oauth_advanced", "config": config, "registration": registration["id"]});
    hostile.app.connect("hostile", "app", connection).await;
    (app, hostile)
}

/// Fails unless nothing that fires the flow has it run, and each says why.
async fn assert_not_started(stage: (StandIn, Hostile), name: &str, cause: &str, remedy: &str) {
    let (app, hostile) = stage;
    let later = hostile.app.trigger("hostile", json!({"respond": "async"})).await;
    let order = relay("app", &app.url());
    let once = json!({"environment": "production", "event": order});
    let execute = hostile.app.manage(Method::POST, "/groups/acme/flows/hostile/run").json(&once);
    let url = format!("{}/hooks/{}", hostile.app.url(), later.routing_key);
    let fired = hostile.app.client().post(url).bearer_auth(&hostile.key.secret).body(order.to_string());
    let sync = hostile.order(order.clone()).await;
    for (what, status, body) in [
        ("a webhook", sync.status.as_u16(), sync.body),
        answered("an asynchronous webhook", fired).await,
        answered("Run Once", execute).await,
    ] {
        assert_eq!((status, &body["code"]), (424, &json!("connection_broken")), "{what}: {body}");
        let message = body["error"].as_str().unwrap();
        assert!(message.contains(&format!("\"{name}\" (slot app)")) && message.contains(cause), "{what}: {message}");
        assert!(message.contains(remedy), "{what}: {message}");
        assert_eq!((&body["details"]["name"], &body["details"]["cause"]), (&json!(name), &json!(cause)), "{body}");
    }
    assert_eq!(hostile.app.get("/groups/acme/runs").await, json!([]), "nothing was run");
    assert_eq!(app.received().len(), 0);
}

#[tokio::test]
async fn a_flow_with_an_unusable_connection_is_not_started() {
    let update = "headgate connections update con_";
    assert_not_started(disconnected().await, "app", "it was disconnected", update).await;
    let authorize = "headgate connections authorize con_";
    assert_not_started(unauthorized().await, "account", "nobody has authorized it yet", authorize).await;
}

#[tokio::test]
async fn a_run_under_way_finds_its_connection_as_it_is_now() {
    const NEW: &str = "pat-of-the-gates-after-91ae";
    for (method, operation, body, credentials, code) in [
        (Method::POST, "/disconnect", json!({}), vec![TOKEN], Some("connection_broken")),
        (Method::PATCH, "", json!({"secrets": {"token": NEW}}), vec![TOKEN, NEW], None),
        (Method::DELETE, "", json!({}), vec![TOKEN], Some("connection_broken")),
    ] {
        let app = Held::start().await;
        let exempt = app.address.to_string().parse().unwrap();
        let hostile = Hostile::start(|settings| settings.egress.allow_private = vec![exempt]).await;
        let url = format!("http://{}", app.address);
        let made = hostile.connect("hostile-connector", connection("app", &url)).await;
        let input = json!({"url": url});
        let order = json!({"do": "call", "slot": "app", "method": "fetch", "input": input, "then": ["fetch", input]});
        let change = async {
            app.asked(1).await;
            if method == Method::DELETE {
                hostile.app.put("/groups/acme/flows/hostile/slots/app", json!({"connection": null})).await;
            }
            let path = format!("/groups/acme/connections/{}{operation}", made["id"].as_str().unwrap());
            let answer = Answer::to(hostile.app.manage(method.clone(), &path).json(&body)).await;
            assert!((200..300).contains(&answer.status), "{}", answer.text());
            app.release();
        };
        let (ended, ()) = tokio::join!(hostile.order(order), change);
        let credentials: Vec<_> = credentials.iter().map(|token| format!("Bearer {token}")).collect();
        assert_eq!(app.credentials(), credentials, "{}", ended.body);
        let steps = &ended.run["steps"];
        assert_eq!(steps[0]["error"], Value::Null, "{method}: {steps}");
        assert_eq!(steps[1]["error"]["code"].as_str(), code, "{method}: {steps}");
    }
}

async fn answered(what: &'static str, request: reqwest::RequestBuilder) -> (&'static str, u16, Value) {
    let answer = Answer::to(request).await;
    (what, answer.status, answer.json())
}

#[tokio::test]
async fn neither_guest_sees_other_connections_nor_their_names() {
    const OTHER: &str = "the-other-connection-of-the-flow-31fe";
    const ELSEWHERE: &str = "https://elsewhere-of-the-gates.example/";
    const MARKER: &str = "/marker-of-the-gates-77c0";
    let found = Arc::new(Mutex::new((0, Vec::new())));
    let scanned = found.clone();
    let app = StandIn::start(move |_| {
        let bytes: Vec<_> = linear_memories().into_iter().flat_map(|memory| memory.contents).collect();
        let holds = |text: &str| bytes.iter().filter(|bytes| !Canary::new(text).found_in(bytes).is_empty()).count();
        *scanned.lock().unwrap() = (holds(MARKER), vec![holds(OTHER), holds(ELSEWHERE), holds(TOKEN)]);
        "fine".into_response()
    })
    .await;
    let exempt = app.address.to_string().parse().unwrap();
    let hostile = Hostile::start(|settings| settings.egress.allow_private = vec![exempt]).await;
    hostile.connect("hostile-connector", connection("app", &app.url())).await;
    hostile.app.connect("hostile", "other", connection(OTHER, ELSEWHERE)).await;

    let ended = hostile.order(relay("app", &format!("{}{MARKER}", app.url()))).await;
    assert_eq!(ended.status, 200, "{}", ended.body);
    let (markers, others) = found.lock().unwrap().clone();
    assert!(markers >= 2, "flow and connector hold the marker: {markers}");
    assert_eq!(others, [0, 0, 0], "the other's name, its place, and the token");

    // The settings that a connector reads are those of its own connection.
    let dumped = json!({"do": "call", "slot": "app", "method": "dump", "input": {"masked": [1]}});
    let ended = hostile.order(dumped).await;
    assert_eq!(ended.body["output"]["config"], json!({}), "{}", ended.body);
    assert!(!ended.body.to_string().contains(OTHER));
    // And another connection's place is none that it reaches.
    let ended = hostile.order(relay("app", ELSEWHERE)).await;
    assert_eq!(ended.body["code"], "egress_denied", "{}", ended.body);
}

#[tokio::test]
async fn a_generic_connection_reaches_below_its_base_url_only() {
    let (app, hostile) = stage().await;
    let base = format!("{}/api/v1", app.url());
    let generic = json!({"name": "generic", "connector": "http", "auth": "bearer", "config": {"base_url": base}, "secrets": {"key": TOKEN}});
    hostile.connect("http-connector", generic).await;
    let fine = hostile.call("request", json!({"path": "/orders"})).await;
    assert_eq!(fine.body["output"]["status"], 200, "{}", fine.body);
    assert_eq!(app.received()[0].uri.path(), "/api/v1/orders");
    for path in ["/../admin", "/../../", "/%2e%2e/admin", "/..%2fadmin", "/..;/admin"] {
        let ended = hostile.call("request", json!({"path": path})).await;
        assert!(ended.body["error"].is_object(), "{path}: {}", ended.body);
    }
    for path in ["//elsewhere.example/", "@elsewhere.example/", ".elsewhere.example/", ":99/"] {
        let ended = hostile.call("request", json!({"path": path})).await;
        let received = app.received();
        assert!(
            ended.body["error"].is_object() || received.last().unwrap().uri.path().starts_with("/api/v1/"),
            "{path}: {}",
            ended.body
        );
    }
}
