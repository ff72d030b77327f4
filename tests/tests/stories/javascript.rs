//! A flow and a connector in JavaScript, under the same capabilities as those in Rust.

use std::process::Command;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use headgate_tests::crm::{Received, StandIn};
use headgate_tests::polling::Poller;
use headgate_tests::{Key, TestApp, Trigger, javascript};
use reqwest::Method;
use serde_json::{Value, json};

const TOKEN: &str = "shop-token-canary-0123456789";

/// A shop with the lamp 7, for whoever has the token.
fn shop(request: &Received) -> Response {
    if request.headers.get("authorization").is_none_or(|value| value != format!("Bearer {TOKEN}").as_str()) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    match (request.method.as_str(), request.uri.path()) {
        ("GET", "/v1/items/7") => axum::Json(json!({"id": "7", "name": "A lamp"})).into_response(),
        ("POST", "/v1/items") => request.body.clone().into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A server with the flow `js`, published, and what is needed to call it.
struct Site {
    app: TestApp,
    key: Key,
    trigger: Trigger,
}

impl Site {
    async fn start(flow: Vec<u8>, exempt: Option<&StandIn>) -> Self {
        let exempt = exempt.map(|app| app.address.to_string().parse().unwrap());
        let app = TestApp::with(|settings| {
            settings.egress.allow_private = exempt.into_iter().collect();
            settings.wasm.cpu = Duration::from_secs(3);
            settings.wasm.compile = javascript::COMPILE;
        })
        .await;
        app.post("/groups/acme/flows", json!({"name": "js"})).await;
        put(&app, "/groups/acme/flows/js/versions", flow).await;
        app.post("/groups/acme/flows/js/publish", json!({})).await;
        let (key, trigger) = (app.key("caller").await, app.trigger("js", json!({})).await);
        Self { app, key, trigger }
    }

    /// Calls the flow; answers the status and the JSON.
    async fn call(&self, query: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let request = self.app.client().post(format!("{}{query}", self.trigger.url));
        let request = request.bearer_auth(&self.key.secret).header("x-greeting", "hello").body(body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

async fn put(app: &TestApp, path: &str, component: Vec<u8>) {
    let request = app.manage(Method::PUT, path).header("content-type", "application/wasm").body(component);
    let answer = request.send().await.unwrap();
    let status = answer.status();
    assert!(status.is_success(), "{status}: {}", answer.text().await.unwrap());
}

#[tokio::test]
async fn what_new_makes_passes_its_own_tests() {
    if Command::new("node").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "node must be installed");
        eprintln!("skipped: there is no node");
        return;
    }
    for kind in ["flow", "connector"] {
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join("first");
        javascript::headgate(&["new", kind, "first", "--lang", "js", "--path", made.to_str().unwrap()]).await;
        let tested = Command::new("node").arg("--test").current_dir(&made).output().unwrap();
        assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stdout));
    }
}

#[tokio::test]
async fn a_flow_in_javascript_is_a_flow() {
    let Some(flow) = javascript::component("flow", "js-flow").await else { return };
    let site = Site::start(flow, None).await;
    let (status, facts) = site.call("?what=facts&tag=a&tag=b%20c", "").await;
    assert_eq!(status, 200, "{facts}");
    assert_eq!((&facts["method"], &facts["path"]), (&json!("POST"), &json!("/")));
    assert_eq!((&facts["greeting"], &facts["tags"]), (&json!("hello"), &json!(["a", "b c"])));
    assert_eq!((&facts["environment"], &facts["caller"]), (&json!("production"), &json!("Key: caller")));
    let run = site.app.get(&format!("/groups/acme/runs/{}", facts["id"].as_str().unwrap())).await;
    let log = run["log"].to_string();
    assert!(log.contains("it is asked for facts") && log.contains("a line of the console"), "{log}");

    assert_eq!(site.call("", r#"{"a": [1, "ü"]}"#).await, (200, json!({"a": [1, "ü"]})));
    let (status, problem) = site.call("", "{oops").await;
    assert_eq!((status, &problem["code"]), (400, &json!("invalid_event")));

    // Larger than what is passed inline: it comes as a blob, and goes as one.
    let sent: Vec<u8> = (0..1_000_000_u32).map(|number| number as u8).collect();
    let request = site.app.client().post(format!("{}?what=bytes", site.trigger.url));
    let answer = request.bearer_auth(&site.key.secret).body(sent.clone()).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["x-length"]), (201, &"1000000".parse().unwrap()));
    assert!(answer.bytes().await.unwrap().iter().eq(sent.iter().rev()));
}

#[tokio::test]
async fn what_a_flow_in_javascript_fails_with_is_told() {
    let Some(flow) = javascript::component("flow", "js-flow").await else { return };
    let site = Site::start(flow, None).await;
    let (_, problem) = site.call("?what=fail", "").await;
    assert!(problem.to_string().contains("out_of_stock") && problem.to_string().contains("no lamps left"), "{problem}");
    let (_, problem) = site.call("?what=surprise", "").await;
    assert!(problem.to_string().contains("undefined"), "{problem}");
    let (_, problem) = site.call("?what=call", "{}").await;
    assert!(problem.to_string().contains("slot_unbound"), "{problem}");
    // There is no network in a flow: whatever the engine makes of it, nothing is answered.
    let (status, problem) = site.call("?what=fetch", "").await;
    assert!(status >= 500, "{problem}");
    let (status, problem) = site.call("?what=forever", "").await;
    assert!(status >= 500, "{problem}");
    assert_eq!(site.call("", "7").await, (200, json!(7)), "each event has a fresh instance");
}

#[tokio::test]
async fn a_connector_in_javascript_fetches_what_it_was_granted() {
    let Some(flow) = javascript::component("flow", "js-flow").await else { return };
    let Some(connector) = javascript::component("connector", "js-connector").await else { return };
    let (api, other) = (StandIn::start(shop).await, StandIn::start(shop).await);
    let site = Site::start(flow, Some(&api)).await;
    put(&site.app, "/groups/acme/connectors", connector).await;
    let connection = json!({
        "name": "shop",
        "connector": "js-shop",
        "config": {"api_url": format!("{}/v1", api.url())},
        "secrets": {"token": TOKEN}
    });
    let made = site.app.connect("js", "shop", connection).await;
    assert_eq!(site.call("?what=call", r#"{"id": "7"}"#).await, (200, json!({"id": "7", "name": "A lamp"})));
    let (_, several) = site.call("?what=all", r#"{"ids": ["7", "8", ""]}"#).await;
    assert_eq!(several, json!(["A lamp", "http_404", "invalid_input"]));

    // Through a flow that calls any method: another host, another path, credentials of its own.
    site.app.publish("caller", "caller").await;
    site.app.put("/groups/acme/flows/caller/slots/app", json!({"connection": made["id"]})).await;
    let trigger = site.app.trigger("caller", json!({})).await;
    let call = async |method: &str, input: Value| -> Value {
        let order = json!({"method": method, "input": input}).to_string();
        site.app.fire(&trigger, &site.key, order).await.json().await.unwrap()
    };
    let added = call("add_item", json!({"id": "9", "name": "A chair"})).await;
    assert_eq!(added["output"]["name"], "A chair");
    let granted = format!("{}/v1/items/7", api.url());
    assert_eq!(call("go", json!({"url": granted})).await["output"]["status"], 200);
    let before = api.received().len();
    for (url, headers, code) in [
        (format!("{}/v1/items/7", other.url()), json!({}), "egress_denied"),
        (format!("{}/v2/items/7", api.url()), json!({}), "egress_denied"),
        // The engine cannot make a request with a header that belongs to the host, and says so in words of its own.
        (granted, json!({"authorization": "Bearer mine"}), "failed"),
    ] {
        let refused = call("go", json!({"url": url, "headers": headers})).await;
        assert_eq!(refused["error"]["code"], code, "{url}: {refused}");
        assert!(!refused.to_string().contains(TOKEN));
    }
    assert_eq!((api.received().len(), other.received().len()), (before, 0));
}

#[tokio::test]
async fn a_connector_in_javascript_is_polled() {
    let Some(connector) = javascript::component("connector", "js-connector").await else { return };
    let api = StandIn::start(|request| {
        let first = request.uri.query() == Some("after=");
        let items =
            if first { json!([{"id": "7", "name": "A lamp"}]) } else { json!([{"id": "8", "name": "A chair"}]) };
        axum::Json(items).into_response()
    })
    .await;
    let poller = Poller::start(&connector, &api, "/v1").await;
    let begun = poller.poll("new_item", &json!({}), None).await;
    assert_eq!((begun.ids.len(), &begun.cursor), (0, &json!({"after": "7"})));
    let told = poller.poll("new_item", &json!({}), Some(&begun.cursor)).await;
    assert_eq!((told.ids, told.data[0]["name"].clone()), (vec!["8".to_owned()], json!("A chair")));
    assert_eq!(poller.refused("new_order", &json!({}), None).await, "trigger_not_found");
}
