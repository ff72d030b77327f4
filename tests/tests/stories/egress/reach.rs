//! Where requests may go.

use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use headgate_tests::crm::StandIn;
use headgate_tests::{Hostile, guests, logs};
use reqwest::Method;
use serde_json::{Value, json};

use super::{api, assert_denied, connection, exempting, fetch};

#[tokio::test]
async fn a_connection_reaches_its_place_and_what_is_below_it() {
    let (app, other) = (api().await, api().await);
    let hostile = exempting(&["localhost".into(), "127.0.0.0/8".into()]).await;
    let (port, others) = (app.address.port(), other.address.port());
    let base = format!("http://localhost:{port}/api");
    hostile.connect("hostile-connector", connection("bearer", &base)).await;

    let allowed = ["", "/", "/a", "/a?b=c", "/a%2Fb", "/a..b", "//a", "/a/../b", "/a/%2e/b"];
    for path in allowed {
        let ended = fetch(&hostile, &format!("{base}{path}"), json!([])).await;
        assert_eq!(ended.body["output"]["status"], 200, "{path}: {}", ended.body);
    }
    // Another way of writing the same place.
    let upper = fetch(&hostile, &format!("http://LOCALHOST:{port}/api/a"), json!([])).await;
    assert_eq!(upper.body["output"]["status"], 200, "{}", upper.body);
    assert_eq!(app.received().len(), allowed.len() + 1);

    for url in [
        format!("http://localhost:{port}/"),
        format!("http://localhost:{port}"),
        format!("http://localhost:{port}/apiary"),
        format!("http://localhost:{port}/API/a"),
        format!("http://localhost:{port}//api/a"),
        format!("http://localhost:{port}/%61pi/a"),
        format!("{base}/../admin"),
        format!("{base}/a/../../admin"),
        format!("{base}/%2e%2e/admin"),
        format!("{base}/.%2E/admin"),
        format!("{base}/..%2fadmin"),
        format!("{base}/..%5cadmin"),
        format!("{base}/%252e%252e/admin"),
        format!("{base}/..;/admin"),
        format!("http://user:password@localhost:{port}/api/a"),
        format!("http://localhost:{port}@localhost:{others}/api/a"),
        format!("http://localhost:{others}/api/a"),
        format!("http://localhost.:{port}/api/a"),
        format!("http://127.0.0.1:{port}/api/a"),
        format!("http://127.1:{port}/api/a"),
        format!("http://2130706433:{port}/api/a"),
        format!("http://[::ffff:127.0.0.1]:{port}/api/a"),
        format!("https://localhost:{port}/api/a"),
        format!("http://sub.localhost:{port}/api/a"),
        format!("http://localhost.elsewhere.invalid:{port}/api/a"),
        format!("http://xn--lcalhost-5ig:{port}/api/a"),
        format!("http://l\u{43e}calhost:{port}/api/a"),
        format!("http://localhost\u{3002}elsewhere.invalid:{port}/api/a"),
        format!(r"http://localhost:{others}\@localhost:{port}/api/a"),
        format!("http://localhost:{others}#@localhost:{port}/api/a"),
        format!("http://localhost:{others}?@localhost:{port}/api/a"),
        format!("http://localhost:{others}/http://localhost:{port}/api/a"),
        format!("http:localhost:{others}/api/a"),
        format!("//localhost:{others}/api/a"),
        format!("HTTP://LOCALHOST:{others}/api/a"),
        "http://localhost/api/a".to_owned(),
        "http://elsewhere.invalid/api/a".to_owned(),
    ] {
        let ended = fetch(&hostile, &url, json!([])).await;
        let code = &ended.body["error"]["code"];
        // What the guest's own library finds no URL is not sent either.
        assert!(code == "egress_denied" || code == "invalid_request", "{url} is let out: {}", ended.body);
        if code == "egress_denied" {
            assert_denied(&url, &ended);
        }
        assert_eq!(app.received().len(), allowed.len() + 1, "{url} reached the app");
    }
    assert_eq!(other.received().len(), 0, "the other app was reached");
}

