//! Flows, from the raw event to the complete answer.

use headgate_sdk::prelude::*;
use headgate_sdk::testing::{Host, fire};
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Deal {
    stage: String,
}

#[headgate_sdk::flow]
fn stage(event: Event<Deal>) -> Result<String> {
    Ok(event.data.stage)
}

#[test]
fn a_typed_answer_is_json() {
    let answer = fire(stage, Event::post(r#"{"stage": "won"}"#)).unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers.get("Content-Type"), Some("application/json"));
    assert_eq!(*answer.body.bytes(), *b"\"won\"");
}

#[test]
fn a_body_that_does_not_fit_is_the_senders_fault() {
    for (body, path) in [(r#"{"stage": 1}"#, "$.stage"), ("{", "$"), ("", "$"), ("[1]", "$[0]")] {
        let answer = fire(stage, Event::post(body)).unwrap();
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.headers.get("content-type"), Some("application/problem+json"));
        let problem: Value = answer.body.json().unwrap();
        assert_eq!((&problem["code"], &problem["path"]), (&json!("invalid_event"), &json!(path)), "{problem}");
        assert_eq!(problem["error"], problem["detail"]);
    }
}

#[test]
fn an_optional_event_takes_an_empty_body() {
    fn optional(event: Event<Option<Deal>>) -> Result<bool> {
        Ok(event.data.is_some())
    }
    assert_eq!(*fire(optional, Event::post("")).unwrap().body.bytes(), *b"false");
    assert_eq!(*fire(optional, Event::post(r#"{"stage": ""}"#)).unwrap().body.bytes(), *b"true");
}

#[test]
fn an_untyped_event_and_answer_pass_a_blob_through() {
    fn pass(event: Event) -> Result<Body> {
        Ok(event.body)
    }
    let _host = Host::new();
    let blob = Blob::from_bytes("image/png", &[1; 100_000]).unwrap();
    let answer = fire(pass, Event::post(blob)).unwrap();
    assert!(matches!(answer.body, Body::Blob(_)));
    assert_eq!(answer.headers.get("content-type"), Some("image/png"));
    assert_eq!(answer.body.len(), 100_000);
}

#[test]
fn an_error_passes_through_as_it_is() {
    fn fail(_: Event) -> Result<()> {
        Err(Error::new("told", "I was told to.").retryable().details(json!({"n": 1})))
    }
    let error = fire(fail, Event::post("")).unwrap_err();
    assert_eq!((error.code.as_str(), error.retryable, error.details), ("told", true, Some(json!({"n": 1}))));
}

#[test]
fn calls_of_different_types_are_made_at_once() {
    let host = Host::new();
    host.slot("a").on("double", |n: i64| Ok(n * 2)).answers("name", "Ada").answers("list", json!({"not": "a list"}));
    let a = Connection::open("a").unwrap();
    let (number, name, list) = call_all((
        a.prepare::<i64>("double", &21),
        a.prepare::<String>("name", &()),
        a.prepare::<Vec<String>>("list", &()),
    ));
    assert_eq!((number.unwrap(), name.unwrap().as_str()), (42, "Ada"));
    assert_eq!(list.unwrap_err().code, "invalid_output");
    let [one, two] = call_all([1, 2].map(|n| a.prepare::<i64>("double", &n)));
    assert_eq!((one.unwrap(), two.unwrap()), (2, 4));
    let inputs: Vec<Value> = host.slot("a").calls().into_iter().map(|call| call.input).collect();
    assert_eq!(inputs, [json!(21), json!(null), json!(null), json!(1), json!(2)]);
}

#[test]
fn an_input_that_is_no_json_keeps_its_place() {
    use std::collections::HashMap;
    let host = Host::new();
    host.slot("a").on("double", |n: i64| Ok(n * 2));
    let a = Connection::open("a").unwrap();
    let no_json: HashMap<Vec<u8>, u8> = HashMap::from([(vec![1], 1)]);
    let results =
        call_all(vec![a.prepare::<i64>("double", &1), a.prepare("double", &no_json), a.prepare("double", &3)]);
    let codes: Vec<_> = results.into_iter().map(|result| result.map_err(|error| error.code)).collect();
    assert_eq!(codes, [Ok(2), Err("invalid_input".to_owned()), Ok(6)]);
}

#[test]
fn a_blob_has_a_limit() {
    let host = Host::new();
    host.blob_limit(10);
    let blob = Blob::new("text/plain");
    blob.write(b"0123456789").unwrap();
    assert_eq!(blob.write(b"x").unwrap_err().code, "blob_too_large");
    assert_eq!(blob.size(), 10);
}
