//! Run Once: events that are given, kept or recorded, through each trigger, and without any app.

use headgate_tests::crm::StandIn;
use headgate_tests::{Answer, TestApp};
use reqwest::Method;
use serde_json::{Value, json};

async fn run(app: &TestApp, flow: &str, body: Value) -> Answer {
    Answer::to(app.manage(Method::POST, &format!("/groups/acme/flows/{flow}/run")).json(&body)).await
}

/// What the flow `mirror` saw.
async fn image(app: &TestApp, mut body: Value) -> Value {
    body["environment"] = json!("production");
    let run = run(app, "mirror", body).await.json();
    let text = run["outcome"]["response"]["body"]["text"].as_str().unwrap_or_else(|| panic!("{run}"));
    serde_json::from_str(text).unwrap()
}

fn named<'a>(pairs: &'a Value, name: &str) -> Option<&'a Value> {
    pairs.as_array().unwrap().iter().find(|pair| pair[0] == name).map(|pair| &pair[1])
}

#[tokio::test]
async fn an_event_pretends_to_come_through_a_trigger() {
    let app = TestApp::start().await;
    app.publish("mirror", "mirror").await;
    let trigger = app.trigger("mirror", json!({"methods": ["GET", "PUT"]})).await;
    let seen = image(
        &app,
        json!({
            "trigger": trigger.id, "path": "/a/b", "query": [["q", "1"], ["q", "2"]],
            "headers": {"X-Source": "shop"}, "body_base64": "YWJjZA=="
        }),
    )
    .await;
    assert_eq!((&seen["trigger"], &seen["method"], &seen["path"]), (&json!(trigger.id), &json!("GET"), &json!("/a/b")));
    assert_eq!((&seen["query"], &seen["size"]), (&json!([["q", "1"], ["q", "2"]]), &json!(4)));
    assert_eq!(seen["headers"], json!([["x-source", "shop"]]));
    let seen = image(&app, json!({"event": {"a": 1}})).await;
    assert_eq!((&seen["method"], &seen["size"]), (&json!("POST"), &json!(7)));
    assert_eq!(named(&seen["headers"], "content-type"), Some(&json!("application/json")));

    for (body, said) in [
        (json!({"trigger": trigger.id, "method": "POST"}), "takes GET, PUT"),
        (json!({"event": 1, "body_base64": "YQ=="}), "one body"),
        (json!({"headers": {"Authorization": "Bearer x"}}), "never sees the header"),
        (json!({"path": "a"}), "does not begin with"),
        (json!({"mocks": {"a.b": 1}}), "mock: true"),
        (json!({"mock": true, "mocks": {"a": 1}}), "names no call"),
    ] {
        let (status, _, message) = run(&app, "mirror", body).await.problem();
        assert!(status == 400 && message.contains(said), "{status} {message}");
    }
    let of_nobody = json!({"trigger": format!("trg_{}", "a".repeat(20))});
    assert_eq!(run(&app, "mirror", of_nobody).await.problem().2, "Trigger not found");
}

#[tokio::test]
async fn a_run_is_followed_by_whoever_accepts_lines() {
    let app = TestApp::start().await;
    app.publish("mirror", "mirror").await;
    let follow = async |flow: &str, body: Value| {
        let request = app.manage(Method::POST, &format!("/groups/acme/flows/{flow}/run")).json(&body);
        Answer::to(request.header("accept", "application/x-ndjson")).await
    };
    // It writes no log: the run is all there is to tell.
    let told = follow("mirror", json!({"environment": "production"})).await;
    assert_eq!((told.status, told.header("content-type")), (200, "application/x-ndjson"));
    assert_eq!(told.text().lines().count(), 1);
    let told: Value = serde_json::from_str(told.text()).unwrap();
    assert_eq!(told["run"]["state"], "succeeded");
    assert_eq!(app.get(&format!("/groups/acme/runs/{}", told["run"]["id"].as_str().unwrap())).await, told["run"]);
    // What is refused before it begins is refused as ever.
    assert_eq!(follow("nobody", json!({})).await.problem().0, 404);
    assert_eq!(follow("mirror", json!({"path": "a"})).await.problem().0, 400);
}

