//! Credentials are the host's to set: on each request of their connection, and on no other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use headgate_tests::canary::Canary;
use serde_json::{Value, json};

use super::{TOKEN, api, assert_denied, connection, exempting, fetch};

#[tokio::test]
async fn a_guest_sets_no_credential_and_no_receiver() {
    let app = api().await;
    let hostile = exempting(&[app.address.to_string()]).await;
    hostile.connect("hostile-connector", connection("header", &app.url())).await;
    for name in [
        "Authorization",
        "authorization",
        "AUTHORIZATION",
        "Cookie",
        "cookie2",
        "Host",
        "hOST",
        "Proxy-Authorization",
        "proxy-connection",
        "Proxy-Anything",
        "X-Api-Key",
        "x-api-key",
        "X-API-KEY",
        "X_Api_Key",
        "Transfer-Encoding",
        "Connection",
    ] {
        assert_denied(name, &fetch(&hostile, &app.url(), json!([[name, "of-the-guest"]])).await);
    }
    assert_eq!(app.received().len(), 0, "a refused request reached the app");

    let ended = fetch(&hostile, &app.url(), json!([["X-Other", "of-the-guest"]])).await;
    assert_eq!(ended.body["output"]["status"], 200, "{}", ended.body);
    let headers = &app.received()[0].headers;
    assert_eq!(headers["x-other"], "of-the-guest");
    assert_eq!(headers.get_all("x-api-key").iter().collect::<Vec<_>>(), [TOKEN]);
    assert_eq!(headers["host"], app.address.to_string());
}

#[tokio::test]
async fn a_guest_sets_no_query_parameter_of_the_authentication() {
    let app = api().await;
    let hostile = exempting(&[app.address.to_string()]).await;
    hostile.connect("hostile-connector", connection("query", &app.url())).await;
    for query in [
        "api_key=x",
        "API_KEY=x",
        "%61pi_key=x",
        "api%5Fkey=x",
        "%61%70%69%5f%6b%65%79",
        "api_key",
        "a=b&api_key=x",
        "a=b;api_key=x",
        "+api_key=x",
    ] {
        assert_denied(query, &fetch(&hostile, &format!("{}/?{query}", app.url()), json!([])).await);
    }
    assert_eq!(app.received().len(), 0, "a refused request reached the app");
    let ended = fetch(&hostile, &format!("{}/?my_api_key=x", app.url()), json!([])).await;
    assert_eq!(ended.body["output"]["status"], 200, "{}", ended.body);
}

/// A connection of `http-connector`.
fn http(auth: &str, base_url: &str, secrets: Value) -> Value {
    let config = json!({"base_url": base_url, "header_name": "X-Shop-Key", "query_name": "shop_key"});
    json!({"name": auth, "connector": "http", "auth": auth, "config": config, "secrets": secrets})
}

#[tokio::test]
async fn each_way_to_authenticate_arrives_at_the_app() {
    let app = api().await;
    let hostile = exempting(&[app.address.to_string()]).await;
    let basic = format!("Basic {}", STANDARD.encode(format!("ada-lovelace:{TOKEN}")));
    let canary = Canary::new(TOKEN);
    for (auth, secrets, place, value) in [
        ("bearer", json!({"key": TOKEN}), "authorization", format!("Bearer {TOKEN}")),
        ("header", json!({"key": TOKEN}), "x-shop-key", TOKEN.to_owned()),
        ("basic", json!({"username": "ada-lovelace", "password": TOKEN}), "authorization", basic),
        ("query", json!({"key": TOKEN}), "query", TOKEN.to_owned()),
    ] {
        hostile.connect("http-connector", http(auth, &app.url(), secrets)).await;
        let ended = hostile.call("request", json!({"path": "/orders", "query": {"page": "2"}})).await;
        assert_eq!(ended.body["output"]["status"], 200, "{auth}: {}", ended.body);
        let received = app.received().pop().unwrap();
        let query: Vec<(String, String)> = axum::extract::Query::try_from_uri(&received.uri).unwrap().0;
        let arrived = match place {
            "query" => query.iter().find(|(name, _)| name == "shop_key").map(|(_, value)| value.clone()),
            header => received.headers.get(header).map(|value| value.to_str().unwrap().to_owned()),
        };
        assert_eq!(arrived, Some(value), "{auth}");
        assert!(query.contains(&("page".into(), "2".into())), "{auth}: {}", received.uri);
        assert_eq!(received.uri.path(), "/orders");
        canary.assert_absent(&format!("the run of {auth}"), ended.run.to_string());
    }
    assert_eq!(app.received().len(), 4);
}

