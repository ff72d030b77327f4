//! The real host answers each case of the guest contract as the SDK's mock host does.

use std::collections::BTreeMap;
use std::fs;

use axum::http::Method;
use axum::response::{IntoResponse, Response};
use headgate_tests::crm::{Received, StandIn};
use headgate_tests::{TestApp, guests};
use serde_json::{Value, json};

/// The app that the guests' README describes.
fn answer(request: &Received) -> Response {
    match (&request.method, request.uri.path()) {
        (&Method::GET, "/base/json") => axum::Json(json!({"ok": true})).into_response(),
        (&Method::GET, "/base/missing") => {
            (axum::http::StatusCode::NOT_FOUND, axum::Json(json!({"message": "nothing here"}))).into_response()
        }
        (&Method::GET, "/base/big") => "x".repeat(65_536).into_response(),
        (&Method::POST | &Method::PUT, "/base/mirror") => axum::Json(mirrored(request)).into_response(),
        _ => axum::http::StatusCode::IM_A_TEAPOT.into_response(),
    }
}

fn mirrored(request: &Received) -> Value {
    let query = axum::extract::Query::<BTreeMap<String, String>>::try_from_uri(&request.uri).unwrap().0;
    let header = |name| request.headers.get(name).map(|value| value.to_str().unwrap());
    json!({
        "method": request.method.as_str(),
        "query": query,
        "content_type": header("content-type"),
        "x_probe": header("x-probe"),
        "bytes": request.body.len(),
    })
}

/// The server, set up as the guests' README says, and the answer to the event.
async fn report(app: &TestApp, api: &StandIn) -> (Value, Value) {
    app.install("conformance-connector").await;
    app.post("/groups/acme/flows", json!({"name": "conformance"})).await;
    app.push("conformance", "conformance-flow").await;
    app.post("/groups/acme/flows/conformance/publish", json!({"environment": "test"})).await;
    let connection = json!({
        "name": "app",
        "environment": "test",
        "connector": "conformance",
        "auth": "none",
        "config": {"base_url": format!("{}/base", api.url()), "note": "hello"},
    });
    let connection = app.post("/groups/acme/connections", connection).await;
    let bound = json!({"environment": "test", "connection": connection["id"]});
    app.put("/groups/acme/flows/conformance/slots/app", bound).await;
    let key = app.post("/groups/acme/api-keys", json!({"name": "tester", "environment": "test"})).await;
    let trigger = app.trigger("conformance", json!({})).await;
    let request = app.client().post(format!("{}?greeting=hello%20there", trigger.url));
    let request = request.bearer_auth(key["api_key"].as_str().unwrap()).header("x-probe", "1").body("ping");
    let answer = request.send().await.unwrap();
    let run = app.run_of(&answer).await;
    assert_eq!(answer.status(), 200, "{run}");
    (answer.json().await.unwrap(), run)
}

#[tokio::test]
async fn the_real_host_comes_to_the_expected_report() {
    let api = StandIn::start(answer).await;
    let exempt = api.address.to_string().parse().unwrap();
    let app = TestApp::with(|settings| settings.egress.allow_private = vec![exempt]).await;
    let (report, run) = report(&app, &api).await;

    let expected = fs::read_to_string(guests::workspace().join("tests/guests/conformance-flow/expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&expected).unwrap();
    for (case, expected) in expected.as_object().unwrap() {
        assert_eq!(&report[case], expected, "{case}");
    }
    assert_eq!(report.as_object().unwrap().len(), expected.as_object().unwrap().len());
    let lines: Vec<_> = run["log"].as_array().unwrap().iter().map(|line| (&line["source"], &line["level"])).collect();
    let expected = [("connector", "debug"), ("flow", "debug"), ("flow", "info"), ("flow", "warn"), ("flow", "error")];
    assert_eq!(json!(lines), json!(expected));
    assert!(!report.to_string().contains("418"), "the app was asked for what it does not have");
}
