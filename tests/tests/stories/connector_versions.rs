//! Connectors: versions, upgrades that say what would break, rollback, and the server's for all groups.

use std::time::Duration;

use axum::response::IntoResponse as _;
use headgate_tests::crm::StandIn;
use headgate_tests::{Answer, TestApp, guests};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

const OF_GROUP: &str = "/groups/acme/connectors";
const OF_SERVER: &str = "/connectors";
const ROLLBACK: &str = "/groups/acme/connectors/hubspot/rollback";

/// A version of hubspot in which nothing has changed that anybody uses.
fn harmless() -> Vec<u8> {
    guests::changed("hubspot", &[("Contacts of HubSpot CRM", "Contacts in HubSpot CRM")])
}

/// A version of hubspot with another way to authenticate.
fn other_auth() -> Vec<u8> {
    guests::changed("hubspot", &[("private_app", "private_key")])
}

/// A version of hubspot in which a method has another name.
fn other_method() -> Vec<u8> {
    guests::changed("hubspot", &[("search_contacts", "locate_contacts")])
}

async fn install(app: &TestApp, path: &str, component: Vec<u8>) -> Answer {
    let request = app.manage(Method::PUT, path).header("content-type", "application/wasm");
    Answer::to(request.body(component)).await
}

async fn ask(app: &TestApp, method: Method, path: &str, body: Value) -> Answer {
    Answer::to(app.manage(method, path).json(&body)).await
}

async fn connect(app: &TestApp, api_url: &str) -> Value {
    let connection = json!({
        "name": "crm",
        "connector": "hubspot",
        "config": {"api_url": api_url},
        "secrets": {"token": "pat-na1-0123456789"},
    });
    app.post("/groups/acme/connections", connection).await
}

#[tokio::test]
async fn versions_are_numbered_and_one_can_go_back_to_each() {
    let app = TestApp::start().await;
    let first = install(&app, OF_GROUP, guests::component("hubspot")).await;
    assert_eq!(first.status, 201, "{first:?}");
    assert_eq!((&first.json()["version"], &first.json()["change"]), (&json!(1), &json!("installed")));
    assert_eq!(
        (&first.json()["scope"], &first.json()["installed_by"]),
        (&json!("group"), &json!("operator@example.com"))
    );

    // The same bytes again change nothing, and say so.
    let again = install(&app, OF_GROUP, guests::component("hubspot")).await;
    assert_eq!((again.status, &again.json()["change"]), (200, &json!("unchanged")));
    assert_eq!(again.json()["installed"], first.json()["installed"]);

    let second = install(&app, OF_GROUP, harmless()).await;
    assert_eq!((second.status, &second.json()["version"]), (201, &json!(2)));
    let versions = app.get(&format!("{OF_GROUP}/hubspot/versions")).await;
    let told: Vec<_> = versions.as_array().unwrap().iter().map(|one| (&one["version"], &one["in_use"])).collect();
    assert_eq!(told, [(&json!(2), &json!(true)), (&json!(1), &json!(false))]);

    let back = ask(&app, Method::POST, ROLLBACK, json!({})).await;
    assert_eq!((back.status, &back.json()["change"]), (200, &json!("restored")));
    assert_eq!(back.json()["digest"], first.json()["digest"]);
    let (status, _, message) = ask(&app, Method::POST, ROLLBACK, json!({})).await.problem();
    assert!(status == 409 && message.contains("no version before"), "{message}");
    let (_, _, message) = ask(&app, Method::POST, ROLLBACK, json!({"to": 7})).await.problem();
    assert!(message.contains("has no version 7"), "{message}");
    let forward = ask(&app, Method::POST, ROLLBACK, json!({"to": 2})).await;
    assert_eq!((forward.status, &forward.json()["digest"]), (200, &second.json()["digest"]));
    // The bytes of an earlier version are that version, not a new one.
    let known = install(&app, OF_GROUP, guests::component("hubspot")).await;
    assert_eq!((known.status, &known.json()["version"], &known.json()["change"]), (200, &json!(1), &json!("restored")));

    let app = app.restart().await;
    let kept = app.get(&format!("{OF_GROUP}/hubspot")).await;
    assert_eq!((&kept["version"], &kept["digest"]), (&json!(1), &first.json()["digest"]));
    assert_eq!(app.get(&format!("{OF_GROUP}/hubspot/versions")).await.as_array().unwrap().len(), 2);

    assert_eq!(ask(&app, Method::DELETE, &format!("{OF_GROUP}/hubspot"), Value::Null).await.status, 204);
    assert_eq!(ask(&app, Method::GET, &format!("{OF_GROUP}/hubspot"), Value::Null).await.status, 404);
    let anew = install(&app, OF_GROUP, harmless()).await;
    assert_eq!((anew.status, &anew.json()["version"]), (201, &json!(1)));
}

