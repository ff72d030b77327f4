//! The flow `{{name}}`.

use headgate_sdk::prelude::*;

/// What comes in: the JSON body of the webhook.
#[derive(Deserialize)]
struct Input {
    name: String,
}

/// What is answered, as JSON.
#[derive(Serialize)]
struct Answer {
    greeting: String,
}

#[headgate_sdk::flow]
fn handle(event: Event<Input>) -> Result<Answer> {
    let name = event.data.name;
    if name.is_empty() {
        return Err(Error::new("empty_name", "The name is empty."));
    }
    log::info!("greeting {name}");
    Ok(Answer {
        greeting: format!("Hello, {name}!"),
    })
}

#[cfg(test)]
mod tests {
    use headgate_sdk::testing::{Host, fire};
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn greets() {
        let host = Host::new();
        let answer = fire(handle, Event::post(r#"{"name": "Ada"}"#)).unwrap();
        assert_eq!(
            answer.body.json::<Value>().unwrap(),
            json!({"greeting": "Hello, Ada!"})
        );
        assert_eq!(host.logs()[0].message, "greeting Ada");
    }

    #[test]
    fn a_body_of_another_shape_is_answered_with_400() {
        let answer = fire(handle, Event::post(r#"{"name": 7}"#)).unwrap();
        assert_eq!(answer.status, 400);
    }
}
