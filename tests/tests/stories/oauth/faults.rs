//! Token endpoints that are down, slow, or answer something else; a store that was tampered with; a process that died.

use headgate::store::{Batch, Database, Options};
use headgate_tests::canary::Canary;
use headgate_tests::oauth::{CLIENT_SECRET, Mood, Oauth};
use headgate_tests::process::Process;
use headgate_tests::records::tampered;
use headgate_tests::{Answer, Hostile, logs};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

use super::{ALERTS, House, broken};

#[tokio::test]
async fn an_endpoint_that_gives_no_token_is_told_and_not_hammered() {
    logs::capture();
    let cases = [
        (Mood::Answers(500, "an inner secret".into()), "it answers with the status 500"),
        (Mood::Answers(200, "<html>an inner secret</html>".into()), "its answer (200) is not JSON"),
        (Mood::Answers(200, r#"{"ok": true}"#.into()), "its answer has no access token at /access_token"),
        (Mood::Redirects("http://127.0.0.1:9/?an-inner-secret".into()), "it redirects (302), which is not followed"),
        (
            Mood::Answers(200, format!("{{\"x\": \"{}\"}}", "x".repeat(300 << 10))),
            "the answer is larger than 262144 bytes",
        ),
        (
            Mood::Answers(
                401,
                r#"{"error": "invalid_client", "error_description": "no refresh-1-of-the-story"}"#.into(),
            ),
            "invalid_client (no [redacted])",
        ),
    ];
    let house = House::open("oauth_advanced", |_| {}).await;
    house.works().await;
    let mut asked = 1;
    house.clock.forward(SignedDuration::from_hours(2));
    for (mood, message) in cases {
        house.oauth.be(mood);
        for _ in 0..2 {
            let error = house.call("me").await["error"].take();
            assert_eq!(
                (&error["code"], &error["retryable"]),
                (&json!("connection_unavailable"), &json!(true)),
                "{error}"
            );
            assert!(error["message"].as_str().unwrap().contains(message), "{error} should contain {message}");
        }
        asked += 1;
        assert_eq!(house.oauth.requests().len(), asked, "{message}: there is a pause after a failure");
        house.clock.forward(SignedDuration::from_mins(16));
    }
    // After some failures somebody is told, and again when it works.
    let alerts = house.app().until(ALERTS, |alerts| alerts[0]["kind"] == "connection_broken").await;
    assert_eq!(alerts[0]["state"], "open");
    house.oauth.be(Mood::Well);
    house.works().await;
    house.app().until(ALERTS, |alerts| alerts[0]["state"] == "closed").await;
    let port = house.oauth.address.port().to_string();
    let log = String::from_utf8(logs::written()).unwrap();
    assert!(log.contains("a token could not be renewed"), "{port}");
    for secret in house.oauth.secrets().iter().map(String::as_str).chain(["an inner secret", "an-inner-secret"]) {
        assert!(!log.contains(secret), "the log holds {secret}");
    }
}

#[tokio::test]
async fn a_token_that_still_lives_is_used_while_renewing_fails() {
    let house = House::open("oauth_advanced", |_| {}).await;
    house.works().await;
    house.oauth.be(Mood::Answers(503, String::new()));
    house.clock.forward(SignedDuration::from_mins(57));
    house.works().await;
    house.oauth.asked(2).await;
    house.works().await;
    house.clock.forward(SignedDuration::from_mins(4));
    assert_eq!(house.call("me").await["error"]["code"], "connection_unavailable");
}

#[tokio::test]
async fn whoever_waits_for_a_slow_endpoint_waits_a_bounded_time() {
    let house = House::open("client_credentials", |_| {}).await;
    house.oauth.be(Mood::Holds);
    let began = std::time::Instant::now();
    let error = house.call("me").await["error"].take();
    assert_eq!(error["code"], "connection_unavailable", "{error}");
    assert!(error["message"].as_str().unwrap().contains("within 20 s"), "{error}");
    assert!(began.elapsed().as_secs() < 28, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_process_that_dies_before_it_keeps_a_new_token_is_reported_and_not_repeated() {
    let oauth = Oauth::start().await;
    // The other process goes by the time of day.
    oauth.set_life(Some(1));
    let House { hostile: Hostile { app, key, trigger }, oauth, connection, .. } =
        House::with(oauth, "oauth_advanced", |_| {}).await;
    let token = app.token().to_owned();
    let dir = app.stop().await;
    let address = oauth.address.to_string();
    let (folder, settings) = (dir.path().join("data"), [("EGRESS__ALLOW_PRIVATE", address.as_str())]);
    let start = || Process::start(&folder, &token, &settings);
    let call = json!({"do": "call", "slot": "app", "method": "me", "input": {}});

    let server = start().await;
    // The app has rotated the refresh token, and its answer is on its way.
    oauth.be(Mood::Holds);
    let lost = tokio::spawn(server.fire(&trigger, &key, &call).send());
    oauth.asked(2).await;
    server.kill().await;
    assert!(lost.await.unwrap().is_err());
    oauth.release();

    let server = start().await;
    for _ in 0..3 {
        let answer: Value = server.fire(&trigger, &key, &call).send().await.unwrap().json().await.unwrap();
        assert!(broken(&answer).contains(&connection), "{answer}");
    }
    assert_eq!(oauth.requests().len(), 3, "one code, one lost refresh, one that was refused");
    assert_eq!(server.get(ALERTS).await[0]["kind"], "connection_broken");
    server.kill().await;
}

#[tokio::test]
async fn a_token_that_was_copied_onto_another_connection_does_not_open() {
    logs::capture();
    let house = House::open("oauth_advanced", |_| {}).await;
    house.works().await;
    let registration = house.app().get("/groups/acme/app-registrations").await[0]["id"].clone();
    let other = json!({
        "name": "other",
        "connector": "account",
        "auth": "oauth_advanced",
        "config": {"api_url": house.oauth.url(), "oauth_url": house.oauth.url()},
        "registration": registration,
    });
    let other = house.hostile.app.connect("hostile", "other", other).await["id"].as_str().unwrap().to_owned();
    let House { hostile: Hostile { app, key, trigger }, oauth, connection, .. } = house;
    let token = app.token().to_owned();
    let dir = app.stop().await;
    for secret in oauth.secrets() {
        let (found, files) = Canary::new(&secret).found_below(dir.path());
        assert!(found.is_empty() && files > 0, "{found:?}");
    }
    let database = Database::open(&dir.path().join("data"), &Options::default()).unwrap();
    let place = |connection: &str| format!("oauth-token/acme/{connection}");
    let sealed = database.records.get(&place(&connection)).unwrap().expect("it has a token").value;
    database.records.commit(Batch::new().put(place(&other), sealed)).await.unwrap();
    database.close().await.unwrap();

    let address = oauth.address.to_string();
    let server = Process::start(&dir.path().join("data"), &token, &[("EGRESS__ALLOW_PRIVATE", &address)]).await;
    let call = json!({"do": "call", "slot": "other", "method": "me", "input": {}});
    let answer: Value = server.fire(&trigger, &key, &call).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["error"]["code"], "internal", "{answer}");
    // It can be taken away all the same.
    let disconnect = server.manage(Method::POST, &format!("/groups/acme/connections/{other}/disconnect"));
    let done = Answer::to(disconnect).await.json();
    assert_eq!(done["revoked"], false, "{done}");
    assert!(done["message"].as_str().unwrap().contains("does not open here"), "{done}");
    server.signal("TERM").await;
    let said = server.ended().await.said;
    assert!(said.contains(&format!("access_token of {other} does not open")), "{said}");
}

#[tokio::test]
async fn an_answer_that_tells_a_secret_back_is_not_used() {
    logs::capture();
    let house = House::open("client_credentials", |_| {}).await;
    let echo = json!({"access_token": "a-token-of-the-story", "args": {"client_secret": CLIENT_SECRET}});
    house.oauth.be(Mood::Answers(200, echo.to_string()));
    let error = house.call("me").await["error"].take();
    assert!(error["message"].as_str().unwrap().contains("holds the client's secret"), "{error}");
}

#[tokio::test]
async fn a_damaged_token_is_told_as_what_it_is() {
    logs::capture();
    let house = House::open("oauth_advanced", |_| {}).await;
    house.works().await;
    let (key, path) = (format!("oauth-token/acme/{}", house.connection), house.path());
    let House { hostile: Hostile { app, key: api_key, trigger }, connection, .. } = house;
    let app = tampered(app, move |_| Batch::new().put(key, "{\"generation\": \"")).await;
    let hostile = Hostile::again(app, api_key, trigger);
    let refused = hostile.call("me", json!({})).await;
    assert_eq!((refused.status.as_u16(), &refused.body["code"]), (500, &json!("internal")), "{}", refused.body);
    let view = hostile.app.get(&path).await;
    let reason = view["health_reason"].as_str().unwrap();
    assert!(view["health"] == "red" && reason.contains("cannot be read"), "{view}");
    let lines = logs::lines_with(&["token cannot be read", &connection]);
    assert!(!lines.is_empty(), "it is logged");
}