#[tokio::test]
async fn what_would_break_is_said_and_nothing_is_changed() {
    let app = TestApp::start().await;
    app.install("hubspot").await;
    let connection = connect(&app, "https://api.hubapi.com").await;
    let ready = app.app().service().shelf_figures().connectors;
    let refused = install(&app, OF_GROUP, other_auth()).await;
    let (status, code, message) = refused.problem();
    assert_eq!((status, code.as_str()), (409, "connector_incompatible"));
    assert_eq!(app.app().service().shelf_figures().connectors, ready, "what is refused is not kept in memory");
    assert!(
        message.contains("The connection \"crm\" in production authenticates by \"private_app\", which is gone"),
        "{message}"
    );
    assert!(message.ends_with("--force"), "{message}");
    let breaks = &refused.json()["details"]["breaks"];
    assert_eq!(breaks[0]["what"], "the connection \"crm\" in production");
    assert!(!breaks[0]["remedy"].as_str().unwrap().is_empty());
    assert_eq!(app.get(&format!("{OF_GROUP}/hubspot")).await["version"], 1);

    let forced = install(&app, &format!("{OF_GROUP}?force=true"), other_auth()).await;
    assert_eq!((forced.status, &forced.json()["version"]), (201, &json!(2)));
    assert!(forced.json()["warnings"][0].as_str().unwrap().starts_with("Broken: the connection \"crm\""), "{forced:?}");
    let audit = app.get("/groups/acme/audit").await;
    assert_eq!(audit["entries"][0]["action"], "connector.force", "{audit}");
    // What is broken already does not break again.
    assert_eq!(ask(&app, Method::POST, ROLLBACK, json!({})).await.status, 200);

    let removal = ask(&app, Method::DELETE, &format!("{OF_GROUP}/hubspot"), Value::Null).await;
    let (status, _, message) = removal.problem();
    assert!(
        status == 409 && message.contains("is used by: crm (production). Delete these connections first"),
        "{message}"
    );
    let forced = ask(&app, Method::DELETE, &format!("{OF_GROUP}/hubspot?force=true"), Value::Null).await;
    assert_eq!(forced.status, 409, "nothing would be left for its connection");
    let path = format!("/groups/acme/connections/{}", connection["id"].as_str().unwrap());
    assert_eq!(ask(&app, Method::DELETE, &path, Value::Null).await.status, 204);
    assert_eq!(ask(&app, Method::DELETE, &format!("{OF_GROUP}/hubspot"), Value::Null).await.status, 204);
}

#[tokio::test]
async fn a_flow_that_declares_no_slots_is_named_when_a_method_goes() {
    let app = TestApp::start().await;
    app.install("hubspot").await;
    app.publish("caller", "caller").await;
    let connection = connect(&app, "https://api.hubapi.com").await;
    app.put("/groups/acme/flows/caller/slots/app", json!({"connection": connection["id"]})).await;
    let installed = install(&app, OF_GROUP, other_method()).await;
    assert_eq!(installed.status, 201, "{installed:?}");
    let warning = installed.json()["warnings"][0].as_str().unwrap().to_owned();
    assert!(warning.contains("the flow \"caller\", version 1 in production calls a method that is gone"), "{warning}");
    assert!(warning.ends_with("Gone: \"search_contacts\""), "{warning}");
}