#[tokio::test]
async fn an_event_pretends_to_come_through_a_schedule() {
    let app = TestApp::start().await;
    app.publish("mirror", "mirror").await;
    app.publish("echo", "echo").await;
    let path = "/groups/acme/flows/mirror/schedules";
    let schedule = app.post(path, json!({"cron": "@yearly", "event": {"n": 1}})).await["id"].clone();
    let seen = image(&app, json!({"trigger": schedule, "event": {"n": 22}})).await;
    assert_eq!((&seen["trigger"], &seen["method"], &seen["size"]), (&schedule, &json!("POST"), &json!(8)));
    let fired = app.post(&format!("{path}/{}/fire", schedule.as_str().unwrap()), Value::Null).await;
    let recorded = app.ended(fired["run"].as_str().unwrap()).await["id"].clone();
    let seen = image(&app, json!({"from_run": recorded})).await;
    assert_eq!((&seen["trigger"], &seen["size"]), (&schedule, &json!(7)));
    assert!(named(&seen["headers"], "x-headgate-scheduled-at").is_some(), "{seen}");
    let of_another = run(&app, "echo", json!({"trigger": schedule})).await;
    assert_eq!(of_another.problem().2, "Trigger not found");
}

#[tokio::test]
async fn a_recorded_event_is_used_again_as_it_was_or_not_at_all() {
    let app = TestApp::start().await;
    app.publish("mirror", "mirror").await;
    let key = app.key("shop").await;
    let trigger = app.trigger("mirror", json!({"methods": ["PUT"]})).await;
    let fire = async |body: Vec<u8>, header: (&str, &str)| {
        let request = app.client().put(format!("{}?page=2", trigger.url)).bearer_auth(&key.secret);
        let answer = request.header(header.0, header.1).body(body).send().await.unwrap();
        answer.headers()["headgate-run-id"].to_str().unwrap().to_owned()
    };
    let recorded = fire(b"a=1&b=2".to_vec(), ("x-source", "shop")).await;
    let seen = image(&app, json!({"from_run": recorded})).await;
    assert_eq!((&seen["trigger"], &seen["method"], &seen["size"]), (&json!(trigger.id), &json!("PUT"), &json!(7)));
    assert_eq!(seen["query"], json!([["page", "2"]]));
    assert_eq!(named(&seen["headers"], "x-source"), Some(&json!("shop")));
    // A part that is given comes in place of the recorded one.
    let seen = image(&app, json!({"from_run": recorded, "query": {}, "event": [1]})).await;
    assert_eq!((&seen["query"], &seen["size"]), (&json!([]), &json!(3)));

    let large = fire(vec![b'x'; 20_000], ("x-source", "shop")).await;
    let (status, _, message) = run(&app, "mirror", json!({"from_run": large})).await.problem();
    assert!(status == 400 && message.contains("its body of 20000 bytes was not recorded whole"), "{message}");
    let secret = fire(b"1".to_vec(), ("x-gitlab-token", "s3cret-of-gitlab")).await;
    // The flow saw it, and the record of the event names it only.
    let event = app.get(&format!("/groups/acme/runs/{secret}")).await["event"].to_string();
    assert!(!event.contains("s3cret-of-gitlab") && event.contains("x-gitlab-token"), "{event}");
    let (status, _, message) = run(&app, "mirror", json!({"from_run": secret})).await.problem();
    assert!(status == 400 && message.ends_with("Not recorded: x-gitlab-token"), "{message}");
    let seen = image(&app, json!({"from_run": secret, "headers": {"x-gitlab-token": "other"}})).await;
    assert_eq!(seen["headers"], json!([["x-gitlab-token", "other"]]));

    app.publish("echo", "echo").await;
    let (status, _, message) = run(&app, "echo", json!({"from_run": recorded})).await.problem();
    assert!(status == 400 && message.contains("is one of the flow \"mirror\""), "{message}");
    // Whoever may not read runs cannot have them run again.
    let new = json!({"name": "runner", "scopes": ["flows:execute"]});
    let runner = app.post("/groups/acme/api-keys", new).await["api_key"].as_str().unwrap().to_owned();
    let request = app.manage_as(&runner, Method::POST, "/groups/acme/flows/mirror/run");
    let answer = Answer::to(request.json(&json!({"environment": "production", "from_run": recorded}))).await;
    assert_eq!(answer.problem().1, "missing_scope");
}

