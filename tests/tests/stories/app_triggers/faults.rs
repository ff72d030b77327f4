//! Apps, connectors and flows that fail while they are polled.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Page, Stage, TOKEN};

#[tokio::test]
async fn a_429_is_heeded_and_failures_are_waited_out() {
    let stage = Stage::set().await;
    stage.script.set("a", Page::Refusal(429, Some(900)));
    let state = stage.turns_after(60).await;
    assert_eq!((&state["failures"], &state["last_error"]["code"]), (&json!(1), &json!("http_429")));
    let asked = stage.asked();
    stage.turns_after(899).await;
    assert_eq!(stage.asked(), asked, "the app asked to be left alone");
    stage.script.page("a", &["1"], "b", false);
    // The wait is spread by a quarter of a minute.
    let state = stage.turns_after(20).await;
    assert_eq!((&state["failures"], state.get("last_error"), &state["records"]), (&json!(0), None, &json!(1)));
}

#[tokio::test]
async fn a_broken_trigger_is_alerted_about_until_it_works_again() {
    let stage = Stage::set().await;
    let alerts = async || stage.app.get("/groups/acme/alerts?state=open").await;
    for (failures, answer) in
        [Page::Refusal(500, None), Page::Text("garbage"), Page::Json(json!({})), Page::Refusal(502, None)]
            .into_iter()
            .enumerate()
    {
        stage.script.set("a", answer);
        assert_eq!(stage.turns_after(5_000).await["failures"], failures + 1);
    }
    assert_eq!(alerts().await, json!([]));
    stage.script.set("a", Page::Refusal(404, None));
    assert_eq!(stage.turns_after(5_000).await["failures"], 5);
    assert_eq!(alerts().await[0]["kind"], "app_trigger_broken");
    stage.script.page("a", &["1"], "b", false);
    stage.turns_after(5_000).await;
    assert_eq!((alerts().await, stage.records(1).await), (json!([]), vec!["1".to_owned()]));
    // One that begins anew works again, too.
    stage.script.set("b", Page::Refusal(404, None));
    for _ in 0..5 {
        stage.turns_after(5_000).await;
    }
    assert_eq!(alerts().await[0]["kind"], "app_trigger_broken");
    let anew = stage.app.manage(reqwest::Method::PATCH, &stage.trigger).json(&json!({"begin_anew": true}));
    assert_eq!(headgate_tests::Answer::to(anew).await.status, 200);
    stage.turns().await;
    assert_eq!((&stage.state().await["cursor"], alerts().await), (&json!("a"), json!([])));
}

#[tokio::test]
async fn a_connector_that_comes_no_further_is_not_asked_on_and_on() {
    let stage = Stage::set().await;
    let asked = stage.asked();
    stage.script.page("a", &["old"], "a", true);
    let state = stage.turns_after(60).await;
    assert_eq!((&state["last_error"]["code"], &state["failures"]), (&json!("no_progress"), &json!(1)));
    assert_eq!(stage.asked(), asked + 1);
    // A record that is new is progress, and so is another cursor.
    stage.script.page("a", &["1"], "a", true);
    let state = stage.turns_after(5_000).await;
    assert_eq!((&state["records"], &state["last_error"]["code"]), (&json!(1), &json!("no_progress")));
    stage.script.page("a", &["1"], "b", true);
    let state = stage.turns_after(5_000).await;
    assert_eq!((&state["cursor"], state.get("last_error")), (&json!("b"), None));
}

#[tokio::test]
async fn what_is_too_much_is_refused_and_what_the_app_reflects_is_scrubbed() {
    let stage = Stage::set().await;
    let many: Vec<_> = (0..1001).map(|n| json!([n.to_string(), {"n": n.to_string()}])).collect();
    stage.script.set("a", Page::Json(json!({"records": many, "cursor": "b", "more": false})));
    assert_eq!(stage.turns_after(60).await["last_error"]["code"], "too_many_records");
    stage.script.set("a", Page::Json(json!({"records": [], "cursor": "c".repeat(70_000), "more": false})));
    assert_eq!(stage.turns_after(5_000).await["last_error"]["code"], "cursor_too_large");
    stage
        .script
        .set("a", Page::Json(json!({"records": [["1", {"n": "x".repeat(3 << 20)}]], "cursor": "b", "more": false})));
    let state = stage.turns_after(5_000).await;
    assert_eq!((&state["failures"], &state["cursor"]), (&json!(3), &json!("a")), "{state}");
    let reflected = json!({"records": [], "cursor": "b", "more": false, "log": format!("you sent {TOKEN}")});
    stage.script.set("a", Page::Json(reflected));
    let state = stage.turns_after(5_000).await;
    let said = state["log"][0]["message"].as_str().unwrap();
    assert!(said.starts_with("you sent ") && !said.contains(TOKEN), "{said}");
}