#[tokio::test]
async fn the_servers_connectors_are_for_all_groups_and_a_groups_own_comes_first() {
    let app = TestApp::start().await;
    let made = install(&app, OF_SERVER, guests::component("hubspot")).await;
    assert_eq!((made.status, &made.json()["scope"]), (201, &json!("server")), "{made:?}");
    let seen = app.get(OF_GROUP).await;
    assert_eq!((&seen[0]["name"], &seen[0]["scope"]), (&json!("hubspot"), &json!("server")));
    connect(&app, "https://api.hubapi.com").await;
    // It is not the group's to change.
    let (status, _, message) = ask(&app, Method::POST, ROLLBACK, json!({})).await.problem();
    assert!(status == 409 && message.contains("it uses the server's"), "{message}");
    let removal = ask(&app, Method::DELETE, &format!("{OF_SERVER}/hubspot"), Value::Null).await;
    let (status, _, message) = removal.problem();
    assert!(status == 409 && message.contains("1 connection(s) of the group acme"), "{message}");

    // An upgrade of the server's tells what breaks in whichever group.
    let (status, _, message) = install(&app, OF_SERVER, other_auth()).await.problem();
    assert!(status == 409 && message.contains("The connection \"crm\" of the group acme in production"), "{message}");

    // A group's own comes first, and has to fit its connections like an upgrade.
    assert_eq!(install(&app, OF_GROUP, other_auth()).await.problem().1, "connector_incompatible");
    assert_eq!(install(&app, OF_GROUP, harmless()).await.status, 201);
    let own = app.get(&format!("{OF_GROUP}/hubspot")).await;
    assert_eq!((&own["scope"], &own["version"]), (&json!("group"), &json!(1)));
    assert_eq!(app.get(OF_GROUP).await.as_array().unwrap().len(), 1);
    // From now on the server's does not concern the group.
    assert_eq!(install(&app, OF_SERVER, other_auth()).await.status, 201);
    let (status, code, _) = ask(&app, Method::DELETE, &format!("{OF_GROUP}/hubspot"), Value::Null).await.problem();
    assert_eq!((status, code.as_str()), (409, "connector_incompatible"));
    let back = ask(&app, Method::POST, &format!("{OF_SERVER}/hubspot/rollback"), json!({})).await;
    assert_eq!(back.status, 200, "{back:?}");
    assert_eq!(ask(&app, Method::DELETE, &format!("{OF_GROUP}/hubspot"), Value::Null).await.status, 204);
    let app = app.restart().await;
    let seen = app.get(&format!("{OF_GROUP}/hubspot")).await;
    assert_eq!((&seen["scope"], &seen["version"]), (&json!("server"), &json!(1)));
}

#[tokio::test]
async fn a_call_under_way_ends_on_the_module_it_began_with() {
    // The app answers when the story lets it.
    let gate = std::sync::Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let (asked, mut was_asked) = tokio::sync::mpsc::unbounded_channel();
    let crm = StandIn::start(move |_| {
        let _ = asked.send(());
        let held = held.clone();
        let waiting = async move {
            held.acquire().await.unwrap().forget();
            Ok::<_, std::convert::Infallible>(r#"{"total": 0, "results": []}"#)
        };
        let body = axum::body::Body::from_stream(futures::stream::once(waiting));
        ([("content-type", "application/json")], body).into_response()
    })
    .await;
    let exempt = crm.address.to_string();
    let app = TestApp::with(|settings| settings.egress.allow_private = vec![exempt.parse().unwrap()]).await;
    app.install("hubspot").await;
    app.publish("caller", "caller").await;
    let connection = connect(&app, &crm.url()).await;
    app.put("/groups/acme/flows/caller/slots/app", json!({"connection": connection["id"]})).await;
    let order =
        |method: &str| json!({"environment": "production", "event": {"method": method, "input": {"filterGroups": []}}});
    let lacking = json!({"environment": "production", "event": {"method": "get_contact", "input": {}}});
    let said = async || {
        let run = ask(&app, Method::POST, "/groups/acme/flows/caller/run", lacking.clone()).await;
        run.json()["steps"][0]["error"]["message"].as_str().unwrap_or_default().to_owned()
    };
    assert!(said().await.contains("either by its id"));
    let run = ask(&app, Method::POST, "/groups/acme/flows/caller/run", order("search_contacts"));
    let swap = async {
        tokio::time::timeout(Duration::from_secs(30), was_asked.recv()).await.unwrap();
        let other =
            guests::changed("hubspot", &[("either by its id or by its email", "either by its ID or by its email")]);
        assert_eq!(install(&app, OF_GROUP, other).await.status, 201);
        assert!(said().await.contains("either by its ID"), "who calls now, calls the new module");
        gate.add_permits(10);
    };
    let (run, ()) = tokio::join!(run, swap);
    assert_eq!(run.json()["steps"][0]["error"], Value::Null, "{run:?}");
}
