//! Published apps: flows under a name of their own, with a description of what they take.

use headgate_tests::{Answer, TestApp};
use reqwest::Method;
use serde_json::{Value, json};

fn schema() -> Value {
    json!({
        "type": "object",
        "required": ["sku", "quantity"],
        "properties": {"sku": {"type": "string", "minLength": 1}, "quantity": {"type": "integer", "minimum": 1}},
        "additionalProperties": false,
    })
}

async fn offer(app: &TestApp, more: Value) -> Value {
    let mut new = json!({"slug": "order-entry", "flow": "mirror", "title": "Order entry", "schema": schema()});
    new.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    app.post("/groups/acme/apps", new).await
}

async fn execute(app: &TestApp, slug: &str, key: &str, body: &str) -> Answer {
    let url = format!("{}/apps/{slug}/execute", app.url());
    Answer::to(app.client().post(url).bearer_auth(key).body(body.to_owned())).await
}

async fn key(app: &TestApp, group: &str, new: Value) -> String {
    app.post(&format!("/groups/{group}/api-keys"), new).await["api_key"].as_str().unwrap().to_owned()
}

async fn server() -> (TestApp, String) {
    let app = TestApp::start().await;
    app.publish("mirror", "mirror").await;
    let key = key(&app, "acme", json!({"name": "erp", "scopes": ["apps:execute"]})).await;
    (app, key)
}

const GOOD: &str = r#"{"sku": "A-1", "quantity": 2}"#;

#[tokio::test]
async fn an_app_runs_its_flow() {
    let (app, key) = server().await;
    let made = offer(&app, json!({"sample": {"sku": "A-1", "quantity": 1}})).await;
    assert_eq!(made["url"], format!("{}/apps/order-entry/execute", app.url()));
    assert_eq!((&made["flow_name"], &made["available"]), (&json!("mirror"), &json!(["production"])));
    let answer = execute(&app, "order-entry", &key, GOOD).await;
    assert_eq!((answer.status, &answer.json()["caller"]), (200, &json!("Key: erp")), "{}", answer.text());
    let run = app.get(&format!("/groups/acme/runs/{}", answer.header("headgate-run-id"))).await;
    assert_eq!((&run["state"], &run["event"]["body"]["text"]), (&json!("succeeded"), &json!(GOOD)));

    // At once, with 202, where the app says so.
    let patch = |changes: Value| app.manage(Method::PATCH, "/groups/acme/apps/order-entry").json(&changes);
    assert_eq!(Answer::to(patch(json!({"respond": "async"}))).await.json()["respond"], "async");
    let answer = execute(&app, "order-entry", &key, GOOD).await;
    assert_eq!((answer.status, &answer.json()["status"]), (202, &json!("queued")));
    assert_eq!(app.ended(answer.json()["run"].as_str().unwrap()).await["state"], "succeeded");

    // Another name takes effect at once, also after a restart.
    assert_eq!(Answer::to(patch(json!({"slug": "orders"}))).await.status, 200);
    let app = app.restart().await;
    assert_eq!(execute(&app, "order-entry", &key, GOOD).await.status, 404);
    assert_eq!(execute(&app, "orders", &key, GOOD).await.status, 202);
    assert_eq!(execute(&app, "orders", &key, "{}").await.status, 400);
    assert_eq!(Answer::to(app.manage(Method::DELETE, "/groups/acme/apps/orders")).await.status, 204);
    assert_eq!(execute(&app, "orders", &key, GOOD).await.status, 404);
    let audit = app.get("/groups/acme/audit").await.to_string();
    for action in ["app.create", "app.update", "app.delete"] {
        assert!(audit.contains(action), "{audit}");
    }
}

