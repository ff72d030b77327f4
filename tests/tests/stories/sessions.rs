//! Logging in, going on and logging out.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use headgate::domain::permission::Action;
use headgate::service::access::Actor;
use headgate::service::audit::AuditQuery;
use headgate_tests::{Answer, OPERATOR, PASSWORD, TestApp, logs};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

const MINUTE: i64 = 60;
const DAY: i64 = 24 * 60 * MINUTE;
const BEGIN: i64 = 1_800_000_000;

/// A server whose sessions have their usual lifetimes, and the hand of its clock.
async fn house() -> (TestApp, Arc<AtomicI64>) {
    let hand = Arc::new(AtomicI64::new(BEGIN));
    let clock = hand.clone();
    let clock = Arc::new(move || Timestamp::from_second(clock.load(Ordering::Relaxed)).unwrap());
    let app = TestApp::with_clock(clock, |settings| {
        settings.users.access_token = Duration::from_secs(15 * 60);
        settings.users.refresh_token = Duration::from_secs(30 * 24 * 60 * 60);
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    });
    (app.await, hand)
}

async fn open(app: &TestApp, path: &str, body: Value) -> Answer {
    open_from(app, path, body, "192.0.2.1").await
}

/// Asks through a proxy, as somebody at another address.
async fn open_from(app: &TestApp, path: &str, body: Value, address: &str) -> Answer {
    let request = app.client().post(format!("{}/api/v1/auth/{path}", app.url()));
    Answer::to(request.header("x-forwarded-for", address).json(&body)).await
}

async fn log_in(app: &TestApp) -> Value {
    let answer = open(app, "login", json!({"email": OPERATOR, "password": PASSWORD})).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{answer:?}");
    answer.json()
}

async fn refresh(app: &TestApp, session: &Value) -> Answer {
    open(app, "refresh", json!({"refresh_token": session["refresh_token"]})).await
}

async fn status(app: &TestApp, session: &Value) -> u16 {
    let token = session["access_token"].as_str().unwrap();
    Answer::to(app.manage_as(token, Method::GET, "/auth/me")).await.status
}

#[tokio::test]
async fn a_session_from_its_login_to_its_logout() {
    let (app, hand) = house().await;
    let session = log_in(&app).await;
    assert_eq!((&session["token_type"], &session["expires_in"]), (&json!("Bearer"), &json!(900)));
    assert_eq!(session["user"]["email"], OPERATOR);
    assert_eq!(status(&app, &session).await, 200);

    // It expires at the second.
    hand.fetch_add(15 * MINUTE - 1, Ordering::Relaxed);
    assert_eq!(status(&app, &session).await, 200);
    hand.fetch_add(1, Ordering::Relaxed);
    let token = session["access_token"].as_str().unwrap();
    let answer = Answer::to(app.manage_as(token, Method::GET, "/auth/me")).await;
    assert_eq!((answer.status, answer.problem().1.as_str()), (401, "invalid_token"));
    assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_token\"");

    let next = refresh(&app, &session).await.json();
    assert_eq!(status(&app, &next).await, 200);
    let app = app.restart().await;
    assert_eq!(status(&app, &next).await, 200, "a restart ends no session");

    let token = next["access_token"].as_str().unwrap();
    assert_eq!(Answer::to(app.manage_as(token, Method::POST, "/auth/logout")).await.status, 204);
    assert_eq!(status(&app, &next).await, 401);
    assert_eq!(refresh(&app, &next).await.status, 401);
    let other = log_in(&app).await;
    assert_eq!(status(&app, &other).await, 200);
}

