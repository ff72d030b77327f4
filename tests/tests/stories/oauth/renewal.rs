//! Tokens are renewed before they end and after a refusal, once, whoever asks.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use headgate_tests::Answer;
use headgate_tests::oauth::Mood;
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use super::{ALERTS, House, broken};

/// Calls that come at one moment.
const AT_ONCE: usize = 200;

#[tokio::test]
async fn client_credentials_become_a_token_when_it_is_needed() {
    let house = House::open("client_credentials", |_| {}).await;
    assert_eq!(house.oauth.requests().len(), 0);
    house.works().await;
    house.works().await;
    let requests = house.oauth.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!((&*requests[0]["grant_type"], &*requests[0]["scope"]), ("client_credentials", "read"));
    house.clock.forward(SignedDuration::from_hours(2));
    house.works().await;
    assert_eq!(house.oauth.requests().len(), 2);
    // It is kept.
    let house = house.restart().await;
    house.works().await;
    assert_eq!(house.oauth.requests().len(), 2);
}

#[tokio::test]
async fn client_credentials_become_another_token_when_the_connection_changes() {
    let house = House::open("client_credentials", |_| {}).await;
    house.works().await;
    let change = house.app().manage(Method::PATCH, &house.path()).json(&json!({"scopes": ["write"]}));
    let changed = Answer::to(change).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_ne!(changed.json()["health"], "red", "{}", changed.text());
    assert_eq!(house.oauth.revoked(), ["access-1-of-the-story"]);
    house.works().await;
    assert_eq!(house.oauth.requests()[1]["scope"], "read write");
    let house = house.restart().await;
    house.works().await;
    assert_eq!(house.oauth.requests().len(), 2);
}

