//! The mock host keeps the contract.

use conformance_connector::Conformance;
use conformance_flow::{EXPECTED, conformance as flow};
use headgate_sdk::Event;
use headgate_sdk::log::Level;
use headgate_sdk::testing::{Host, fire};
use serde_json::{Value, json};

const APP: &str = "https://app.example/base";

fn serve(host: &Host) {
    for _ in 0..2 {
        host.http("GET", &format!("{APP}/json")).answer(200, &json!({"ok": true}));
    }
    host.http("GET", &format!("{APP}/missing")).answer(404, &json!({"message": "nothing here"}));
    host.http("POST", &format!("{APP}/mirror")).query("x", "1&2 ü").header("x-probe", "7").answer(
        200,
        &json!({
            "method": "POST", "query": {"x": "1&2 ü"}, "content_type": "application/json", "x_probe": "7", "bytes": 9
        }),
    );
    host.http("PUT", &format!("{APP}/mirror")).body(vec![b'x'; 200_000]).answer(
        200,
        &json!({
            "method": "PUT", "query": {}, "content_type": "application/octet-stream", "x_probe": null, "bytes": 200_000
        }),
    );
    for _ in 0..2 {
        host.http("GET", &format!("{APP}/big")).answer_bytes(200, "text/plain", "x".repeat(65_536));
    }
}

#[test]
fn the_mock_host_comes_to_the_expected_report() {
    let host = Host::new();
    serve(&host);
    host.slot("app").connector::<Conformance>().config("base_url", APP).config("note", "hello");
    let mut event = Event::post("ping");
    event.query.push("greeting", "hello there");
    event.headers.push("x-probe", "1");
    let report: Value = fire(flow, event).unwrap().body.json().unwrap();
    let expected: Value = serde_json::from_str(EXPECTED).unwrap();
    for (case, expected) in expected.as_object().unwrap() {
        assert_eq!(&report[case], expected, "{case}");
    }
    assert_eq!(report.as_object().unwrap().len(), expected.as_object().unwrap().len());
    let levels: Vec<Level> = host.logs().into_iter().map(|line| line.level).collect();
    assert_eq!(levels, [Level::Debug, Level::Debug, Level::Info, Level::Warn, Level::Error]);
}
