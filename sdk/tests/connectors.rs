//! Connectors, against the mock host, and what the mock host says of a test that is wrong.

#![expect(unexpected_cfgs, reason = "the SDK itself has no feature `component`")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use headgate_sdk::prelude::*;
use headgate_sdk::testing::{Host, invoke, poll};
use headgate_sdk::{Connector, manifest};
use serde_json::{Value, json};

/// What to send.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Send {
    /// The text.
    pub text: String,
    /// How often.
    #[serde(default)]
    pub times: u8,
}

struct Mail;

#[headgate_sdk::connector]
impl Mail {
    fn manifest() -> Manifest {
        Manifest::new("mail", "Mail")
            .config(ConfigField::new("zone", "Zone").default_value("eu"))
            .base_url("https://${config.zone}.mail.example/v1")
            .auth(Auth::none())
    }

    /// Sends a text,
    /// once or more.
    #[method(idempotent, sample = sent)]
    fn send(input: Send) -> Result<Vec<String>> {
        let zone = config("zone").unwrap_or_default();
        let answer = http::post(format!("https://{zone}.mail.example/v1/send"))
            .query("times", input.times)
            .timeout(Duration::from_secs(3))
            .form([("text", input.text.as_str()), ("a b", "ü")])
            .send()?;
        answer.error_for_status()?.json()
    }

    /// Asks for more than there may be.
    #[method]
    fn read(limit: usize) -> Result<usize> {
        Ok(http::get("https://eu.mail.example/v1").limit(limit).send()?.bytes.len())
    }

    /// Tells each new message.
    #[trigger(scopes("read"), sample = || Send { text: "Hello".into(), times: 1 })]
    fn new_message(input: String, cursor: Option<Seen>) -> Result<Polled<Send, Seen>> {
        let Some(Seen { number }) = cursor else { return Ok(Polled::new(Seen { number: 7 })) };
        let request = http::get("https://eu.mail.example/v1").query("folder", &input).query("after", number);
        let new: Vec<(u32, Send)> = request.send()?.error_for_status()?.json()?;
        let last = new.last().map_or(number, |(number, _)| *number);
        let records = new.into_iter().map(|(number, message)| (number.to_string(), message));
        Ok(Polled::new(Seen { number: last }).records(records).more(last == 9))
    }
}

/// How far the messages are known.
#[derive(Debug, Serialize, Deserialize)]
struct Seen {
    number: u32,
}

fn sent() -> Vec<String> {
    vec!["1".into()]
}

#[test]
fn the_manifest_says_what_the_code_says() {
    let described = Mail::describe();
    assert_eq!(described.faults(), Vec::<String>::new());
    assert_eq!(described.version, env!("CARGO_PKG_VERSION"));
    let [send, read] = <[manifest::Method; 2]>::try_from(described.methods).unwrap();
    assert_eq!((send.name.as_str(), send.idempotent), ("send", true));
    assert_eq!(send.description, "Sends a text,\nonce or more.");
    assert_eq!(
        send.input,
        json!({
            "title": "Send",
            "description": "What to send.",
            "type": "object",
            "properties": {
                "text": {"type": "string", "description": "The text."},
                "times": {"type": "integer", "format": "uint8", "minimum": 0, "maximum": 255, "default": 0, "description": "How often."}
            },
            "required": ["text"]
        })
    );
    assert_eq!(send.output, json!({"title": "Array_of_string", "type": "array", "items": {"type": "string"}}));
    assert!(!read.idempotent);
    assert_eq!((send.sample, read.sample), (Some(json!(["1"])), None));
    let [new_message] = <[manifest::Trigger; 1]>::try_from(described.triggers).unwrap();
    assert_eq!(new_message.name, "new_message");
    assert_eq!(new_message.description, "Tells each new message.");
    assert_eq!(new_message.scopes, ["read"]);
    assert_eq!(new_message.input["type"], "string");
    assert_eq!(new_message.record["properties"]["text"]["type"], "string");
    assert_eq!(new_message.sample, Some(json!({"text": "Hello", "times": 1})));
}

