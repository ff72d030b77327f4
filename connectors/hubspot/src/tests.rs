use headgate_sdk::testing::{Host, invoke};
use serde_json::{Value, json};

use super::*;

const CONTACTS: &str = "https://api.hubapi.com/crm/v3/objects/contacts";

fn ada() -> Value {
    json!({
        "id": "51",
        "properties": {"email": "ada@example.com", "hs_lead_status": "NEW", "phone": null},
        "createdAt": "2026-01-02T03:04:05.000Z",
        "updatedAt": "2026-01-02T03:04:05.000Z",
        "archived": false
    })
}

fn call(method: &str, input: Value) -> Result<Value> {
    invoke::<Hubspot>(method, &input)
}

#[test]
fn gets_a_contact_by_id() {
    let host = Host::of::<Hubspot>();
    host.http("GET", &format!("{CONTACTS}/51")).query("properties", "email,phone").answer(200, &ada());
    let contact = call("get_contact", json!({"id": "51", "properties": ["email", "phone"]})).unwrap();
    assert_eq!(contact, ada());
    assert!(host.requests()[0].query.get("idProperty").is_none());
}

#[test]
fn gets_a_contact_by_email_at_another_address() {
    let host = Host::of::<Hubspot>();
    host.config("api_url", "http://127.0.0.1:9/crm/");
    host.http("GET", "http://127.0.0.1:9/crm/crm/v3/objects/contacts/ada%40example.com")
        .query("idProperty", "email")
        .answer(200, &ada());
    let contact = Hubspot::get_contact(GetContact::by_email("ada@example.com")).unwrap();
    assert_eq!(contact.property("hs_lead_status"), Some("NEW"));
    assert_eq!(contact.property("phone"), None);
}

#[test]
fn a_contact_is_named_by_one_of_both() {
    let _host = Host::of::<Hubspot>();
    for input in [json!({}), json!({"id": ""}), json!({"id": ".."}), json!({"id": "1", "email": "a@example.com"})] {
        assert_eq!(call("get_contact", input).unwrap_err().code, "invalid_input");
    }
}

#[test]
fn searches_with_filters_and_pages() {
    let host = Host::of::<Hubspot>();
    let search = json!({
        "filterGroups": [{"filters": [{"propertyName": "hs_lead_status", "operator": "IN", "values": ["new", "open"]}]}],
        "sorts": [{"propertyName": "createdate", "direction": "DESCENDING"}],
        "properties": ["email"],
        "limit": 1,
        "after": "1"
    });
    let page = json!({"total": 3, "results": [ada()], "paging": {"next": {"after": "2"}}});
    host.http("POST", &format!("{CONTACTS}/search")).json(&search).answer(200, &page);
    assert_eq!(call("search_contacts", search).unwrap(), page);
}

#[test]
fn creates_and_updates() {
    let host = Host::of::<Hubspot>();
    host.http("POST", CONTACTS)
        .json(&json!({"properties": {"email": "ada@example.com", "firstname": "Ada"}}))
        .answer(201, &ada());
    host.http("PATCH", &format!("{CONTACTS}/51"))
        .json(&json!({"properties": {"hs_lead_status": "CONNECTED"}}))
        .answer(200, &ada());
    let contact = Hubspot::create_contact(CreateContact::new("ada@example.com").set("firstname", "Ada")).unwrap();
    Hubspot::update_contact(UpdateContact::by_id(contact.id).set("hs_lead_status", "CONNECTED")).unwrap();
}

#[test]
fn errors_say_what_to_do() {
    let conflict = json!({
        "status": "error",
        "message": "Contact already exists. Existing ID: 51",
        "correlationId": "2dea5219",
        "category": "CONFLICT"
    });
    let limits = json!({"message": "You have reached your secondly limit.", "category": "RATE_LIMITS"});
    let cases = [
        (409, conflict, "conflict", false),
        (404, json!({"message": "resource not found"}), "not_found", false),
        (401, json!({"category": "INVALID_AUTHENTICATION"}), "unauthorized", false),
        (429, limits, "rate_limited", true),
        (503, json!("<html>"), "unavailable", true),
    ];
    for (status, body, code, retryable) in cases {
        let host = Host::of::<Hubspot>();
        host.http("POST", CONTACTS).answer(status, &body);
        let error = Hubspot::create_contact(CreateContact::new("ada@example.com")).unwrap_err();
        assert_eq!((error.code.as_str(), error.retryable), (code, retryable), "{status}");
        let details = error.details.unwrap();
        assert_eq!(details["status"], status);
        let existing = if status == 409 { json!("51") } else { Value::Null };
        assert_eq!(details["existing_id"], existing);
    }
}

#[test]
fn invalid_input_names_the_place() {
    let _host = Host::of::<Hubspot>();
    let error = call("search_contacts", json!({"filterGroups": [{"filters": [{"operator": "EQ"}]}]})).unwrap_err();
    assert_eq!(error.code, "invalid_input");
    assert_eq!(error.details.unwrap()["path"], "$.filterGroups[0].filters[0]");
    let error = call("delete_contact", json!({})).unwrap_err();
    assert_eq!(error.code, "method_not_found");
    assert!(error.message.contains("get_contact, search_contacts, create_contact, update_contact"), "{error}");
}

#[test]
fn its_oauth_is_sound() {
    let manifest = <Hubspot as headgate_sdk::Connector>::describe();
    assert_eq!(manifest.faults(), Vec::<String>::new());
    assert_eq!(manifest.auth[0].id, "private_app", "what a connection gets that names no other");
    for method in &manifest.methods {
        assert_eq!(method.scopes.len(), 1, "{}", method.name);
    }
}
