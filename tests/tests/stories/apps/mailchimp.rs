//! Mailchimp Transactional, whose key goes into the body.

use headgate_tests::apps::{Caller, mailchimp};
use serde_json::{Value, json};

#[tokio::test]
async fn mails_are_sent_with_the_key_in_the_body() {
    let app = mailchimp::start().await;
    let caller = Caller::start("mailchimp-transactional", &app).await;
    let config = json!({"api_url": format!("{}/api/1.0", app.url())});
    let connection = |key: &str| json!({"name": key, "connector": "mailchimp-transactional", "config": config, "secrets": {"key": key}});
    let made = caller.connect(connection(mailchimp::KEY)).await;
    assert_eq!(caller.test(&made).await.0, "valid");

    let file = json!({"name": "order.csv", "content": {"$text": "a,b", "content_type": "text/csv"}});
    let to = [json!({"email": "ada@example.com"}), json!({"email": "gone@example.com"})];
    let message = json!({"from_email": "shop@example.com", "subject": "Your order", "html": "<p>Hi</p>", "to": to, "attachments": [file]});
    let sent = caller.call("send", json!({ "message": message })).await.unwrap();
    assert_eq!(
        (&sent["recipients"][0]["status"], &sent["recipients"][1]["reject_reason"]),
        (&json!("sent"), &json!("hard-bounce"))
    );
    let received = app.received();
    let body: Value = serde_json::from_slice(&received[1].body).unwrap();
    assert_eq!(body["message"]["attachments"][0], json!({"type": "text/csv", "name": "order.csv", "content": "YSxi"}));
    assert_eq!(body["key"], mailchimp::KEY);
    assert!(received.iter().all(|request| !request.headers.contains_key("authorization")));

    let message =
        json!({"to": [{"email": "ada@example.com"}], "global_merge_vars": [{"name": "ORDER", "content": "A-7"}]});
    let sent = caller.call("send_template", json!({"template_name": "order-confirmation", "message": message})).await;
    assert_eq!(sent.unwrap()["recipients"][0]["status"], "sent");
    let (code, retryable, _) =
        caller.refused("send_template", json!({"template_name": "none", "message": message})).await;
    assert_eq!((code.as_str(), retryable), ("not_found", false));
    assert_eq!(caller.refused("send", json!({"message": {"to": []}})).await.0, "invalid_request");

    let wrong = caller.connect(connection("md-another-key")).await;
    assert_eq!(caller.test(&wrong).await.0, "refused", "Mailchimp answers a wrong key with the status 500");
    assert_eq!(caller.refused("send", json!({ "message": message })).await.0, "unauthorized");
}
