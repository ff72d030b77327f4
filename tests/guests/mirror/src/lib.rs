//! Answers what it was given, or as its event tells it to: `{"answer": {..}}`, `{"fail": {..}}`.

use headgate_sdk::prelude::*;
use serde_json::json;

/// How to answer.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Order {
    /// With this response.
    Answer { status: u16, headers: Vec<(String, String)>, body: String },
    /// With this error.
    Fail { code: String, message: String, retryable: bool, details: serde_json::Value },
}

#[headgate_sdk::flow]
fn mirror(event: Event) -> Result<Response> {
    match event.body.json() {
        Ok(Order::Answer { status, headers, body }) => {
            Ok(Response { status, headers: headers.into_iter().collect(), body: body.into() })
        }
        Ok(Order::Fail { code, message, retryable, details }) => {
            Err(Error { retryable, ..Error::new(code, message).details(details) })
        }
        Err(_) => Response::new(200).json(&image(&event)),
    }
}

fn image(event: &Event) -> serde_json::Value {
    let run = run::current();
    json!({
        "trigger": event.trigger,
        "method": event.method,
        "path": event.path,
        "params": event.params.0,
        "query": event.query.0,
        "headers": event.headers.0,
        "body": match event.body { Body::Inline(_) => "inline", Body::Blob(_) => "blob" },
        "size": event.body.len(),
        "run": run.id,
        "environment": run.environment,
        "caller": run.caller,
    })
}

#[cfg(test)]
mod tests {
    use headgate_sdk::testing::{Host, fire};

    use super::*;

    #[test]
    fn answers_as_it_is_told() {
        let _host = Host::new();
        let answer =
            fire(mirror, Event::post(r#"{"answer": {"status": 418, "headers": [["x-tea", "1"]], "body": "t"}}"#));
        assert_eq!(answer.unwrap().status, 418);
        let order = r#"{"fail": {"code": "no_tea", "message": "There is none.", "retryable": true, "details": {}}}"#;
        let error = fire(mirror, Event::post(order)).unwrap_err();
        assert_eq!((error.code.as_str(), error.retryable), ("no_tea", true));
        let image: serde_json::Value = fire(mirror, Event::post("hello")).unwrap().body.json().unwrap();
        assert_eq!((&image["size"], &image["body"]), (&json!(5), &json!("inline")));
    }
}
