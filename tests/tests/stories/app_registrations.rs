//! App registrations: OAuth clients of the server and of groups.

use headgate_tests::canary::Canary;
use headgate_tests::{Answer, TestApp};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::authorize::headgate;

const SECRET: &str = "s3cret-of-the-oauth-client";
const OF_GROUP: &str = "/groups/acme/app-registrations";
const OF_SERVER: &str = "/app-registrations";

async fn ask(app: &TestApp, method: Method, path: &str, body: Value) -> Answer {
    Answer::to(app.manage(method, path).json(&body)).await
}

fn new(name: &str) -> Value {
    json!({"name": name, "connector": "consent", "client_id": "the-client", "client_secret": SECRET, "token_hosts": ["app.example"]})
}

/// A connection of a kind; with the group's registration, where it uses one.
async fn connect(app: &TestApp, group: &str, auth: &str, registration: Option<&Value>) -> Answer {
    let config = json!({"provider": "https://app.example", "region": "eu"});
    let mut wanted = json!({"name": format!("by-{}", auth.replace('_', "-")), "connector": "consent", "auth": auth, "config": config});
    if let Some(registration) = registration {
        wanted["registration"] = registration.clone();
    }
    ask(app, Method::POST, &format!("/groups/{group}/connections"), wanted).await
}

#[tokio::test]
async fn a_groups_registration_is_kept_and_its_secret_never_answered() {
    let app = TestApp::start().await;
    app.install("consent-connector").await;
    let canary = Canary::new(SECRET);
    let made = ask(&app, Method::POST, OF_GROUP, new("ours")).await;
    assert_eq!(made.status, 201, "{made:?}");
    let made_at = made.json()["id"].clone();
    let path = format!("{OF_GROUP}/{}", made_at.as_str().unwrap());
    let mut answers = vec![made];
    assert_eq!(answers[0].json()["redirect_uri"], format!("{}/oauth/callback", app.url()));
    assert_eq!((&answers[0].json()["has_secret"], &answers[0].json()["group"]), (&json!(true), &json!("acme")));

    // It is used by a connection, under its present values.
    assert_eq!(connect(&app, "acme", "own", Some(&made_at)).await.status, 201);
    answers.push(ask(&app, Method::PATCH, &path, json!({"client_id": "another", "name": "theirs"})).await);
    assert_eq!(answers[1].json()["client_id"], "another");
    answers.push(ask(&app, Method::PATCH, &path, json!({"client_secret": format!("{SECRET}-2")})).await);
    // It goes elsewhere only when whoever says so knows it.
    let elsewhere = json!({"token_hosts": ["app.example", "evil.example"]});
    let (status, _, message) = ask(&app, Method::PATCH, &path, elsewhere).await.problem();
    assert!(status == 400 && message.contains("enter it again"), "{message}");
    answers.push(ask(&app, Method::GET, &path, Value::Null).await);
    answers.push(ask(&app, Method::GET, OF_GROUP, Value::Null).await);
    answers.push(ask(&app, Method::GET, "/groups/acme/audit", Value::Null).await);
    for answer in &answers {
        assert!(answer.status < 300, "{answer:?}");
        canary.assert_absent("an answer", &answer.body);
    }
    assert_eq!(answers[3].json()["name"], "theirs");

    let refused = ask(&app, Method::DELETE, &path, Value::Null).await.problem();
    assert_eq!((refused.0, refused.1.as_str()), (409, "conflict"));
    assert!(refused.2.contains("\"theirs\" is used by: by-own (production)"), "{}", refused.2);
    let connections = app.get("/groups/acme/connections").await;
    let connection = format!("/groups/acme/connections/{}", connections[0]["id"].as_str().unwrap());
    assert_eq!(ask(&app, Method::DELETE, &connection, Value::Null).await.status, 204);
    assert_eq!(ask(&app, Method::DELETE, &path, Value::Null).await.status, 204);
    assert_eq!(app.get(OF_GROUP).await, json!([]));

    let folder = app.stop().await;
    let (found, files) = canary.found_below(folder.path());
    assert!(found.is_empty() && files > 0, "{found:?}");
}

