use headgate_sdk::manifest::{AuthKind, OauthGrant};
use headgate_sdk::testing::{Host, invoke};
use serde_json::{Value, json};

use super::*;

const TASKS: &str = "https://api.airtable.com/v0/appLkNDICXNqxSDhG/Open%20tasks";

fn record(id: &str) -> Value {
    json!({"id": id, "createdTime": "2026-01-02T03:04:05.000Z", "fields": {"Name": "Call Ada", "Done": true}})
}

fn input(more: Value) -> Value {
    let mut input = json!({"baseId": "appLkNDICXNqxSDhG", "table": "Open tasks"});
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    input
}

#[test]
fn lists_a_page_after_the_other() {
    let host = Host::of::<Airtable>();
    let search = json!({"filterByFormula": "{Done}", "sort": [{"field": "Name", "direction": "desc"}], "pageSize": 1});
    let page = json!({"records": [record("rec1")], "offset": "itr1/rec1"});
    host.http("POST", &format!("{TASKS}/listRecords")).json(&search).answer(200, &page);
    assert_eq!(invoke::<Airtable>("list_records", &input(search)).unwrap(), page);

    let next = json!({"offset": "itr1/rec1"});
    host.http("POST", &format!("{TASKS}/listRecords")).json(&next).answer(200, &json!({"records": []}));
    let next = ListRecords::of("appLkNDICXNqxSDhG", "Open tasks").after("itr1/rec1");
    assert_eq!(Airtable::list_records(next).unwrap(), Page::default());
}

#[test]
fn creates_updates_and_upserts() {
    let host = Host::of::<Airtable>();
    let answer = json!({"records": [record("rec1")]});
    let created = json!({"records": [{"fields": {"Name": "Call Ada"}}], "typecast": true});
    host.http("POST", TASKS).json(&created).answer(200, &answer);
    assert_eq!(invoke::<Airtable>("create_records", &input(created)).unwrap(), answer);

    let changed = json!({"records": [{"id": "rec1", "fields": {"Done": true}}]});
    host.http("PATCH", TASKS).json(&changed).answer(200, &answer);
    let change = UpdateRecords::of("appLkNDICXNqxSDhG", "Open tasks").record("rec1", [("Done", true)]);
    assert_eq!(Airtable::update_records(change).unwrap().records[0].fields["Name"], "Call Ada");

    let merged = json!({"records": [{"fields": {"Name": "Call Ada"}}], "performUpsert": {"fieldsToMergeOn": ["Name"]}});
    let answer = json!({"records": [record("rec1")], "createdRecords": [], "updatedRecords": ["rec1"]});
    host.http("PATCH", TASKS).json(&merged).answer(200, &answer);
    let upsert = input(json!({"records": [{"fields": {"Name": "Call Ada"}}], "mergeOn": ["Name"]}));
    assert_eq!(invoke::<Airtable>("upsert_records", &upsert).unwrap(), answer);
}

#[test]
fn what_cannot_be_meant_is_refused_before_it_is_sent() {
    let host = Host::of::<Airtable>();
    let eleven = vec![json!({"fields": {}}); 11];
    for records in [json!([]), json!(eleven)] {
        let error = invoke::<Airtable>("create_records", &input(json!({ "records": records }))).unwrap_err();
        assert_eq!(error.code, "invalid_input");
    }
    for table in ["", "..", "."] {
        assert_eq!(Airtable::list_records(ListRecords::of("app1", table)).unwrap_err().code, "invalid_input");
    }
    assert!(host.requests().is_empty());
}

#[test]
fn errors_say_what_to_do() {
    let invalid = json!({"error": {"type": "UNKNOWN_FIELD_NAME", "message": "Unknown field name: \"Nme\""}});
    let limit =
        json!({"errors": [{"error": "RATE_LIMIT_REACHED", "message": "Rate limit exceeded. Please try again later"}]});
    let login = json!({"error": {"type": "AUTHENTICATION_REQUIRED", "message": "Authentication required"}});
    let model = json!({"error": {"type": "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND", "message": "Invalid permissions"}});
    let cases = [
        (422, invalid, "invalid_request", false, "UNKNOWN_FIELD_NAME"),
        (401, login, "unauthorized", false, "AUTHENTICATION_REQUIRED"),
        (403, model, "forbidden", false, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND"),
        (404, json!({"error": "NOT_FOUND"}), "not_found", false, "NOT_FOUND"),
        (429, limit, "rate_limited", true, "RATE_LIMIT_REACHED"),
        (503, json!("<html>"), "unavailable", true, ""),
    ];
    for (status, body, code, retryable, kind) in cases {
        let host = Host::of::<Airtable>();
        host.http("POST", &format!("{TASKS}/listRecords")).answer(status, &body);
        let error = Airtable::list_records(ListRecords::of("appLkNDICXNqxSDhG", "Open tasks")).unwrap_err();
        assert_eq!((error.code.as_str(), error.retryable), (code, retryable), "{status}");
        let details = error.details.unwrap();
        assert_eq!((details["status"].clone(), details["type"].as_str().unwrap_or_default()), (json!(status), kind));
        let wait = if status == 429 { json!(30) } else { Value::Null };
        assert_eq!(details["retry_after_seconds"], wait);
    }
}

#[test]
fn both_kinds_of_oauth_use_pkce() {
    let manifest = <Airtable as headgate_sdk::Connector>::describe();
    let kinds: Vec<_> = manifest.auth.iter().map(|auth| auth.kind.name()).collect();
    assert_eq!(kinds, ["api_key", "oauth", "oauth_advanced"]);
    for auth in &manifest.auth[1..] {
        let (AuthKind::Oauth(oauth) | AuthKind::OauthAdvanced(oauth)) = &auth.kind else { panic!("{}", auth.id) };
        assert!(oauth.pkce && oauth.grant == OauthGrant::AuthorizationCode);
    }
}