#[test]
fn a_trigger_is_polled_from_cursor_to_cursor() {
    let host = Host::of::<Mail>();
    let first = poll::<Mail>("new_message", "inbox", None).unwrap();
    assert_eq!((first.records, &first.cursor, first.more), (vec![], &json!({"number": 7}), false));
    let new = json!([[8, {"text": "a", "times": 1}], [9, {"text": "b", "times": 1}]]);
    host.http("GET", "/v1").query("folder", "inbox").query("after", "7").answer(200, &new);
    let second = poll::<Mail>("new_message", "inbox", Some(&first.cursor)).unwrap();
    let records: Vec<_> = second.records.iter().map(|record| (record.id.as_str(), &record.data["text"])).collect();
    assert_eq!(records, [("8", &json!("a")), ("9", &json!("b"))]);
    assert_eq!((second.cursor, second.more), (json!({"number": 9}), true));
}

#[test]
fn what_a_poll_is_asked_wrongly_is_said() {
    let host = Host::of::<Mail>();
    let refused = |trigger: &str, input: Value, cursor: Value| {
        let error = poll::<Mail>(trigger, &input, Some(&cursor)).unwrap_err();
        (error.code, error.message)
    };
    let seen = json!({"number": 1});
    let (code, message) = refused("new_mail", json!("inbox"), seen.clone());
    assert_eq!((code.as_str(), message.contains("there are new_message")), ("trigger_not_found", true), "{message}");
    assert_eq!(refused("new_message", json!(1), seen).0, "invalid_input");
    let (code, message) = refused("new_message", json!("inbox"), json!({"number": "x"}));
    assert_eq!((code.as_str(), message.contains("$.number")), ("invalid_cursor", true), "{message}");

    let slow = http::Response { status: 429, headers: [("retry-after", "30")].into_iter().collect(), bytes: vec![] };
    host.http("GET", "/v1").answer_with(slow);
    let error = poll::<Mail>("new_message", "inbox", Some(&json!({"number": 1}))).unwrap_err();
    assert_eq!((error.code.as_str(), error.retryable), ("http_429", true));
    assert_eq!(error.details.unwrap()["retry_after_seconds"], 30);
    let none = poll::<keyed::Keyed>("new_message", "inbox", None).unwrap_err();
    assert_eq!((none.code.as_str(), none.message.contains("has none")), ("trigger_not_found", true));
}

#[test]
fn requests_come_out_as_they_were_built() {
    let host = Host::of::<Mail>();
    host.config("zone", "us");
    host.http("POST", "https://us.mail.example/v1/send")
        .header("content-type", "application/x-www-form-urlencoded")
        .query("times", "2")
        .body("text=hi%26&a%20b=%C3%BC")
        .answer(200, &json!(["1", "2"]));
    assert_eq!(invoke::<Mail>("send", &json!({"text": "hi&", "times": 2})).unwrap(), json!(["1", "2"]));
    assert_eq!(host.requests()[0].timeout, Some(Duration::from_secs(3)));
}

#[test]
fn what_an_app_answers_wrongly_is_said() {
    let host = Host::of::<Mail>();
    let cases = [
        (429, json!("slow down"), "http_429", true),
        (400, json!("no"), "http_400", false),
        (200, json!([1]), "invalid_answer", false),
    ];
    for (status, body, code, retryable) in cases {
        host.http("POST", "/v1/send").answer(status, &body);
        let error = invoke::<Mail>("send", &json!({"text": ""})).unwrap_err();
        assert_eq!((error.code.as_str(), error.retryable), (code, retryable));
    }
    host.http("POST", "/v1/send").fail(Error::new("timeout", "The app did not answer in time.").retryable());
    assert_eq!(invoke::<Mail>("send", &json!({"text": ""})).unwrap_err().code, "timeout");
}

#[test]
fn an_answer_has_a_limit() {
    let host = Host::of::<Mail>();
    for (limit, expected) in [(4, Ok(json!(4))), (3, Err("response_too_large".to_owned()))] {
        host.http("GET", "/v1").answer_bytes(200, "text/plain", "1234");
        assert_eq!(invoke::<Mail>("read", &limit).map_err(|error| error.code), expected);
    }
}

