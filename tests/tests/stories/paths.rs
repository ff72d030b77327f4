//! Triggers with a path of their own: what finds them, what the flow gets, and what cannot stand beside each other.

use headgate_tests::{Answer, Key, TestApp};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

/// A server with the flow `mirror`, published in both environments, and a key of each.
struct House {
    app: TestApp,
    key: Key,
    test_key: Key,
}

impl House {
    async fn build() -> Self {
        let app = TestApp::start().await;
        app.publish("mirror", "mirror").await;
        app.post("/groups/acme/flows/mirror/publish", json!({"environment": "test"})).await;
        let key = app.key("sender").await;
        let made = app.post("/groups/acme/api-keys", json!({"name": "tester", "environment": "test"})).await;
        let text = |member: &str| made[member].as_str().unwrap().to_owned();
        Self { test_key: Key { id: text("id"), secret: text("api_key") }, app, key }
    }

    async fn path(&self, template: &str, settings: Value) -> Value {
        let mut settings = settings;
        settings["path"] = json!({"template": template});
        self.app.post("/groups/acme/flows/mirror/triggers", settings).await
    }

    fn call(&self, method: &str, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.app.url());
        self.app.client().request(method.parse().unwrap(), url).bearer_auth(&self.key.secret)
    }

    async fn refused(&self, flow: &str, settings: Value) -> (u16, String) {
        let path = format!("/groups/acme/flows/{flow}/triggers");
        let (status, _, message) = Answer::to(self.app.manage(Method::POST, &path).json(&settings)).await.problem();
        (status, message)
    }
}

