//! Requests of web pages' scripts: what browsers ask beforehand, who is let through, and what they may read.

use headgate_tests::{Answer, TestApp};
use reqwest::{Method, RequestBuilder};
use serde_json::json;

const SHOP: &str = "https://shop.example.com";

fn asked_beforehand(app: &TestApp, path: &str) -> RequestBuilder {
    let request = app.client().request(Method::OPTIONS, format!("{}{path}", app.url())).header("origin", SHOP);
    request
        .header("access-control-request-method", "PUT")
        .header("access-control-request-headers", "authorization,content-type")
}

#[tokio::test]
async fn what_browsers_ask_beforehand_is_answered_alike_for_every_path() {
    let app = TestApp::start().await;
    app.publish("mirror", "mirror").await;
    let trigger = app.trigger("mirror", json!({"path": {"template": "orders"}, "cors": {"origins": [SHOP]}})).await;
    let known = Answer::to(asked_beforehand(&app, &format!("/hooks/{}", trigger.routing_key))).await;
    assert_eq!(known.status, 204, "{known:?}");
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "PUT"),
        ("access-control-allow-headers", "authorization,content-type"),
        ("access-control-max-age", "86400"),
        ("access-control-allow-credentials", ""),
    ] {
        assert_eq!(known.header(name), value, "{name}");
    }
    for path in ["/hooks/none", "/g/acme/orders", "/g/acme/none", "/flows/none/execute", "/none"] {
        assert_eq!(Answer::to(asked_beforehand(&app, path)).await.bytes(), known.bytes(), "{path}");
    }
    // Management is for no page's scripts, and a plain OPTIONS asks nothing.
    let management = Answer::to(asked_beforehand(&app, "/api/v1/groups")).await;
    assert_eq!((management.status, management.header("access-control-allow-origin")), (401, ""));
    let plain = Answer::to(app.client().request(Method::OPTIONS, &trigger.url)).await;
    assert_eq!(plain.status, 401);
}

#[tokio::test]
async fn scripts_of_named_origins_are_let_through_and_may_read() {
    let app = TestApp::start().await;
    app.publish("mirror", "mirror").await;
    let key = app.key("page").await;
    let rule = json!({"origins": ["https://Shop.example.com/"], "expose": ["X-Order"]});
    let trigger = app.trigger("mirror", json!({ "cors": rule })).await;
    let send = |origin: Option<&str>, method: Method, key: &str| {
        // The flow says something else, and is not heard.
        let headers = json!([
            ["access-control-allow-origin", "https://evil.example"],
            ["access-control-allow-credentials", "true"],
            ["x-order", "7"]
        ]);
        let body = json!({"answer": {"status": 200, "headers": headers, "body": ""}}).to_string();
        let request = app.client().request(method, &trigger.url).bearer_auth(key).body(body);
        Answer::to(match origin {
            Some(origin) => request.header("origin", origin),
            None => request,
        })
    };
    let allowed = send(Some(SHOP), Method::POST, &key.secret).await;
    assert_eq!((allowed.status, allowed.header("access-control-allow-origin")), (200, SHOP));
    assert_eq!((allowed.header("vary"), allowed.header("access-control-allow-credentials")), ("origin", ""));
    let exposed = allowed.header("access-control-expose-headers");
    for name in ["headgate-run-id", "x-ratelimit-remaining", "idempotency-replayed", "x-order"] {
        assert!(exposed.contains(name), "{exposed}");
    }
    // So is a refusal, once the trigger is known.
    let refused = send(Some(SHOP), Method::PUT, &key.secret).await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (405, SHOP));

    let runs = async || app.get("/groups/acme/runs").await.as_array().unwrap().len();
    let before = runs().await;
    for origin in ["https://evil.example", "http://shop.example.com", "null", ""] {
        let answer = send(Some(origin), Method::POST, &key.secret).await;
        assert_eq!(answer.problem().1, "origin_not_allowed", "{origin}");
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (403, ""), "{origin}");
    }
    assert_eq!(runs().await, before);
    let without = send(None, Method::POST, &key.secret).await;
    assert_eq!((without.status, without.header("access-control-allow-origin")), (200, ""));
    // Without a valid key nothing shows that the trigger is there.
    let stranger = send(Some(SHOP), Method::POST, "hg_live_wrong").await;
    assert_eq!(
        (stranger.status, stranger.header("access-control-allow-origin"), stranger.header("vary")),
        (401, "", "")
    );

    let open = app.trigger("mirror", json!({"cors": {"origins": ["*"]}})).await;
    let request = app.client().post(&open.url).bearer_auth(&key.secret).header("origin", "https://anybody.example");
    assert_eq!(Answer::to(request).await.header("access-control-allow-origin"), "*");
    let wrong = json!({"cors": {"origins": ["shop.example.com"]}});
    let wrong = app.manage(Method::POST, "/groups/acme/flows/mirror/triggers").json(&wrong);
    assert_eq!(Answer::to(wrong).await.status, 400);
}