/// What a test that is wrong is told.
/// A connector whose key goes into the body.
mod keyed {
    use super::*;

    pub(super) struct Keyed;

    #[headgate_sdk::connector]
    impl Keyed {
        fn manifest() -> Manifest {
            let key = SecretField::new("key", "Key");
            Manifest::new("keyed", "Keyed").base_url("https://keyed.example").auth(Auth::body(
                "key",
                "Key",
                "/auth/key",
                key,
            ))
        }

        /// Sends a body with a content type.
        #[method]
        fn send((content_type, body): (String, String)) -> Result<u16> {
            Ok(http::post("https://keyed.example/").bytes(&content_type, body).send()?.status)
        }

        /// Sends a request without a body.
        #[method]
        fn ask(method: String) -> Result<u16> {
            Ok(http::Request::new(method, "https://keyed.example/").send()?.status)
        }
    }
}

#[test]
fn a_body_has_to_have_a_place_for_the_key() {
    let ask = |method: &str, input: Value| {
        let _host = Host::of::<keyed::Keyed>();
        invoke::<keyed::Keyed>(method, &input).unwrap_err().code
    };
    let json = "application/json; charset=utf-8";
    for (content_type, body) in [
        (json, r#"{"auth": {"key": "mine"}}"#),
        (json, r#"{"auth": {"KEY": null}}"#),
        (json, r#"{"auth": "none"}"#),
        (json, "[1]"),
        (json, "text"),
        ("text/plain", r#"{"a": 1}"#),
        ("text/json", r#"{"a": 1}"#),
    ] {
        assert_eq!(ask("send", json!([content_type, body])), "egress_denied", "{content_type} {body}");
    }
    for method in ["GET", "DELETE"] {
        assert_eq!(ask("ask", json!(method)), "egress_denied", "{method}");
    }

    let host = Host::of::<keyed::Keyed>();
    for (content_type, body) in [
        (json, r#"{"a": 1}"#),
        (json, r#"{"key": "another", "auth": {"name": "a"}}"#),
        ("Application/Vnd.api+JSON", "{}"),
        ("text/plain", ""),
    ] {
        host.http("POST", "/").answer(200, &json!({}));
        assert_eq!(invoke::<keyed::Keyed>("send", &json!([content_type, body])).unwrap(), 200, "{content_type} {body}");
    }
    for method in ["POST", "PUT", "PATCH"] {
        host.http(method, "/").answer(200, &json!({}));
        assert_eq!(invoke::<keyed::Keyed>("ask", &json!(method)).unwrap(), 200, "{method}");
    }
}

fn panic_of(test: impl FnOnce()) -> String {
    match catch_unwind(AssertUnwindSafe(test)) {
        Ok(()) => panic!("the wrong test passed"),
        Err(told) => match told.downcast::<String>() {
            Ok(text) => *text,
            Err(told) => told.downcast_ref::<&str>().copied().unwrap_or_default().to_owned(),
        },
    }
}

#[test]
fn a_wrong_test_is_told_so() {
    let missing = panic_of(|| {
        let host = Host::of::<Mail>();
        host.http("GET", "/never").query("x", "1").answer(200, &Value::Null);
    });
    assert!(missing.contains("not made: GET /never x=1"), "{missing}");
    let unexpected = panic_of(|| {
        let host = Host::of::<Mail>();
        host.http("GET", "/other").answer(200, &Value::Null);
        _ = invoke::<Mail>("read", &1);
    });
    assert!(unexpected.contains("unexpected request") && unexpected.contains("expected are: GET /other"));
    let no_host = panic_of(|| _ = run::current());
    assert!(no_host.contains("make a headgate_sdk::testing::Host first"), "{no_host}");
    let second = panic_of(|| {
        let _first = Host::new();
        let _second = Host::new();
    });
    assert!(second.contains("already"), "{second}");
    // After all that the thread has no host left over.
    drop(Host::new());
}
