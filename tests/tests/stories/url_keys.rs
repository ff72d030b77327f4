//! Keys in a URL, for senders that cannot set headers: only with leave, and without a trace.

use headgate_tests::{Answer, Key, TestApp, Trigger, logs};
use reqwest::Url;
use serde_json::{Value, json};

async fn door(settings: Value) -> (TestApp, Key, Trigger) {
    logs::capture();
    let app = TestApp::start().await;
    app.publish("mirror", "mirror").await;
    let key = app.key("sender").await;
    let trigger = app.trigger("mirror", settings).await;
    (app, key, trigger)
}

/// Every way to write a key into a trigger's URL, with another parameter beside it.
fn urls(trigger: &Trigger, key: &Key) -> [(&'static str, Url); 3] {
    let (hook, key) = (&trigger.url, &key.secret);
    let url = |text: String| text.parse().unwrap();
    [
        ("query", url(format!("{hook}?before=1&api_key={key}&after=2"))),
        ("query", url(format!("{hook}?before=1&auth-key={key}&after=2"))),
        ("path", url(format!("{hook}/{key}?before=1&after=2"))),
    ]
}

#[tokio::test]
async fn a_key_in_the_url_needs_leave() {
    let (app, key, closed) = door(json!({})).await;
    let query = app.trigger("mirror", json!({"key_in_query": true})).await;
    let path = app.trigger("mirror", json!({"key_in_path": true})).await;
    for (trigger, opened) in [(closed, "neither"), (query, "query"), (path, "path")] {
        for (place, url) in urls(&trigger, &key) {
            let answer = Answer::to(app.client().post(url)).await;
            if place == opened {
                assert_eq!(answer.status, 200, "{}", answer.text());
                continue;
            }
            let (status, code, message) = answer.problem();
            assert_eq!((status, code.as_str()), (401, "api_key_in_wrong_place"), "{place} where {opened} is allowed");
            assert!(message.contains("Send it as: Authorization: Bearer hg_..."), "{message}");
            assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_request\"");
        }
    }
}

#[tokio::test]
async fn a_key_in_the_url_is_handed_to_nobody_and_written_nowhere() {
    let (app, key, trigger) = door(json!({"key_in_query": true, "key_in_path": true})).await;
    for (place, url) in urls(&trigger, &key) {
        // As a browser and a proxy would repeat it.
        let request =
            app.client().post(url.clone()).header("referer", url.as_str()).header("x-original-uri", url.path());
        let answer = Answer::to(request.header("x-event", "deal")).await;
        assert_eq!(answer.status, 200, "{place}: {}", answer.text());
        let event = answer.json();
        assert_eq!(event["query"], json!([["before", "1"], ["after", "2"]]), "{place}");
        assert_eq!((&event["path"], &event["caller"]), (&json!("/"), &json!("Key: sender")));
        assert!(answer.text().contains("x-event"), "{}", answer.text());
        let run = app.get(&format!("/groups/acme/runs/{}", answer.header("headgate-run-id"))).await.to_string();
        assert!(run.contains("before"), "{run}");
        for told in [answer.text(), &run] {
            assert!(!told.contains(&key.secret), "{place}: {told}");
        }
    }
    // The key beside the same key in a header counts as the header's, and is taken out all the same.
    let (_, url) = urls(&trigger, &key)[0].clone();
    let answer = Answer::to(app.client().post(url).bearer_auth(&key.secret)).await;
    assert_eq!(answer.json()["query"], json!([["before", "1"], ["after", "2"]]));

    // A server that fails logs why, and that is the line most likely to quote a URL.
    let app = app.restart_after(|data| std::fs::remove_dir_all(data.join("modules")).unwrap()).await;
    let url = format!("{}/hooks/{}?api_key={}", app.url(), trigger.routing_key, key.secret);
    let (status, _, message) = Answer::to(app.client().post(url)).await.problem();
    let id = message.rsplit(' ').next().unwrap();
    assert_eq!((status, logs::lines_with(&[id]).len()), (500, 1), "{message}");
    assert_eq!(logs::lines_with(&[&key.secret]), [""; 0]);
    assert_eq!(logs::lines_with(&[&trigger.routing_key]), [""; 0]);
}

#[tokio::test]
async fn two_different_keys_in_header_and_url_are_refused() {
    let (app, key, trigger) = door(json!({"key_in_query": true, "key_in_path": true})).await;
    let other = app.key("other").await;
    for (_, url) in urls(&trigger, &other) {
        let answer = Answer::to(app.client().post(url).bearer_auth(&key.secret)).await;
        assert_eq!(answer.problem().1, "ambiguous_api_key");
    }
}

#[tokio::test]
async fn what_stands_below_a_trigger_and_is_no_key_is_not_there() {
    let (app, key, trigger) = door(json!({"key_in_path": true})).await;
    let url = format!("{}/orders", trigger.url);
    let answer = Answer::to(app.client().post(&url).bearer_auth(&key.secret)).await;
    assert_eq!(answer.problem(), (404, "not_found".into(), "Page not found".into()));
    assert_eq!(Answer::to(app.client().post(&url)).await.problem().1, "malformed_api_key");
}
