use headgate_sdk::testing::{Host, invoke};
use serde_json::{Value, json};

use super::*;

fn host() -> Host {
    let host = Host::of::<Http>();
    host.config("base_url", "https://api.example.com/v1/");
    host
}

fn request(input: Value) -> Result<Value> {
    invoke::<Http>("request", &input)
}

#[test]
fn sends_json_and_answers_json() {
    let host = host();
    host.http("POST", "https://api.example.com/v1/orders")
        .query("expand", "lines & more")
        .header("x-trace", "7")
        .header("content-type", "application/json")
        .json(&json!({"total": 12.5}))
        .answer(201, &json!({"id": 7}));
    let answer = request(json!({
        "method": "POST", "path": "/orders", "query": {"expand": "lines & more"}, "headers": {"x-trace": "7"},
        "json": {"total": 12.5}
    }));
    let headers = json!({"content-type": "application/json"});
    assert_eq!(answer.unwrap(), json!({"status": 201, "headers": headers, "json": {"id": 7}}));
}

#[test]
fn every_kind_of_body_goes_out_as_it_is() {
    let host = host();
    let blob = Blob::from_bytes("image/png", &[0, 255]).unwrap();
    let cases = [
        (json!({"text": "a"}), "text/plain; charset=utf-8", &b"a"[..]),
        (json!({"base64": "AP8="}), "application/octet-stream", &[0, 255]),
        (json!({"blob": blob}), "image/png", &[0, 255]),
        (json!({"text": "<a/>", "headers": {"content-type": "text/xml"}}), "text/xml", b"<a/>"),
    ];
    for (mut input, content_type, body) in cases {
        host.http("PUT", "/v1/file").header("content-type", content_type).body(body).answer_bytes(204, "", "");
        input["method"] = "PUT".into();
        input["path"] = "file".into();
        assert_eq!(request(input).unwrap()["status"], 204);
    }
}

#[test]
fn answers_bodies_by_their_kind() {
    let host = host();
    let cases: [(&str, &[u8], &str); 6] = [
        ("application/problem+json; charset=utf-8", b"{}", "json"),
        ("application/json", b"not json", "text"),
        ("text/html", b"<p>", "text"),
        ("text/html", b"\xff", "blob"),
        ("image/png", b"\x00\xff", "blob"),
        ("application/json", b"", ""),
    ];
    for (content_type, bytes, kind) in cases {
        host.http("GET", "/v1/").answer_bytes(404, content_type, bytes);
        let answer = request(json!({})).unwrap();
        for other in ["json", "text", "blob"] {
            assert_eq!(answer.get(other).is_some(), other == kind, "{content_type} {answer}");
        }
        assert_eq!(answer["status"], 404, "every status is an answer");
        if kind == "blob" {
            let blob: Blob = serde_json::from_value(answer["blob"].clone()).unwrap();
            assert_eq!((blob.bytes().as_slice(), blob.content_type().as_str()), (bytes, content_type));
        }
    }
}

#[test]
fn refuses_what_makes_no_sense() {
    let _host = host();
    for (input, code) in [
        (json!({"method": "FETCH"}), "invalid_input"),
        (json!({"text": "a", "json": 1}), "invalid_input"),
        (json!({"base64": "%"}), "invalid_input"),
        (json!({"body": "a"}), "invalid_input"),
        (json!({"headers": {"Authorization": "Bearer x"}}), "egress_denied"),
        (json!({"headers": {"x-api-key": "x"}}), "egress_denied"),
        (json!({"query": {"api_key": "x"}}), "egress_denied"),
        (json!({"path": "/../admin"}), "egress_denied"),
    ] {
        assert_eq!(request(input.clone()).unwrap_err().code, code, "{input}");
    }
}

#[test]
fn a_status_can_be_made_an_error() {
    let answer = |status| Answer { status, ..Answer::default() };
    assert_eq!(answer(204).success().unwrap().status, 204);
    let error = answer(503).success().unwrap_err();
    assert_eq!((error.code.as_str(), error.retryable), ("http_503", true));
    assert!(!answer(404).success().unwrap_err().retryable);
}