#[tokio::test]
async fn the_servers_registration_serves_every_group() {
    let app = TestApp::start().await;
    app.post("/groups", json!({"name": "rival"})).await;
    app.install("consent-connector").await;
    let (status, _, message) = connect(&app, "acme", "oauth", None).await.problem();
    assert!(status == 400 && message.contains("has registered no OAuth app for consent"), "{message}");

    let mut of_server = new("consent");
    of_server["token_hosts"] = json!([]);
    let (status, _, message) = ask(&app, Method::POST, OF_SERVER, of_server.clone()).await.problem();
    assert!(status == 400 && message.contains("token_hosts"), "{message}");
    of_server["token_hosts"] = json!(["https://app.example"]);
    let (status, _, message) = ask(&app, Method::POST, OF_SERVER, of_server.clone()).await.problem();
    assert!(status == 400 && message.contains("not a host name"), "{message}");
    of_server["token_hosts"] = json!(["App.Example"]);
    let made = app.post(OF_SERVER, of_server.clone()).await;
    assert_eq!((&made["token_hosts"], &made["group"]), (&json!(["app.example"]), &Value::Null));
    of_server["name"] = json!("second");
    let (status, _, message) = ask(&app, Method::POST, OF_SERVER, of_server).await.problem();
    assert!(status == 409 && message.contains("has an app registration for consent already"), "{message}");

    let connection = connect(&app, "acme", "oauth", None).await;
    assert_eq!(connection.status, 201);
    let authorize = format!("/groups/acme/connections/{}/authorize", connection.json()["id"].as_str().unwrap());
    let begun = app.post(&authorize, json!({})).await;
    assert!(begun["url"].as_str().unwrap().starts_with("https://app.example/auth?"), "{begun}");
    let path = format!("{OF_SERVER}/{}", made["id"].as_str().unwrap());
    assert_eq!(ask(&app, Method::PATCH, &path, json!({"token_hosts": ["other.example"]})).await.status, 200);
    let (status, _, message) = ask(&app, Method::POST, &authorize, json!({})).await.problem();
    assert!(status == 409 && message.contains("may not be used at app.example"), "{message}");
    let (status, _, message) = ask(&app, Method::DELETE, &path, Value::Null).await.problem();
    assert!(status == 409 && message.contains("1 connection(s) of the group acme"), "{message}");
    assert!(!message.contains("by-oauth"), "an operator's error text names nothing of a group: {message}");

    // It is no group's: none finds it among its own.
    let inside = format!("{OF_GROUP}/{}", made["id"].as_str().unwrap());
    assert_eq!(ask(&app, Method::GET, &inside, Value::Null).await.status, 404);
    let audit = app.get("/audit").await.to_string();
    assert!(audit.contains("app-registration.create-server"), "{audit}");
}

#[tokio::test]
async fn what_does_not_fit_is_named() {
    let app = TestApp::start().await;
    app.install("consent-connector").await;
    let ours = app.post(OF_GROUP, new("ours")).await;
    for (change, status, message) in [
        (json!({"name": "ours"}), 409, "\"ours\" exists already"),
        (json!({"client_id": "two words"}), 400, "A client id has"),
        (json!({"client_id": ""}), 400, "A client id has"),
        (json!({"client_secret": "short"}), 400, "A client secret has"),
        (json!({"token_hosts": []}), 400, "cannot be read from the connector \"consent\""),
        (json!({"token_hosts": ["*.example"]}), 400, "is not a host name"),
        (json!({"name": "Not A Name"}), 400, "lower-case"),
        (json!({"redirect_uri": "https://evil.example"}), 400, "unknown field"),
    ] {
        let mut wanted = new("another");
        wanted.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let problem = ask(&app, Method::POST, OF_GROUP, wanted).await.problem();
        assert!(problem.0 == status && problem.2.contains(message), "{change}: {problem:?}");
    }
    let mut public = new("public");
    public["client_secret"] = Value::Null;
    let public = app.post(OF_GROUP, public).await;
    assert_eq!(public["has_secret"], false);
    let rename = format!("{OF_GROUP}/{}", public["id"].as_str().unwrap());
    assert_eq!(ask(&app, Method::PATCH, &rename, json!({"name": "ours"})).await.status, 409);
    assert_eq!(ask(&app, Method::PATCH, &rename, json!({"name": "public"})).await.status, 200);

    // Another group's looks like one that does not exist.
    app.post("/groups", json!({"name": "rival"})).await;
    let theirs = format!("/groups/rival/app-registrations/{}", ours["id"].as_str().unwrap());
    assert_eq!(ask(&app, Method::GET, &theirs, Value::Null).await.problem().2, "App registration not found");
    assert_eq!(ask(&app, Method::DELETE, &theirs, Value::Null).await.status, 404);
}

/// What a command says; `input` is its standard input.
async fn says(app: &TestApp, line: &str, input: &str) -> (bool, String) {
    let mut child = headgate(app, line).stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), said)
}

#[tokio::test]
async fn the_command_line_manages_them() {
    let app = TestApp::start().await;
    let secret = format!("{SECRET}\n");
    let (done, said) = says(
        &app,
        "app-registrations create --connector consent --client-id client-one --token-host app.example",
        &secret,
    )
    .await;
    assert!(done && said.contains(&format!("{}/oauth/callback", app.url())) && !said.contains(SECRET), "{said}");
    let of_server = "app-registrations create --server --connector consent --name all --client-id client-two --client-secret - --token-host app.example";
    let (done, said) = says(&app, of_server, &secret).await;
    assert!(done && said.contains("the server") && said.contains("app.example"), "{said}");
    let (done, said) =
        says(&app, "app-registrations create --server --connector x --client-id client-two", &secret).await;
    assert!(!done && said.contains("token_hosts"), "{said}");
    for (line, holds, lacks) in [
        ("app-registrations list", "client-one", "client-two"),
        ("app-registrations list --server", "client-two", "client-one"),
        ("app-registrations update consent --name ours --client-id client-three", "client-three", "client-one"),
        ("app-registrations show ours", "kept (encrypted, never shown)", SECRET),
        ("app-registrations show all --server", "app.example", SECRET),
        ("app-registrations delete ours", "Deleted app_", "error"),
    ] {
        let (done, said) = says(&app, line, "").await;
        assert!(done && said.contains(holds) && !said.contains(lacks), "{line}: {said}");
    }
    let (done, said) = says(&app, "app-registrations show ours", "").await;
    assert!(!done && said.contains("there is no app registration named \"ours\""), "{said}");
}
