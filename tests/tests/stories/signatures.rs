//! Signed webhooks: each sender's manner over real sockets, the window of time, and the rotation of secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use headgate_tests::clock::TestClock;
use headgate_tests::{Answer, Key, TestApp, Trigger};
use hmac::{Hmac, Mac};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;

const BODY: &str = "{\"order\": 4711,\n  \"name\": \"Zoë\"}";

fn mac(secret: &[u8], parts: &[&str]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    parts.iter().for_each(|part| mac.update(part.as_bytes()));
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a sender signs with.
struct Letter<'a> {
    secret: &'a str,
    time: i64,
    url: &'a str,
}

/// How a sender signs [`BODY`]: the headers it sends.
type Sign = fn(&Letter<'_>) -> Vec<(&'static str, String)>;

fn hub(letter: &Letter<'_>) -> Vec<(&'static str, String)> {
    vec![("X-Hub-Signature-256", format!("sha256={}", hex(&mac(letter.secret.as_bytes(), &[BODY]))))]
}

fn standard(letter: &Letter<'_>) -> Vec<(&'static str, String)> {
    let key = BASE64.decode(letter.secret.strip_prefix("whsec_").unwrap()).unwrap();
    let time = letter.time.to_string();
    let tag = BASE64.encode(mac(&key, &["msg_1", ".", &time, ".", BODY]));
    vec![("webhook-id", "msg_1".to_owned()), ("webhook-timestamp", time), ("webhook-signature", format!("v1,{tag}"))]
}

fn svix(letter: &Letter<'_>) -> Vec<(&'static str, String)> {
    let names = ["svix-id", "svix-timestamp", "svix-signature"];
    names.into_iter().zip(standard(letter)).map(|(name, (_, value))| (name, value)).collect()
}

fn stripe(letter: &Letter<'_>) -> Vec<(&'static str, String)> {
    let time = letter.time.to_string();
    let tag = hex(&mac(letter.secret.as_bytes(), &[&time, ".", BODY]));
    vec![("Stripe-Signature", format!("t={time},v1={tag},v0={}", "0".repeat(64)))]
}

fn v0(letter: &Letter<'_>, signature: &'static str, timestamp: &'static str) -> Vec<(&'static str, String)> {
    let time = letter.time.to_string();
    let tag = hex(&mac(letter.secret.as_bytes(), &["v0:", &time, ":", BODY]));
    vec![(signature, format!("v0={tag}")), (timestamp, time)]
}

fn slack(letter: &Letter<'_>) -> Vec<(&'static str, String)> {
    v0(letter, "X-Slack-Signature", "X-Slack-Request-Timestamp")
}

fn zoom(letter: &Letter<'_>) -> Vec<(&'static str, String)> {
    v0(letter, "x-zm-signature", "x-zm-request-timestamp")
}

fn hubspot(letter: &Letter<'_>) -> Vec<(&'static str, String)> {
    let time = (letter.time * 1000).to_string();
    // HubSpot decodes some characters before it signs.
    let url = letter.url.replace("%40", "@").replace("%2F", "/");
    let tag = BASE64.encode(mac(letter.secret.as_bytes(), &["POST", &url, BODY, &time]));
    vec![("X-HubSpot-Signature-v3", tag), ("X-HubSpot-Request-Timestamp", time)]
}

fn shopify(letter: &Letter<'_>) -> Vec<(&'static str, String)> {
    vec![("X-Shopify-Hmac-Sha256", BASE64.encode(mac(letter.secret.as_bytes(), &[BODY])))]
}

fn own(letter: &Letter<'_>) -> Vec<(&'static str, String)> {
    let time = letter.time.to_string();
    let tag = hex(&mac(letter.secret.as_bytes(), &["POST", " ", letter.url, "\n", &time, "\n", BODY]));
    vec![("X-Signature", format!("mac {tag}")), ("X-Time", time)]
}

