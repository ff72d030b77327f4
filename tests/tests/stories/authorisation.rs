//! Who may do what: every operation of the OpenAPI document, called by everybody there can be.
//!
//! What is expected was written by hand (`fixtures/authorisation.txt`), and shares nothing with the table in the
//! server that decides.

use std::collections::BTreeSet;

use headgate_tests::{Answer, TestApp};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::operations::{Content, OPEN, OPERATIONS, Things, described, described_as, document, fill, made_up};

const EXPECTED: &str = include_str!("../fixtures/authorisation.txt");

const SCOPES: [&str; 9] = [
    "flows:read",
    "flows:write",
    "flows:execute",
    "apps:execute",
    "runs:read",
    "usage:read",
    "connections:read",
    "connections:write",
    "keys:manage",
];

/// What a person has to be, the least first.
const PEOPLE: [&str; 5] = ["signed-in", "viewer", "editor", "owner", "operator"];

/// A line of the expectations: an operation, what a person has to be, which scopes let an API key do it.
struct Expected {
    operation: &'static str,
    person: usize,
    scopes: BTreeSet<&'static str>,
}

fn expected() -> Vec<Expected> {
    let lines = EXPECTED.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let read = |line: &'static str| {
        let [operation, person, scopes] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("a line has three columns: {line}")
        };
        let person = PEOPLE.iter().position(|known| *known == person).unwrap_or_else(|| panic!("{line}"));
        let scopes: BTreeSet<_> = scopes.split_whitespace().filter(|scope| *scope != "-").collect();
        assert!(scopes.iter().all(|scope| SCOPES.contains(scope)), "{line}");
        Expected { operation, person, scopes }
    };
    lines.map(read).collect()
}

/// What an answer says of the caller's rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It was done, or failed for another reason than the caller's rights.
    Allowed,
    /// The caller is known and may not do it.
    Denied,
    /// The group looks like one that does not exist.
    Hidden,
}

fn verdict(answer: &Answer) -> Verdict {
    match answer.status {
        401 => panic!("everybody here has proven who they are: {}", answer.text()),
        403 => Verdict::Denied,
        404 if answer.problem().2 == "Group not found" => Verdict::Hidden,
        _ => Verdict::Allowed,
    }
}

/// Calls an operation on things that do not exist, so that it changes nothing for whoever comes next.
fn request(app: &TestApp, (method, path, content): &(&str, &str, Content), bearer: &str) -> RequestBuilder {
    let words = [
        "key",
        "connector",
        "connection",
        "spare",
        "flow",
        "trigger",
        "app",
        "schedule",
        "app_trigger",
        "polled",
        "run",
        "slot",
        "stranger",
        "member",
        "alert",
        "server_alert",
        "oauth_connection",
        "registration",
        "spare_registration",
        "server_registration",
        "version",
        "spare_flow",
        "spare_connector",
        "server_connector",
        "sample",
    ];
    let mut things: Things = words.into_iter().map(|word| (word, made_up(word))).collect();
    things.insert("group", "acme".to_owned());
    let url = format!("{}/api/v1{}", app.url(), fill(path, &things));
    let request = app.client().request(method.parse().unwrap(), url).bearer_auth(bearer);
    match content {
        Content::Nothing => request,
        Content::Json(body) => request.header("content-type", "application/json").body(fill(body, &things)),
        Content::Module(_) => request.header("content-type", "application/wasm").body("no component"),
        Content::Archive => request.body("no archive"),
    }
}

#[tokio::test]
async fn the_expectations_name_every_operation() {
    let app = TestApp::start().await;
    let open: BTreeSet<_> = OPEN.iter().map(described_as).collect();
    let described: BTreeSet<_> = described(&document(&app).await).into_iter().collect();
    let described: BTreeSet<_> = described.difference(&open).cloned().collect();
    let expected: BTreeSet<_> = expected().into_iter().map(|row| row.operation.to_owned()).collect();
    assert_eq!(described, expected);
}

