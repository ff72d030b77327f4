//! Schedules: when a flow runs, what becomes of times that could not be kept, and what survives the server's end.

mod kills;
mod overlaps;

use headgate_tests::clock::TestClock;
use headgate_tests::{Answer, TestApp};
use reqwest::Method;
use serde_json::{Value, json};

/// A server whose clock stands where the story puts it.
async fn at(time: &str) -> (TestApp, TestClock) {
    let clock = TestClock::at(time.parse().unwrap());
    let app = TestApp::with_clock(clock.clock(), |_| {}).await;
    (app, clock)
}

/// Has the scheduler look at its clock.
async fn tick(app: &TestApp) {
    app.app().service().run_schedules().await;
}

fn path(flow: &str) -> String {
    format!("/groups/acme/flows/{flow}/schedules")
}

/// Makes a schedule; answers the path to it.
async fn schedule(app: &TestApp, flow: &str, wanted: Value) -> String {
    let made = app.post(&path(flow), wanted).await;
    format!("{}/{}", path(flow), made["id"].as_str().unwrap())
}

/// The ended runs of a flow, oldest first.
async fn ended(app: &TestApp, flow: &str, count: usize) -> Vec<Value> {
    let all_ended = |runs: &Value| {
        let runs = runs.as_array().unwrap();
        runs.len() >= count && runs.iter().all(|run| run["state"] == "succeeded" || run["state"] == "failed")
    };
    let runs = app.until(&format!("/groups/acme/runs?flow={flow}"), all_ended).await;
    let mut whole = Vec::new();
    for run in runs.as_array().unwrap().iter().rev() {
        whole.push(app.get(&format!("/groups/acme/runs/{}", run["id"].as_str().unwrap())).await);
    }
    whole
}

fn bodies(runs: &[Value]) -> Vec<Value> {
    runs.iter().map(|run| serde_json::from_str(run["event"]["body"]["text"].as_str().unwrap()).unwrap()).collect()
}

#[tokio::test]
async fn a_flow_runs_when_its_time_comes() {
    let (app, clock) = at("2026-03-27T12:00:00Z").await;
    app.publish("nightly", "mirror").await;
    let nightly = schedule(&app, "nightly", json!({"cron": "30 2 * * *", "time_zone": "europe/berlin"})).await;
    let shown = app.get(&nightly).await;
    // The night in which 02:30 does not exist is the one of the 29th.
    let next = [
        "2026-03-28T01:30:00Z",
        "2026-03-29T01:00:00Z",
        "2026-03-30T00:30:00Z",
        "2026-03-31T00:30:00Z",
        "2026-04-01T00:30:00Z",
    ];
    assert_eq!((&shown["next"], &shown["time_zone"]), (&json!(next), &json!("Europe/Berlin")));

    clock.set("2026-03-28T01:29:59Z");
    tick(&app).await;
    assert_eq!(app.get("/groups/acme/runs?flow=nightly").await, json!([]));
    clock.set("2026-03-28T01:30:00Z");
    tick(&app).await;
    tick(&app).await;
    ended(&app, "nightly", 1).await;
    clock.set("2026-03-29T01:00:00Z");
    tick(&app).await;
    let runs = ended(&app, "nightly", 2).await;
    assert_eq!(runs.len(), 2);
    let told = |at: &str| json!({"scheduled_at": at, "fired_at": at});
    assert_eq!(bodies(&runs), [told(next[0]), told(next[1])]);
    let run = &runs[0];
    assert_eq!(run["caller"], format!("Schedule: {}", shown["id"].as_str().unwrap()));
    assert_eq!((&run["trigger"], &run["environment"]), (&shown["id"], &json!("production")));
    let image: Value = serde_json::from_str(run["outcome"]["response"]["body"]["text"].as_str().unwrap()).unwrap();
    assert_eq!(image["headers"], json!([["content-type", "application/json"], ["x-headgate-scheduled-at", next[0]]]));
    let shown = app.get(&nightly).await;
    assert_eq!((&shown["last_run"]["run"], &shown["last_run"]["scheduled_at"]), (&runs[1]["id"], &json!(next[1])));
}

