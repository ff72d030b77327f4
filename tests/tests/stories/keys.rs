//! API keys as people manage them: what they are made with, what is listed, and how their values follow each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use headgate_tests::{Answer, Key, TestApp, Trigger};
use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

mod lifecycle;
mod management;
mod triggers;
mod uses;

/// A server with a flow that answers, a trigger of it, and a clock that the story moves.
struct House {
    app: TestApp,
    trigger: Trigger,
    seconds: Arc<AtomicI64>,
}

/// When the stories begin: 2027-01-15, 08:00:00.
const BEGINNING: i64 = 1_800_000_000;
const DAY: i64 = 24 * 60 * 60;

impl House {
    async fn open() -> Self {
        let seconds = Arc::new(AtomicI64::new(BEGINNING));
        let hands = seconds.clone();
        let clock = Arc::new(move || Timestamp::from_second(hands.load(Ordering::Relaxed)).unwrap());
        let app = TestApp::with_clock(clock, |_| {}).await;
        app.publish("mirror", "mirror").await;
        let trigger = app.trigger("mirror", json!({})).await;
        Self { app, trigger, seconds }
    }

    /// Moves the clock.
    fn after(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::Relaxed);
    }

    /// Makes a key.
    async fn make(&self, key: Value) -> Key {
        made(&self.app.post("/groups/acme/api-keys", key).await)
    }

    /// Does something with a key that gives it a new value.
    async fn renew(&self, key: &str, how: &str, body: Value) -> Key {
        made(&self.app.post(&format!("/groups/acme/api-keys/{key}/{how}"), body).await)
    }

    async fn show(&self, key: &str) -> Value {
        self.app.get(&format!("/groups/acme/api-keys/{key}")).await
    }

    /// What the list says of a key; null when it is not in it.
    async fn listed(&self, key: &str) -> Value {
        let list = self.app.get("/groups/acme/api-keys").await;
        list.as_array().unwrap().iter().find(|shown| shown["name"] == key).cloned().unwrap_or_default()
    }

    async fn change(&self, key: &str, changes: Value) -> Value {
        let answer = self.ask(Method::PATCH, &format!("/api-keys/{key}"), changes).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// A management request below the group.
    async fn ask(&self, method: Method, path: &str, body: Value) -> Answer {
        Answer::to(self.app.manage(method, &format!("/groups/acme{path}")).json(&body)).await
    }

    /// What the trigger answers to a key: the status, and the code of the problem.
    async fn knock(&self, key: &Key) -> (u16, String) {
        knock(&self.app, &self.trigger.url, key).await
    }
}

async fn knock(app: &TestApp, url: &str, key: &Key) -> (u16, String) {
    let answer = Answer::to(app.client().post(url).bearer_auth(&key.secret).body("hello")).await;
    match answer.status {
        200 => (200, String::new()),
        status => (status, answer.problem().1),
    }
}

fn made(answer: &Value) -> Key {
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    Key { id: text("id"), secret: text("api_key") }
}

fn ok() -> (u16, String) {
    (200, String::new())
}

fn refused(code: &str) -> (u16, String) {
    (401, code.to_owned())
}

/// When something of a key happens, as seconds after the beginning.
fn seconds(time: &Value) -> i64 {
    time.as_str().unwrap().parse::<Timestamp>().unwrap().as_second() - BEGINNING
}

fn assert_status(answer: &Answer, status: StatusCode) {
    assert_eq!(answer.status, status, "{}", answer.text());
}
