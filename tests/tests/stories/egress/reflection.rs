//! An app that hands back the credentials it was sent: they never come to a guest, nor anywhere else.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::response::Response;
use headgate_tests::canary::Canary;
use headgate_tests::crm::{Received, StandIn};
use headgate_tests::{Answer, Hostile, logs};
use reqwest::Method;
use serde_json::{Value, json};

use super::{TOKEN, connection, exempting};

/// Reflects the token in every form, each behind a mark, in the headers and in the body, in chunks of the size that
/// the path says.
fn reflect(request: &Received) -> Response {
    let canary = Canary::new(TOKEN);
    let body: String = canary.forms().iter().enumerate().map(|(n, (_, form))| format!("<{n}>{form}")).collect();
    let size: usize = request.uri.path().trim_start_matches('/').parse().unwrap();
    let chunks: Vec<Result<Bytes, Infallible>> =
        body.into_bytes().chunks(size).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    let mut response = Response::new(Body::from_stream(futures::stream::iter(chunks)));
    for (_, form) in canary.forms() {
        let value = HeaderValue::from_str(&format!("before {form} after")).unwrap();
        response.headers_mut().append("x-reflected", value);
    }
    let cookie = HeaderValue::from_str(&format!("session={TOKEN}")).unwrap();
    response.headers_mut().insert("set-cookie", cookie);
    response.headers_mut().insert("authorization", request.headers["authorization"].clone());
    response
}

async fn reflecting() -> (StandIn, Hostile) {
    logs::capture();
    let app = StandIn::start(reflect).await;
    let hostile = exempting(&[app.address.to_string()]).await;
    hostile.connect("hostile-connector", connection("bearer", &app.url())).await;
    (app, hostile)
}

#[tokio::test]
async fn no_form_of_the_secret_comes_back_however_it_is_split() {
    let (app, hostile) = reflecting().await;
    let canary = Canary::new(TOKEN);
    for size in [1, 2, 3, 7, 64, 100_000] {
        let ended = hostile.call("reflect", json!({"path": format!("/{size}")})).await;
        let output = &ended.body["output"];
        let body = output["body"].as_str().unwrap_or_else(|| panic!("{}", ended.body));
        for mark in 0..canary.forms().len() {
            assert!(body.contains(&format!("<{mark}>")), "chunks of {size}: what is no secret comes through: {body}");
        }
        let reflected: Vec<&Value> =
            output["headers"].as_array().unwrap().iter().filter(|header| header[0] == "x-reflected").collect();
        assert!(!reflected.is_empty(), "{output}");
        for header in reflected {
            assert_eq!(header[1], "before [redacted] after");
        }
        canary.assert_absent("the answer", ended.body.to_string());
        canary.assert_absent("the run", ended.run.to_string());
    }
    assert_eq!(app.received().len(), 6);
    assert_eq!(app.received()[0].headers["authorization"], format!("Bearer {TOKEN}"), "the app has it to reflect");
    canary.assert_absent("the server's log", logs::written());
}

#[tokio::test]
async fn wherever_a_connector_puts_a_reflected_secret_it_is_gone() {
    let (_app, hostile) = reflecting().await;
    let canary = Canary::new(TOKEN);
    for (to, place) in
        [("error", "/steps/0/error/message"), ("log", "/log"), ("panic", "/log"), ("output", "/steps/0/output/text")]
    {
        let ended = hostile.call("reflect", json!({"path": "/5", "to": to})).await;
        let kept = ended.run.pointer(place).unwrap_or_else(|| panic!("{to}: {}", ended.run)).to_string();
        assert!(kept.contains("<0>") || kept.contains("\\u003c0"), "{to}: what is no secret is recorded: {kept}");
        canary.assert_absent(&format!("the answer of {to}"), ended.body.to_string());
        canary.assert_absent(&format!("the run of {to}"), ended.run.to_string());
    }
    canary.assert_absent("the server's log", logs::written());
}

#[tokio::test]
async fn what_is_told_while_a_run_goes_on_is_as_clean_as_its_record() {
    let (_app, hostile) = reflecting().await;
    let reflect = json!({"do": "call", "slot": "app", "method": "reflect", "input": {"path": "/5", "to": "log"}});
    let once = json!({"environment": "production", "event": reflect});
    let request = hostile.app.manage(Method::POST, "/groups/acme/flows/hostile/run").json(&once);
    let answer = Answer::to(request.header("accept", "application/x-ndjson")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/x-ndjson"));
    let text = answer.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let logged: Vec<&Value> = lines.iter().filter_map(|line| line.get("log")).collect();
    assert!(logged.len() == 2 && logged[0]["message"].as_str().unwrap().contains("<0>"), "{text}");
    let run = &lines.last().unwrap()["run"];
    assert_eq!(run["log"], json!(logged), "the record says the same");
    Canary::new(TOKEN).assert_absent("what is told", text);
}

#[tokio::test]
async fn a_secret_that_a_flow_hands_in_is_not_in_its_steps() {
    let (_app, hostile) = reflecting().await;
    let ended = hostile.call("fetch", json!({"url": "https://elsewhere.invalid/", "body": TOKEN})).await;
    let steps = ended.run["steps"].to_string();
    assert!(steps.contains("elsewhere.invalid") && steps.contains("[redacted]"), "{steps}");
    Canary::new(TOKEN).assert_absent("the steps", steps);
}
