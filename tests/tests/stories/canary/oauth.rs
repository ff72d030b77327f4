//! The same for what OAuth brings, also after a token was refused and renewed, and for a key that belongs into the body.

use std::sync::{Arc, Mutex};

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use headgate_tests::canary::Canary;
use headgate_tests::canary::memory::linear_memories;
use headgate_tests::crm::{Received, StandIn};
use headgate_tests::{Hostile, logs};
use serde_json::{Value, json};

const CLIENT_SECRET: &str = r#"client/s3cr3t"+&=%7-c0ffee"#;
const FIRST_TOKEN: &str = "tok-first/a1b2+c3=d4~e5";
const SECOND_TOKEN: &str = "tok-second/f6a7+b8=c9~d0";
const REFRESH_TOKEN: &str = "ref-resh/0123+4567=89~ab";
const BODY_KEY: &str = r#"body/k3y"+&=%7-deadbeef"#;
const ALL: [(&str, &str); 5] = [
    ("the client secret", CLIENT_SECRET),
    ("the first access token", FIRST_TOKEN),
    ("the second access token", SECOND_TOKEN),
    ("the refresh token", REFRESH_TOKEN),
    ("the key in the body", BODY_KEY),
];

/// Secrets that were found in guests' memories, and how often they were searched.
#[derive(Default)]
struct Found {
    leaks: Vec<String>,
    searches: usize,
}

/// A token endpoint whose first token the app refuses, and an app that hands back all it was sent.
fn answer(request: &Received, given: &Mutex<usize>, found: &Mutex<Found>) -> Response {
    if request.uri.path() == "/token" {
        let mut given = given.lock().unwrap();
        *given += 1;
        let token = if *given == 1 { FIRST_TOKEN } else { SECOND_TOKEN };
        let told =
            json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600, "refresh_token": REFRESH_TOKEN});
        return Json(told).into_response();
    }
    let mut found = found.lock().unwrap();
    found.searches += 1;
    let memories: Vec<_> = linear_memories().into_iter().flat_map(|memory| memory.contents).collect();
    for (what, secret) in ALL {
        let canary = Canary::new(secret);
        let holders = memories.iter().filter(|bytes| !canary.found_in(bytes).is_empty()).count();
        if holders > 0 {
            found.leaks.push(format!("{what} is in {holders} places of guests' memories during {}", request.uri));
        }
    }
    let bearer = request.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let refused = bearer.as_deref() == Some(&format!("Bearer {FIRST_TOKEN}"));
    let sent = String::from_utf8_lossy(&request.body);
    // In the run in which a token is renewed, the app may tell of the one before.
    let before = (request.uri.path() == "/echo" && !refused).then_some(FIRST_TOKEN);
    let told = Json(json!({"bearer": bearer, "body": sent, "before": before}));
    let status = if refused { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
    (status, told).into_response()
}

/// A server with a connection that gets its tokens for itself, and one whose key belongs into the body.
async fn server(app: &StandIn) -> Hostile {
    logs::capture();
    let exempt = app.address.to_string().parse().unwrap();
    let hostile = Hostile::start(|settings| settings.egress.allow_private = vec![exempt]).await;
    let server = &hostile.app;
    server.install("oauth-connector").await;
    let registration = json!({"name": "own", "connector": "account", "client_id": "headgate", "client_secret": CLIENT_SECRET, "token_hosts": ["127.0.0.1"]});
    let registration = server.post("/groups/acme/app-registrations", registration).await;
    let config = json!({"api_url": app.url(), "oauth_url": app.url()});
    let account = json!({"name": "account", "connector": "account", "auth": "client_credentials", "config": config, "registration": registration["id"]});
    server.connect("hostile", "account", account).await;
    let body = json!({"name": "body", "connector": "hostile", "auth": "body", "config": {"base_url": app.url()}, "secrets": {"token": BODY_KEY}});
    hostile.connect("hostile-connector", body).await;
    hostile
}

#[tokio::test]
async fn nothing_that_oauth_brings_and_no_key_in_a_body_is_found_anywhere() {
    let (given, found) = (Mutex::new(0), Arc::new(Mutex::new(Found::default())));
    let finding = found.clone();
    let app = StandIn::start(move |request| answer(request, &given, &finding)).await;
    let hostile = server(&app).await;
    let account = |kind: &str, method: &str| json!({"do": kind, "slot": "account", "method": method, "input": {}});
    let fetch = json!({"method": "POST", "url": app.url(), "content_type": "application/json", "body": "{}"});
    let mut read: Vec<(String, String)> = Vec::new();
    for order in [
        account("call", "echo"),
        account("call", "me"),
        json!({"do": "call", "slot": "app", "method": "fetch", "input": fetch}),
        json!({"do": "relay", "slot": "app", "method": "fetch", "input": {"url": app.url()}}),
    ] {
        let ended = hostile.order(order.clone()).await;
        read.push((format!("the answer to {order}"), ended.body.to_string()));
        read.push((format!("the run of {order}"), ended.run.to_string()));
    }
    assert_eq!(read[0].1.matches("[redacted]").count(), 2, "the app reflected both tokens: {}", read[0].1);
    for path in ["connections", "app-registrations", "connectors", "runs", "audit", "alerts"] {
        let answer: Value = hostile.app.get(&format!("/groups/acme/{path}")).await;
        read.push((path.to_owned(), answer.to_string()));
    }
    {
        let found = found.lock().unwrap();
        assert!(found.searches >= 4, "{} requests were searched", found.searches);
        assert!(found.leaks.is_empty(), "{}", found.leaks.join("\n"));
    }
    // They all left for where they belong.
    let received = app.received();
    let sent =
        |text: &str| received.iter().any(|request| format!("{:?}{:?}", request.headers, request.body).contains(text));
    for token in [FIRST_TOKEN, SECOND_TOKEN, "deadbeef"] {
        assert!(sent(token), "the app was never sent {token}");
    }

    let folder = hostile.app.stop().await;
    for (what, secret) in ALL {
        let canary = Canary::new(secret);
        for (place, text) in &read {
            canary.assert_absent(&format!("{what}: {place}"), text);
        }
        canary.assert_absent(&format!("{what}: the server's log"), logs::written());
        let (found, files) = canary.found_below(folder.path());
        assert!(found.is_empty(), "{what} lies in clear: {}", found.join("; "));
        assert!(files > 5, "only {files} files were searched");
    }
}