#[tokio::test]
async fn the_scheduler_wakes_by_itself() {
    // By the real clock: a schedule of each second, made while the scheduler sleeps with nothing to do.
    let app = TestApp::start().await;
    app.publish("often", "echo").await;
    schedule(&app, "often", json!({"cron": "* * * * * *", "event": {"n": 1}})).await;
    let runs = ended(&app, "often", 2).await;
    assert_eq!(bodies(&runs)[..2], [json!({"n": 1}), json!({"n": 1})]);
}

#[tokio::test]
async fn a_clock_that_is_put_back_repeats_nothing() {
    let (app, clock) = at("2026-01-01T00:30:00Z").await;
    app.publish("hourly", "echo").await;
    schedule(&app, "hourly", json!({"cron": "@hourly"})).await;
    clock.set("2026-01-01T01:00:00Z");
    tick(&app).await;
    clock.set("2026-01-01T00:59:00Z");
    tick(&app).await;
    clock.set("2026-01-01T01:00:00Z");
    tick(&app).await;
    let app = app.restart().await;
    tick(&app).await;
    assert_eq!(ended(&app, "hourly", 1).await.len(), 1);
}

#[tokio::test]
async fn changes_count_from_now_on() {
    let (app, clock) = at("2026-01-01T00:30:00Z").await;
    app.publish("hourly", "echo").await;
    let hourly = schedule(&app, "hourly", json!({"cron": "@hourly", "catch_up": "all"})).await;
    let change = async |body: Value| Answer::to(app.manage(Method::PATCH, &hourly).json(&body)).await.json();
    assert_eq!(change(json!({"enabled": false})).await["next"], json!([]));
    clock.set("2026-01-01T03:30:00Z");
    tick(&app).await;
    let shown = change(json!({"enabled": true})).await;
    assert_eq!(shown["next"][0], "2026-01-01T04:00:00Z");
    tick(&app).await;
    assert_eq!(app.get("/groups/acme/runs?flow=hourly").await, json!([]), "what passed while it was disabled is over");
    change(json!({"cron": "*/5 * * * *", "event": {"changed": true}})).await;
    clock.set("2026-01-01T03:35:00Z");
    tick(&app).await;
    assert_eq!(bodies(&ended(&app, "hourly", 1).await), [json!({"changed": true})]);
    assert_eq!(Answer::to(app.manage(Method::DELETE, &hourly)).await.status, 204);
    clock.set("2026-01-01T03:40:00Z");
    tick(&app).await;
    assert_eq!(ended(&app, "hourly", 1).await.len(), 1);
    assert_eq!(Answer::to(app.manage(Method::GET, &hourly)).await.status, 404);
}

#[tokio::test]
async fn what_cannot_be_is_refused_in_words() {
    let (app, _) = at("2026-01-01T00:00:00Z").await;
    app.publish("nightly", "echo").await;
    for (wanted, said) in [
        (json!({}), "A schedule needs a timetable"),
        (json!({"cron": "0 0 30 2 *"}), "\"0 0 30 2 *\" never comes"),
        (json!({"cron": "61 * * * *"}), "\"61 * * * *\" is not a timetable"),
        (json!({"cron": "@daily", "time_zone": "Berlin"}), "\"Berlin\" is not a time zone"),
        (json!({"cron": "@daily", "jitter_s": 3601}), "jitter_s must be between 0 and 3600"),
        (json!({"cron": "@daily", "environment": "moon"}), "has no environment \"moon\""),
        (json!({"cron": "@daily", "event": "x".repeat(70_000)}), "The event has 70002 bytes"),
    ] {
        let answer = Answer::to(app.manage(Method::POST, &path("nightly")).json(&wanted)).await;
        let (status, _, message) = answer.problem();
        assert_eq!(status, 400, "{message}");
        assert!(message.contains(said), "{message}");
    }
    // Its environment stays as long as it does.
    let environments = async |wanted: Value| {
        Answer::to(app.manage(Method::PATCH, "/groups/acme").json(&json!({"environments": wanted}))).await
    };
    assert_eq!(environments(json!(["staging"])).await.status, 200);
    let staged = schedule(&app, "nightly", json!({"cron": "@daily", "environment": "staging"})).await;
    let (status, _, message) = environments(json!([])).await.problem();
    let id = staged.rsplit('/').next().unwrap();
    assert_eq!(status, 409, "{message}");
    assert!(message.contains(&format!("is used by the schedule {id} of the flow \"nightly\"")), "{message}");
    assert_eq!(Answer::to(app.manage(Method::DELETE, &staged)).await.status, 204);
    assert_eq!(environments(json!([])).await.status, 200);
}

