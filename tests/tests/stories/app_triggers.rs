//! App triggers: a connector is asked for new records, and each record runs a flow once, whatever app and server do.

mod apps;
mod faults;
mod kills;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use headgate_tests::clock::TestClock;
use headgate_tests::crm::{Received, StandIn};
use headgate_tests::{Answer, TestApp};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

const TOKEN: &str = "a-token-of-the-app";

/// What the app answers to each cursor, as a poll sends it.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<BTreeMap<String, Page>>>);

#[derive(Clone)]
enum Page {
    Json(Value),
    Refusal(u16, Option<u32>),
    Text(&'static str),
}

impl Script {
    /// After this cursor these records are new, and the next one is this.
    fn page(&self, cursor: &str, records: &[&str], next: &str, more: bool) {
        let records: Vec<_> = records.iter().map(|id| json!([id, {"n": id}])).collect();
        self.set(cursor, Page::Json(json!({"records": records, "cursor": next, "more": more})));
    }

    fn set(&self, cursor: &str, page: Page) {
        self.0.lock().unwrap().insert(cursor.to_owned(), page);
    }

    fn answer(&self, request: &Received) -> Response {
        // `cursor=%22a%22`
        let query = request.uri.query().unwrap_or_default();
        let cursor = query.trim_start_matches("cursor=").replace("%22", "");
        match self.0.lock().unwrap().get(&cursor).cloned() {
            Some(Page::Json(page)) => axum::Json(page).into_response(),
            Some(Page::Refusal(status, None)) => StatusCode::from_u16(status).unwrap().into_response(),
            Some(Page::Refusal(status, Some(seconds))) => {
                (StatusCode::from_u16(status).unwrap(), [("retry-after", seconds.to_string())]).into_response()
            }
            Some(Page::Text(text)) => text.into_response(),
            // Nothing new.
            None => axum::Json(json!({"records": [], "cursor": cursor, "more": false})).into_response(),
        }
    }
}

/// A server, an app, and a flow that is run for the app's new records.
struct Stage {
    app: TestApp,
    clock: TestClock,
    script: Script,
    stand_in: StandIn,
    connection: String,
    /// The path to the app trigger.
    trigger: String,
}

impl Stage {
    /// The first poll found the beginning: the cursor `a`.
    async fn set() -> Self {
        Self::with_queue(1000).await
    }

    async fn with_queue(queue: usize) -> Self {
        let script = Script::default();
        let answers = script.clone();
        let stand_in = StandIn::start(move |request| answers.answer(request)).await;
        script.page("none", &["old"], "a", false);
        let clock = TestClock::at("2026-01-01T00:00:00Z".parse().unwrap());
        let exempt = stand_in.address.to_string();
        let app = TestApp::with_clock(clock.clock(), |settings| {
            settings.egress.allow_private = vec![exempt.parse().unwrap()];
            settings.service.queue = queue;
        })
        .await;
        app.install("poll-connector").await;
        app.publish("greet", "echo").await;
        let config = json!({"base_url": stand_in.url()});
        let connection = json!({"name": "app", "connector": "polls", "config": config, "secrets": {"token": TOKEN}});
        let made = app.post("/groups/acme/connections", connection).await;
        let connection = made["id"].as_str().unwrap().to_owned();
        let wanted =
            json!({"connection": connection, "trigger": "new_record", "input": {"list": "contacts"}, "every_s": 60});
        let made = app.post("/groups/acme/flows/greet/app-triggers", wanted).await;
        let trigger = format!("/groups/acme/flows/greet/app-triggers/{}", made["id"].as_str().unwrap());
        let stage = Self { app, clock, script, stand_in, connection, trigger };
        stage.turns().await;
        stage
    }

    /// Gives all turns that are due.
    async fn turns(&self) {
        self.app.app().service().run_app_triggers().await;
    }

    /// The same, so much later.
    async fn turns_after(&self, seconds: i64) -> Value {
        self.clock.forward(SignedDuration::from_secs(seconds));
        self.turns().await;
        self.state().await
    }

    async fn state(&self) -> Value {
        self.app.get(&self.trigger).await["state"].clone()
    }

    /// The records for which runs have ended, oldest first.
    async fn records(&self, count: usize) -> Vec<String> {
        let all_ended = |runs: &Value| {
            let runs = runs.as_array().unwrap();
            runs.len() >= count && runs.iter().all(|run| run["state"] == "succeeded")
        };
        let runs = self.app.until("/groups/acme/runs?flow=greet&limit=500", all_ended).await;
        let mut records = Vec::new();
        for run in runs.as_array().unwrap().iter().rev() {
            let run = self.app.get(&format!("/groups/acme/runs/{}", run["id"].as_str().unwrap())).await;
            let body: Value = serde_json::from_str(run["event"]["body"]["text"].as_str().unwrap()).unwrap();
            records.push(body["n"].as_str().unwrap().to_owned());
        }
        records
    }