#[tokio::test]
async fn client_credentials_that_are_refused_are_tried_again_later() {
    let house = House::open("client_credentials", |_| {}).await;
    for token in [None, Some(1)] {
        house.oauth.be(Mood::Answers(400, r#"{"error": "invalid_grant"}"#.into()));
        for _ in 0..5 {
            let error = house.call("me").await["error"].take();
            assert_eq!(error["code"], "connection_unavailable", "after {token:?}: {error}");
            assert!(error["message"].as_str().unwrap().contains("invalid_grant"), "{error}");
            house.clock.forward(SignedDuration::from_mins(16));
        }
        let open = |alerts: &Value| alerts[0]["kind"] == "connection_broken" && alerts[0]["state"] == "open";
        house.app().until(ALERTS, open).await;
        house.oauth.be(Mood::Well);
        house.works().await;
        house.app().until(ALERTS, |alerts| alerts[0]["state"] == "closed").await;
        house.clock.forward(SignedDuration::from_hours(2));
    }
}

#[tokio::test]
async fn a_refresh_token_that_rotates_is_kept_each_time() {
    let mut house = House::open("oauth_advanced", |_| {}).await;
    for round in 0..3 {
        house.works().await;
        house.clock.forward(SignedDuration::from_hours(2));
        if round == 1 {
            house = house.restart().await;
        }
    }
    house.works().await;
    let used: Vec<_> = house.oauth.requests().iter().filter_map(|form| form.get("refresh_token").cloned()).collect();
    assert_eq!(used, [1, 2, 3].map(|n| format!("refresh-{n}-of-the-story")));
}

#[tokio::test]
async fn a_token_that_ends_soon_is_renewed_beside_the_calls_that_use_it() {
    let house = House::open("client_credentials", |_| {}).await;
    house.works().await;
    house.clock.forward(SignedDuration::from_mins(50));
    house.works().await;
    assert_eq!(house.oauth.requests().len(), 1);
    house.oauth.be(Mood::Lingers);
    house.clock.forward(SignedDuration::from_mins(7));
    // The app answers the renewal when the calls are over.
    house.works().await;
    house.oauth.asked(2).await;
    house.works().await;
    house.oauth.release();
    let newer = async {
        while house.hostile.call("me", json!({})).await.body["output"]["token"] != 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), newer).await.expect("the new token is used");
    assert_eq!(house.oauth.requests().len(), 2);
}

#[tokio::test]
async fn two_hundred_calls_at_one_moment_renew_a_token_once() {
    let house = House::open("oauth_advanced", |settings| {
        settings.wasm.flow_instances = AT_ONCE as u32;
        settings.wasm.connector_instances = 64;
        settings.wasm.queue_length = AT_ONCE * 2;
    });
    let house = Arc::new(house.await);
    house.works().await;
    house.clock.forward(SignedDuration::from_hours(2));
    house.oauth.be(Mood::Holds);
    let barrier = Arc::new(Barrier::new(AT_ONCE));
    let calls = (0..AT_ONCE).map(|_| {
        let (house, barrier) = (house.clone(), barrier.clone());
        tokio::spawn(async move {
            barrier.wait().await;
            house.call("me").await
        })
    });
    let calls: Vec<_> = calls.collect();
    house.oauth.asked(2).await;
    // All of them are in their flows by now, and wait.
    let inside = async {
        while house.app().app().service().sandbox().occupancy().0.running < AT_ONCE {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), inside).await.expect("not all calls are waiting");
    house.oauth.release();
    for answer in join_all(calls).await {
        assert_eq!(answer.unwrap()["output"]["sub"], "ada");
    }
    let grants: Vec<_> = house.oauth.requests().iter().map(|form| form["grant_type"].clone()).collect();
    assert_eq!(grants, ["authorization_code", "refresh_token"]);
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_neither_is_seen() {
    let house = House::open("oauth_advanced", |_| {}).await;
    house.works().await;
    house.oauth.forget_access();
    let ended = house.hostile.call("echo", json!({})).await;
    assert_eq!(ended.body["output"]["sub"], "ada", "{ended:?}");
    assert_eq!(ended.body["output"]["you_sent"], "[redacted]");
    let run = ended.run.to_string();
    assert!(run.contains("[redacted]") && house.oauth.secrets().iter().all(|secret| !run.contains(secret)), "{run}");
    assert_eq!(house.oauth.requests().len(), 2);
    // A token that is refused as soon as it was got is not the app's concern.
    house.oauth.forget_access();
    let answer = house.call("me").await;
    assert_eq!(answer["error"]["code"], "http_401", "{answer}");
    assert_eq!(house.oauth.requests().len(), 2);
    house.clock.forward(SignedDuration::from_mins(1));
    house.works().await;
    assert_eq!(house.oauth.requests().len(), 3);
}

#[tokio::test]
async fn a_refused_token_is_renewed_as_soon_as_the_app_gives_one_again() {
    let house = House::open("oauth_advanced", |_| {}).await;
    house.works().await;
    house.oauth.forget_access();
    house.oauth.be(Mood::Answers(503, String::new()));
    assert_eq!(house.call("me").await["error"]["code"], "http_401");
    house.oauth.be(Mood::Well);
    house.clock.forward(SignedDuration::from_secs(3));
    house.works().await;
}

#[tokio::test]
async fn a_refresh_token_the_app_takes_no_more_needs_a_person() {
    let house = House::open("oauth_advanced", |_| {}).await;
    house.works().await;
    house.oauth.forget_refresh();
    house.clock.forward(SignedDuration::from_hours(2));
    for _ in 0..3 {
        let answer = house.call("me").await;
        let message = broken(&answer);
        let remedy = format!("headgate connections authorize {}", house.connection);
        assert!(message.contains("\"account\"") && message.contains("invalid_grant") && message.contains(&remedy));
    }
    assert_eq!(house.oauth.requests().len(), 2, "it was asked again");
    let alerts = house.app().get(ALERTS).await;
    assert_eq!((&alerts[0]["kind"], &alerts[0]["state"]), (&json!("connection_broken"), &json!("open")), "{alerts}");
    // Not after a restart either, until somebody consents again.
    let house = house.restart().await;
    house.clock.forward(SignedDuration::from_hours(24));
    broken(&house.call("me").await);
    assert_eq!(house.oauth.requests().len(), 2);
    house.authorize().await;
    house.works().await;
    assert_eq!(house.app().get(ALERTS).await[0]["state"], "closed");
}

#[tokio::test]
async fn tokens_that_come_while_a_connection_is_disconnected_are_revoked() {
    let house = Arc::new(House::open("oauth_advanced", |_| {}).await);
    house.works().await;
    house.clock.forward(SignedDuration::from_hours(2));
    house.oauth.be(Mood::Holds);
    let begin = |what: &'static str| {
        let house = house.clone();
        tokio::spawn(async move {
            match what {
                "call" => house.call("me").await,
                what => house.app().post(&format!("{}/{what}", house.path()), json!({})).await,
            }
        })
    };
    let call = begin("call");
    house.oauth.asked(2).await;
    let disconnected = begin("disconnect");
    let closed = |view: &Value| view["health_reason"].as_str().unwrap().contains("It is not authorized");
    house.app().until(&house.path(), closed).await;
    assert!(house.oauth.revoked().is_empty(), "the app is about to give others");
    house.oauth.release();
    let disconnected = disconnected.await.unwrap();
    assert_eq!(disconnected["revoked"], true, "{disconnected}");
    assert_eq!(house.oauth.revoked(), ["refresh-2-of-the-story", "access-2-of-the-story"]);
    assert!(broken(&call.await.unwrap()).contains("disconnected"));
}

#[tokio::test]
async fn a_test_tells_a_token_that_ended_from_one_that_was_taken_away() {
    for (refreshes, found) in [(false, "expired"), (true, "revoked")] {
        let house = House::open("oauth_advanced", |_| {}).await;
        if refreshes {
            house.oauth.forget_refresh();
        } else {
            house.oauth.refresh_nothing();
            house.authorize().await;
        }
        let test = format!("{}/test", house.path());
        assert_eq!(house.app().post(&test, json!({})).await["result"], "valid");
        house.clock.forward(SignedDuration::from_hours(2));
        for _ in 0..2 {
            let report = house.app().post(&test, json!({})).await;
            assert_eq!(report["result"], found, "{report}");
        }
        let house = house.restart().await;
        assert_eq!(house.app().post(&test, json!({})).await["result"], found);
    }
}

#[tokio::test]
async fn a_method_whose_scope_was_not_granted_is_not_called() {
    let oauth = headgate_tests::oauth::Oauth::start().await;
    oauth.set_scope("read");
    let house = House::with(oauth, "oauth_advanced", |_| {}).await;
    house.works().await;
    let error = house.call("write").await["error"].take();
    assert_eq!(error["code"], "missing_scope", "{error}");
    assert!(error["message"].as_str().unwrap().contains("needs the scope write"), "{error}");
}

#[tokio::test]
async fn an_expiry_that_is_not_told_is_asked_for_once() {
    let house = House::open("untold", |_| {}).await;
    house.works().await;
    let asked = async {
        while house.oauth.introspected() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), asked).await.expect("it is asked");
    house.works().await;
    let house = house.restart().await;
    house.works().await;
    assert_eq!((house.oauth.introspected(), house.oauth.requests().len()), (1, 1));
    assert_eq!(house.call("me").await["error"], Value::Null);
}
