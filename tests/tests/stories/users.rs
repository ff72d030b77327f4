//! People: who they are, where they belong, and what they lose when they go.

use headgate::domain::permission::Action;
use headgate::service::access::Actor;
use headgate::service::audit::AuditQuery;
use headgate_tests::{Answer, OPERATOR, PASSWORD, TestApp};
use reqwest::Method;
use serde_json::{Value, json};

const DELETE: Method = Method::DELETE;
const GET: Method = Method::GET;
const PATCH: Method = Method::PATCH;
const POST: Method = Method::POST;

/// The status and the code of what somebody is answered.
async fn asks(app: &TestApp, token: &str, method: Method, path: &str, body: Value) -> (u16, String) {
    let answer = Answer::to(app.manage_as(token, method, path).json(&body)).await;
    let code = if answer.status < 400 { String::new() } else { answer.problem().1 };
    (answer.status, code)
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

fn done(status: u16) -> (u16, String) {
    (status, String::new())
}

#[tokio::test]
async fn a_role_decides_what_a_member_may_do() {
    let app = TestApp::start().await;
    let viewer = app.user("viewer@example.com", "viewer").await;
    let editor = app.user("editor@example.com", "editor").await;
    let owner = app.user("owner@example.com", "owner").await;
    let stranger = app.stranger("stranger@example.com").await["access_token"].as_str().unwrap().to_owned();
    app.post("/users", json!({"email": "guest@example.com"})).await;
    let small = || refused(403, "role_too_small");
    for (method, path, body, expected) in [
        (GET, "/groups/acme/flows", Value::Null, [done(200), done(200), done(200)]),
        (GET, "/groups/acme/members", Value::Null, [done(200), done(200), done(200)]),
        (POST, "/groups/acme/api-keys", json!({"name": "erp"}), [small(), done(201), refused(409, "conflict")]),
        (
            POST,
            "/groups/acme/members",
            json!({"email": "guest@example.com", "role": "viewer"}),
            [small(), small(), done(201)],
        ),
        (DELETE, "/groups/acme/members/guest@example.com", Value::Null, [small(), small(), done(204)]),
    ] {
        for (token, expected) in [&viewer, &editor, &owner].into_iter().zip(expected) {
            assert_eq!(asks(&app, token, method.clone(), path, body.clone()).await, expected, "{method} {path}");
        }
        // Somebody else's group is as one that does not exist.
        let nothing = path.replace("acme", "nobody");
        for path in [path, &nothing] {
            assert_eq!(asks(&app, &stranger, method.clone(), path, body.clone()).await, refused(404, "not_found"));
        }
    }
    for token in [&viewer, &owner, &stranger] {
        for (method, path) in
            [(GET, "/users"), (POST, "/auth/signing-keys/rotate"), (DELETE, "/users/viewer@example.com")]
        {
            assert_eq!(asks(&app, token, method, path, Value::Null).await, refused(403, "operators_only"), "{path}");
        }
        let new = json!({"name": "own"});
        assert_eq!(asks(&app, token, POST, "/groups", new).await, refused(403, "operators_only"));
    }
    assert_eq!(asks(&app, &stranger, GET, "/groups", Value::Null).await, done(200));
    assert_eq!(Answer::to(app.manage_as(&stranger, GET, "/groups")).await.json(), json!([]));
    let me = Answer::to(app.manage_as(&editor, GET, "/auth/me")).await.json();
    assert_eq!((&me["user"]["email"], &me["memberships"][0]["role"]), (&json!("editor@example.com"), &json!("editor")));
}

#[tokio::test]
async fn a_member_who_leaves_loses_everything_at_the_next_request() {
    let app = TestApp::start().await;
    let token = app.user("ada@example.com", "owner").await;
    app.user("bob@example.com", "owner").await;
    assert_eq!(asks(&app, &token, GET, "/groups/acme/runs", Value::Null).await, done(200));
    app.manage(PATCH, "/groups/acme/members/ada@example.com").json(&json!({"role": "viewer"})).send().await.unwrap();
    let key = json!({"name": "erp"});
    assert_eq!(asks(&app, &token, POST, "/groups/acme/api-keys", key).await, refused(403, "role_too_small"));
    app.manage(DELETE, "/groups/acme/members/ada@example.com").send().await.unwrap();
    for path in ["", "/runs", "/flows", "/members", "/api-keys"] {
        let path = format!("/groups/acme{path}");
        assert_eq!(asks(&app, &token, GET, &path, Value::Null).await, refused(404, "not_found"), "{path}");
    }
    // The session itself goes on, as there may be other groups.
    assert_eq!(asks(&app, &token, GET, "/auth/me", Value::Null).await, done(200));

    // Everybody may leave by themselves, and remove nobody else.
    let token = app.user("eve@example.com", "viewer").await;
    let bob = "/groups/acme/members/bob@example.com";
    assert_eq!(asks(&app, &token, DELETE, bob, Value::Null).await, refused(403, "role_too_small"));
    assert_eq!(asks(&app, &token, DELETE, "/groups/acme/members/eve@example.com", Value::Null).await, done(204));
    assert_eq!(asks(&app, &token, GET, "/groups/acme", Value::Null).await, refused(404, "not_found"));
}

#[tokio::test]
async fn a_disabled_or_deleted_user_is_out_at_the_next_request() {
    let app = TestApp::start().await;
    let session = app.stranger("ada@example.com").await;
    let token = session["access_token"].as_str().unwrap();
    app.manage(PATCH, "/users/ada@example.com").json(&json!({"disabled": true})).send().await.unwrap();
    assert_eq!(asks(&app, token, GET, "/auth/me", Value::Null).await, refused(401, "invalid_token"));
    let login = json!({"email": "ada@example.com", "password": PASSWORD});
    let refresh = json!({"refresh_token": session["refresh_token"]});
    assert_eq!(asks(&app, "", POST, "/auth/login", login.clone()).await, refused(401, "wrong_credentials"));
    assert_eq!(asks(&app, "", POST, "/auth/refresh", refresh).await, refused(401, "invalid_refresh_token"));
    assert_eq!(asks(&app, app.token(), POST, "/users/ada@example.com/invite", Value::Null).await.0, 409);

    app.manage(PATCH, "/users/ada@example.com").json(&json!({"disabled": false})).send().await.unwrap();
    // What was ended stays ended; a new login is a new session.
    assert_eq!(asks(&app, token, GET, "/auth/me", Value::Null).await, refused(401, "invalid_token"));
    let again = Answer::to(app.manage_as("", POST, "/auth/login").json(&login)).await.json();
    let token = again["access_token"].as_str().unwrap();
    app.post("/groups/acme/members", json!({"email": "ada@example.com", "role": "owner"})).await;
    assert_eq!(asks(&app, token, GET, "/groups/acme", Value::Null).await, done(200));
    let id = again["user"]["id"].as_str().unwrap();
    assert_eq!(asks(&app, app.token(), DELETE, &format!("/users/{id}"), Value::Null).await, done(204));
    assert_eq!(asks(&app, token, GET, "/groups/acme", Value::Null).await, refused(401, "invalid_token"));
    assert_eq!(app.get("/groups/acme/members").await, json!([]));
    assert_eq!(asks(&app, app.token(), GET, &format!("/users/{id}"), Value::Null).await.0, 404);
}

#[tokio::test]
async fn the_last_operator_and_the_last_owner_stay() {
    let app = TestApp::start().await;
    let own = format!("/users/{OPERATOR}");
    let conflict = || refused(409, "conflict");
    // Somebody who never set a password cannot take over.
    app.post("/users", json!({"email": "next@example.com", "operator": true})).await;
    for (method, body) in
        [(DELETE, Value::Null), (PATCH, json!({"operator": false})), (PATCH, json!({"disabled": true}))]
    {
        assert_eq!(asks(&app, app.token(), method, &own, body).await, conflict());
    }
    let invited = app.post("/users/next@example.com/invite", Value::Null).await;
    let next = app.set_up(invited["setup_token"].as_str().unwrap(), "next@example.com").await;
    let next = next["access_token"].as_str().unwrap();
    assert_eq!(asks(&app, next, PATCH, &own, json!({"operator": false})).await, done(200));
    assert_eq!(asks(&app, app.token(), GET, "/users", Value::Null).await, refused(403, "operators_only"));
    assert_eq!(asks(&app, next, PATCH, &own, json!({"operator": true})).await, done(200));

    let owner = app.user("ada@example.com", "owner").await;
    app.user("bob@example.com", "editor").await;
    let ada = "/groups/acme/members/ada@example.com";
    assert_eq!(asks(&app, &owner, DELETE, ada, Value::Null).await, conflict());
    assert_eq!(asks(&app, &owner, PATCH, ada, json!({"role": "editor"})).await, conflict());
    let bob = "/groups/acme/members/bob@example.com";
    assert_eq!(asks(&app, &owner, PATCH, bob, json!({"role": "owner"})).await, done(200));
    assert_eq!(asks(&app, &owner, DELETE, ada, Value::Null).await, done(204));
    // An operator may, and whoever is alone.
    assert_eq!(asks(&app, app.token(), DELETE, bob, Value::Null).await, done(204));
}

#[tokio::test]
async fn an_invitation_is_for_one_person_and_one_use() {
    let app = TestApp::start().await;
    let text = |invited: &Value| invited["setup_token"].as_str().unwrap().to_owned();
    let first = text(&app.post("/users", json!({"email": "Ada@Example.com", "name": "Ada"})).await);
    let second = text(&app.post("/users/ada@example.com/invite", Value::Null).await);
    assert_eq!(app.get("/users/ada@example.com").await["status"], "invited");
    let set_up = async |token: &str, email: &str, password: &str| {
        asks(&app, "", POST, "/auth/setup", json!({"token": token, "email": email, "password": password})).await
    };
    let invalid = || refused(401, "invalid_setup_token");
    assert_eq!(set_up(&first, "ada@example.com", PASSWORD).await, invalid(), "a newer one ended it");
    assert_eq!(set_up(&second, OPERATOR, PASSWORD).await, invalid(), "it is somebody else's");
    assert_eq!(set_up(&second, "eve@example.com", PASSWORD).await, invalid());
    assert_eq!(set_up(&second, "ada@example.com", "too short").await, refused(400, "invalid_request"));
    assert_eq!(set_up(&second, "ada@example.com", PASSWORD).await, done(200));
    assert_eq!(set_up(&second, "ada@example.com", PASSWORD).await, invalid(), "it was used");
    let ada = app.get("/users/ada@example.com").await;
    assert_eq!((&ada["status"], &ada["operator"]), (&json!("active"), &json!(false)));
    assert_eq!(asks(&app, app.token(), POST, "/users", json!({"email": "ada@example.com"})).await.0, 409);
}

#[tokio::test]
async fn a_group_can_begin_with_its_owner() {
    let app = TestApp::start().await;
    let ada = app.stranger("ada@example.com").await;
    app.post("/groups", json!({"name": "wonder", "owner": "ada@example.com"})).await;
    let token = ada["access_token"].as_str().unwrap();
    let members = Answer::to(app.manage_as(token, GET, "/groups/wonder/members")).await.json();
    assert_eq!((&members[0]["email"], &members[0]["role"]), (&json!("ada@example.com"), &json!("owner")));
    let nobody = json!({"name": "third", "owner": "nobody@example.com"});
    assert_eq!(asks(&app, app.token(), POST, "/groups", nobody).await, refused(400, "invalid_request"));
    assert_eq!(asks(&app, app.token(), GET, "/groups/third", Value::Null).await.0, 404);
}

#[tokio::test]
async fn what_happens_to_people_is_audited_without_their_secrets() {
    let app = TestApp::start().await;
    let session = app.stranger("ada@example.com").await;
    app.post("/groups/acme/members", json!({"email": "ada@example.com", "role": "viewer"})).await;
    let service = app.app().service();
    let entries = service.list_server_audit(&Actor::system(), &AuditQuery::default()).unwrap().entries;
    let actions: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
    for action in [Action::SetUp, Action::CreateUser, Action::AddMember] {
        assert!(actions.contains(&action.as_str()), "{action} in {actions:?}");
    }
    let set_up = entries.iter().find(|entry| entry.action == Action::SetUp.as_str()).unwrap();
    assert_eq!((set_up.by.kind.as_str(), set_up.by.name.as_str()), ("user", "ada@example.com"));
    assert!(set_up.address.is_some());
    let text = serde_json::to_string(&entries).unwrap();
    for secret in [PASSWORD, "argon2", session["refresh_token"].as_str().unwrap(), "hg_setup_"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert!(service.verify_audit(&Actor::system(), None).await.unwrap().broken.is_none());
}