    /// How often the app was asked.
    fn asked(&self) -> usize {
        self.stand_in.received().len()
    }
}

#[tokio::test]
async fn each_new_record_runs_the_flow_once() {
    let stage = Stage::set().await;
    let state = stage.state().await;
    assert_eq!((&state["begun"], &state["cursor"], &state["records"]), (&json!(true), &json!("a"), &json!(0)));
    assert_eq!(stage.stand_in.received()[0].headers["authorization"], format!("Bearer {TOKEN}").as_str());

    // Three pages; one id comes twice in a page, one on two pages, one was there before the beginning.
    stage.script.page("a", &["1", "2", "1"], "b", true);
    stage.script.page("b", &["2", "old", "3"], "c", true);
    stage.script.page("c", &["4"], "d", false);
    let state = stage.turns_after(59).await;
    assert_eq!(state["records"], 0, "it is not due yet");
    let state = stage.turns_after(1).await;
    assert_eq!((&state["cursor"], &state["records"], &state["repeated"]), (&json!("d"), &json!(4), &json!(3)));
    assert_eq!(stage.records(4).await, ["1", "2", "3", "4"]);

    let runs = stage.app.get("/groups/acme/runs?flow=greet").await;
    let run = stage.app.get(&format!("/groups/acme/runs/{}", runs[0]["id"].as_str().unwrap())).await;
    let id = stage.trigger.rsplit('/').next().unwrap();
    assert_eq!((&run["caller"], &run["trigger"]), (&json!(format!("App trigger: {id}")), &json!(id)));
    assert_eq!(state["last_run"], run["id"]);

    let asked = stage.asked();
    assert_eq!(stage.turns_after(60).await["records"], 4);
    assert_eq!(stage.asked(), asked + 1);
}

#[tokio::test]
async fn it_goes_on_where_it_was_after_a_restart() {
    let mut stage = Stage::set().await;
    stage.script.page("a", &["1"], "b", false);
    stage.turns_after(60).await;
    stage.script.page("b", &["1", "2"], "c", false);
    stage.app = stage.app.restart().await;
    // The first polls of a server are spread over half a minute from here on.
    stage.turns().await;
    let state = stage.turns_after(60).await;
    assert_eq!((&state["cursor"], &state["records"]), (&json!("c"), &json!(2)), "{state}");
    assert_eq!(stage.records(2).await, ["1", "2"]);
}

#[tokio::test]
async fn the_app_is_asked_by_hand_and_changes_begin_anew() {
    let stage = Stage::set().await;
    stage.script.page("a", &["1"], "b", false);
    let polled = stage.app.post(&format!("{}/poll", stage.trigger), Value::Null).await;
    assert_eq!((&polled["state"]["records"], &polled["state"]["cursor"]), (&json!(1), &json!("b")));
    let change = async |body: Value| Answer::to(stage.app.manage(Method::PATCH, &stage.trigger).json(&body)).await;

    // What else to look for: what the app has then is not new.
    assert_eq!(change(json!({"input": {"list": "deals"}})).await.status, 200);
    stage.turns().await;
    let state = stage.state().await;
    assert_eq!((&state["cursor"], &state["records"]), (&json!("a"), &json!(1)));
    assert_eq!(stage.stand_in.received().last().unwrap().uri.path(), "/deals");

    // Disabled it asks nobody; what came meanwhile is found afterwards.
    assert_eq!(change(json!({"enabled": false})).await.status, 200);
    let asked = stage.asked();
    stage.script.page("a", &["2"], "b", false);
    stage.turns_after(600).await;
    assert_eq!(stage.asked(), asked);
    let answer = Answer::to(stage.app.manage(Method::POST, &format!("{}/poll", stage.trigger))).await;
    assert_eq!(answer.status, 409);
    assert_eq!(change(json!({"enabled": true})).await.status, 200);
    stage.turns().await;
    assert_eq!(stage.records(2).await, ["1", "2"]);
}

#[tokio::test]
async fn what_cannot_be_is_refused_in_words() {
    let stage = Stage::set().await;
    let connection = &stage.connection;
    let path = "/groups/acme/flows/greet/app-triggers";
    for (wanted, said) in [
        (json!({}), "Name the connection"),
        (json!({"connection": connection}), "Name the trigger"),
        (json!({"connection": connection, "trigger": "new_deal"}), "It has: new_record"),
        (json!({"connection": connection, "trigger": "new_record"}), "\"list\" is a required property"),
        (json!({"connection": connection, "trigger": "new_record", "input": {"list": 1}}), "is not of type \"string\""),
        (
            json!({"connection": connection, "trigger": "new_record", "input": {"list": "a"}, "every_s": 9}),
            "every_s must be between 10 and 86400",
        ),
    ] {
        let answer = Answer::to(stage.app.manage(Method::POST, path).json(&wanted)).await;
        let (status, _, message) = answer.problem();
        assert_eq!(status, 400, "{message}");
        assert!(message.contains(said), "{message}");
    }
    let in_use = Answer::to(stage.app.manage(Method::DELETE, &format!("/groups/acme/connections/{connection}"))).await;
    let (status, _, message) = in_use.problem();
    let id = stage.trigger.rsplit('/').next().unwrap();
    assert_eq!(status, 409);
    assert!(message.contains(&format!("{id} of the flow \"greet\"")), "{message}");
    assert_eq!(Answer::to(stage.app.manage(Method::DELETE, &stage.trigger)).await.status, 204);
    let path = format!("/groups/acme/connections/{connection}");
    assert_eq!(Answer::to(stage.app.manage(Method::DELETE, &path)).await.status, 204);
}