const SECRET: &str = "a secret shared with the sender";
const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Every scheme, its secret and how its sender signs.
fn senders() -> Vec<(Value, &'static str, Sign)> {
    let own_scheme = json!({"hmac": {
        "header": "x-signature", "prefix": "mac ", "timestamp_header": "x-time", "signed": "{method} {url}\n{timestamp}\n{body}",
    }});
    vec![
        (json!("github"), SECRET, hub),
        (json!("meta"), SECRET, hub),
        (json!("standard_webhooks"), WHSEC, standard),
        (json!("standard_webhooks"), WHSEC, svix),
        (json!("stripe"), SECRET, stripe),
        (json!("slack"), SECRET, slack),
        (json!("zoom"), SECRET, zoom),
        (json!("hubspot"), SECRET, hubspot),
        (json!("shopify"), SECRET, shopify),
        (own_scheme, SECRET, own),
    ]
}

struct Server {
    app: TestApp,
    clock: TestClock,
    key: Key,
}

impl Server {
    async fn start() -> Self {
        let clock = TestClock::at("2026-11-22T12:00:00Z".parse().unwrap());
        let app = TestApp::with_clock(clock.clock(), |_| {}).await;
        app.publish("mirror", "mirror").await;
        let key = app.key("sender").await;
        Self { app, clock, key }
    }

    fn now(&self) -> i64 {
        self.clock.now().as_second()
    }

    async fn trigger(&self, signature: Value) -> Trigger {
        self.app.trigger("mirror", json!({"key_in_query": true, "key_in_path": true, "signature": signature})).await
    }

    /// Sends the body, signed, with the key in the URL, as senders do that set no headers of one's own.
    async fn send(&self, trigger: &Trigger, sign: Sign, secret: &str, time: i64) -> Answer {
        let url = format!("{}?to=a%40b%2Fc&api_key={}", trigger.url, self.key.secret);
        let headers = sign(&Letter { secret, time, url: &url });
        self.post(&url, &headers, BODY).await
    }

