//! A server with the flow `hostile`, which does what it should not, as its event says (guest `hostile-flow`).

use headgate::settings::Settings;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::app::{Key, TestApp, Trigger};

/// The server, and what it takes to call the flow.
pub struct Hostile {
    /// The server.
    pub app: TestApp,
    /// A key of the group.
    pub key: Key,
    /// A trigger of the flow, without settings of its own.
    pub trigger: Trigger,
}

/// What a call came to.
#[derive(Debug)]
pub struct Ended {
    /// The status of the answer.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; a text where it is not JSON.
    pub body: Value,
    /// The recorded run; null where nothing was run.
    pub run: Value,
}

impl Hostile {
    /// Starts the server with settings of the story's own.
    pub async fn start(change: impl FnOnce(&mut Settings)) -> Self {
        let app = TestApp::with(change).await;
        app.publish("hostile", "hostile-flow").await;
        let key = app.key("hostile").await;
        let trigger = app.trigger("hostile", json!({})).await;
        Self { app, key, trigger }
    }

    /// The same on a server that was started again, at another address.
    pub fn again(app: TestApp, key: Key, mut trigger: Trigger) -> Self {
        trigger.url = format!("{}/hooks/{}", app.url(), trigger.routing_key);
        Self { app, key, trigger }
    }

    /// Binds the slot `app` to a new connection of a connector of this workspace.
    pub async fn connect(&self, guest: &str, connection: Value) -> Value {
        self.app.install(guest).await;
        self.app.connect("hostile", "app", connection).await
    }

    /// Has the flow do something.
    pub async fn order(&self, order: Value) -> Ended {
        self.order_by(&self.trigger, order).await
    }

    /// Has the flow do something, by another trigger.
    pub async fn order_by(&self, trigger: &Trigger, order: Value) -> Ended {
        let answer = self.app.fire(trigger, &self.key, order.to_string()).await;
        let was_run = answer.headers().contains_key("headgate-run-id");
        let run = if was_run { self.app.run_of(&answer).await } else { Value::Null };
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ended { status, headers, body, run }
    }

    /// Has the flow call a method through the slot `app`; the answer's body is `{"output"}` or `{"error"}`.
    pub async fn call(&self, method: &str, input: Value) -> Ended {
        self.order(json!({"do": "call", "slot": "app", "method": method, "input": input})).await
    }
}