#[tokio::test]
async fn a_denial_names_the_host_and_what_would_allow_it() {
    logs::capture();
    let app = api().await;
    let hostile = exempting(&[app.address.to_string()]).await;
    hostile.connect("hostile-connector", connection("bearer", &app.url())).await;
    let host = format!("host-{}.example:8443", app.address.port());
    let input = json!({"url": format!("https://{host}/a?token=not-for-the-log")});
    let ended = hostile.order(json!({"do": "relay", "slot": "app", "method": "fetch", "input": input})).await;

    let allows = format!(r#"Connection "app" allows {}/ only"#, app.url());
    assert_eq!((ended.status.as_u16(), &ended.body["code"]), (502, &json!("egress_denied")), "{}", ended.body);
    for (place, error) in [("the answer", &ended.body), ("the step", &ended.run["steps"][0]["error"])] {
        let message = error["error"].as_str().or(error["message"].as_str()).unwrap();
        assert!(message.contains(&host) && message.contains(&allows), "{place}: {error}");
        assert_eq!(error["details"]["host"], host, "{place}: {error}");
        assert!(!message.contains("not-for-the-log"), "{place}: {error}");
    }
    let lines = logs::lines_with(&["a connector's request was denied", &host]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("allows") && lines[0].contains("acme"), "{lines:?}");
}

#[tokio::test]
async fn a_private_address_needs_the_operators_exemption() {
    logs::capture();
    let app = api().await;
    let port = app.address.port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        let hostile = Hostile::start(|_| {}).await;
        let base = format!("http://{host}:{port}");
        hostile.connect("hostile-connector", connection("bearer", &base)).await;
        let input = json!({"url": format!("{base}/a")});
        let ended = hostile.order(json!({"do": "relay", "slot": "app", "method": "fetch", "input": input})).await;
        assert_eq!((ended.status.as_u16(), &ended.body["code"]), (502, &json!("egress_denied")), "{}", ended.body);
        for (place, error) in [("the answer", &ended.body), ("the step", &ended.run["steps"][0]["error"])] {
            let named = error["details"]["host"].as_str().unwrap_or_else(|| panic!("{place}: {error}")).to_owned();
            assert!(named.ends_with(&format!(":{port}")), "{place}: {error}");
            let message = error["error"].as_str().or(error["message"].as_str()).unwrap();
            assert!(message.contains(&named) && message.contains("its address is not public"), "{place}: {error}");
            assert!(message.contains(&format!(r#"add "{named}" to the setting egress.allow_private"#)), "{error}");
        }
    }
    let lines = logs::lines_with(&["a connector's request was denied", &format!(":{port}"), "egress.allow_private"]);
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(app.received().len(), 0, "the app was reached");
}

#[tokio::test]
async fn a_redirect_is_handed_to_the_guest_and_not_followed() {
    let other = api().await;
    let location = format!("{}/steal", other.url());
    let target = location.clone();
    let app = StandIn::start(move |_| (StatusCode::FOUND, [(header::LOCATION, target.clone())]).into_response()).await;
    let hostile = exempting(&[app.address.to_string(), other.address.to_string()]).await;
    hostile.connect("hostile-connector", connection("bearer", &app.url())).await;

    let ended = fetch(&hostile, &app.url(), json!([])).await;
    assert_eq!(ended.body["output"]["status"], 302, "{}", ended.body);
    assert_denied("the place a redirect names", &fetch(&hostile, &location, json!([])).await);
    assert_eq!((app.received().len(), other.received().len()), (1, 0), "the redirect was followed");
}

#[tokio::test]
async fn two_groups_share_no_connection_to_an_app() {
    const CALLS: usize = 10;
    let app = api().await;
    let hostile = exempting(&[app.address.to_string()]).await;
    hostile.connect("hostile-connector", connection("bearer", &app.url())).await;
    let (url, key) = other_group(&hostile, &connection("bearer", &app.url())).await;
    let input = json!({"url": app.url()});
    let order = json!({"do": "call", "slot": "app", "method": "fetch", "input": input});

    // By turns, so that an idle connection of the other group is always at hand.
    for _ in 0..CALLS {
        let ours = hostile.order(order.clone()).await;
        assert_eq!(ours.body["output"]["status"], 200, "{}", ours.body);
        let request = hostile.app.client().post(&url).bearer_auth(&key).body(order.to_string());
        let theirs: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(theirs["output"]["status"], 200, "{theirs}");
    }
    let peers: Vec<_> = app.received().iter().map(|request| request.peer).collect();
    let of = |group: usize| peers.iter().copied().skip(group).step_by(2).collect::<std::collections::BTreeSet<_>>();
    let (ours, theirs) = (of(0), of(1));
    assert_eq!(peers.len(), 2 * CALLS);
    assert!(ours.len() < CALLS && theirs.len() < CALLS, "connections are kept within a group: {peers:?}");
    assert!(ours.is_disjoint(&theirs), "the groups shared a connection: {peers:?}");
}

/// The same flow in a group of its own; its trigger's URL and a key.
async fn other_group(hostile: &Hostile, connection: &Value) -> (String, String) {
    let app = &hostile.app;
    app.post("/groups", json!({"name": "other"})).await;
    app.post("/groups/other/flows", json!({"name": "hostile"})).await;
    for (path, guest) in
        [("/groups/other/connectors", "hostile-connector"), ("/groups/other/flows/hostile/versions", "hostile-flow")]
    {
        let pushed = app.manage(Method::PUT, path).header("content-type", "application/wasm");
        let pushed = pushed.body(guests::component(guest)).send().await.unwrap();
        assert!(pushed.status().is_success(), "{path}: {}", pushed.text().await.unwrap());
    }
    app.post("/groups/other/flows/hostile/publish", json!({})).await;
    let made = app.post("/groups/other/connections", connection.clone()).await;
    app.put("/groups/other/flows/hostile/slots/app", json!({"connection": made["id"]})).await;
    let key = app.post("/groups/other/api-keys", json!({"name": "caller"})).await;
    let trigger = app.post("/groups/other/flows/hostile/triggers", json!({})).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&trigger["url"]), text(&key["api_key"]))
}
