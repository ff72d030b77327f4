//! Gmail, by OAuth: Google has nothing else.

use headgate_tests::apps::{Caller, gmail};
use serde_json::json;

#[tokio::test]
async fn sends_searches_and_gets() {
    let fake = gmail::start(gmail::oauth()).await;
    let caller = Caller::start("gmail", &fake.app).await;
    caller.authorize(gmail::connection(&fake, "mail"), &fake.oauth).await;
    let asked = &fake.oauth.asked()[0];
    assert_eq!((asked["access_type"].as_str(), asked["prompt"].as_str()), ("offline", "consent"));

    let file = json!({"$text": "a,b", "content_type": "text/csv"});
    let message = json!({
        "to": ["Ada <ada@example.com>"],
        "subject": "Grüße",
        "text": "t",
        "attachments": [{"name": "a.csv", "content": file}]
    });
    assert_eq!(caller.call("send", message).await.unwrap()["id"], "18c9");
    let sent = &gmail::sent(&fake)[0];
    assert!(sent.starts_with("To: \"Ada\" <ada@example.com>\r\nSubject: =?UTF-8?B?R3LDvMOfZQ==?=\r\n"), "{sent}");
    assert!(sent.contains("filename=\"a.csv\"") && sent.contains("YSxi"), "{sent}");

    let first = caller.call("search", json!({"query": "is:unread"})).await.unwrap();
    let last = caller.call("search", json!({"pageToken": first["nextPageToken"]})).await.unwrap();
    assert_eq!((&last["messages"][0]["id"], last.get("nextPageToken")), (&json!("18c2"), None));
    let got = caller.call("get", json!({"id": first["messages"][0]["id"], "attachments": true})).await.unwrap();
    assert_eq!((&got["text"], &got["attachments"][0]["content"]), (&json!("Grüße"), &file));
}

#[tokio::test]
async fn says_what_google_refuses() {
    let send = "https://www.googleapis.com/auth/gmail.send";
    let fake = gmail::start(gmail::oauth().granting(&[send])).await;
    let caller = Caller::start("gmail", &fake.app).await;
    caller.authorize(gmail::connection(&fake, "mail"), &fake.oauth).await;
    let (code, retryable, details) = caller.refused("send", json!({"to": ["busy@example.com"]})).await;
    assert_eq!((code.as_str(), retryable, &details["retry_after_seconds"]), ("rate_limited", true, &json!(30)));
    let asked = fake.app.received().len();
    assert_eq!(caller.refused("search", json!({})).await.0, "missing_scope");
    assert_eq!(fake.app.received().len(), asked, "Google is not asked for what is known to be refused");
    let evil = json!({"to": ["ada@example.com"], "subject": "x\r\nBcc: eve@example.com"});
    assert_eq!(caller.refused("send", evil).await.0, "invalid_input");
    assert_eq!(gmail::sent(&fake).len(), 1);
}