#[tokio::test]
async fn a_refresh_token_that_is_used_twice_ends_the_session() {
    logs::capture();
    let (app, _) = house().await;
    let (stolen, other) = (log_in(&app).await, log_in(&app).await);
    let next = refresh(&app, &stolen).await.json();
    assert_eq!(status(&app, &next).await, 200);
    let again = refresh(&app, &stolen).await;
    assert_eq!((again.status, again.problem().1.as_str()), (401, "invalid_refresh_token"));
    assert_eq!((status(&app, &next).await, refresh(&app, &next).await.status), (401, 401), "the whole family ended");
    assert_eq!(status(&app, &other).await, 200, "another login of the same person goes on");

    let entries = app.app().service().list_server_audit(&Actor::system(), &AuditQuery::default()).unwrap().entries;
    let entry = entries.iter().find(|entry| entry.action == Action::EndStolenSession.as_str()).unwrap();
    let session = &entry.changes[0].id;
    assert_eq!(logs::lines_with(&["a refresh token was used twice", session]).len(), 1);
    let written = String::from_utf8(logs::written()).unwrap();
    for secret in [&stolen["refresh_token"], &next["access_token"], &json!(PASSWORD)] {
        assert!(!written.contains(secret.as_str().unwrap()), "the log has {secret}");
    }

    // Whoever knows a session's id only cannot end it.
    let id = other["refresh_token"].as_str().unwrap().rsplit_once('_').unwrap().0;
    let forged = json!({"refresh_token": format!("{id}_{}", "a".repeat(43 + 32))});
    assert_eq!(open(&app, "refresh", forged).await.status, 401);
    assert_eq!(status(&app, &other).await, 200);
}

#[tokio::test]
async fn of_two_refreshes_at_once_one_wins_and_the_session_ends() {
    let (app, _) = house().await;
    let session = log_in(&app).await;
    let (one, two) = tokio::join!(refresh(&app, &session), refresh(&app, &session));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401]);
    let winner = if one.status == 200 { one } else { two };
    assert_eq!(status(&app, &winner.json()).await, 401);
}