#[tokio::test]
async fn a_time_that_cannot_be_kept_is_told_and_alerted_about() {
    let (app, clock) = at("2026-01-01T00:30:00Z").await;
    app.post("/groups/acme/flows", json!({"name": "draft"})).await;
    app.push("draft", "echo").await;
    let hourly = schedule(&app, "draft", json!({"cron": "@hourly"})).await;
    for hour in 1..=3 {
        clock.set(&format!("2026-01-01T0{hour}:00:00Z"));
        tick(&app).await;
        let shown = app.get(&hourly).await;
        assert_eq!(shown["failures"], hour);
        let message = "The flow \"draft\" is not published in production. Publish a version of it there";
        assert_eq!(shown["last_error"]["message"], message);
        let alerts = app.get("/groups/acme/alerts?state=open").await;
        assert_eq!(alerts.as_array().unwrap().len(), usize::from(hour == 3), "{alerts}");
    }
    assert_eq!(app.get("/groups/acme/alerts?state=open").await[0]["kind"], "schedule_failing");
    app.post("/groups/acme/flows/draft/publish", json!({})).await;
    clock.set("2026-01-01T04:00:00Z");
    tick(&app).await;
    assert_eq!(ended(&app, "draft", 1).await.len(), 1);
    assert_eq!(app.get(&hourly).await["failures"], 0);
    assert_eq!(app.get("/groups/acme/alerts?state=open").await, json!([]));
}

#[tokio::test]
async fn what_passed_while_the_server_was_down_goes_by_the_policy() {
    let (app, clock) = at("2026-01-01T00:30:00Z").await;
    for (flow, policy) in [("leave", "none"), ("newest", "last"), ("every", "all")] {
        app.publish(flow, "echo").await;
        schedule(&app, flow, json!({"cron": "@hourly", "catch_up": policy, "overlap": "allow"})).await;
    }
    tick(&app).await;
    clock.set("2026-01-01T03:30:00Z");
    let app = app.restart().await;
    tick(&app).await;
    let times = |runs: Vec<Value>| bodies(&runs).iter().map(|body| body["scheduled_at"].clone()).collect::<Vec<_>>();
    assert_eq!(times(ended(&app, "newest", 1).await), ["2026-01-01T03:00:00Z"]);
    let every = ["2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z", "2026-01-01T03:00:00Z"];
    assert_eq!(times(ended(&app, "every", 3).await), every);
    assert_eq!(app.get("/groups/acme/runs?flow=leave").await, json!([]));
    let missed = async |flow: &str| app.get(&path(flow)).await[0]["missed"].clone();
    assert_eq!([missed("leave").await, missed("newest").await, missed("every").await], [3, 2, 0]);
}

#[tokio::test]
async fn a_schedule_is_fired_by_hand() {
    let (app, _) = at("2026-01-01T00:30:00Z").await;
    app.publish("yearly", "echo").await;
    let yearly = schedule(&app, "yearly", json!({"cron": "@yearly", "event": {"full": true}})).await;
    let fired = app.post(&format!("{yearly}/fire"), Value::Null).await;
    let run = app.ended(fired["run"].as_str().unwrap()).await;
    assert_eq!(run["caller"], "User: operator@example.com");
    assert_eq!(bodies(&[run]), [json!({"full": true})]);
    assert_eq!(app.get(&yearly).await.get("last_run"), None, "its timetable knows nothing of it");
}