#[tokio::test]
async fn a_key_goes_through_no_trigger_that_does_not_accept_it() {
    let app = TestApp::start().await;
    app.publish("mirror", "mirror").await;
    app.key("shop").await;
    let trigger = app.trigger("mirror", json!({"keys": ["shop"]})).await;
    let new = json!({"name": "runner", "scopes": ["flows:execute"]});
    let runner = app.post("/groups/acme/api-keys", new).await["api_key"].as_str().unwrap().to_owned();
    let ask = async |body: Value| {
        let request = app.manage_as(&runner, Method::POST, "/groups/acme/flows/mirror/run");
        Answer::to(request.json(&body)).await
    };
    assert_eq!(ask(json!({"environment": "production"})).await.status, 200);
    let through = ask(json!({"environment": "production", "trigger": trigger.id})).await;
    assert_eq!(through.status, 403, "{through:?}");
    // Nor through a schedule what it could not run otherwise.
    let schedule = app.post("/groups/acme/flows/mirror/schedules", json!({"cron": "@yearly"})).await["id"].clone();
    let by_schedule = json!({"environment": "production", "trigger": schedule});
    assert_eq!(ask(by_schedule.clone()).await.status, 200);
    let execute = app.get("/groups/acme/flows/mirror").await["execute_trigger"].as_str().unwrap().to_owned();
    let keys = async |keys: Value| {
        let path = format!("/groups/acme/flows/mirror/triggers/{execute}");
        Answer::to(app.manage(Method::PATCH, &path).json(&json!({"keys": keys}))).await.status
    };
    assert_eq!(keys(json!(["shop"])).await, 200);
    assert_eq!(ask(by_schedule).await.status, 403);
    assert_eq!(keys(json!(["shop", "runner"])).await, 200);
    app.push("mirror", "mirror").await;
    assert_eq!(ask(json!({"environment": "production", "version": 2})).await.status, 403);
    assert_eq!(ask(json!({"environment": "production", "version": 2, "mock": true})).await.status, 403);
}

#[tokio::test]
async fn sample_events_are_kept_with_the_flow() {
    let app = TestApp::start().await;
    app.publish("mirror", "mirror").await;
    let path = |name: &str| format!("/groups/acme/flows/mirror/samples/{name}");
    let save = async |name: &str, body: Value| Answer::to(app.manage(Method::PUT, &path(name)).json(&body)).await;
    let order = json!({"description": "An order", "event": {"event": {"order": 17}, "query": {"page": "2"}}});
    assert_eq!(save("order", order.clone()).await.status, 201);
    assert_eq!(save("order", order).await.status, 200);
    let seen = image(&app, json!({"sample": "order"})).await;
    assert_eq!((&seen["query"], &seen["size"]), (&json!([["page", "2"]]), &json!(12)));
    assert_eq!(image(&app, json!({"sample": "order", "event": 1})).await["size"], 1);
    assert_eq!(app.get("/groups/acme/flows/mirror/samples").await[0]["description"], "An order");

    assert_eq!(run(&app, "mirror", json!({"sample": "nothing"})).await.problem().2, "Sample event not found");
    let (_, _, message) = run(&app, "mirror", json!({"sample": "example"})).await.problem();
    assert!(message.contains("declares no schema of its event with an example"), "{message}");
    assert_eq!(save("example", json!({})).await.status, 400);
    let large = json!({"event": {"event": "x".repeat(256 * 1024)}});
    assert_eq!(save("large", large).await.status, 413);
    for at in 1..50 {
        assert_eq!(save(&format!("s{at}"), json!({})).await.status, 201);
    }
    assert_eq!(save("s50", json!({})).await.status, 409);
    assert_eq!(Answer::to(app.manage(Method::DELETE, &path("s1"))).await.status, 204);
    assert_eq!(save("s50", json!({})).await.status, 201);
}

