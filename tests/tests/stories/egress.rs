//! A connector reaches what its connection was granted, and nothing else; its credentials reach the app, and nobody else.

mod credentials;
mod reach;
mod reflection;

use axum::response::IntoResponse as _;
use headgate_tests::crm::StandIn;
use headgate_tests::{Ended, Hostile};
use serde_json::{Value, json};

/// A secret that every encoding changes. None but the app may ever see it.
const TOKEN: &str = r#"pat/c4n4ry"+&=%7-9f8e~0123"#;

/// An app that answers 200 to everything.
async fn api() -> StandIn {
    StandIn::start(|_| "fine".into_response()).await
}

/// A server whose connections may reach these private places.
async fn exempting(places: &[String]) -> Hostile {
    let places = places.iter().map(|place| place.parse().unwrap()).collect();
    Hostile::start(|settings| settings.egress.allow_private = places).await
}

/// A connection of `hostile-connector`, by one of its ways to authenticate.
fn connection(auth: &str, base_url: &str) -> Value {
    let mut secrets = json!({"token": TOKEN});
    if auth == "basic" {
        secrets["username"] = json!("ada-lovelace");
    }
    json!({"name": "app", "connector": "hostile", "auth": auth, "config": {"base_url": base_url}, "secrets": secrets})
}

/// Has the connector send a request, exactly as given.
async fn fetch(hostile: &Hostile, url: &str, headers: Value) -> Ended {
    hostile.call("fetch", json!({"url": url, "headers": headers})).await
}

/// Fails unless a call was refused, and its step says so.
#[track_caller]
fn assert_denied(what: &str, ended: &Ended) {
    assert_eq!(ended.body["error"]["code"], "egress_denied", "{what} is let out: {}", ended.body);
    assert_eq!(ended.run["steps"][0]["error"]["code"], "egress_denied", "{what}: {}", ended.run);
}