#[tokio::test]
async fn parameters_come_to_the_flow_sync_and_queued() {
    let house = House::build().await;
    let made = house.path("orders/{order_id}/lines/{line}", json!({})).await;
    let url = format!("{}/g/acme/orders/{{order_id}}/lines/{{line}}", house.app.url());
    assert_eq!(made["path"]["url"], url);
    house.path("files/{*rest}", json!({"respond": "async"})).await;

    let answer = Answer::to(house.call("POST", "/g/acme/orders/a%2Fb/lines/%C3%A9%20/?x=1").body("{}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let event = answer.json();
    assert_eq!(event["params"], json!([["order_id", "a/b"], ["line", "é "]]));
    assert_eq!((&event["path"], &event["query"]), (&json!("/orders/a%2Fb/lines/%C3%A9%20"), &json!([["x", "1"]])));
    assert_eq!(event["trigger"], made["id"]);

    let answer = Answer::to(house.call("POST", "/g/acme/files/a/b%20c").body("{}")).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let run = house.app.ended(answer.header("headgate-run-id")).await;
    let body = run["outcome"]["response"]["body"]["text"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(body).unwrap()["params"], json!([["rest", "a/b c"]]), "{body}");
}

#[tokio::test]
async fn what_a_path_answers_to_whom() {
    let house = House::build().await;
    let one = house.path("orders/{id}", json!({"methods": ["GET"]})).await;
    let other = house.path("orders/{order}", json!({"methods": ["PUT", "PATCH"]})).await;
    let new = house.path("orders/new", json!({"methods": ["GET"]})).await;
    for (method, path, trigger, params) in [
        ("GET", "/g/acme/orders/7", &one, json!([["id", "7"]])),
        ("GET", "/g/acme/orders/7/", &one, json!([["id", "7"]])),
        ("PATCH", "/g/acme/orders/7", &other, json!([["order", "7"]])),
        ("GET", "/g/acme/orders/new", &new, json!([])),
    ] {
        let answer = Answer::to(house.call(method, path)).await;
        assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
        assert_eq!((&answer.json()["trigger"], &answer.json()["params"]), (&trigger["id"], &params), "{method} {path}");
    }
    let head = Answer::to(house.call("HEAD", "/g/acme/orders/7")).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    let answer = Answer::to(house.call("DELETE", "/g/acme/orders/7")).await;
    assert_eq!((answer.status, answer.header("allow")), (405, "GET, PATCH, PUT"));

    // Whatever does not exist looks alike, another group's things among it.
    house.app.post("/groups", json!({"name": "rival"})).await;
    let unknown = Answer::to(house.call("GET", "/g/acme/else")).await;
    assert_eq!(unknown.problem(), (404, "not_found".into(), "Trigger not found".into()));
    for path in [
        "/g/rival/orders/7",
        "/g/nobody/orders/7",
        "/g/ACME/orders/7",
        "/g/acme/orders/7%2F/..%2F",
        "/g/acme/orders/%FF",
    ] {
        assert_eq!(Answer::to(house.call("GET", path)).await.bytes(), unknown.bytes(), "{path}");
    }
    // Without a key nothing is told, and a key is no parameter.
    for path in ["/g/acme/orders/7", "/g/acme/else", "/g/rival/orders/7"] {
        let answer = Answer::to(house.app.client().get(format!("{}{path}", house.app.url()))).await;
        assert_eq!(answer.problem().0, 401, "{path}");
    }
    let answer = Answer::to(house.call("GET", &format!("/g/acme/orders/{}", house.key.secret))).await;
    assert_eq!(answer.problem().1, "api_key_in_wrong_place");
    assert!(!answer.text().contains(&house.key.secret));
}

#[tokio::test]
async fn two_triggers_that_one_request_could_mean_are_refused() {
    let house = House::build().await;
    let first = house.path("orders/{id}", json!({})).await;
    let flows = "/groups/acme/flows";
    house.app.post(flows, json!({"name": "rival"})).await;
    let path = |template: &str| json!({"path": {"template": template}});
    let (status, message) = house.refused("rival", path("orders/{order}")).await;
    assert_eq!(status, 409);
    for said in ["\"orders/{order}\"", "\"orders/{id}\"", "\"mirror\"", first["id"].as_str().unwrap()] {
        assert!(message.contains(said), "{message}");
    }
    assert_eq!(house.refused("rival", path("orders/{*rest}")).await.0, 409);
    let in_test = json!({"path": {"template": "orders/{x}", "environment": "test"}});
    assert_eq!(house.refused("rival", in_test).await.0, 409);
    let get = json!({"path": {"template": "orders/{x}"}, "methods": ["GET"]});
    let made = house.app.post("/groups/acme/flows/rival/triggers", get).await;
    // What made room for it cannot be taken back.
    let first = format!("{flows}/mirror/triggers/{}", first["id"].as_str().unwrap());
    let both = house.app.manage(Method::PATCH, &first).json(&json!({"methods": ["GET", "POST"]}));
    assert_eq!(Answer::to(both).await.status, 409);
    let gone = format!("{flows}/rival/triggers/{}", made["id"].as_str().unwrap());
    assert_eq!(Answer::to(house.app.manage(Method::DELETE, &gone)).await.status, 204);
    let both = house.app.manage(Method::PATCH, &first).json(&json!({"methods": ["GET", "POST"]}));
    assert_eq!(Answer::to(both).await.status, 200);

    let (status, message) = house.refused("rival", json!({"path": {"template": "x/{y}"}, "key_in_path": true})).await;
    assert_eq!(status, 400);
    assert!(message.contains("takes no key in the path"), "{message}");
    assert_eq!(house.refused("rival", path("hooks/x")).await.0, 400);
    let unknown = json!({"path": {"template": "x", "environment": "staging"}});
    assert_eq!(house.refused("rival", unknown).await.0, 400);
}

#[tokio::test]
async fn a_path_of_an_environment_is_found_by_its_keys_across_a_restart() {
    let mut house = House::build().await;
    let general = house.path("orders/{id}", json!({})).await;
    let tested = json!({"path": {"template": "orders/new", "environment": "test"}});
    let tested = house.app.post("/groups/acme/flows/mirror/triggers", tested).await;
    for round in ["at once", "after a restart"] {
        for (key, trigger) in [(&house.key, &general), (&house.test_key, &tested)] {
            let url = format!("{}/g/acme/orders/new", house.app.url());
            let answer = Answer::to(house.app.client().post(url).bearer_auth(&key.secret)).await;
            assert_eq!(answer.json()["trigger"], trigger["id"], "{round}");
        }
        house.app = house.app.restart().await;
    }
    // A path that is taken away is gone with the next request.
    let trigger = format!("/groups/acme/flows/mirror/triggers/{}", general["id"].as_str().unwrap());
    assert_eq!(Answer::to(house.app.manage(Method::PATCH, &trigger).json(&json!({"path": null}))).await.status, 200);
    assert_eq!(Answer::to(house.call("POST", "/g/acme/orders/7")).await.status, 404);
}

#[tokio::test]
async fn a_host_name_stands_for_the_groups_root() {
    let house = House::build().await;
    let made = house.path("orders/{id}", json!({})).await;
    let owner = house.app.user("owner@example.com", "owner").await;
    let set = |token: &str, group: &str, host: Value| {
        house.app.manage_as(token, Method::PATCH, &format!("/groups/{group}")).json(&json!({"host": host}))
    };
    let operator = house.app.token();
    let (status, _, message) = Answer::to(set(&owner, "acme", json!("hooks.acme.example"))).await.problem();
    assert_eq!(status, 403);
    assert!(message.contains("operator"), "{message}");
    let changed = Answer::to(set(operator, "acme", json!("Hooks.ACME.example."))).await;
    assert_eq!((changed.status, &changed.json()["host"]), (200, &json!("hooks.acme.example")));
    house.app.post("/groups", json!({"name": "rival"})).await;
    let taken = Answer::to(set(operator, "rival", json!("hooks.acme.example"))).await.problem();
    assert_eq!(taken.0, 409);
    assert!(taken.2.contains("\"acme\""), "{}", taken.2);
    assert_eq!(Answer::to(set(operator, "acme", json!("127.0.0.1"))).await.status, 400);

    let at = |host: &str, path: &str| house.call("POST", path).header("host", host);
    let answer = Answer::to(at("HOOKS.acme.example:8080", "/orders/7/")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!((&answer.json()["trigger"], &answer.json()["path"]), (&made["id"], &json!("/orders/7")));
    assert_eq!(Answer::to(at("else.example", "/orders/7")).await.status, 404);
    // The server's own paths keep their meaning.
    let hook = format!("/hooks/{}", made["routing_key"].as_str().unwrap());
    for path in [hook.as_str(), "/g/acme/orders/7"] {
        assert_eq!(Answer::to(at("hooks.acme.example", path)).await.status, 200, "{path}");
    }
    let url = format!("/groups/acme/flows/mirror/triggers/{}", made["id"].as_str().unwrap());
    assert_eq!(house.app.get(&url).await["path"]["url"], "http://hooks.acme.example/orders/{id}");
    assert_eq!(Answer::to(set(operator, "acme", Value::Null)).await.status, 200);
    assert_eq!(Answer::to(at("hooks.acme.example", "/orders/7")).await.status, 404);
    assert_eq!(Answer::to(set(operator, "rival", json!("hooks.acme.example"))).await.status, 200);
}
