//! A group with one of each of the things that operations are about.

use headgate_tests::{Answer, TestApp, guests};
use reqwest::Method;
use serde_json::{Value, json};

use super::Things;

/// A group with one of each.
pub(super) async fn of(app: &TestApp, group: &'static str) -> Things {
    let mut things = connected_things(app, group).await;
    let fired = fired_things(app, group, &things["polled"]).await;
    things.extend(fired);
    let at = |path: &str| format!("/groups/{group}{path}");
    let key = app.post(&at("/api-keys"), json!({"name": format!("key-of-{group}")})).await;
    let key = text(&key["id"]);
    let service = app.app().service();
    for _ in 0..20 {
        service.note_failed_authentication(Some(&key.parse().unwrap()), None);
        service.note_failed_authentication(None, Some([198, 51, 100, 4].into()));
    }
    service.evaluate_alerts().await.unwrap();
    let alert = text(&app.get(&at("/alerts")).await[0]["id"]);
    let server_alert = text(&app.get("/alerts").await[0]["id"]);
    let (member, stranger) = (format!("member@{group}.example"), format!("stranger@{group}.example"));
    for email in [&member, &stranger] {
        app.post("/users", json!({ "email": email })).await;
    }
    app.post(&at("/members"), json!({"email": member, "role": "viewer"})).await;
    things.extend([
        ("group", group.to_owned()),
        ("key", key),
        ("slot", "app".to_owned()),
        ("alert", alert),
        ("server_alert", server_alert),
        ("member", member),
        ("stranger", stranger),
        ("sample", format!("sample-of-{group}")),
        ("version", "1".to_owned()),
    ]);
    things
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

async fn upload(app: &TestApp, path: &str, guest: &str) -> Value {
    let request = app.manage(Method::PUT, path).header("content-type", "application/wasm");
    let answer = Answer::to(request.body(guests::component(guest))).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

/// Connectors, connections and app registrations.
async fn connected_things(app: &TestApp, group: &'static str) -> Things {
    let at = |path: &str| format!("/groups/{group}{path}");
    let guest = if group == "acme" { "conformance-connector" } else { "http-connector" };
    let connector = text(&upload(app, &at("/connectors"), guest).await["name"]);
    let connect = async |name: &str| {
        let config = json!({"base_url": "https://app.example"});
        let mut connection = json!({"name": name, "connector": connector, "config": config});
        if group == "rival" {
            connection["auth"] = json!("none");
        }
        text(&app.post(&at("/connections"), connection).await["id"])
    };
    let (connection, spare_connection) = (connect("app").await, connect("spare").await);
    upload(app, &at("/connectors"), "consent-connector").await;
    let (spare, of_server) = if group == "acme" { ("gmail", "slack") } else { ("notion", "airtable") };
    let spare_connector = text(&upload(app, &at("/connectors"), spare).await["name"]);
    let server_connector = text(&upload(app, "/connectors", of_server).await["name"]);
    let register = async |path: &str, name: &str, rest: Value| {
        let mut new = json!({"name": format!("{name}-of-{group}"), "connector": "consent", "client_id": "1", "token_hosts": ["app.example"]});
        new.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        text(&app.post(path, new).await["id"])
    };
    let registration = register(&at("/app-registrations"), "app", json!({})).await;
    let spare_registration = register(&at("/app-registrations"), "spare", json!({})).await;
    let of_server = json!({"connector": format!("for-{group}"), "token_hosts": ["app.example"]});
    let server_registration = register("/app-registrations", "app", of_server).await;
    let config = json!({"provider": "https://app.example", "region": "eu"});
    let oauth =
        json!({"name": "oauth", "connector": "consent", "auth": "own", "config": config, "registration": registration});
    let oauth_connection = text(&app.post(&at("/connections"), oauth).await["id"]);
    upload(app, &at("/connectors"), "poll-connector").await;
    let config = json!({"base_url": "https://app.example"});
    let polled = json!({"name": "polled", "connector": "polls", "config": config, "secrets": {"token": "a-token"}});
    let polled = text(&app.post(&at("/connections"), polled).await["id"]);
    Things::from([
        ("connector", connector),
        ("connection", connection),
        ("spare", spare_connection),
        ("spare_connector", spare_connector),
        ("server_connector", server_connector),
        ("registration", registration),
        ("spare_registration", spare_registration),
        ("server_registration", server_registration),
        ("oauth_connection", oauth_connection),
        ("polled", polled),
    ])
}

/// Flows, what runs them, and a run.
async fn fired_things(app: &TestApp, group: &'static str, polled: &str) -> Things {
    let at = |path: &str| format!("/groups/{group}{path}");
    let name = format!("flow-of-{group}");
    let flow = text(&app.post(&at("/flows"), json!({ "name": name })).await["id"]);
    let spare_flow = text(&app.post(&at("/flows"), json!({ "name": "spare" })).await["id"]);
    // Something to go back to.
    upload(app, &at(&format!("/flows/{flow}/versions")), "hash").await;
    app.post(&at(&format!("/flows/{flow}/publish")), json!({})).await;
    upload(app, &at(&format!("/flows/{flow}/versions")), "echo").await;
    let below = |what: &str| at(&format!("/flows/{flow}/{what}"));
    let trigger = text(&app.post(&below("triggers"), json!({})).await["id"]);
    let offered = json!({"slug": format!("app-of-{group}"), "flow": flow});
    let offered = text(&app.post(&at("/apps"), offered).await["slug"]);
    let schedule = text(&app.post(&below("schedules"), json!({"cron": "@yearly"})).await["id"]);
    let app_trigger = json!({"connection": polled, "trigger": "new_record", "input": {"list": "new"}});
    let app_trigger = text(&app.post(&below("app-triggers"), app_trigger).await["id"]);
    let run = text(&app.post(&below("run"), json!({})).await["id"]);
    Things::from([
        ("flow", flow),
        ("spare_flow", spare_flow),
        ("trigger", trigger),
        ("app", offered),
        ("schedule", schedule),
        ("app_trigger", app_trigger),
        ("run", run),
    ])
}
