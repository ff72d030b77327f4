//! Calls what its event names, `{"slot": "app", "method": "send", "input": {..}}`, and answers `{"output": ..}` or
//! `{"error": {..}}`.
//!
//! JSON holds no files, so `{"$text": "a,b", "content_type": "text/csv"}` in the input becomes a blob, and a blob in
//! the output becomes such a text.

use headgate_sdk::prelude::*;
use serde_json::{Map, Value, json};

/// What to call.
#[derive(Deserialize)]
struct Order {
    #[serde(default = "app")]
    slot: String,
    method: String,
    #[serde(default)]
    input: Value,
}

fn app() -> String {
    "app".to_owned()
}

#[headgate_sdk::flow]
fn caller(event: Event<Order>) -> Result<Value> {
    let Order { slot, method, input } = event.data;
    let connection = Connection::open(&slot)?;
    let input = each_object(input, &to_blob)?;
    Ok(match connection.call::<Value>(&method, &input) {
        Ok(output) => json!({ "output": each_object(output, &to_text)? }),
        Err(Error { code, message, retryable, details }) => json!({
            "error": {"code": code, "message": message, "retryable": retryable, "details": details}
        }),
    })
}

/// What becomes of an object; nothing when it stays.
type Change = dyn Fn(&Map<String, Value>) -> Result<Option<Value>>;

fn each_object(value: Value, change: &Change) -> Result<Value> {
    Ok(match value {
        Value::Object(map) => match change(&map)? {
            Some(changed) => changed,
            None => {
                let members = map.into_iter().map(|(name, value)| Ok((name, each_object(value, change)?)));
                Value::Object(members.collect::<Result<_>>()?)
            }
        },
        Value::Array(items) => {
            Value::Array(items.into_iter().map(|item| each_object(item, change)).collect::<Result<_>>()?)
        }
        plain => plain,
    })
}

fn to_blob(map: &Map<String, Value>) -> Result<Option<Value>> {
    let Some(text) = map.get("$text").and_then(Value::as_str) else { return Ok(None) };
    let content_type = map.get("content_type").and_then(Value::as_str).unwrap_or("text/plain");
    Ok(Some(serde_json::to_value(Blob::from_bytes(content_type, text.as_bytes())?)?))
}

fn to_text(map: &Map<String, Value>) -> Result<Option<Value>> {
    let Some(id) = map.get("$blob").and_then(Value::as_str) else { return Ok(None) };
    let blob = Blob::open(id)?;
    let text = String::from_utf8_lossy(&blob.bytes()).into_owned();
    Ok(Some(json!({"$text": text, "content_type": blob.content_type()})))
}

#[cfg(test)]
mod tests {
    use headgate_sdk::testing::{Host, fire};

    use super::*;

    fn answer(order: &Value) -> Value {
        fire(caller, Event::post(order.to_string())).unwrap().body.json().unwrap()
    }

    #[test]
    fn calls_what_it_is_told() {
        let host = Host::new();
        host.slot("app")
            .on("keep", |input: Value| {
                let blob = Blob::open(input["files"][0]["$blob"].as_str().unwrap_or_default())?;
                Ok(json!({"type": blob.content_type(), "files": input["files"]}))
            })
            .fails("burn", Error::new("fire", "It burns.").retryable().details(json!({"heat": 9})));
        let file = json!({"$text": "a,b", "content_type": "text/csv"});
        let kept = answer(&json!({"method": "keep", "input": {"files": [file]}}));
        assert_eq!(kept, json!({"output": {"type": "text/csv", "files": [file]}}));
        let burnt = answer(&json!({"slot": "app", "method": "burn"}));
        let error = json!({"code": "fire", "message": "It burns.", "retryable": true, "details": {"heat": 9}});
        assert_eq!(burnt, json!({ "error": error }));
    }
}