#[tokio::test]
async fn a_queue_that_fills_takes_what_it_can_and_the_rest_later() {
    let stage = Stage::with_queue(4).await;
    stage.script.page("a", &["1", "2", "3", "4", "5"], "b", false);
    let mut state = stage.turns_after(60).await;
    assert_eq!(state["records"], 3, "the last places are left to those who call");
    // A run leaves its place a moment after it has ended.
    let taking = async {
        while state["cursor"] != "b" {
            let taken = state["records"].as_u64().unwrap() as usize;
            stage.records(taken).await;
            state = stage.turns_after(5).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), taking).await.expect("all are taken");
    assert_eq!((&state["cursor"], &state["records"]), (&json!("b"), &json!(5)));
    assert_eq!(stage.records(5).await, ["1", "2", "3", "4", "5"]);
}

#[tokio::test]
async fn records_wait_at_the_app_while_the_flow_cannot_run() {
    let stage = Stage::set().await;
    stage.app.post("/groups/acme/flows", json!({"name": "draft"})).await;
    stage.app.push("draft", "echo").await;
    let wanted =
        json!({"connection": stage.connection, "trigger": "new_record", "input": {"list": "drafts"}, "every_s": 60});
    let made = stage.app.post("/groups/acme/flows/draft/app-triggers", wanted).await;
    let path = format!("/groups/acme/flows/draft/app-triggers/{}", made["id"].as_str().unwrap());
    stage.turns().await;
    stage.script.page("a", &["1"], "b", false);
    stage.turns_after(60).await;
    let state = stage.app.get(&path).await["state"].clone();
    assert_eq!((&state["last_error"]["code"], &state["cursor"]), (&json!("flow_cannot_run"), &json!("a")));
    stage.app.post("/groups/acme/flows/draft/publish", json!({})).await;
    stage.turns_after(5_000).await;
    assert_eq!(stage.app.get(&path).await["state"]["records"], 1);
}

#[tokio::test]
async fn one_record_that_fails_does_not_hold_up_the_others() {
    let stage = Stage::set().await;
    stage.app.publish("obey", "mirror").await;
    let wanted = json!({"connection": stage.connection, "trigger": "new_record", "input": {"list": "orders"}});
    stage.app.post("/groups/acme/flows/obey/app-triggers", wanted).await;
    stage.turns().await;
    let fail = json!({"fail": {"code": "no_tea", "message": "None.", "retryable": false, "details": {}}});
    let records = json!([["1", {"n": "1"}], ["2", fail], ["3", {"n": "3"}]]);
    stage.script.set("a", Page::Json(json!({"records": records, "cursor": "b", "more": false})));
    stage.turns_after(300).await;
    let ended = |runs: &Value| {
        let states = |state: &str| runs.as_array().unwrap().iter().filter(|run| run["state"] == state).count();
        (states("succeeded"), states("failed")) == (2, 1)
    };
    stage.app.until("/groups/acme/runs?flow=obey", ended).await;
}

#[tokio::test]
async fn a_connection_without_credentials_leaves_the_app_alone() {
    let stage = Stage::set().await;
    stage.app.post(&format!("/groups/acme/connections/{}/disconnect", stage.connection), Value::Null).await;
    let asked = stage.asked();
    let state = stage.turns_after(60).await;
    assert_eq!((&state["last_error"]["code"], &state["failures"]), (&json!("connection_broken"), &json!(0)));
    stage.turns_after(600).await;
    assert_eq!(stage.asked(), asked);
    let path = format!("/groups/acme/connections/{}", stage.connection);
    let secrets = json!({"secrets": {"token": "another-token-of-it"}});
    let changed = headgate_tests::Answer::to(stage.app.manage(reqwest::Method::PATCH, &path).json(&secrets)).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    stage.script.page("a", &["1"], "b", false);
    let state = stage.turns_after(60).await;
    assert_eq!((&state["records"], state.get("last_error")), (&json!(1), None));
}