#[tokio::test]
async fn who_is_known_is_not_told() {
    let (app, _) = house().await;
    app.stranger("ada@example.com").await;
    let mut answers = Vec::new();
    for (email, password) in [
        ("ada@example.com", "a wrong password"),
        ("nobody@example.com", PASSWORD),
        ("not an address", PASSWORD),
        ("ada@example.com", ""),
        ("ada@example.com", &"a".repeat(100_000)),
    ] {
        let answer = open(&app, "login", json!({"email": email, "password": password})).await;
        assert_eq!(answer.status, 401);
        answers.push(answer.bytes());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:#?}");
}

#[tokio::test]
async fn whoever_tries_passwords_is_stopped_and_the_owner_is_not() {
    let (app, hand) = house().await;
    let wrong = json!({"email": OPERATOR, "password": "a wrong password"});
    for _ in 0..10 {
        assert_eq!(open_from(&app, "login", wrong.clone(), "203.0.113.9").await.status, 401);
    }
    let right = json!({"email": OPERATOR, "password": PASSWORD});
    for body in [&wrong, &right] {
        let answer = open_from(&app, "login", body.clone(), "203.0.113.9").await;
        assert_eq!((answer.status, answer.problem().1.as_str()), (429, "too_many_attempts"));
        assert_eq!(answer.header("retry-after"), "900");
    }
    // Nor does a spoofed address help: what the trusted proxy wrote counts.
    let spoofed = open_from(&app, "login", right.clone(), "198.51.100.1, 203.0.113.9").await;
    assert_eq!(spoofed.status, 429);
    assert_eq!(open_from(&app, "login", right.clone(), "198.51.100.1").await.status, 200);
    hand.fetch_add(15 * MINUTE, Ordering::Relaxed);
    assert_eq!(open_from(&app, "login", right, "203.0.113.9").await.status, 200);
}

#[tokio::test]
async fn an_address_that_tries_many_accounts_is_stopped() {
    let (app, _) = house().await;
    // A one-time token costs no hash, so that a hundred attempts are soon made.
    for number in 0..100 {
        let email = format!("user{number}@example.com");
        let body = json!({"token": "hg_setup_wrong", "email": email, "password": PASSWORD});
        assert_eq!(open_from(&app, "setup", body, "2001:db8::1").await.status, 401);
    }
    for path in ["setup", "login", "refresh"] {
        let body = match path {
            "setup" => json!({"token": "hg_setup_wrong", "email": "x@example.com", "password": PASSWORD}),
            "login" => json!({"email": OPERATOR, "password": PASSWORD}),
            _ => json!({"refresh_token": "hg_refresh_wrong"}),
        };
        // The same /64 counts as the same address.
        assert_eq!(open_from(&app, path, body, "2001:db8::ffff").await.status, 429, "{path}");
    }
    log_in(&app).await;
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions() {
    let (app, _) = house().await;
    let (own, other) = (log_in(&app).await, log_in(&app).await);
    let change = async |current: &str, new: &str| {
        let body = json!({"current": current, "new": new});
        let token = own["access_token"].as_str().unwrap();
        Answer::to(app.manage_as(token, Method::POST, "/auth/password").json(&body)).await.status
    };
    assert_eq!(change("a wrong password", "staple correct horse").await, 401);
    assert_eq!(change(PASSWORD, "too short").await, 400);
    assert_eq!(status(&app, &other).await, 200);
    assert_eq!(change(PASSWORD, "staple correct horse").await, 204);
    assert_eq!((status(&app, &own).await, status(&app, &other).await), (200, 401));
    let old = open(&app, "login", json!({"email": OPERATOR, "password": PASSWORD})).await;
    assert_eq!(old.status, 401);
    let new = open(&app, "login", json!({"email": OPERATOR, "password": "staple correct horse"})).await;
    assert_eq!(new.status, 200);
}

/// The name of the key that signed a session's access token.
fn key_of(session: &Value) -> String {
    use base64::Engine as _;
    let head = session["access_token"].as_str().unwrap().split('.').next().unwrap();
    let head = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(head).unwrap();
    serde_json::from_slice::<Value>(&head).unwrap()["kid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_new_signing_key_ends_no_session() {
    let (app, hand) = house().await;
    let before = log_in(&app).await;
    let token = before["access_token"].as_str().unwrap();
    let rotated = Answer::to(app.manage_as(token, Method::POST, "/auth/signing-keys/rotate")).await;
    assert_eq!(rotated.status, 204);
    let after = log_in(&app).await;
    assert_ne!(key_of(&before), key_of(&after));
    let app = app.restart().await;
    assert_eq!((status(&app, &before).await, status(&app, &after).await), (200, 200));
    let service = app.app().service().clone();
    service.keep_logins().await;
    assert_eq!(key_of(&log_in(&app).await), key_of(&after), "it is not yet old");

    // The hourly look finds that the month is over; tokens of a key that is no longer kept are no tokens.
    hand.fetch_add(30 * DAY, Ordering::Relaxed);
    service.keep_logins().await;
    let month_later = log_in(&app).await;
    assert_ne!(key_of(&month_later), key_of(&after));
    assert_eq!((status(&app, &after).await, status(&app, &month_later).await), (401, 200));
}

#[tokio::test]
async fn sessions_that_nobody_takes_up_are_let_go() {
    let (app, hand) = house().await;
    let (idle, used) = (log_in(&app).await, log_in(&app).await);
    hand.fetch_add(29 * DAY, Ordering::Relaxed);
    let used = refresh(&app, &used).await.json();
    hand.fetch_add(DAY, Ordering::Relaxed);
    assert_eq!(refresh(&app, &idle).await.status, 401, "it is over, whether or not it was let go");
    let service = app.app().service();
    assert_eq!(service.catalog().sessions.len(), 3);
    service.keep_logins().await;
    assert_eq!(service.catalog().sessions.len(), 1);
    assert_eq!(refresh(&app, &used).await.status, 200);
}