#[tokio::test]
async fn a_mocked_run_reaches_no_app() {
    let crm = StandIn::crm("pat-na1-0123456789").await;
    let exempt = crm.address.to_string();
    let app = TestApp::with(|settings| settings.egress.allow_private = vec![exempt.parse().unwrap()]).await;
    app.install("hubspot").await;
    app.publish("update-lead-status", "update-lead-status").await;
    let config = json!({"api_url": crm.url()});
    let connection =
        json!({"name": "crm", "connector": "hubspot", "config": config, "secrets": {"token": "pat-na1-0123456789"}});
    let connection = app.connect("update-lead-status", "crm", connection).await;
    // Not even a connection that works is needed.
    let id = connection["id"].as_str().unwrap();
    app.post(&format!("/groups/acme/connections/{id}/disconnect"), json!({})).await;
    let event = json!({"deal": {"id": "9001", "stage": "closedwon"}, "contact": {"email": "ada@example.com"}});
    let once = |rest: Value| {
        let mut body = json!({"environment": "production", "mock": true, "event": event});
        body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        body
    };
    let found = json!({"results": [{"id": "7", "properties": {"hs_lead_status": "NEW"}}], "total": 1});
    let ran = run(&app, "update-lead-status", once(json!({"mocks": {"crm.search_contacts": found}}))).await.json();
    assert_eq!((&ran["state"], &ran["mocked"]), (&json!("succeeded"), &json!(true)), "{ran}");
    let steps = ran["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 2);
    for step in steps {
        assert_eq!(
            (&step["mocked"], &step["connection"], &step["connector"]),
            (&json!(true), &json!("crm"), &json!("hubspot"))
        );
    }
    let listed = app.get("/groups/acme/runs").await;
    assert_eq!(listed[0]["mocked"], true);

    let broken = json!({"mocks": {"crm.search_contacts": {"$error": {"code": "rate_limited", "message": "Slowly"}}}});
    let ran = run(&app, "update-lead-status", once(broken)).await.json();
    assert_eq!(ran["outcome"]["failure"]["code"], "rate_limited", "{ran}");
    assert_eq!(crm.received().len(), 0);
}

#[tokio::test]
async fn a_mocked_call_is_checked_like_a_real_one() {
    let app = TestApp::start().await;
    app.install("hubspot").await;
    app.publish("caller", "caller").await;
    let call = async |order: Value, mocks: Value| {
        let body = json!({"environment": "production", "mock": true, "mocks": mocks, "event": order});
        run(&app, "caller", body).await.json()
    };
    let output = |run: &Value| -> Value {
        let text = run["outcome"]["response"]["body"]["text"].as_str().unwrap_or_else(|| panic!("{run}"));
        serde_json::from_str(text).unwrap()
    };
    // Nothing is bound, and the flow does not say what it would be.
    let unbound = call(json!({"slot": "crm", "method": "get_contact"}), json!({})).await;
    assert_eq!(unbound["outcome"]["failure"]["code"], "slot_unbound");
    // With an answer of one's own that does not matter.
    let given = call(json!({"slot": "crm", "method": "get"}), json!({"crm.get": {"id": 1}})).await;
    assert_eq!(output(&given), json!({"output": {"id": 1}}));

    let connection = json!({"name": "crm", "connector": "hubspot", "secrets": {"token": "pat-na1-0123456789"}});
    app.connect("caller", "crm", connection).await;
    let wrong =
        call(json!({"slot": "crm", "method": "search_contacts", "input": {"filterGroups": 7}}), json!({})).await;
    assert_eq!(output(&wrong)["error"]["code"], "invalid_input", "{wrong}");
    let unknown = call(json!({"slot": "crm", "method": "fly", "input": {}}), json!({"crm.fly": 1})).await;
    assert_eq!(output(&unknown)["error"]["code"], "method_not_found");
    let made = call(json!({"slot": "crm", "method": "search_contacts", "input": {}}), json!({})).await;
    assert!(output(&made)["output"]["results"].is_array(), "{made}");
}
