use headgate_sdk::manifest::Placement;
use headgate_sdk::testing::{Host, invoke};
use serde_json::{Value, json};

use super::*;

const API: &str = "https://mandrillapp.com/api/1.0";

fn delivered() -> Value {
    json!([
        {"email": "ada@example.com", "status": "sent", "_id": "abc123", "reject_reason": null, "queued_reason": null},
        {"email": "bob@example.com", "status": "rejected", "_id": "abc124", "reject_reason": "hard-bounce"}
    ])
}

#[test]
fn sends_a_mail_with_a_file() {
    let host = Host::of::<MailchimpTransactional>();
    let message = json!({
        "from_email": "shop@example.com",
        "subject": "Your order",
        "to": [{"email": "ada@example.com"}, {"email": "bob@example.com"}],
        "html": "<p>Thank you</p>",
        "attachments": [{"type": "text/csv", "name": "order.csv", "content": "YSxi"}]
    });
    host.http("POST", &format!("{API}/messages/send")).json(&json!({ "message": message })).answer(200, &delivered());
    let mail = Message::new("shop@example.com", "Your order").to("ada@example.com").to("bob@example.com");
    let mail = mail.html("<p>Thank you</p>").attach("order.csv", Blob::from_bytes("text/csv", b"a,b").unwrap());
    let sent = MailchimpTransactional::send(mail.into()).unwrap();
    let refused: Vec<_> = sent.refused().map(|one| one.reject_reason.as_deref()).collect();
    assert_eq!((sent.recipients[0].id.as_deref(), refused), (Some("abc123"), vec![Some("hard-bounce")]));
}

#[test]
fn sends_a_template() {
    let host = Host::of::<MailchimpTransactional>();
    let body = json!({
        "template_name": "order-confirmation",
        "template_content": [],
        "message": {"to": [{"email": "ada@example.com", "type": "bcc"}], "global_merge_vars": [{"name": "ORDER", "content": "A-7"}]},
        "async": true,
        "send_at": "2026-01-02 03:04:05"
    });
    host.http("POST", &format!("{API}/messages/send-template")).json(&body).answer(200, &json!([]));
    assert_eq!(invoke::<MailchimpTransactional>("send_template", &body).unwrap(), json!({"recipients": []}));
}

#[test]
fn what_is_too_large_is_refused_before_it_is_sent() {
    let host = Host::of::<MailchimpTransactional>();
    let large = Blob::from_bytes("application/zip", &vec![0; 5 * 1024 * 1024 + 1]).unwrap();
    let mail = Message::new("shop@example.com", "Your film").to("ada@example.com").attach("film.zip", large);
    assert_eq!(MailchimpTransactional::send(mail.into()).unwrap_err().code, "invalid_input");
    assert!(host.requests().is_empty());
}

#[test]
fn the_key_is_the_hosts_to_set() {
    let host = Host::of::<MailchimpTransactional>();
    for body in [json!({"key": "mine"}), json!(["no object"])] {
        let answer = http::post(format!("{API}/users/ping2")).json(&body).send();
        assert_eq!(answer.unwrap_err().code, "egress_denied", "{body}");
    }
    host.http("POST", &format!("{API}/users/ping2")).json(&json!({})).answer(200, &json!({"PING": "PONG!"}));
    http::post(format!("{API}/users/ping2")).json(&json!({})).send().unwrap();
    let manifest = <MailchimpTransactional as headgate_sdk::Connector>::describe();
    let expected = Placement::Body { pointer: "/key".into(), value: "${secret.key}".into() };
    assert_eq!(manifest.auth[0].kind.placements(), [expected]);
}

#[test]
fn errors_say_what_to_do() {
    let fault = |code: i64, name: &str| json!({"status": "error", "code": code, "name": name, "message": "As it is"});
    let cases = [
        (500, fault(-1, "Invalid_Key"), "unauthorized", false),
        (401, fault(-1, "Invalid_Key"), "unauthorized", false),
        (500, fault(-2, "ValidationError"), "invalid_request", false),
        (500, fault(5, "Unknown_Template"), "not_found", false),
        (500, fault(12, "Unknown_Subaccount"), "not_found", false),
        (500, fault(10, "PaymentRequired"), "payment_required", false),
        (500, fault(-99, "GeneralError"), "unavailable", true),
        (429, json!("<html>"), "rate_limited", true),
    ];
    for (status, body, code, retryable) in cases {
        let host = Host::of::<MailchimpTransactional>();
        host.http("POST", &format!("{API}/messages/send")).answer(status, &body);
        let mail = Message::new("shop@example.com", "Your order").to("ada@example.com");
        let error = MailchimpTransactional::send(mail.into()).unwrap_err();
        assert_eq!((error.code.as_str(), error.retryable), (code, retryable), "{status} {body}");
        assert_eq!(error.details.unwrap()["status"], status);
    }
}