    async fn post(&self, url: &str, headers: &[(&'static str, String)], body: &str) -> Answer {
        let request = self.app.client().post(url).body(body.to_owned());
        Answer::to(headers.iter().fold(request, |request, (name, value)| request.header(*name, value))).await
    }

    async fn change(&self, trigger: &Trigger, signature: Value) -> Answer {
        let path = format!("/groups/acme/flows/mirror/triggers/{}", trigger.id);
        Answer::to(self.app.manage(Method::PATCH, &path).json(&json!({ "signature": signature }))).await
    }

    async fn runs(&self) -> usize {
        self.app.get("/groups/acme/runs").await.as_array().unwrap().len()
    }
}

/// The message of a refusal for the signature's sake.
fn refused(answer: &Answer) -> String {
    let (status, code, message) = answer.problem();
    assert_eq!((status, code.as_str()), (403, "signature"), "{message}");
    message
}

#[tokio::test]
async fn each_senders_signature_is_checked_over_the_raw_bytes() {
    let server = Server::start().await;
    for (ran, (scheme, secret, sign)) in senders().into_iter().enumerate() {
        let trigger = server.trigger(json!({"scheme": scheme, "secret": secret})).await;
        let answer = server.send(&trigger, sign, secret, server.now()).await;
        assert_eq!(answer.status, 200, "{scheme}: {}", answer.text());
        assert!(!answer.text().contains(&server.key.secret), "{scheme}: {}", answer.text());

        let url = format!("{}?api_key={}", trigger.url, server.key.secret);
        let headers = sign(&Letter { secret, time: server.now(), url: &url });
        for (what, changed) in [("a letter", BODY.replace("4711", "4712")), ("spaces", BODY.replace("\n  ", " "))] {
            let message = refused(&server.post(&url, &headers, &changed).await);
            assert!(message.contains("does not fit"), "{scheme}, {what}: {message}");
        }
        let message = refused(&server.post(&url, &[], BODY).await);
        assert!(message.starts_with("The signature is missing. This trigger wants it in the header "), "{message}");
        for twice in 0..headers.len() {
            let doubled: Vec<_> = headers.iter().chain([&headers[twice]]).cloned().collect();
            let message = refused(&server.post(&url, &doubled, BODY).await);
            assert!(message.contains("came more than once"), "{scheme}: {message}");
        }
        assert_eq!(server.runs().await, ran + 1, "{scheme}: only what was signed ran");
    }
}

#[tokio::test]
async fn hubspot_signs_the_url_it_called_wherever_the_key_is() {
    let server = Server::start().await;
    let trigger = server.trigger(json!({"scheme": "hubspot", "secret": SECRET})).await;
    let key = &server.key.secret;
    for url in [
        format!("{}?auth-key={key}", trigger.url),
        format!("{}/{key}?portal=1&to=a%20b", trigger.url),
        format!("{}/{key}/?portal=2", trigger.url),
    ] {
        let good = hubspot(&Letter { secret: SECRET, time: server.now(), url: &url });
        let answer = server.post(&url, &good, BODY).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(!answer.text().contains(key.as_str()));
        // Signed without the key, the URL is another one.
        let other = hubspot(&Letter { secret: SECRET, time: server.now(), url: &trigger.url });
        let message = refused(&server.post(&format!("{}?api_key={key}", trigger.url), &other, BODY).await);
        assert!(message.contains("public_url") && !message.contains(key.as_str()), "{message}");
    }
}

#[tokio::test]
async fn hubspot_signs_the_groups_own_host_name() {
    let server = Server::start().await;
    let host = server.app.manage(Method::PATCH, "/groups/acme").json(&json!({"host": "hooks.acme.example"}));
    assert_eq!(Answer::to(host).await.status, 200);
    let signature = json!({"scheme": "hubspot", "secret": SECRET});
    let settings = json!({"path": {"template": "deals/{id}"}, "key_in_query": true, "signature": signature});
    server.app.trigger("mirror", settings).await;
    let target = format!("/deals/7?api_key={}", server.key.secret);
    let send = async |signed: &str| {
        let headers = hubspot(&Letter { secret: SECRET, time: server.now(), url: signed });
        let request = server.app.client().post(format!("{}{target}", server.app.url())).body(BODY);
        let request = request.header("host", "hooks.acme.example");
        Answer::to(headers.iter().fold(request, |request, (name, value)| request.header(*name, value))).await
    };
    assert_eq!(send(&format!("http://hooks.acme.example{target}")).await.status, 200);
    refused(&send(&format!("{}{target}", server.app.url())).await);
}

#[tokio::test]
async fn a_signature_is_good_for_the_triggers_window() {
    let server = Server::start().await;
    let trigger = server.trigger(json!({"scheme": "slack", "secret": SECRET})).await;
    let at = async |offset: i64| server.send(&trigger, slack, SECRET, server.now() + offset).await;
    assert_eq!((at(-300).await.status, at(300).await.status), (200, 200));
    let old = "The signature is too old: its time is 301 s ago, and this trigger takes 300 s. ";
    let new = "The signature is too new: its time is 301 s ahead, and this trigger takes 300 s. ";
    let (early, late) = (refused(&at(-301).await), refused(&at(301).await));
    assert!(early.starts_with(old) && late.starts_with(new), "{early} {late}");

    assert_eq!(server.change(&trigger, json!({"tolerance_secs": 10})).await.json()["signature"]["tolerance_secs"], 10);
    assert_eq!((at(-10).await.status, at(-11).await.status), (200, 403));
    // The server's clock decides, and not the sender's.
    let signed = server.now();
    server.clock.forward(SignedDuration::from_secs(11));
    assert_eq!(server.send(&trigger, slack, SECRET, signed).await.status, 403);
    assert_eq!(server.change(&trigger, json!({"tolerance_secs": 0})).await.status, 200);
    assert_eq!(server.send(&trigger, slack, SECRET, 1).await.status, 200);
}

#[tokio::test]
async fn a_secret_is_replaced_while_the_old_one_is_good() {
    let server = Server::start().await;
    let trigger = server.trigger(json!({"scheme": "stripe", "secret": "the first secret"})).await;
    let good = async |secret: &str| server.send(&trigger, stripe, secret, server.now()).await.status == 200;
    let rotated =
        server.change(&trigger, json!({"secret": "the second secret", "keep_previous_secs": 3600})).await.json();
    assert_eq!(rotated["signature"]["previous_until"], json!(["2026-11-22T13:00:00Z"]));
    assert!(good("the first secret").await && good("the second secret").await);
    server.clock.forward(SignedDuration::from_mins(30));
    server.change(&trigger, json!({"secret": "the third secret", "keep_previous_secs": 3600})).await;
    assert!(good("the first secret").await && good("the second secret").await && good("the third secret").await);
    server.clock.forward(SignedDuration::from_mins(30));
    assert!(!good("the first secret").await && good("the second secret").await && good("the third secret").await);

    // It survives a restart.
    let app = server.app.restart().await;
    let server = Server { app, ..server };
    let trigger = Trigger { url: format!("{}/hooks/{}", server.app.url(), trigger.routing_key), ..trigger };
    let good = async |secret: &str| server.send(&trigger, stripe, secret, server.now()).await.status == 200;
    assert!(!good("the first secret").await && good("the second secret").await && good("the third secret").await);
    // The old ones can be ended, and are where the new one says nothing of them.
    assert_eq!(
        server.change(&trigger, json!({"keep_previous_secs": 0})).await.json()["signature"]["previous_until"],
        json!([])
    );
    assert!(!good("the second secret").await && good("the third secret").await);
    server.change(&trigger, json!({"secret": "the fourth secret"})).await;
    assert!(!good("the third secret").await && good("the fourth secret").await);
    let shown = server.app.get(&format!("/groups/acme/flows/mirror/triggers/{}", trigger.id)).await.to_string();
    assert!(!shown.contains("the fourth secret") && !shown.contains("ciphertext"), "{shown}");
}

#[tokio::test]
async fn a_check_that_cannot_work_is_refused_with_what_to_do() {
    let server = Server::start().await;
    let trigger = server.trigger(json!({"scheme": "stripe", "secret": SECRET})).await;
    let hmac = |settings: Value| json!({"scheme": {"hmac": settings}, "secret": SECRET});
    for (change, told) in [
        (json!({"secret": "short"}), "at least 6 bytes"),
        (json!({"scheme": "github"}), "Give the secret"),
        (json!({"scheme": "standard_webhooks", "secret": SECRET}), "whsec_"),
        (json!({"scheme": "github", "secret": SECRET, "tolerance_secs": 60}), "signs no time"),
        (json!({"scheme": "github", "secret": SECRET, "keep_previous_secs": 60}), "of the same scheme"),
        (json!({"tolerance_secs": 86_401}), "at most 86400"),
        (json!({"secret": SECRET, "keep_previous_secs": 2_592_001}), "30 days"),
        (json!({"keep_previous_secs": 60}), "Give the new secret"),
        (hmac(json!({"header": "X-Sig"})), "lower-case"),
        (hmac(json!({"header": "authorization"})), "for credentials"),
        (hmac(json!({"header": "x-sig", "signed": "{id}"})), "nothing that can be signed"),
        (hmac(json!({"header": "x-sig", "signed": "{timestamp}.{body}"})), "timestamp_header"),
    ] {
        let (status, _, message) = server.change(&trigger, change.clone()).await.problem();
        assert!(status == 400 && message.contains(told), "{change}: {status} {message}");
    }
    let keep = |secret: &str| json!({"secret": secret, "keep_previous_secs": 60});
    for secret in ["the second secret", "the third secret", "the fourth secret"] {
        assert_eq!(server.change(&trigger, keep(secret)).await.status, 200);
    }
    let (status, _, message) = server.change(&trigger, keep("the fifth secret")).await.problem();
    assert!(status == 400 && message.contains("4 secrets at a time"), "{message}");
    assert_eq!(server.send(&trigger, stripe, SECRET, server.now()).await.status, 200);
}
