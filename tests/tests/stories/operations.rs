//! Every operation of the management API: it wants the token, and gives away nothing of another group.
//!
//! The operations are those of the OpenAPI document, which is a snapshot: `INSTA_UPDATE=always cargo test -p
//! headgate-tests --test stories openapi` writes a new one, to be reviewed with the change that made it.

mod things;

use std::collections::BTreeMap;

use headgate::domain::archive::{Header, RecordsPart, assemble, header_line, sha256};
use headgate_tests::{Answer, TestApp, guests};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

/// Ids and names by the words that stand for them in paths and bodies.
pub(super) type Things = BTreeMap<&'static str, String>;

/// What an operation is called with, besides its path. Words in braces stand for things.
pub(super) enum Content {
    Nothing,
    Json(&'static str),
    Module(&'static str),
    /// An archive of a group without anything.
    Archive,
}
use Content::{Archive, Json, Module, Nothing};

/// Operations that bring a session, and so want none. They answer 401 to whoever has no right to one; those of an OpenID
/// provider 404, as none is set up.
pub(super) const OPEN: &[(&str, &str, Content)] = &[
    (
        "POST",
        "/auth/setup",
        Json(r#"{"token": "hg_setup_wrong", "email": "a@example.com", "password": "correct horse"}"#),
    ),
    ("POST", "/auth/login", Json(r#"{"email": "a@example.com", "password": "wrong"}"#)),
    ("POST", "/auth/refresh", Json(r#"{"refresh_token": "hg_refresh_wrong"}"#)),
    ("GET", "/auth/oidc/start", Nothing),
    ("GET", "/auth/oidc/callback", Nothing),
    ("POST", "/auth/oidc/token", Json(r#"{"code": "wrong", "code_verifier": "wrong"}"#)),
];

/// What only a browser brings makes it succeed.
const FINISH: (&str, &str, Content) =
    ("POST", "/groups/{group}/connections/{oauth_connection}/authorize/finish", Json(r#"{"code": "wrong"}"#));

/// Each other operation once, those that end things last.
pub(super) const OPERATIONS: &[(&str, &str, Content)] = &[
    ("GET", "/groups", Nothing),
    ("POST", "/groups", Json(r#"{"name": "third"}"#)),
    ("GET", "/groups/{group}", Nothing),
    ("GET", "/groups/{group}/members", Nothing),
    ("POST", "/groups/{group}/members", Json(r#"{"email": "{stranger}", "role": "viewer"}"#)),
    ("PATCH", "/groups/{group}/members/{member}", Json(r#"{"role": "editor"}"#)),
    ("DELETE", "/groups/{group}/members/{member}", Nothing),
    ("GET", "/users", Nothing),
    ("POST", "/users", Json(r#"{"email": "new@example.com"}"#)),
    ("GET", "/users/{stranger}", Nothing),
    ("PATCH", "/users/{stranger}", Json(r#"{"name": "Stranger"}"#)),
    ("POST", "/users/{stranger}/invite", Nothing),
    ("DELETE", "/users/{stranger}", Nothing),
    ("GET", "/auth/me", Nothing),
    ("POST", "/auth/signing-keys/rotate", Nothing),
    ("GET", "/secrets", Nothing),
    ("POST", "/secrets/rotate", Nothing),
    ("PATCH", "/groups/{group}", Json(r#"{"description": "Orders"}"#)),
    ("POST", "/groups/{group}/export", Nothing),
    ("POST", "/imports", Archive),
    ("GET", "/doctor", Nothing),
    ("GET", "/groups/{group}/usage", Nothing),
    ("GET", "/groups/{group}/api-keys/{key}/usage", Nothing),
    ("GET", "/groups/{group}/alerts", Nothing),
    ("POST", "/groups/{group}/alerts/{alert}/acknowledge", Json("{}")),
    ("GET", "/alerts", Nothing),
    ("POST", "/alerts/{server_alert}/acknowledge", Json("{}")),
    ("GET", "/groups/{group}/api-keys", Nothing),
    ("POST", "/groups/{group}/api-keys", Json(r#"{"name": "another"}"#)),
    ("GET", "/groups/{group}/api-keys/{key}", Nothing),
    ("POST", "/groups/{group}/api-keys/{key}/disable", Nothing),
    ("POST", "/groups/{group}/api-keys/{key}/enable", Nothing),
    ("PATCH", "/groups/{group}/api-keys/{key}", Json(r#"{"description": "changed"}"#)),
    ("POST", "/groups/{group}/api-keys/{key}/regenerate", Nothing),
    ("POST", "/groups/{group}/api-keys/{key}/rotate", Json(r#"{"overlap": "1h"}"#)),
    ("GET", "/groups/{group}/api-keys/{key}/investigate", Nothing),
    ("GET", "/groups/{group}/audit", Nothing),
    ("GET", "/audit", Nothing),
    ("GET", "/audit/verify", Nothing),
    ("GET", "/groups/{group}/connectors", Nothing),
    ("PUT", "/groups/{group}/connectors", Module("conformance-connector")),
    ("GET", "/groups/{group}/connectors/{connector}", Nothing),
    ("GET", "/groups/{group}/connectors/{connector}/versions", Nothing),
    ("POST", "/groups/{group}/connectors/{connector}/rollback", Json(r#"{"to": 1}"#)),
    ("GET", "/connectors", Nothing),
    ("PUT", "/connectors", Module("hubspot")),
    ("GET", "/connectors/{server_connector}", Nothing),
    ("GET", "/connectors/{server_connector}/versions", Nothing),
    ("POST", "/connectors/{server_connector}/rollback", Json(r#"{"to": 1}"#)),
    ("GET", "/groups/{group}/connections", Nothing),
    (
        "POST",
        "/groups/{group}/connections",
        Json(r#"{"name": "another", "connector": "{connector}", "config": {"base_url": "https://app.example"}}"#),
    ),
    ("GET", "/groups/{group}/connections/{connection}", Nothing),
    ("POST", "/groups/{group}/connections/{oauth_connection}/authorize", Nothing),
    FINISH,
    ("GET", "/groups/{group}/app-registrations", Nothing),
    (
        "POST",
        "/groups/{group}/app-registrations",
        Json(
            r#"{"name": "another", "connector": "gmail", "client_id": "1", "client_secret": "a-secret-of-gmail", "token_hosts": ["app.example"]}"#,
        ),
    ),
    ("GET", "/groups/{group}/app-registrations/{registration}", Nothing),
    ("PATCH", "/groups/{group}/app-registrations/{registration}", Json(r#"{"client_id": "2"}"#)),
    ("GET", "/app-registrations", Nothing),
    (
        "POST",
        "/app-registrations",
        Json(r#"{"name": "another", "connector": "gmail", "client_id": "1", "token_hosts": ["app.example"]}"#),
    ),
    ("GET", "/app-registrations/{server_registration}", Nothing),
    ("PATCH", "/app-registrations/{server_registration}", Json(r#"{"token_hosts": ["other.example"]}"#)),
    ("PATCH", "/groups/{group}/connections/{connection}", Json(r#"{"name": "renamed"}"#)),
    ("POST", "/groups/{group}/connections/{connection}/test", Nothing),
    ("POST", "/groups/{group}/connections/{connection}/disconnect", Nothing),
    ("POST", "/groups/{group}/connections/{connection}/accept-upgrade", Json(r#"{"upgrade": []}"#)),
    ("GET", "/groups/{group}/flows", Nothing),
    ("POST", "/groups/{group}/flows", Json(r#"{"name": "another"}"#)),
    ("GET", "/groups/{group}/flows/{flow}", Nothing),
    ("GET", "/groups/{group}/flows/{flow}/versions", Nothing),
    ("PUT", "/groups/{group}/flows/{flow}/versions", Module("echo")),
    ("GET", "/groups/{group}/flows/{flow}/versions/{version}", Nothing),
    ("GET", "/groups/{group}/flows/{flow}/diff", Nothing),
    ("PATCH", "/groups/{group}/flows/{flow}", Json(r#"{"description": "changed"}"#)),
    ("POST", "/groups/{group}/flows/{flow}/publish", Json("{}")),
    ("POST", "/groups/{group}/flows/{flow}/rollback", Json("{}")),
    ("POST", "/groups/{group}/flows/{flow}/promote", Json(r#"{"from": "production", "to": "test"}"#)),
    ("POST", "/groups/{group}/flows/{flow}/unpublish", Json(r#"{"environment": "test"}"#)),
    ("GET", "/groups/{group}/flows/{flow}/publications", Nothing),
    ("PUT", "/groups/{group}/flows/{flow}/slots/{slot}", Json(r#"{"connection": "{connection}"}"#)),
    ("POST", "/groups/{group}/flows/{flow}/run", Json(r#"{"environment": "production"}"#)),
    ("GET", "/groups/{group}/flows/{flow}/triggers", Nothing),
    ("POST", "/groups/{group}/flows/{flow}/triggers", Json(r#"{"keys": ["{key}"]}"#)),
    ("GET", "/groups/{group}/flows/{flow}/triggers/{trigger}", Nothing),
    ("PATCH", "/groups/{group}/flows/{flow}/triggers/{trigger}", Json(r#"{"keys": ["{key}"]}"#)),
    ("POST", "/groups/{group}/flows/{flow}/triggers/{trigger}/routing-key", Nothing),
    ("GET", "/groups/{group}/flows/{flow}/samples", Nothing),
    ("PUT", "/groups/{group}/flows/{flow}/samples/{sample}", Json(r#"{"event": {"event": {"order": 17}}}"#)),
    ("DELETE", "/groups/{group}/flows/{flow}/samples/{sample}", Nothing),
    ("GET", "/groups/{group}/apps", Nothing),
    ("POST", "/groups/{group}/apps", Json(r#"{"slug": "another", "flow": "{flow}"}"#)),
    ("GET", "/groups/{group}/apps/{app}", Nothing),
    ("PATCH", "/groups/{group}/apps/{app}", Json(r#"{"title": "Orders"}"#)),
    ("DELETE", "/groups/{group}/apps/{app}", Nothing),
    ("DELETE", "/groups/{group}/flows/{spare_flow}", Nothing),
    ("GET", "/groups/{group}/flows/{flow}/schedules", Nothing),
    ("POST", "/groups/{group}/flows/{flow}/schedules", Json(r#"{"cron": "@yearly"}"#)),
    ("GET", "/groups/{group}/flows/{flow}/schedules/{schedule}", Nothing),
    ("PATCH", "/groups/{group}/flows/{flow}/schedules/{schedule}", Json(r#"{"description": "changed"}"#)),
    ("POST", "/groups/{group}/flows/{flow}/schedules/{schedule}/fire", Nothing),
    ("GET", "/groups/{group}/flows/{flow}/app-triggers", Nothing),
    (
        "POST",
        "/groups/{group}/flows/{flow}/app-triggers",
        Json(r#"{"connection": "{polled}", "trigger": "new_record", "input": {"list": "another"}}"#),
    ),
    ("GET", "/groups/{group}/flows/{flow}/app-triggers/{app_trigger}", Nothing),
    ("PATCH", "/groups/{group}/flows/{flow}/app-triggers/{app_trigger}", Json(r#"{"description": "changed"}"#)),
    ("POST", "/groups/{group}/flows/{flow}/app-triggers/{app_trigger}/poll", Nothing),
    ("GET", "/groups/{group}/runs", Nothing),
    ("GET", "/groups/{group}/runs/{run}", Nothing),
    ("DELETE", "/groups/{group}/flows/{flow}/triggers/{trigger}", Nothing),
    ("DELETE", "/groups/{group}/flows/{flow}/schedules/{schedule}", Nothing),
    ("DELETE", "/groups/{group}/flows/{flow}/app-triggers/{app_trigger}", Nothing),
    ("DELETE", "/groups/{group}/connections/{spare}", Nothing),
    ("DELETE", "/groups/{group}/connectors/{spare_connector}", Nothing),
    ("DELETE", "/connectors/{server_connector}", Nothing),
    ("DELETE", "/groups/{group}/app-registrations/{spare_registration}", Nothing),
    ("DELETE", "/app-registrations/{server_registration}", Nothing),
    ("POST", "/groups/{group}/api-keys/{key}/revoke", Nothing),
    ("DELETE", "/groups/{group}/api-keys/{key}", Nothing),
    ("POST", "/auth/password", Json(r#"{"current": "correct horse battery", "new": "correct horse battery"}"#)),
    ("POST", "/auth/logout", Nothing),
];

/// Ids and names of the right form that nobody has.
pub(super) fn made_up(word: &str) -> String {
    match word {
        "key" => "a".repeat(12),
        "connection" | "spare" | "oauth_connection" | "polled" => format!("con_{}", "a".repeat(20)),
        "registration" | "spare_registration" | "server_registration" => format!("app_{}", "a".repeat(20)),
        "flow" | "spare_flow" => format!("flw_{}", "a".repeat(20)),
        "version" => "7".to_owned(),
        "trigger" | "schedule" | "app_trigger" => format!("trg_{}", "a".repeat(20)),
        "member" | "stranger" => "nobody@example.com".to_owned(),
        "alert" | "server_alert" => format!("alr_{}", "a".repeat(20)),
        "run" => "01890000-0000-7000-8000-000000000000".to_owned(),
        _ => "nothing".to_owned(),
    }
}

pub(super) fn fill(text: &str, things: &Things) -> String {
    things.iter().fold(text.to_owned(), |text, (word, thing)| text.replace(&format!("{{{word}}}"), thing))
}

fn request(app: &TestApp, (method, path, content): &(&str, &str, Content), things: &Things) -> RequestBuilder {
    let url = format!("{}/api/v1{}", app.url(), fill(path, things));
    let request = app.client().request(method.parse().unwrap(), url);
    match content {
        Nothing => request,
        Json(body) => request.header("content-type", "application/json").body(fill(body, things)),
        Module(guest) => request.header("content-type", "application/wasm").body(guests::component(guest)),
        Archive => request.body(archive()),
    }
}

/// An archive of a group without anything.
fn archive() -> Vec<u8> {
    let group = json!({"id": "imported", "environments": ["production", "test"], "created": "2026-11-22T07:00:00Z"});
    let entry = json!({"kind": "group", "key": "", "record": group});
    let records = json!({"entries": [entry], "server_registrations": [], "members": []}).to_string();
    let header = Header {
        group: "imported".parse().unwrap(),
        exported: jiff::Timestamp::UNIX_EPOCH,
        server: "0.1.0".to_owned(),
        records: RecordsPart { length: records.len() as u64, sha256: sha256(records.as_bytes()) },
        secrets: None,
        modules: Vec::new(),
    };
    assemble(header_line(&header), records.into(), None, Vec::new()).concat()
}

pub(super) async fn document(app: &TestApp) -> Value {
    Answer::to(app.client().get(format!("{}/api/v1/openapi.json", app.url()))).await.json()
}

#[tokio::test]
async fn the_openapi_document_is_as_it_was_reviewed() {
    let app = TestApp::start().await;
    let document = document(&app).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    insta::assert_json_snapshot!("openapi", document);
}

#[tokio::test]
async fn every_operation_is_in_the_table() {
    let app = TestApp::start().await;
    let mut listed: Vec<_> = OPERATIONS.iter().chain(OPEN).map(described_as).collect();
    listed.sort();
    assert_eq!(described(&document(&app).await), listed);
}

#[tokio::test]
async fn every_body_of_every_operation_has_an_example() {
    let app = TestApp::start().await;
    let document = document(&app).await;
    let mut without = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let answers = operation["responses"].as_object().unwrap().values();
            let bodies = [&operation["requestBody"]].into_iter().chain(answers);
            let media = bodies.filter_map(|body| body["content"].as_object()).flatten();
            let json = media.filter(|(media, _)| media.ends_with("json"));
            if json.into_iter().any(|(_, body)| !shows_an_example(&document, &body["schema"], 0)) {
                without.push(format!("{method} {path}"));
            }
        }
    }
    assert_eq!(without, [""; 0]);
}

/// Whether a schema, or a part of it, has an example.
fn shows_an_example(document: &Value, schema: &Value, depth: usize) -> bool {
    if let Some(path) = schema["$ref"].as_str() {
        return depth < 8 && shows_an_example(document, document.pointer(&path[1..]).unwrap(), depth + 1);
    }
    let parts = ["allOf", "oneOf", "anyOf"].into_iter().filter_map(|parts| schema[parts].as_array()).flatten();
    let parts = parts.chain(schema["properties"].as_object().into_iter().flat_map(|named| named.values()));
    schema.get("example").is_some()
        || schema.get("examples").is_some()
        || parts.chain(schema.get("items")).any(|part| shows_an_example(document, part, depth))
}

/// The operations of the document, such as `GET /groups/{group}`, in order.
pub(super) fn described(document: &Value) -> Vec<String> {
    let mut described = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let path = path.strip_prefix("/api/v1").unwrap();
        described
            .extend(operations.as_object().unwrap().keys().map(|method| format!("{} {path}", method.to_uppercase())));
    }
    described.sort();
    described
}

/// An operation of the tables as the document names it.
pub(super) fn described_as((method, path, _): &(&str, &str, Content)) -> String {
    let words = [
        ("{spare}", "{connection}"),
        ("{spare_flow}", "{flow}"),
        ("{oauth_connection}", "{connection}"),
        ("{spare_connector}", "{connector}"),
        ("{server_connector}", "{connector}"),
        ("{spare_registration}", "{registration}"),
        ("{server_registration}", "{registration}"),
        ("{member}", "{user}"),
        ("{stranger}", "{user}"),
        ("{server_alert}", "{alert}"),
    ];
    let path = words.iter().fold((*path).to_owned(), |path, (word, described)| path.replace(word, described));
    format!("{method} {path}")
}

#[tokio::test]
async fn what_brings_a_session_wants_none_and_gives_none_for_nothing() {
    let app = TestApp::start().await;
    for operation in OPEN {
        let answer = Answer::to(request(&app, operation, &Things::new())).await;
        let (status, code, _) = answer.problem();
        let expected = if operation.1.contains("/oidc/") { 404 } else { 401 };
        assert_eq!(status, expected, "{} {}", operation.0, operation.1);
        assert_ne!(code, "missing_token", "{} {}", operation.0, operation.1);
    }
}

#[tokio::test]
async fn every_operation_wants_the_token() {
    let app = TestApp::start().await;
    let things = things::of(&app, "acme").await;
    for operation in OPERATIONS {
        let name = format!("{} {}", operation.0, operation.1);
        let answer = Answer::to(request(&app, operation, &things)).await;
        assert_eq!((answer.status, answer.problem().1.as_str()), (401, "missing_token"), "{name}");
        let cut = &app.token()[..app.token().len() - 1];
        for (wrong, code) in
            [("nonsense", "malformed_api_key"), (cut, "invalid_token"), ("hg_live_cut", "malformed_api_key")]
        {
            let answer = Answer::to(request(&app, operation, &things).bearer_auth(wrong)).await;
            assert_eq!((answer.status, answer.problem().1.as_str()), (401, code), "{name}");
            assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_token\"");
        }
        // It would have succeeded, and none of the refused requests has done anything.
        let answer = Answer::to(request(&app, operation, &things).bearer_auth(app.token())).await;
        let refused = operation.1 == FINISH.1 && answer.problem().1 == "authorization_unknown";
        assert!((200..300).contains(&answer.status) || refused, "{name}: {}", answer.text());
    }
}

#[tokio::test]
async fn another_groups_things_look_like_things_that_do_not_exist() {
    let app = TestApp::start().await;
    app.post("/groups", json!({"name": "rival"})).await;
    let (acme, rival) = (things::of(&app, "acme").await, things::of(&app, "rival").await);
    let names = [("key", "key-of-acme".to_owned()), ("flow", "flow-of-acme".to_owned())];
    let of_the_server = |word: &str| {
        matches!(
            word,
            "group"
                | "slot"
                | "version"
                | "sample"
                | "stranger"
                | "server_alert"
                | "server_registration"
                | "server_connector"
        )
    };
    let foreign = acme.into_iter().filter(|(word, _)| !of_the_server(word)).chain(names);
    let mut compared = 0;
    for (word, thing) in foreign {
        for operation in OPERATIONS.iter().filter(|operation| mentions(operation, word)) {
            let ask = async |thing: &str| {
                let mut things = rival.clone();
                things.insert(word, thing.to_owned());
                let answer = Answer::to(request(&app, operation, &things).bearer_auth(app.token())).await;
                assert!(matches!(answer.status, 400 | 404), "{}: {}", operation.1, answer.text());
                format!("{} {}", answer.status, answer.text()).replace(thing, "THING")
            };
            assert_eq!(ask(&thing).await, ask(&made_up(word)).await, "{} {}", operation.0, operation.1);
            compared += 1;
        }
    }
    assert!(compared > 25, "{compared}");
}

fn mentions((_, path, content): &(&str, &str, Content), word: &str) -> bool {
    let word = format!("{{{word}}}");
    path.contains(&word) || matches!(content, Json(body) if body.contains(&word))
}
