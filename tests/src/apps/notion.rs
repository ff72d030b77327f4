//! A stand-in for Notion: answers in the shapes of its API, version 2022-06-28, which each request has to name.

use axum::response::Response;
use serde_json::{Value, json};

use super::oauth::{Grant, Oauth};
use super::{Fake, answer, later};
use crate::crm::Received;

/// An integration's secret.
pub const TOKEN: &str = "ntn_canary0123456789";
/// The database that there is.
pub const DATABASE: &str = "668d797c76fa49349b05ad288df2d136";
/// Its page.
pub const PAGE: &str = "598337872cf94fdf8782e53db20768a5";
/// A database that is asked too often.
pub const BUSY: &str = "00000000000000000000000000000429";

/// How Notion gives tokens: JSON, the client's secret by basic authentication.
pub fn oauth() -> Oauth {
    Oauth::new("/v1/oauth/authorize", "/v1/oauth/token").basic().json().token(TOKEN).shape(|mut body| {
        body["workspace_name"] = "Acme".into();
        body["bot_id"] = "b1".into();
        (if body["error"].is_null() { 200 } else { 400 }, body)
    })
}

/// Starts it.
pub async fn start(oauth: Oauth) -> Fake {
    Fake::start(oauth, respond).await
}

/// The settings and the name of a connection to it.
pub fn connection(fake: &Fake, name: &str) -> Value {
    json!({"name": name, "connector": "notion", "config": {"api_url": fake.at("/v1")}})
}

fn respond(request: &Received, grant: Option<Grant>) -> Response {
    if grant.is_none() {
        return fault(401, "unauthorized", "API token is invalid.");
    }
    if request.headers.get("notion-version").is_none_or(|version| version != "2022-06-28") {
        return fault(400, "missing_version", "Notion-Version header should be defined.");
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let path = request.uri.path().strip_prefix("/v1/").unwrap_or_default();
    let (query, page) = (format!("databases/{DATABASE}/query"), format!("pages/{PAGE}"));
    match (request.method.as_str(), path) {
        ("GET", "users/me") => answer(200, json!({"object": "user", "type": "bot", "bot": {"workspace_name": "Acme"}})),
        ("POST", path) if path == query => {
            let (next, more) = if body["start_cursor"].is_null() { (json!(PAGE), true) } else { (Value::Null, false) };
            answer(200, json!({"object": "list", "results": [self::page()], "next_cursor": next, "has_more": more}))
        }
        ("POST", path) if path == format!("databases/{BUSY}/query") => {
            later(2, 429, error(429, "rate_limited", "You have been rate limited."))
        }
        ("POST", "pages") if body["parent"]["database_id"] == DATABASE => {
            let mut made = self::page();
            made["properties"] = body["properties"].clone();
            answer(200, made)
        }
        ("GET", path) if path == page => answer(200, self::page()),
        _ => fault(404, "object_not_found", "Could not find the object."),
    }
}

fn page() -> Value {
    json!({
        "object": "page",
        "id": PAGE,
        "url": format!("https://www.notion.so/{PAGE}"),
        "created_time": "2022-06-28T03:04:00.000Z",
        "last_edited_time": "2022-06-28T03:04:00.000Z",
        "archived": false,
        "in_trash": false,
        "parent": {"type": "database_id", "database_id": DATABASE},
        "properties": {"Name": {"id": "title", "type": "title", "title": [{"plain_text": "Ada"}]}}
    })
}

fn fault(status: u16, code: &str, message: &str) -> Response {
    answer(status, error(status, code, message))
}

fn error(status: u16, code: &str, message: &str) -> Value {
    json!({"object": "error", "status": status, "code": code, "message": message, "request_id": "r1"})
}