#[tokio::test]
async fn an_input_that_does_not_fit_runs_nothing_and_is_told_why() {
    let (app, key) = server().await;
    offer(&app, json!({})).await;
    let answer = execute(&app, "order-entry", &key, r#"{"sku": "", "quantity": "two", "secret": "hunter2"}"#).await;
    let (status, code, message) = answer.problem();
    assert_eq!((status, code.as_str()), (400, "invalid_input"), "{message}");
    assert!(message.starts_with("The input does not fit the app's schema. "), "{message}");
    let errors = answer.json()["errors"].clone();
    let at = |path: &str| {
        let found = errors.as_array().unwrap().iter().find(|error| error["path"] == path);
        found.unwrap_or_else(|| panic!("{errors}"))["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(errors.as_array().unwrap().len(), 3, "{errors}");
    assert_eq!(at("/quantity"), "value is not of type \"integer\"");
    assert_eq!(at("/sku"), "value is shorter than 1 character");
    assert!(at("").contains("secret") && !answer.text().contains("hunter2"), "{errors}");

    for (body, told) in [("", "the body is not JSON"), ("{", "the body is not JSON"), ("[]", "not of type \"object\"")]
    {
        let (status, _, message) = execute(&app, "order-entry", &key, body).await.problem();
        assert!(status == 400 && message.contains(told), "{body}: {message}");
    }
    let large = format!(r#"{{"sku": "{}", "quantity": 0}}"#, "x".repeat(100_000));
    let answer = execute(&app, "order-entry", &key, &large).await;
    assert_eq!((answer.status, answer.json()["errors"].as_array().unwrap().len()), (400, 1));
    assert!(answer.body.len() < 2000);
    assert_eq!(app.get("/groups/acme/runs").await, json!([]));
    // Without a schema anything goes.
    let change = app.manage(Method::PATCH, "/groups/acme/apps/order-entry").json(&json!({"schema": null}));
    assert_eq!(Answer::to(change).await.status, 200);
    assert_eq!(execute(&app, "order-entry", &key, "no JSON").await.status, 200);
}

#[tokio::test]
async fn an_app_is_there_for_keys_of_its_group_where_its_flow_is_published() {
    let (app, good) = server().await;
    offer(&app, json!({})).await;
    app.post("/groups", json!({"name": "rival"})).await;
    let rival = key(&app, "rival", json!({"name": "erp"})).await;
    let test = key(&app, "acme", json!({"name": "test", "environment": "test"})).await;
    let missing = execute(&app, "unknown", &good, GOOD).await;
    assert_eq!(missing.problem(), (404, "not_found".into(), "App not found".into()));
    for (slug, key) in [("order-entry", &rival), ("order-entry", &test), ("Order%20Entry", &good)] {
        assert_eq!(execute(&app, slug, key, GOOD).await.bytes(), missing.bytes(), "{slug}");
    }
    for slug in ["order-entry", "unknown"] {
        assert_eq!(execute(&app, slug, "hg_live_nonsense", GOOD).await.status, 401);
    }
    // The scope is the apps' own, and the key's flows count.
    app.publish("other", "mirror").await;
    for (new, code) in [
        (json!({"name": "flows", "scopes": ["flows:execute"]}), "missing_scope"),
        (
            json!({"name": "selected", "permission": {"kind": "selected_flows", "flows": ["other"]}}),
            "no_permission_for_flow",
        ),
    ] {
        let key = key(&app, "acme", new).await;
        let (status, got, message) = execute(&app, "order-entry", &key, GOOD).await.problem();
        assert_eq!((status, got.as_str()), (403, code), "{message}");
    }
    let url = format!("{}/apps/order-entry/execute", app.url());
    let get = Answer::to(app.client().get(&url).bearer_auth(&good)).await;
    assert_eq!((get.status, get.header("allow")), (405, "POST"));
    let in_query = Answer::to(app.client().post(format!("{url}?api_key={good}")).body(GOOD)).await;
    assert_eq!(in_query.problem().1, "api_key_in_wrong_place");

    // Two groups may have the same slug: the key tells which one is meant.
    let slugs = app.manage_as(&good, Method::GET, "/groups/acme/apps");
    assert_eq!(Answer::to(slugs).await.json()[0]["slug"], "order-entry");
    app.post("/groups/rival/flows", json!({"name": "mirror"})).await;
    let theirs = app.post("/groups/rival/apps", json!({"slug": "order-entry", "flow": "mirror"})).await;
    assert_eq!(theirs["available"], json!([]));
    assert_eq!(execute(&app, "order-entry", &rival, GOOD).await.status, 404);
    assert_eq!(execute(&app, "order-entry", &good, GOOD).await.status, 200);
}

#[tokio::test]
async fn limits_and_usage_count_an_apps_calls_like_any() {
    let (app, _) = server().await;
    offer(&app, json!({})).await;
    let made = app.post("/groups/acme/api-keys", json!({"name": "slow", "rate_per_minute": 2})).await;
    let key = made["api_key"].as_str().unwrap();
    let statuses = [GOOD, "{}", GOOD].map(|body| execute(&app, "order-entry", key, body));
    let [first, second, third] = statuses;
    assert_eq!((first.await.status, second.await.status, third.await.status), (200, 400, 429));
    let usage = app.get(&format!("/groups/acme/api-keys/{}/usage", made["id"].as_str().unwrap())).await;
    assert!(usage.to_string().contains("\"requests\":3"), "{usage}");
}

#[tokio::test]
async fn an_app_that_cannot_work_is_refused_with_what_to_do() {
    let (app, _) = server().await;
    offer(&app, json!({})).await;
    for (change, status, told) in [
        (json!({"flow": "mirror"}), 400, "slug"),
        (json!({"slug": "order-entry", "flow": "mirror"}), 409, "exists already"),
        (json!({"slug": "a", "flow": "unknown"}), 404, "Flow not found"),
        (json!({"slug": "A B", "flow": "mirror"}), 400, "is not a name"),
        (json!({"slug": "a", "flow": "mirror", "shema": {}}), 400, "shema"),
        (json!({"slug": "a", "flow": "mirror", "title": " "}), 400, "title"),
        (
            json!({"slug": "a", "flow": "mirror", "schema": {"$ref": "https://example.com"}}),
            400,
            "no place of this schema",
        ),
        (json!({"slug": "a", "flow": "mirror", "schema": {"type": "strnig"}}), 400, "no JSON Schema"),
        (
            json!({"slug": "a", "flow": "mirror", "schema": schema(), "sample": {"sku": 1}}),
            400,
            "The sample does not fit",
        ),
        (json!({"slug": "a", "flow": "mirror", "timeout_ms": 0}), 400, "timeout_ms"),
    ] {
        let request = app.manage(Method::POST, "/groups/acme/apps").json(&change);
        let (got, _, message) = Answer::to(request).await.problem();
        assert!(got == status && message.contains(told), "{change}: {got} {message}");
    }
    let shown = app.get("/groups/acme/apps").await;
    assert_eq!(shown.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_app_goes_with_its_flow() {
    let (app, key) = server().await;
    offer(&app, json!({})).await;
    let delete = |more: &str| app.manage(Method::DELETE, &format!("/groups/acme/flows/mirror{more}"));
    let (status, _, message) = Answer::to(delete("")).await.problem();
    assert!(status == 409 && message.contains("1 apps"), "{message}");
    assert!(Answer::to(delete("?force=true")).await.status < 300);
    assert_eq!(app.get("/groups/acme/apps").await, json!([]));
    assert_eq!(execute(&app, "order-entry", &key, GOOD).await.status, 404);
}
