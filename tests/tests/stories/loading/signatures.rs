//! Where builders' keys are trusted, only what they signed is taken in.

use headgate::domain::module_signature::BuilderKey;
use headgate_tests::{TestApp, guests};
use reqwest::{Method, Response};
use serde_json::{Value, json};

fn key(seed: u8) -> BuilderKey {
    BuilderKey::generate(|bytes| bytes.fill(seed)).unwrap()
}

async fn put(app: &TestApp, path: &str, bytes: Vec<u8>) -> Response {
    app.manage(Method::PUT, path).header("content-type", "application/wasm").body(bytes).send().await.unwrap()
}

async fn refusal(app: &TestApp, path: &str, bytes: Vec<u8>) -> String {
    let answer = put(app, path, bytes).await;
    let (status, problem): (_, Value) = (answer.status(), answer.json().await.unwrap());
    assert_eq!((status.as_u16(), &problem["code"]), (422, &json!("module_refused")), "{problem}");
    problem["error"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn only_what_a_trusted_builder_signed_is_taken() {
    let (flows, connectors) = ("/groups/acme/flows/echo/versions", "/groups/acme/connectors");
    let app = TestApp::start().await;
    app.publish("echo", "echo").await;
    let (caller, routing_key) = (app.key("caller").await, app.trigger("echo", json!({})).await.routing_key);
    let (ours, theirs) = (key(1), key(2));
    let trusted = ours.public();
    let app = app.restart_with(|settings| settings.modules.trusted_keys = vec![trusted]).await;

    let url = format!("{}/hooks/{routing_key}", app.url());
    let called = app.client().post(url).bearer_auth(&caller.secret).body("as before").send().await.unwrap();
    assert_eq!(called.text().await.unwrap(), "as before", "what was published before the policy goes on");

    let (flow, connector) = (guests::component("mirror"), guests::component("http-connector"));
    let signed = ours.sign(&flow).unwrap();
    let section = signed[flow.len()..].to_vec();
    let mut changed = signed.clone();
    *changed.last_mut().unwrap() ^= 1;
    for (path, bytes, said) in [
        (flows, flow.clone(), "the module is not signed, and this server takes only"),
        (connectors, connector.clone(), "the module is not signed"),
        (
            flows,
            theirs.sign(&flow).unwrap(),
            &format!("signed with the key {}, which this server does not trust", theirs.public().id()),
        ),
        (flows, changed, "does not fit: it was changed after it was signed"),
        (flows, [&signed[..], b"\0\x05\x04name"].concat(), "has to be its last section, and the only one"),
        (flows, [&signed[..], &section].concat(), "has to be its last section, and the only one"),
        (flows, [&flow[..8], &section, &flow[8..]].concat(), "has to be its last section, and the only one"),
        (flows, [&signed[..], b"trailing"].concat(), "is cut off after"),
        (flows, b"PK\x03\x04".to_vec(), "is not a WebAssembly component"),
    ] {
        let error = refusal(&app, path, bytes).await;
        assert!(error.contains(said), "{error}\nshould contain: {said}");
    }
    assert_eq!(app.get(flows).await.as_array().unwrap().len(), 1);
    // Nor does an archive bring in what nobody signed.
    let archive = app.manage(Method::POST, "/groups/acme/export").json(&json!({})).send().await.unwrap();
    let request = app.manage(Method::POST, "/imports?as=twin").body(archive.bytes().await.unwrap());
    let imported = request.send().await.unwrap();
    assert_eq!(imported.status(), 422);
    assert!(imported.text().await.unwrap().contains("the module is not signed"));
    assert_eq!(app.get(connectors).await, json!([]));

    assert!(put(&app, flows, signed).await.status().is_success());
    assert!(put(&app, connectors, ours.sign(&connector).unwrap()).await.status().is_success());
}
