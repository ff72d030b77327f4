//! What a key is used by, what can be found out about it, and what one key may give to another.

use headgate::domain::id::GroupId;
use headgate::domain::permission::Denial;
use headgate::service::access::{Actor, Who};
use headgate::service::api_keys::{KeyChanges, KeySwitch, NewApiKey};
use headgate::service::error::ServiceError;

use super::*;

fn names(list: &Value, field: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item[field].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_keys_page_shows_which_flows_and_triggers_use_it() {
    let house = House::open().await;
    house.app.publish("other", "mirror").await;
    house.make(json!({"name": "crm"})).await;
    let named = house.app.trigger("other", json!({"keys": ["crm"], "description": "Deals"})).await;
    let uses = house.show("crm").await["used_by"].clone();
    assert_eq!(names(&uses["flows"], "name"), ["mirror", "other"]);
    assert_eq!([&uses["flows"][0]["named"], &uses["flows"][1]["named"]], [false, true]);
    let first = &uses["triggers"][0];
    assert_eq!(
        (&first["id"], &first["flow_name"], &first["named"], &first["description"]),
        (&json!(named.id), &json!("other"), &json!(true), &json!("Deals"))
    );
    // Beside it, the first flow's trigger and the two execute triggers, which accept every key.
    assert_eq!(uses["triggers"].as_array().unwrap().len(), 4);

    let only = json!({"kind": "selected_flows", "flows": ["other"]});
    house.make(json!({"name": "one-flow", "permission": only})).await;
    let uses = house.show("one-flow").await["used_by"].clone();
    assert_eq!(names(&uses["flows"], "name"), ["other"]);
    assert_eq!(names(&uses["triggers"], "flow_name"), ["other"]);
    house.make(json!({"name": "reader", "permission": {"kind": "read_only"}})).await;
    assert_eq!(house.show("reader").await["used_by"], json!({"flows": [], "triggers": []}));
}

#[tokio::test]
async fn only_flows_with_an_http_trigger_are_marked_so() {
    let house = House::open().await;
    house.app.post("/groups/acme/flows", json!({"name": "bare"})).await;
    let marks = async || {
        let flows = house.app.get("/groups/acme/flows").await;
        flows.as_array().unwrap().iter().map(|flow| flow["has_http_trigger"].as_bool().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(marks().await, [false, true]);
    house.ask(Method::DELETE, &format!("/flows/mirror/triggers/{}", house.trigger.id), json!({})).await;
    house.app.trigger("bare", json!({})).await;
    assert_eq!(marks().await, [true, false]);
}

#[tokio::test]
async fn an_investigation_shows_everything_about_a_key_in_one_view() {
    let house = House::open().await;
    let key = house.make(json!({"name": "crm"})).await;
    house.make(json!({"name": "erp"})).await;
    house.app.trigger("mirror", json!({"keys": ["crm"]})).await;
    house.change("crm", json!({"description": "CRM"})).await;
    house.renew("crm", "rotate", json!({})).await;
    assert_eq!(house.knock(&key).await, ok());
    let page = "/groups/acme/api-keys/crm/investigate";
    let found = house.app.until(page, |found| found["usage"]["requests"] == 1).await;
    assert_eq!((&found["id"], &found["name"]), (&json!(key.id), &json!("crm")));
    assert_eq!((&found["flows"][0]["name"], &found["flows"][0]["succeeded"]), (&json!("mirror"), &json!(1)));
    assert_eq!(
        (&found["addresses"][0]["address"], &found["addresses"][0]["requests"]),
        (&json!("127.0.0.1"), &json!(1))
    );
    let actions = ["api-key.rotate", "api-key.update", "trigger.create", "api-key.create"];
    assert_eq!(names(&found["audit"], "action"), actions);
    assert_eq!(names(&found["used_by"]["flows"], "name"), ["mirror"]);
    assert_eq!(found["older_audit"], false);
    let texts = |field: &str| found[field].as_array().unwrap().iter().map(ToString::to_string).collect::<String>();
    for finding in ["it made 1 requests", "every network", "never expires", "2 values", "Flows it can run: 1"] {
        assert!(texts("findings").contains(finding), "{found}");
    }
    assert_eq!(found["next_steps"].as_array().unwrap().len(), 5);
    assert!(texts("next_steps").contains("headgate keys revoke crm"), "{found}");
    house.app.post("/groups/acme/api-keys/crm/revoke", json!({})).await;
    assert_eq!(house.knock(&key).await, refused("revoked_api_key"));
    let found = house.app.get(page).await;
    let findings = found["findings"].to_string();
    assert!(findings.contains("presented 1 times in the last minutes and refused"), "{findings}");
    assert!(found["next_steps"][0].as_str().unwrap().contains("is revoked already"), "{found}");
}

/// What a key that manages keys is refused.
fn beyond<T>(result: Result<T, ServiceError>) -> String {
    match result {
        Err(ServiceError::Forbidden(Denial::Escalation { what })) => what,
        Err(other) => other.to_string(),
        Ok(_) => "allowed".to_owned(),
    }
}

#[tokio::test]
async fn a_key_that_manages_keys_gives_nothing_it_does_not_have() {
    let house = House::open().await;
    let own = house.make(json!({"name": "manager", "scopes": ["keys:manage", "flows:execute"]})).await;
    house.make(json!({"name": "strong"})).await;
    house.make(json!({"name": "trial", "environment": "test"})).await;
    house.make(json!({"name": "weak", "scopes": ["flows:execute"]})).await;
    let service = house.app.app().service();
    let stored = service.catalog().api_keys.get(&own.id.parse().unwrap()).unwrap().clone();
    let actor = Actor::new(Who::Key(stored), None);
    let group: GroupId = "acme".parse().unwrap();
    let new = |key: Value| serde_json::from_value::<NewApiKey>(key).unwrap();
    let changes = |changes: Value| serde_json::from_value::<KeyChanges>(changes).unwrap();

    for (key, refusal) in [
        (
            json!({"name": "a"}),
            "the scopes flows:read, flows:write, apps:execute, runs:read, usage:read, connections:read, connections:write",
        ),
        (json!({"name": "a", "scopes": ["flows:execute", "runs:read"]}), "the scopes runs:read"),
        (json!({"name": "a", "scopes": ["flows:execute"]}), "allowed"),
        (json!({"name": "b", "scopes": ["flows:execute", "keys:manage"]}), "allowed"),
        (
            json!({"name": "c", "scopes": ["flows:execute"], "permission": {"kind": "selected_flows", "flows": ["mirror"]}}),
            "allowed",
        ),
    ] {
        assert_eq!(beyond(service.create_api_key(&actor, &group, new(key.clone())).await), refusal, "{key}");
    }
    let elsewhere = new(json!({"name": "d", "environment": "test", "scopes": ["flows:execute"]}));
    assert!(beyond(service.create_api_key(&actor, &group, elsewhere).await).starts_with("Wrong environment"));

    // It neither gets the value of a stronger key, nor changes one; another environment's keys are not there for it.
    let strong =
        "the scopes flows:read, flows:write, apps:execute, runs:read, usage:read, connections:read, connections:write";
    for (key, refusal) in
        [("strong", strong), ("trial", "API key not found"), ("weak", "allowed"), ("manager", "allowed")]
    {
        let regenerated = service.regenerate_api_key(&actor, &group, key, Default::default()).await;
        assert_eq!(beyond(regenerated), refusal, "{key}");
        assert_eq!(beyond(service.rotate_api_key(&actor, &group, key, None).await), refusal, "{key}");
    }
    for (key, change, refusal) in [
        ("weak", json!({"description": "x"}), "allowed"),
        ("weak", json!({"scopes": ["runs:read"]}), "the scopes runs:read"),
        ("strong", json!({"scopes": ["flows:execute"]}), strong),
        ("manager", json!({"scopes": null}), "settings other than those it was given"),
        ("manager", json!({"expires": null}), "settings other than those it was given"),
    ] {
        let changed = service.update_api_key(&actor, &group, key, changes(change)).await;
        assert_eq!(beyond(changed), refusal, "{key}");
    }
    assert_eq!(beyond(service.switch_api_key(&actor, &group, "strong", KeySwitch::Revoke).await), strong);
    assert_eq!(beyond(service.delete_api_key(&actor, &group, "strong").await), strong);
    let seen: Vec<_> = service.list_api_keys(&actor, &group).unwrap();
    assert!(seen.iter().all(|state| state.key.environment.is_production()));
}