#[tokio::test]
async fn no_kind_of_credential_leaves_for_another_place() {
    let (app, other) = (api().await, api().await);
    let hostile = exempting(&["localhost".into(), "127.0.0.0/8".into()]).await;
    let (port, others) = (app.address.port(), other.address.port());
    let base = format!("http://localhost:{port}/api");
    for auth in ["bearer", "header", "query", "basic", "body"] {
        let mut connection = connection(auth, &base);
        connection["name"] = json!(auth);
        hostile.connect("hostile-connector", connection).await;
        for url in [
            format!("http://localhost:{others}/api/a"),
            format!("http://127.0.0.1:{others}/api/a"),
            format!("http://127.0.0.1:{port}/api/a"),
            format!("https://localhost:{port}/api/a"),
            format!("http://sub.localhost:{port}/api/a"),
            format!("http://localhost.:{port}/api/a"),
            format!("http://localhost:{port}//api/a"),
            format!("{base}/../a"),
            format!("http://localhost:{port}@localhost:{others}/api/a"),
            format!("HTTP://LOCALHOST:{others}/API/a"),
            format!("http://l\u{f6}calhost:{others}/api/a"),
        ] {
            let input = json!({"method": "POST", "url": url, "content_type": "application/json", "body": "{}"});
            let ended = hostile.call("fetch", input).await;
            assert!(ended.body["error"].is_object(), "{auth}: {url} is let out: {}", ended.body);
        }
        assert_eq!((app.received().len(), other.received().len()), (0, 0), "{auth}");
    }
}

#[tokio::test]
async fn a_key_in_the_body_is_the_hosts_to_set() {
    let app = api().await;
    let hostile = exempting(&[app.address.to_string()]).await;
    hostile.connect("hostile-connector", connection("body", &app.url())).await;
    let send = async |body: &str, content_type: &str| {
        let input = json!({"method": "POST", "url": app.url(), "content_type": content_type, "body": body});
        hostile.call("fetch", input).await
    };
    for (body, content_type) in [
        (r#"{"auth": {"key": "of-the-guest"}}"#, "application/json"),
        (r#"{"auth": {"KEY": "of-the-guest"}}"#, "application/json"),
        (r#"{"auth": {"\u006bey": "of-the-guest"}}"#, "application/json"),
        (r#"{"auth": {}, "auth": {}}"#, "application/json"),
        (r#"{"auth": "of-the-guest"}"#, "application/json"),
        ("[]", "application/json"),
        ("{}", "text/plain"),
    ] {
        assert_denied(body, &send(body, content_type).await);
    }
    assert_denied("a GET", &fetch(&hostile, &app.url(), json!([])).await);
    assert_eq!(app.received().len(), 0, "a refused request reached the app");

    let ended = send(r#"{"amount": 10.10, "auth": {"user": "ada"}}"#, "application/json").await;
    assert_eq!(ended.body["output"]["status"], 200, "{}", ended.body);
    let received = app.received().remove(0);
    let key = Value::from(TOKEN).to_string();
    assert_eq!(received.body, format!(r#"{{"amount":10.10,"auth":{{"user":"ada","key":{key}}}}}"#));
    assert_eq!(received.headers["content-length"], received.body.len().to_string());
    Canary::new(TOKEN).assert_absent("the run", ended.run.to_string());
}
