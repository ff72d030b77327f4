//! Slack, by a bot token and by OAuth.

use headgate_tests::apps::{Caller, slack};
use serde_json::{Value, json};

fn with_token(fake: &headgate_tests::apps::Fake, token: &str) -> Value {
    let mut connection = slack::connection(fake, "chat");
    connection["auth"] = "bot_token".into();
    connection["secrets"] = json!({ "token": token });
    connection
}

#[tokio::test]
async fn posts_looks_up_and_lists() {
    let fake = slack::start(slack::oauth()).await;
    let caller = Caller::start("slack", &fake.app).await;
    caller.connect(with_token(&fake, slack::TOKEN)).await;
    let ada = caller.call("lookup_user", json!({"email": "ada@example.com"})).await.unwrap();
    assert_eq!((&ada["id"], &ada["profile"]["title"]), (&json!("U1"), &json!("Countess")));
    let posted = caller.call("post_message", json!({"channel": "#leads", "text": "Zoë"})).await.unwrap();
    assert_eq!(posted, json!({"channel": "C1", "ts": "1503435957.000001"}));
    assert_eq!(fake.bodies("/api/chat.postMessage"), [json!({"channel": "#leads", "text": "Zoë"})]);
    let first = caller.call("list_channels", json!({})).await.unwrap();
    let last = caller.call("list_channels", json!({"cursor": first["next_cursor"]})).await.unwrap();
    assert_eq!((&first["channels"][0]["name"], &last["channels"][0]["name"]), (&json!("leads"), &json!("busy")));
    assert!(last.get("next_cursor").is_none(), "{last}");
}

#[tokio::test]
async fn errors_come_with_the_status_200() {
    let fake = slack::start(slack::oauth()).await;
    let caller = Caller::start("slack", &fake.app).await;
    caller.connect(with_token(&fake, slack::TOKEN)).await;
    let (code, retryable, details) = caller.refused("post_message", json!({"channel": "#busy", "text": "x"})).await;
    assert_eq!((code.as_str(), retryable, &details["retry_after_seconds"]), ("rate_limited", true, &json!(30)));
    let (code, ..) = caller.refused("post_message", json!({"channel": "#none", "text": "x"})).await;
    assert_eq!(code, "not_found");

    let caller = Caller::start("slack", &fake.app).await;
    caller.connect(with_token(&fake, "xoxb-wrong")).await;
    let (code, _, details) = caller.refused("lookup_user", json!({"email": "ada@example.com"})).await;
    assert_eq!((code.as_str(), &details["error"]), ("unauthorized", &json!("invalid_auth")));
}

#[tokio::test]
async fn somebody_consents_to_fewer_scopes() {
    let fake = slack::start(slack::oauth().granting(&["chat:write", "users:read"])).await;
    let caller = Caller::start("slack", &fake.app).await;
    let mut connection = slack::connection(&fake, "chat");
    connection["auth"] = "oauth".into();
    caller.authorize(connection, &fake.oauth).await;
    assert_eq!(fake.oauth.asked()[0]["scope"], "chat:write,users:read,users:read.email,channels:read");
    caller.call("post_message", json!({"channel": "C1", "text": "x"})).await.unwrap();
    let asked = fake.app.received().len();
    assert_eq!(caller.refused("list_channels", json!({})).await.0, "missing_scope");
    assert_eq!(fake.app.received().len(), asked, "Slack is not asked for what is known to be refused");
}