/// Everybody there can be, with what they are allowed by a line of the expectations.
struct Caller {
    name: String,
    bearer: String,
    may: Box<dyn Fn(&Expected) -> Verdict>,
}

async fn callers(app: &TestApp) -> Vec<Caller> {
    let allowed = |yes: bool| if yes { Verdict::Allowed } else { Verdict::Denied };
    let in_group = |row: &Expected| row.operation.contains("{group}");
    let mut callers = Vec::new();
    for (rank, role) in PEOPLE.iter().enumerate().skip(1).take(3) {
        let bearer = app.user(&format!("{role}@example.com"), role).await;
        callers.push(Caller {
            name: (*role).to_owned(),
            bearer,
            may: Box::new(move |row| allowed(if in_group(row) { row.person <= rank } else { row.person == 0 })),
        });
    }
    callers.push(Caller {
        name: "operator".to_owned(),
        bearer: app.token().to_owned(),
        may: Box::new(|_| Verdict::Allowed),
    });
    let stranger = app.stranger("stranger@example.com").await;
    app.post("/groups/rival/members", json!({"email": "stranger@example.com", "role": "owner"})).await;
    callers.push(Caller {
        name: "owner of another group".to_owned(),
        bearer: stranger["access_token"].as_str().unwrap().to_owned(),
        may: Box::new(move |row| if in_group(row) { Verdict::Hidden } else { allowed(row.person == 0) }),
    });
    for scope in SCOPES {
        let key = json!({"name": scope.replace(':', "-"), "scopes": [scope]});
        let made = app.post("/groups/acme/api-keys", key).await;
        callers.push(Caller {
            name: format!("key with {scope}"),
            bearer: made["api_key"].as_str().unwrap().to_owned(),
            may: Box::new(move |row| allowed(row.scopes.contains(scope))),
        });
    }
    let made = app.post("/groups/rival/api-keys", json!({"name": "all", "scopes": SCOPES})).await;
    callers.push(Caller {
        name: "key of another group".to_owned(),
        bearer: made["api_key"].as_str().unwrap().to_owned(),
        may: Box::new(move |row| if in_group(row) { Verdict::Hidden } else { allowed(!row.scopes.is_empty()) }),
    });
    callers
}

#[tokio::test]
async fn everybody_may_do_what_was_written_down_and_nothing_else() {
    let app = TestApp::start().await;
    app.post("/groups", json!({"name": "rival"})).await;
    let callers = callers(&app).await;
    let expected = expected();
    let mut wrong = Vec::new();
    for operation in OPERATIONS {
        let name = described_as(operation);
        let row = expected.iter().find(|row| row.operation == name).unwrap_or_else(|| panic!("{name} is not expected"));
        for caller in &callers {
            let answer = Answer::to(request(&app, operation, &caller.bearer)).await;
            let (found, due) = (verdict(&answer), (caller.may)(row));
            if found != due {
                wrong.push(format!("{name} by {}: {found:?}, not {due:?}: {}", caller.name, answer.text()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_denial_says_what_is_missing() {
    let app = TestApp::start().await;
    let viewer = app.user("viewer@example.com", "viewer").await;
    let create = |bearer: &str| {
        let url = format!("{}/api/v1/groups/acme/flows", app.url());
        app.client().request(Method::POST, url).bearer_auth(bearer).json(&json!({"name": "x"}))
    };
    let (status, code, message) = Answer::to(create(&viewer)).await.problem();
    assert_eq!((status, code.as_str()), (403, "role_too_small"));
    assert_eq!(message, "This needs the role editor in the group, and yours is viewer. Ask an owner of the group");

    let key: Value = app.post("/groups/acme/api-keys", json!({"name": "reader", "scopes": ["flows:read"]})).await;
    let answer = Answer::to(create(key["api_key"].as_str().unwrap())).await;
    let (status, code, message) = answer.problem();
    assert_eq!((status, code.as_str()), (403, "missing_scope"));
    assert!(message.contains("has no scope flows:write"), "{message}");
    assert_eq!(answer.header("www-authenticate"), "Bearer error=\"insufficient_scope\", scope=\"flows:write\"");
}
