//! A stand-in for Slack: answers in the shapes of the Web API, errors with the status 200.

use axum::response::Response;
use serde_json::{Value, json};

use super::oauth::{Grant, Oauth};
use super::{Fake, answer, later, query};
use crate::crm::Received;

/// A bot token.
pub const TOKEN: &str = "xoxb-17-canary-0123456789";

/// How Slack gives tokens: scopes are separated by commas, and errors have the status 200.
pub fn oauth() -> Oauth {
    Oauth::new("/oauth/v2/authorize", "/api/oauth.v2.access").basic().separator(",").token(TOKEN).shape(|mut body| {
        body["ok"] = body["error"].is_null().into();
        body["team"] = json!({"id": "T1", "name": "Acme"});
        (200, body)
    })
}

/// Starts it, with Ada and two channels. Messages to `#busy` come too fast.
pub async fn start(oauth: Oauth) -> Fake {
    Fake::start(oauth, respond).await
}

/// The settings and the name of a connection to it.
pub fn connection(fake: &Fake, name: &str) -> Value {
    json!({
        "name": name,
        "connector": "slack",
        "config": {"api_url": fake.at("/api"), "oauth_url": fake.app.url()}
    })
}

fn respond(request: &Received, grant: Option<Grant>) -> Response {
    let Some(grant) = grant else { return fault("invalid_auth") };
    let (path, scope) = match request.uri.path() {
        "/api/auth.test" => ("auth.test", None),
        "/api/chat.postMessage" => ("chat.postMessage", Some("chat:write")),
        "/api/users.lookupByEmail" => ("users.lookupByEmail", Some("users:read.email")),
        "/api/conversations.list" => ("conversations.list", Some("channels:read")),
        _ => return fault("unknown_method"),
    };
    if let Some(scope) = scope.filter(|scope| !grant.has(&[scope])) {
        return answer(200, json!({"ok": false, "error": "missing_scope", "needed": scope, "provided": "users:read"}));
    }
    match path {
        "auth.test" => answer(200, json!({"ok": true, "team": "Acme", "user": "headgate", "bot_id": "B1"})),
        "chat.postMessage" => post(request),
        "users.lookupByEmail" => match query(request).get("email").map(String::as_str) {
            Some("ada@example.com") => {
                let profile = json!({"email": "ada@example.com", "display_name": "ada", "title": "Countess"});
                let user = json!({"id": "U1", "name": "ada", "real_name": "Ada Lovelace", "profile": profile});
                answer(200, json!({"ok": true, "user": user}))
            }
            _ => fault("users_not_found"),
        },
        _ => list(request),
    }
}

fn post(request: &Received) -> Response {
    let json = request.headers.get("content-type").is_some_and(|value| value == "application/json; charset=utf-8");
    let message: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    match message["channel"].as_str() {
        _ if !json => fault("invalid_post_type"),
        Some("#busy") => later(30, 429, json!({"ok": false, "error": "ratelimited"})),
        Some("#leads" | "C1" | "U1") => {
            let body = json!({"ok": true, "channel": "C1", "ts": "1503435957.000001", "message": message});
            answer(200, body)
        }
        _ => fault("channel_not_found"),
    }
}

/// One channel a page; the last page's cursor is empty.
fn list(request: &Received) -> Response {
    let channel = |id: &str, name: &str| json!([{"id": id, "name": name, "is_member": true, "num_members": 3}]);
    let (channels, next) = match query(request).get("cursor").map(String::as_str) {
        None => (channel("C1", "leads"), "dGVhbTpDMg=="),
        Some("dGVhbTpDMg==") => (channel("C2", "busy"), ""),
        Some(_) => return fault("invalid_cursor"),
    };
    answer(200, json!({"ok": true, "channels": channels, "response_metadata": {"next_cursor": next}}))
}

fn fault(name: &str) -> Response {
    answer(200, json!({"ok": false, "error": name}))
}
