//! What may be loaded, and what is kept of it.

use std::fs;
use std::path::{Path, PathBuf};

use headgate_tests::{TestApp, guests, logs};
use reqwest::Method;
use serde_json::{Value, json};

/// A component that exports what a world exports, and imports one interface more.
fn wanting(import: &str, export: &str) -> Vec<u8> {
    let text = format!(
        r#"(component (import "{import}" (instance)) (instance $empty) (export "headgate:runtime/{export}@0.1.0" (instance $empty)))"#
    );
    wat::parse_str(text).unwrap()
}

async fn refused(app: &TestApp, path: &str, bytes: Vec<u8>) -> String {
    let request = app.manage(Method::PUT, path).header("content-type", "application/wasm").body(bytes);
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(status, 422, "{problem}");
    assert_eq!(problem["code"], "module_refused");
    problem["error"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_module_that_wants_or_is_something_else_is_refused_with_its_reason() {
    let app = TestApp::start().await;
    app.publish("echo", "echo").await;
    let (key, trigger) = (app.key("caller").await, app.trigger("echo", json!({})).await);
    let echo = guests::component("echo");
    let flows = "/groups/acme/flows/echo/versions";
    let connectors = "/groups/acme/connectors";
    let before = (app.get(flows).await, app.get("/groups/acme/flows/echo").await, app.get(connectors).await);

    for (path, bytes, said) in [
        (
            flows,
            wanting("wasi:http/outgoing-handler@0.2.12", "handler"),
            "the flow wants wasi:http/outgoing-handler@0.2.12, which only a connector may use. Reach the app through a connection",
        ),
        (
            flows,
            wanting("acme:secrets/store@1.0.0", "handler"),
            "wants acme:secrets/store@1.0.0, which this server does not offer",
        ),
        (
            flows,
            wanting("headgate:runtime/run@0.9.0", "handler"),
            "wants headgate:runtime/run@0.9.0, this server offers 0.1.0. Update the server",
        ),
        (
            connectors,
            wanting("headgate:runtime/connections@0.1.0", "methods"),
            "the connector wants headgate:runtime/connections@0.1.0, which only a flow may use",
        ),
        (connectors, wanting("wasi:nn/graph@0.2.0", "methods"), "wants wasi:nn/graph@0.2.0"),
        (flows, wat::parse_str("(module)").unwrap(), "a core WebAssembly module, not a component. Build for"),
        (flows, echo[..echo.len() / 2].to_vec(), "is cut off after"),
        (flows, b"#!/bin/sh\n".to_vec(), "is not a WebAssembly component: it does not begin with"),
        (flows, Vec::new(), "is not a WebAssembly component"),
        (flows, guests::component("http-connector"), "and this component is a connector. Push it as a connector"),
        (connectors, echo.clone(), "and this component is a flow. Push it as a flow"),
        (flows, wat::parse_str("(component)").unwrap(), "and this component does not"),
    ] {
        let error = refused(&app, path, bytes).await;
        assert!(error.contains(said), "{error}\nshould contain: {said}");
    }

    let after = (app.get(flows).await, app.get("/groups/acme/flows/echo").await, app.get(connectors).await);
    assert_eq!(before, after, "a refused module changes nothing");
    let answer = app.fire(&trigger, &key, "still here").await;
    assert_eq!(answer.text().await.unwrap(), "still here");
}

#[tokio::test]
async fn a_restart_compiles_nothing_again() {
    let app = TestApp::start().await;
    app.publish("echo", "echo").await;
    app.install("http-connector").await;
    assert_eq!(app.app().service().sandbox().compilations(), 2);
    app.push("echo", "echo").await;
    assert_eq!(app.app().service().sandbox().compilations(), 2, "the same bytes are compiled once");

    let key = app.key("caller").await;
    let routing_key = app.trigger("echo", json!({})).await.routing_key;
    let app = app.restart().await;
    let answer = called(&app, &routing_key, &key.secret).await;
    assert_eq!(answer, "after the start");
    assert_eq!(app.app().service().sandbox().compilations(), 0);
}

#[tokio::test]
async fn compiled_code_that_was_tampered_with_is_compiled_again() {
    logs::capture();
    let app = TestApp::start().await;
    app.publish("echo", "echo").await;
    let key = app.key("caller").await;
    let routing_key = app.trigger("echo", json!({})).await.routing_key;
    let changes: [fn(&mut Vec<u8>); 4] = [
        |file| {
            let middle = file.len() / 2;
            file[middle] ^= 1;
        },
        |file| file[0] ^= 1,
        |file| file.truncate(file.len() - 1),
        |file| file.clear(),
    ];
    let mut app = app;
    for (number, change) in changes.into_iter().enumerate() {
        app = app
            .restart_after(|data| {
                let path = compiled(data);
                let mut file = fs::read(&path).unwrap();
                change(&mut file);
                fs::write(&path, file).unwrap();
            })
            .await;
        assert_eq!(called(&app, &routing_key, &key.secret).await, "after the start");
        assert_eq!(app.app().service().sandbox().compilations(), 1, "change {number} was not noticed");
    }
    let digest = app.get("/groups/acme/flows/echo/versions").await[0]["digest"].as_str().unwrap().to_owned();
    let said = logs::lines_with(&[digest.trim_start_matches("sha256:"), "it is compiled again"]);
    assert!(said.len() >= 4, "the log says so: {said:?}");
}

/// The only compiled component of a server.
fn compiled(data: &Path) -> PathBuf {
    let files: Vec<_> = fs::read_dir(data.join("cache")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

async fn called(app: &TestApp, routing_key: &str, key: &str) -> String {
    let request = app.client().post(format!("{}/hooks/{routing_key}", app.url())).bearer_auth(key);
    request.body("after the start").send().await.unwrap().text().await.unwrap()
}
