//! GitHub's own webhooks: their signature, and their bodies byte for byte.

use std::fmt::Write as _;

use futures::StreamExt as _;
use headgate_tests::{Answer, Key, TestApp, Trigger};
use hmac::{Hmac, Mac};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A JSON file of the npm package `@octokit/webhooks-examples`: a list of `{name, examples}`.
const SAMPLES: &str = "WEBHOOK_SAMPLES";
const SECRET: &str = "It's a Secret to Everybody";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex(&mac.finalize().into_bytes()))
}

/// Event names with bodies.
fn samples() -> Vec<(String, Vec<u8>)> {
    let Some(file) = std::env::var_os(SAMPLES) else {
        println!("{SAMPLES} is not set: a handful of bodies stands in for GitHub's samples");
        return read(include_str!("../fixtures/webhooks.json"));
    };
    let samples = read(&std::fs::read_to_string(&file).unwrap());
    println!("{} samples from {}", samples.len(), file.display());
    samples
}

/// Half of the bodies in one line and half of them indented, as senders do both.
fn read(text: &str) -> Vec<(String, Vec<u8>)> {
    let events: Vec<Value> = serde_json::from_str(text).unwrap();
    let examples = events.iter().flat_map(|event| {
        let name = event["name"].as_str().unwrap();
        event["examples"].as_array().unwrap().iter().map(move |example| (name.to_owned(), example))
    });
    let written = examples.enumerate().map(|(n, (name, example))| {
        let body = if n % 2 == 0 { serde_json::to_vec(example) } else { serde_json::to_vec_pretty(example) };
        (name, body.unwrap())
    });
    written.collect()
}

async fn server() -> (TestApp, Key, Trigger) {
    let app = TestApp::start().await;
    app.publish("hash", "hash").await;
    let key = app.key("github").await;
    let settings = json!({"key_in_query": true, "signature": {"scheme": "github", "secret": SECRET}});
    let trigger = app.trigger("hash", settings).await;
    (app, key, trigger)
}

/// As GitHub delivers: the key in the URL, for it sets no headers of one's own.
fn delivery(app: &TestApp, trigger: &Trigger, key: &Key, event: &str, body: Vec<u8>) -> RequestBuilder {
    let request = app.client().post(format!("{}?api_key={}", trigger.url, key.secret));
    request.header("content-type", "application/json").header("x-github-event", event).body(body)
}

#[tokio::test]
async fn every_sample_passes_byte_for_byte() {
    let (app, key, trigger) = server().await;
    let samples = samples();
    assert!(!samples.is_empty());
    let (app, key, trigger) = (&app, &key, &trigger);
    let passing = futures::stream::iter(samples).for_each_concurrent(4, |(event, body)| async move {
        let signed = delivery(app, trigger, key, &event, body.clone());
        let answer = Answer::to(signed.header("x-hub-signature-256", signature(SECRET, &body))).await;
        assert_eq!(answer.status, 200, "{event}: {}", String::from_utf8_lossy(&answer.body));
        assert!(answer.body == body, "{event}: the body came back changed");
        assert_eq!(answer.header("x-body-sha256"), hex(&Sha256::digest(&body)), "{event}");
    });
    passing.await;
}

#[tokio::test]
async fn a_signature_must_be_there_and_fit_the_raw_body() {
    let (app, key, trigger) = server().await;
    let body = br#"{"zen": "Keep it logically awesome.",  "hook_id": 1}"#.to_vec();
    let good = signature(SECRET, &body);
    let send = async |body: &[u8], signature: Option<&str>| {
        let request = delivery(&app, &trigger, &key, "ping", body.to_vec());
        Answer::to(signature.into_iter().fold(request, |request, value| request.header("x-hub-signature-256", value)))
            .await
    };
    assert_eq!(send(&body, Some(&good)).await.status, 200);

    let message = "The signature is missing. This trigger wants it in the header x-hub-signature-256";
    assert_eq!(send(&body, None).await.problem(), (403, "signature".into(), message.into()));
    let mut changed = body.clone();
    changed[2] ^= 1;
    let respaced = serde_json::to_vec(&serde_json::from_slice::<Value>(&body).unwrap()).unwrap();
    let others = signature("another secret", &body);
    let (unfit, malformed) =
        (" does not fit the body.", " is malformed. This trigger wants \"sha256=\" and 64 hexadecimal digits");
    for (body, signature, told) in [
        (&changed, good.as_str(), unfit),
        (&respaced, &good, unfit),
        (&body, &others, unfit),
        (&body, &good[7..], malformed),
        (&body, "sha256=", malformed),
        (&body, "", malformed),
        (&body, "sha1=7d38cdd689735b008b3c702edd92eea23791c5f6", malformed),
    ] {
        let (status, _, message) = send(body, Some(signature)).await.problem();
        assert_eq!(status, 403, "{signature}");
        assert!(message.starts_with(&format!("The signature in x-hub-signature-256{told}")), "{message}");
        assert!(!message.contains(SECRET));
    }
    let runs = app.get("/groups/acme/runs").await;
    assert_eq!(runs.as_array().unwrap().len(), 1, "only the valid one ran");
    let shown = app.get(&format!("/groups/acme/flows/hash/triggers/{}", trigger.id)).await;
    let signature = json!({
        "scheme": "github", "header": "x-hub-signature-256", "tolerance_secs": null, "previous_until": [],
    });
    assert_eq!(shown["signature"], signature);
    assert!(!shown.to_string().contains(SECRET));
}
