//! Handshakes by which senders make sure that a URL belongs to whoever gave it to them.

use headgate_tests::{Answer, Key, TestApp, Trigger};
use hmac::{Hmac, Mac};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;

const SECRET: &str = "a secret shared with the sender";

fn hmac(secret: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Server {
    app: TestApp,
    key: Key,
}

impl Server {
    async fn start() -> Self {
        let app = TestApp::start().await;
        app.publish("mirror", "mirror").await;
        let key = app.key("sender").await;
        Self { app, key }
    }

    async fn trigger(&self, mut settings: Value) -> Trigger {
        settings["key_in_path"] = json!(true);
        self.app.trigger("mirror", settings).await
    }

    fn url(&self, trigger: &Trigger) -> String {
        format!("{}/{}", trigger.url, self.key.secret)
    }

    /// Posts a body as Slack (`X-Slack-...`) or Zoom (`x-zm-...`) signs it.
    async fn post(&self, trigger: &Trigger, names: [&'static str; 2], secret: &str, body: &str) -> Answer {
        let time = jiff::Timestamp::now().as_second();
        let signature = format!("v0={}", hmac(secret, &format!("v0:{time}:{body}")));
        let request = self.app.client().post(self.url(trigger)).header(names[0], signature).header(names[1], time);
        Answer::to(request.body(body.to_owned())).await
    }

    async fn runs(&self) -> usize {
        self.app.get("/groups/acme/runs").await.as_array().unwrap().len()
    }

    async fn requests_counted(&self) -> Value {
        let path = format!("/groups/acme/api-keys/{}/usage", self.key.id);
        self.app.get(&path).await
    }
}

const SLACK: [&str; 2] = ["x-slack-signature", "x-slack-request-timestamp"];
const ZOOM: [&str; 2] = ["x-zm-signature", "x-zm-request-timestamp"];

#[tokio::test]
async fn slacks_challenge_comes_back() {
    let server = Server::start().await;
    let signature = json!({"scheme": "slack", "secret": SECRET});
    let trigger =
        server.trigger(json!({"signature": signature, "challenge": {"kind": "slack"}, "respond": "async"})).await;
    let asked = r#"{"token": "Jhj5dZrVaK7ZwHHjRyZWjbDl", "challenge": "<b>3eZbrw1a</b>", "type": "url_verification"}"#;
    let answer = server.post(&trigger, SLACK, SECRET, asked).await;
    assert_eq!((answer.status, answer.text()), (200, "<b>3eZbrw1a</b>"));
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!((answer.header("x-content-type-options"), answer.header("headgate-run-id")), ("nosniff", ""));
    // Whoever cannot sign is told nothing.
    assert_eq!(server.post(&trigger, SLACK, "another secret", asked).await.problem().1, "signature");
    assert_eq!(server.runs().await, 0);
    assert!(server.requests_counted().await.to_string().contains("\"requests\":2"), "handshakes are requests");
    // Events go their way.
    let event = r#"{"type": "event_callback", "challenge": "x"}"#;
    assert_eq!(server.post(&trigger, SLACK, SECRET, event).await.status, 202);
    let without = server.trigger(json!({"signature": signature})).await;
    assert!(!server.post(&without, SLACK, SECRET, asked).await.header("headgate-run-id").is_empty());
}

#[tokio::test]
async fn zooms_token_comes_back_with_its_hmac() {
    let server = Server::start().await;
    let signature = json!({"scheme": "zoom", "secret": SECRET});
    let trigger = server.trigger(json!({"signature": signature, "challenge": {"kind": "zoom"}})).await;
    let asked = r#"{"payload": {"plainToken": "qgg8vlvZRS6UYooatFL8Aw"}, "event": "endpoint.url_validation"}"#;
    let answer = server.post(&trigger, ZOOM, SECRET, asked).await;
    let wanted = |secret: &str| json!({"plainToken": "qgg8vlvZRS6UYooatFL8Aw", "encryptedToken": hmac(secret, "qgg8vlvZRS6UYooatFL8Aw")});
    assert_eq!((answer.status, answer.json()), (200, wanted(SECRET)));
    assert_eq!(server.post(&trigger, ZOOM, "another secret", asked).await.status, 403);
    // While the secret is replaced, the answer is made with the one Zoom signs with.
    let path = format!("/groups/acme/flows/mirror/triggers/{}", trigger.id);
    let rotated = json!({"signature": {"secret": "the next secret", "keep_previous_secs": 60}});
    assert_eq!(Answer::to(server.app.manage(Method::PATCH, &path).json(&rotated)).await.status, 200);
    for secret in [SECRET, "the next secret"] {
        assert_eq!(server.post(&trigger, ZOOM, secret, asked).await.json(), wanted(secret));
    }
    assert_eq!(server.runs().await, 0);
    // It needs Zoom's signature, and keeps it.
    for change in [json!({"signature": null}), json!({"signature": {"scheme": "github", "secret": SECRET}})] {
        let (status, _, message) = Answer::to(server.app.manage(Method::PATCH, &path).json(&change)).await.problem();
        assert!(status == 400 && message.contains("scheme zoom"), "{message}");
    }
}

#[tokio::test]
async fn metas_subscription_is_for_whoever_knows_the_token() {
    let server = Server::start().await;
    let signature = json!({"scheme": "meta", "secret": SECRET});
    let challenge = json!({"kind": "meta", "verify_token": "meatyhamhock"});
    let trigger = server.trigger(json!({"signature": signature, "challenge": challenge})).await;
    let get = async |token: &str, more: &str| {
        let query = format!("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={token}{more}");
        Answer::to(server.app.client().get(format!("{}?{query}", server.url(&trigger)))).await
    };
    let answer = get("meatyhamhock", "").await;
    assert_eq!((answer.status, answer.text()), (200, "1158201444"));
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    for wrong in ["", "meatyhamhoc", "meatyhamhocks", "MEATYHAMHOCK"] {
        let (status, code, message) = get(wrong, "").await.problem();
        assert_eq!((status, code.as_str()), (403, "verify_token"), "{message}");
        assert!(!message.contains("meaty"), "{message}");
    }
    // Only the handshake comes in by GET, and only with the group's key.
    assert_eq!(Answer::to(server.app.client().get(server.url(&trigger))).await.status, 405);
    assert_eq!(get("meatyhamhock", "&hub.verify_token=other").await.status, 405);
    let keyless = format!("{}?hub.mode=subscribe&hub.challenge=1&hub.verify_token=meatyhamhock", trigger.url);
    assert_eq!(Answer::to(server.app.client().get(keyless)).await.status, 401);
    assert_eq!(server.runs().await, 0);
    // Events are signed; one without a signature is refused.
    let event = "{\"object\": \"page\"}";
    let post =
        |signature: String| server.app.client().post(server.url(&trigger)).header("x-hub-signature-256", signature);
    let signed = format!("sha256={}", hmac(SECRET, event));
    assert_eq!(Answer::to(post(signed).body(event)).await.status, 200);
    assert_eq!(Answer::to(post("sha256=00".to_owned()).body(event)).await.status, 403);

    let shown = server.app.get(&format!("/groups/acme/flows/mirror/triggers/{}", trigger.id)).await;
    assert_eq!(shown["challenge"], "meta");
    assert!(!shown.to_string().contains("meaty"), "{shown}");
}

#[tokio::test]
async fn a_handshake_that_cannot_work_is_refused() {
    let server = Server::start().await;
    for (challenge, told) in [
        (json!({"kind": "zoom"}), "scheme zoom"),
        (json!({"kind": "meta"}), "Give the verify_token"),
        (json!({"kind": "meta", "verify_token": "short"}), "at least 6 bytes"),
        (json!({"kind": "slack", "verify_token": "meatyhamhock"}), "Only Meta's"),
    ] {
        let request = server.app.manage(Method::POST, "/groups/acme/flows/mirror/triggers");
        let (status, _, message) = Answer::to(request.json(&json!({ "challenge": challenge }))).await.problem();
        assert!(status == 400 && message.contains(told), "{challenge}: {message}");
    }
    let trigger = server.trigger(json!({"challenge": {"kind": "meta", "verify_token": "meatyhamhock"}})).await;
    let path = format!("/groups/acme/flows/mirror/triggers/{}", trigger.id);
    for (change, challenge) in [
        (json!({"challenge": {"kind": "meta"}}), json!("meta")),
        (json!({"description": "x"}), json!("meta")),
        (json!({"challenge": null}), Value::Null),
    ] {
        let changed = Answer::to(server.app.manage(Method::PATCH, &path).json(&change)).await.json();
        assert_eq!(changed["challenge"], challenge);
    }
}
