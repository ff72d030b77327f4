use headgate_sdk::testing::{Host, invoke};
use serde_json::{Value, json};

use super::*;

const API: &str = "https://slack.com/api";

fn call(method: &str, input: Value) -> Result<Value> {
    invoke::<Slack>(method, &input)
}

#[test]
fn posts_a_message() {
    let host = Host::of::<Slack>();
    let message = json!({
        "channel": "#leads",
        "text": "A new lead: Zoë",
        "blocks": [{"type": "divider"}],
        "thread_ts": "1503435956.000247",
        "reply_broadcast": true
    });
    host.http("POST", &format!("{API}/chat.postMessage"))
        .header("content-type", "application/json; charset=utf-8")
        .json(&message)
        .answer(200, &json!({"ok": true, "channel": "C1", "ts": "1503435957.000001", "message": {"text": "x"}}));
    assert_eq!(call("post_message", message).unwrap(), json!({"channel": "C1", "ts": "1503435957.000001"}));
    for empty in [json!({"channel": "C1"}), json!({"channel": "C1", "text": ""}), json!({"text": "x"})] {
        assert_eq!(call("post_message", empty).unwrap_err().code, "invalid_input");
    }
}

#[test]
fn looks_a_user_up() {
    let host = Host::of::<Slack>();
    let user = json!({
        "id": "U1",
        "name": "ada",
        "team_id": "T1",
        "real_name": "Ada Lovelace",
        "tz": "Europe/London",
        "deleted": false,
        "is_bot": false,
        "profile": {"email": "ada@example.com", "display_name": "ada", "title": ""}
    });
    host.http("GET", &format!("{API}/users.lookupByEmail"))
        .query("email", "ada+crm@example.com")
        .answer(200, &json!({"ok": true, "user": user}));
    assert_eq!(call("lookup_user", json!({"email": "ada+crm@example.com"})).unwrap(), user);
}

#[test]
fn lists_channels_and_pages() {
    let host = Host::of::<Slack>();
    let channel = json!({"id": "C1", "name": "leads", "is_private": true, "topic": {"value": "t"}});
    host.http("GET", &format!("{API}/conversations.list"))
        .query("types", "public_channel,private_channel")
        .query("exclude_archived", "true")
        .query("limit", "1")
        .query("cursor", "dGVhbTpD")
        .answer(200, &json!({"ok": true, "channels": [channel], "response_metadata": {"next_cursor": "dGVhbTpE"}}));
    let input = json!({"kinds": ["public", "private"], "limit": 1, "cursor": "dGVhbTpD"});
    let page = call("list_channels", input).unwrap();
    assert_eq!((&page["channels"][0]["topic"]["value"], &page["next_cursor"]), (&json!("t"), &json!("dGVhbTpE")));

    host.http("GET", "/api/conversations.list")
        .query("types", "public_channel")
        .query("exclude_archived", "false")
        .answer(200, &json!({"ok": true, "channels": [], "response_metadata": {"next_cursor": ""}}));
    let last = call("list_channels", json!({"archived": true})).unwrap();
    assert_eq!(last, json!({"channels": []}));
}

#[test]
fn errors_say_what_to_do() {
    let cases = [
        (200, "channel_not_found", "not_found", false),
        (200, "users_not_found", "not_found", false),
        (200, "not_in_channel", "forbidden", false),
        (200, "invalid_auth", "unauthorized", false),
        (200, "token_revoked", "unauthorized", false),
        (200, "msg_too_long", "invalid_request", false),
        (200, "invalid_blocks", "invalid_request", false),
        (200, "internal_error", "unavailable", true),
        (200, "some_new_error", "slack_error", false),
        (429, "ratelimited", "rate_limited", true),
        (503, "", "unavailable", true),
    ];
    for (status, name, code, retryable) in cases {
        let host = Host::of::<Slack>();
        let bytes = if name.is_empty() { "<html>".into() } else { json!({"ok": false, "error": name}).to_string() };
        let headers = [("retry-after", "30")].into_iter().collect();
        host.http("POST", "/api/chat.postMessage").answer_with(http::Response { status, headers, bytes: bytes.into() });
        let error = Slack::post_message(PostMessage::new("C1", "x")).unwrap_err();
        assert_eq!((error.code.as_str(), error.retryable), (code, retryable), "{status} {name}");
        let details = error.details.unwrap();
        assert_eq!(details["retry_after_seconds"], 30);
        assert_eq!(details["error"].as_str().unwrap_or_default(), name);
    }
}

#[test]
fn a_missing_scope_is_named() {
    let host = Host::of::<Slack>();
    let body = json!({"ok": false, "error": "missing_scope", "needed": "chat:write", "provided": "channels:read"});
    host.http("POST", "/api/chat.postMessage").answer(200, &body);
    let error = Slack::post_message(PostMessage::new("C1", "x").in_thread("1.2")).unwrap_err();
    assert_eq!(error.code, "forbidden");
    assert!(error.message.contains("chat:write"), "{error}");
    assert_eq!(error.details.unwrap()["provided"], "channels:read");
}
