//! Groups, keys, connections, flows, triggers and runs through the API: what is listed, refused and never shown.

use headgate_tests::{Answer, TestApp};
use reqwest::Method;
use serde_json::{Value, json};

const TOKEN: &str = "pat-na1-canary-0123456789";

/// A management request that is refused: its status and its readable message.
async fn refused(app: &TestApp, method: Method, path: &str, body: Value) -> (u16, String) {
    let (status, _, message) = Answer::to(app.manage(method, path).json(&body)).await.problem();
    (status, message)
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

/// A server whose group has the connector `conformance`, which takes a bearer token.
async fn with_connector() -> TestApp {
    let app = TestApp::start().await;
    app.install("conformance-connector").await;
    app
}

fn connection(name: &str, environment: &str) -> Value {
    let config = json!({"base_url": "https://app.example/v1", "region": "us"});
    let secrets = json!({"token": TOKEN});
    json!({"name": name, "environment": environment, "connector": "conformance", "auth": "bearer", "config": config, "secrets": secrets})
}

#[tokio::test]
async fn groups_have_names_and_environments() {
    let app = TestApp::start().await;
    let made = app.post("/groups", json!({"name": "rival", "environments": ["staging", "test", "staging"]})).await;
    assert_eq!(made["environments"], json!(["production", "test", "staging"]));
    assert_eq!(app.get("/groups/rival").await, made);
    assert_eq!(names(&app.get("/groups").await), ["acme", "rival"]);
    let (status, message) = refused(&app, Method::POST, "/groups", json!({"name": "rival"})).await;
    assert_eq!((status, message.as_str()), (409, "A group named \"rival\" exists already. Choose another name"));
    let restarted = app.restart().await;
    assert_eq!(names(&restarted.get("/groups").await), ["acme", "rival"]);
}

#[tokio::test]
async fn names_follow_a_rule_that_is_said() {
    let app = TestApp::start().await;
    let rule = "use up to 63 lower-case letters, digits and hyphens, beginning with a letter";
    for path in ["/groups", "/groups/acme/flows", "/groups/acme/api-keys"] {
        for name in ["", "Acme", "7days", "a b", "a/b", "a-", "größe", &"a".repeat(64)] {
            let (status, message) = refused(&app, Method::POST, path, json!({ "name": name })).await;
            assert_eq!(status, 400, "{path}: {name}");
            assert!(message.contains(rule), "{path}: {message}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_understood_is_named() {
    let app = TestApp::start().await;
    app.post("/groups/acme/flows", json!({"name": "orders"})).await;
    for path in [
        "/groups",
        "/groups/acme/api-keys",
        "/groups/acme/connections",
        "/groups/acme/flows",
        "/groups/acme/flows/orders/publish",
        "/groups/acme/flows/orders/run",
        "/groups/acme/flows/orders/triggers",
    ] {
        let (status, message) = refused(&app, Method::POST, path, json!({"nmae": "x"})).await;
        assert_eq!(status, 400, "{path}");
        assert!(message.contains("unknown field `nmae`, expected"), "{path}: {message}");
    }
    let (status, message) = refused(&app, Method::POST, "/groups", json!({})).await;
    assert!(status == 400 && message.contains("missing field `name`"), "{message}");
    let (status, message) = refused(&app, Method::POST, "/groups", json!({"name": 7})).await;
    assert!(status == 400 && message.contains("invalid type: integer `7`, expected a string"), "{message}");
    let (status, message) = refused(&app, Method::GET, "/groups/acme/runs?limt=5", Value::Null).await;
    assert!(status == 400 && message.contains("unknown field `limt`"), "{message}");
    let broken = app.manage(Method::POST, "/groups").header("content-type", "application/json").body("{\"name\":");
    let (status, code, message) = Answer::to(broken).await.problem();
    assert_eq!((status, code.as_str()), (400, "invalid_request"));
    assert!(message.contains("line 1 column 8"), "{message}");
}

#[tokio::test]
async fn a_key_is_shown_once() {
    let app = TestApp::start().await;
    let made = app.post("/groups/acme/api-keys", json!({"name": "erp", "description": "orders"})).await;
    let secret = made["api_key"].as_str().unwrap();
    let prefix = made["prefix"].as_str().unwrap();
    assert!(secret.starts_with("hg_live_") && secret.starts_with(prefix), "{made}");
    app.post("/groups/acme/api-keys", json!({"name": "crm", "environment": "test"})).await;
    let list = app.get("/groups/acme/api-keys").await;
    assert_eq!(names(&list), ["crm", "erp"]);
    let shown = [list.to_string(), app.get("/groups/acme/api-keys/erp").await.to_string()];
    let revoked = app.post("/groups/acme/api-keys/erp/revoke", json!({})).await;
    assert_eq!((&revoked["status"], &revoked["description"]), (&json!("revoked"), &json!("orders")));
    for text in shown.into_iter().chain([revoked.to_string()]) {
        assert!(!text.contains(secret.rsplit_once('_').unwrap().1) && !text.contains("hash"), "{text}");
    }

    for (body, status, wanted) in [
        (json!({"name": "erp"}), 409, "An API key named \"erp\" exists already. Choose another name"),
        (json!({"name": "a", "environment": "mars"}), 400, "has no environment \"mars\". It has: production, test"),
        (
            json!({"name": "a", "expires": "2020-01-01T00:00:00Z"}),
            400,
            "The expiry lies in the past. Give a later time",
        ),
    ] {
        let (got, message) = refused(&app, Method::POST, "/groups/acme/api-keys", body).await;
        assert!(got == status && message.contains(wanted), "{got} {message}");
    }
    assert_eq!(refused(&app, Method::GET, "/groups/acme/api-keys/nobody", Value::Null).await.0, 404);
}

#[tokio::test]
async fn a_connections_secrets_are_never_answered() {
    let app = with_connector().await;
    let made = app.post("/groups/acme/connections", connection("sales", "production")).await;
    let path = format!("/groups/acme/connections/{}", made["id"].as_str().unwrap());
    assert_eq!(app.get(&path).await, made);
    assert_eq!((&made["secrets"], &made["kind"]), (&json!(["token"]), &json!("api_key")));
    assert_eq!(made["base_urls"], json!(["https://app.example/v1/"]));
    assert_eq!(made["config"]["region"], "us");
    let list = app.get("/groups/acme/connections").await;
    assert_eq!(names(&list), ["sales"]);
    let mut refusals = Vec::new();
    for (member, value, wanted) in [
        ("name", json!("sales"), "A connection named \"sales\" exists already in production"),
        ("connector", json!("nothing"), "The connector \"nothing\" is not installed. Push it first"),
        ("auth", json!("oauth"), "the connector has no authentication \"oauth\"; it offers: none, bearer"),
        ("secrets", json!({}), "the secret \"token\" (Token) is missing"),
        ("secrets", json!({"token": TOKEN, "pin": TOKEN}), "the connector has no secret \"pin\"; it has: token"),
        ("config", json!({"base_url": "gopher://x"}), "gopher://x"),
        ("config", json!({"base_url": "https://x", "region": "mars"}), "\"region\" must be one of: eu, us"),
        ("environment", json!("mars"), "has no environment \"mars\""),
    ] {
        let mut body = connection("another", "production");
        body[member] = value;
        let (status, message) = refused(&app, Method::POST, "/groups/acme/connections", body).await;
        assert_eq!(status, if member == "name" { 409 } else { 400 }, "{message}");
        assert!(message.contains(wanted), "{message} should contain {wanted}");
        refusals.push(message);
    }
    for text in [made.to_string(), list.to_string(), refusals.concat()] {
        assert!(!text.contains(TOKEN), "{text}");
    }
    // The same name is free in another environment.
    app.post("/groups/acme/connections", connection("sales", "test")).await;
    assert_eq!(names(&app.get("/groups/acme/connections").await), ["sales", "sales"]);
}

#[tokio::test]
async fn a_connection_in_use_is_not_deleted() {
    let app = with_connector().await;
    for flow in ["orders", "refunds"] {
        app.post("/groups/acme/flows", json!({"name": flow})).await;
    }
    let made = app.post("/groups/acme/connections", connection("sales", "production")).await;
    let path = format!("/groups/acme/connections/{}", made["id"].as_str().unwrap());
    let slots = ["/groups/acme/flows/orders/slots/crm", "/groups/acme/flows/refunds/slots/app"];
    for slot in slots {
        let flow = app.put(slot, json!({"connection": made["id"]})).await;
        assert!(flow["slots"]["production"].to_string().contains(made["id"].as_str().unwrap()), "{flow}");
    }
    let (status, message) = refused(&app, Method::DELETE, &path, Value::Null).await;
    assert_eq!(status, 409);
    for named in
        ["The connection \"sales\" is used by:", "orders (slot crm, production)", "refunds (slot app, production)"]
    {
        assert!(message.contains(named), "{message}");
    }
    for slot in slots {
        app.put(slot, json!({"connection": null})).await;
    }
    assert_eq!(Answer::to(app.manage(Method::DELETE, &path)).await.status, 204);
    assert_eq!(refused(&app, Method::GET, &path, Value::Null).await.0, 404);
    assert_eq!(app.get("/groups/acme/connections").await, json!([]));
}

#[tokio::test]
async fn a_slot_takes_a_connection_of_its_group_and_environment() {
    let app = with_connector().await;
    app.post("/groups/acme/flows", json!({"name": "orders"})).await;
    app.post("/groups", json!({"name": "rival"})).await;
    app.post("/groups/rival/flows", json!({"name": "orders"})).await;
    let made = app.post("/groups/acme/connections", connection("trial", "test")).await;
    let bind = |environment: &str| json!({"environment": environment, "connection": made["id"]});
    let slot = "/groups/acme/flows/orders/slots/crm";
    let (status, message) = refused(&app, Method::PUT, slot, bind("production")).await;
    assert_eq!(status, 400);
    assert!(
        message.starts_with("The connection \"trial\" belongs to test, the slot is to be bound in production."),
        "{message}"
    );
    assert_eq!(refused(&app, Method::PUT, slot, bind("mars")).await.0, 400);
    let (status, message) = refused(&app, Method::PUT, "/groups/rival/flows/orders/slots/crm", bind("test")).await;
    assert_eq!((status, message.as_str()), (404, "Connection not found"));
    assert_eq!(app.get("/groups/rival/flows/orders").await["slots"], json!({}));
    assert_eq!(app.put(slot, bind("test")).await["slots"]["test"]["crm"], made["id"]);
}

#[tokio::test]
async fn versions_are_numbered_and_published_by_number() {
    let app = TestApp::start().await;
    let flow = app.post("/groups/acme/flows", json!({"name": "orders", "description": "of the shop"})).await;
    let id = flow["id"].as_str().unwrap();
    assert_eq!(flow["execute_url"], format!("{}/flows/{id}/execute", app.url()));
    assert_eq!(refused(&app, Method::POST, "/groups/acme/flows", json!({"name": "orders"})).await.0, 409);
    let publish = "/groups/acme/flows/orders/publish";
    assert_eq!(refused(&app, Method::POST, publish, json!({})).await.0, 409, "there is no version yet");
    assert_eq!(refused(&app, Method::POST, publish, json!({"version": 1})).await, (404, "Version not found".into()));

    let first = app.push("orders", "echo").await;
    let noted = app.manage(Method::PUT, "/groups/acme/flows/orders/versions?note=faster%20hash");
    let second = Answer::to(noted.body(headgate_tests::guests::component("hash"))).await.json();
    assert_eq!((&first["version"], &second["version"], &second["note"]), (&json!(1), &json!(2), &json!("faster hash")));
    assert_ne!(first["digest"], second["digest"]);
    assert_eq!(app.get("/groups/acme/flows/orders/versions").await, json!([second, first]));

    for (body, published) in [
        (json!({}), json!({"production": 2})),
        (json!({"version": 1}), json!({"production": 1})),
        (json!({"version": 2, "environment": "test"}), json!({"production": 1, "test": 2})),
    ] {
        assert_eq!(app.post(publish, body).await["published"], published);
    }
    for (body, status) in
        [(json!({"version": 3}), 404), (json!({"version": 0}), 404), (json!({"environment": "mars"}), 400)]
    {
        assert_eq!(refused(&app, Method::POST, publish, body).await.0, status);
    }
    let by_id = app.get(&format!("/groups/acme/flows/{id}")).await;
    assert_eq!((&by_id["latest"], &by_id["description"]), (&json!(2), &json!("of the shop")));
    assert_eq!(app.get("/groups/acme/flows").await, json!([by_id]));
}

#[tokio::test]
async fn a_trigger_is_shown_as_it_was_made() {
    let app = TestApp::start().await;
    app.post("/groups/acme/flows", json!({"name": "orders"})).await;
    let key = app.key("shop").await;
    let path = "/groups/acme/flows/orders/triggers";
    let settings = json!({
        "description": "the shop", "keys": ["shop"], "methods": ["PUT", "POST"], "respond": "async",
        "timeout_ms": 1000, "max_body": 5000, "key_in_query": true, "key_in_path": true,
    });
    let made = app.post(path, settings.clone()).await;
    for (member, value) in settings.as_object().unwrap() {
        let shown = match member.as_str() {
            "keys" => json!([key.id]),
            "methods" => json!(["POST", "PUT"]),
            _ => value.clone(),
        };
        assert_eq!(made[member], shown, "{member}");
    }
    let routing_key = made["routing_key"].as_str().unwrap();
    assert_eq!(made["url"], format!("{}/hooks/{routing_key}", app.url()));
    let plain = app.post(path, json!({})).await;
    assert_eq!(
        (&plain["keys"], &plain["methods"], &plain["respond"]),
        (&Value::Null, &json!(["POST"]), &json!("sync"))
    );
    assert_eq!(app.get(path).await, json!([made, plain]));
    for (body, wanted) in [
        (json!({"keys": ["nobody"]}), "The group has no API key \"nobody\". Create it first"),
        (json!({"methods": ["BREW"]}), "\"BREW\" is not a method a trigger can take. Choose among GET, POST"),
        (json!({"max_body": 0}), "max_body must be between 1 and 33554432"),
        (json!({"timeout_ms": 300_001}), "timeout_ms must be between 1 and 300000"),
        (
            json!({"signature": {"scheme": "github", "secret": "short"}}),
            "The signing secret must have at least 6 bytes",
        ),
        (json!({"signature": {"scheme": "gitlab", "secret": "long enough"}}), "unknown variant `gitlab`"),
    ] {
        let (status, message) = refused(&app, Method::POST, path, body).await;
        assert!(status == 400 && message.contains(wanted), "{status} {message}");
    }
}

#[tokio::test]
async fn runs_are_listed_newest_first_and_page_by_page() {
    let app = TestApp::start().await;
    for flow in ["one", "two"] {
        app.publish(flow, "echo").await;
    }
    let mut ids = Vec::new();
    for (n, flow) in ["one", "two", "one", "one"].into_iter().enumerate() {
        let run = app.post(&format!("/groups/acme/flows/{flow}/run"), json!({"event": n, "environment": "test"})).await;
        assert_eq!(run["outcome"]["response"]["body"]["text"], n.to_string());
        assert_eq!((&run["caller"], &run["environment"]), (&json!("User: operator@example.com"), &json!("test")));
        ids.insert(0, run["id"].clone());
    }
    let listed = async |query: &str| {
        let runs = app.get(&format!("/groups/acme/runs{query}")).await;
        runs.as_array().unwrap().iter().map(|run| run["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(listed("").await, ids);
    assert_eq!(listed("?flow=two").await, [ids[2].clone()]);
    assert_eq!(listed("?limit=2").await, ids[..2]);
    assert_eq!(listed(&format!("?limit=2&before={}", ids[1].as_str().unwrap())).await, ids[2..]);
    assert_eq!(refused(&app, Method::GET, "/groups/acme/runs?flow=three", Value::Null).await.0, 404);
    assert_eq!(refused(&app, Method::GET, "/groups/acme/runs/not-an-id", Value::Null).await.0, 404);
}

#[tokio::test]
async fn descriptions_are_bounded() {
    let app = TestApp::start().await;
    app.post("/groups/acme/flows", json!({"name": "orders", "description": "d".repeat(1000)})).await;
    let long = "d".repeat(1001);
    for (path, body) in [
        ("/groups/acme/flows", json!({"name": "more", "description": long})),
        ("/groups/acme/flows/orders/triggers", json!({"description": long})),
        ("/groups/acme/api-keys", json!({"name": "erp", "description": long})),
    ] {
        let (status, message) = refused(&app, Method::POST, path, body).await;
        assert_eq!((status, message.contains("at most 1000 characters")), (400, true), "{path}: {message}");
    }
}

#[tokio::test]
async fn a_change_is_whole_when_its_caller_goes_away() {
    use headgate::domain::permission::Action;
    use headgate::service::access::Actor;
    let app = TestApp::start().await;
    let service = app.app().service().clone();
    let make = |name: &str| {
        let (service, name) = (service.clone(), name.parse().unwrap());
        async move { service.create_group(&Actor::system(), name, String::new(), Vec::new(), None).await }
    };
    // Polled once and dropped: `turned-away` waits for its turn then, `gone` has handed over its commit.
    let turn = service.edit_server(&Actor::system(), Action::CreateGroup).await.unwrap();
    let turned_away = tokio::select! { biased; _ = make("turned-away") => true, () = std::future::ready(()) => false };
    drop(turn);
    let gone = tokio::select! { biased; _ = make("gone") => true, () = std::future::ready(()) => false };
    assert!(!turned_away && !gone, "both callers went before they were answered");
    app.until("/groups", |groups| names(groups).contains(&"gone")).await;
    // The next change waited for that one, and starts from it.
    app.post("/groups", json!({"name": "next"})).await;
    let app = app.restart().await;
    assert_eq!(names(&app.get("/groups").await), ["acme", "gone", "next"]);
}
