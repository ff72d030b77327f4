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
