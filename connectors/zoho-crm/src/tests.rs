use headgate_sdk::manifest::{MetadataSource, OauthGrant};
use headgate_sdk::testing::{Host, invoke};
use serde_json::{Value, json};

use super::*;

const LEADS: &str = "https://www.zohoapis.eu/crm/v8/Leads";

/// A host for a connection that was authorized in the EU.
fn host() -> Host {
    let host = Host::of::<ZohoCrm>();
    host.config("api_domain", "https://www.zohoapis.eu");
    host
}

fn outcome(status: &str, code: &str, details: Value) -> Value {
    json!({"code": code, "details": details, "message": "as it is", "status": status})
}

#[test]
fn gets_a_record_of_the_accounts_data_centre() {
    let host = host();
    let lead = json!({"id": "410888000000698006", "Last_Name": "Lovelace", "Owner": {"id": "1", "name": "Ann"}});
    host.http("GET", &format!("{LEADS}/410888000000698006"))
        .query("fields", "Last_Name,Owner")
        .answer(200, &json!({"data": [lead]}));
    let input = json!({"module": "Leads", "id": "410888000000698006", "fields": ["Last_Name", "Owner"]});
    assert_eq!(invoke::<ZohoCrm>("get_record", &input).unwrap(), lead);

    host.http("GET", &format!("{LEADS}/7")).answer_with(http::Response { status: 204, ..Default::default() });
    let missing = ZohoCrm::get_record(GetRecord { module: "Leads".into(), id: "7".into(), fields: vec![] });
    assert_eq!(missing.unwrap_err().code, "not_found");
}

#[test]
fn searches_by_one_thing() {
    let host = host();
    let page = json!({
        "data": [{"id": "1", "Email": "ada@example.com"}],
        "info": {"per_page": 1, "count": 1, "page": 2, "more_records": true}
    });
    let search = host.http("GET", &format!("{LEADS}/search")).query("email", "ada@example.com");
    search.query("page", "2").query("per_page", "1").answer(200, &page);
    let input = json!({"module": "Leads", "email": "ada@example.com", "page": 2, "per_page": 1});
    assert_eq!(invoke::<ZohoCrm>("search_records", &input).unwrap(), page);

    let nothing = host.http("GET", &format!("{LEADS}/search")).query("criteria", r"(Company:equals:Acme\, Ltd)");
    nothing.answer_with(http::Response { status: 204, ..Default::default() });
    let found = ZohoCrm::search_records(SearchRecords::equal("Leads", "Company", "Acme, Ltd")).unwrap();
    assert!(found.data.is_empty());

    for input in [json!({"module": "Leads"}), json!({"module": "Leads", "word": "a", "phone": "1"})] {
        assert_eq!(invoke::<ZohoCrm>("search_records", &input).unwrap_err().code, "invalid_input");
    }
}

#[test]
fn each_written_record_has_its_outcome() {
    let host = host();
    let body = json!({"data": [{"Last_Name": "Lovelace"}, {"Last_Name": "Hopper"}], "trigger": []});
    let mixed = json!({"data": [
        outcome("success", "SUCCESS", json!({"id": "1", "Created_Time": "2026-01-02T03:04:05+01:00"})),
        outcome("error", "INVALID_DATA", json!({"api_name": "Email"})),
    ]});
    host.http("POST", LEADS).json(&body).answer(207, &mixed);
    let mut leads = CreateRecords::of("Leads").record([("Last_Name", "Lovelace")]).record([("Last_Name", "Hopper")]);
    leads.trigger = Some(vec![]);
    let written = ZohoCrm::create_records(leads).unwrap();
    assert_eq!((written.data[0].id(), written.data[1].id()), (Some("1"), None));

    let body = json!({"data": [{"id": "1", "Lead_Status": "Contacted"}]});
    host.http("PUT", LEADS)
        .json(&body)
        .answer(200, &json!({"data": [outcome("success", "SUCCESS", json!({"id": "1"}))]}));
    ZohoCrm::update_records(UpdateRecords::of("Leads").record("1", [("Lead_Status", "Contacted")])).unwrap();

    let none = invoke::<ZohoCrm>("create_records", &json!({"module": "Leads", "data": []})).unwrap_err();
    assert_eq!(none.code, "invalid_input");
}

#[test]
fn errors_say_what_to_do() {
    let top = |code: &str| json!({"code": code, "details": {}, "message": "as it is", "status": "error"});
    let one = |code: &str, details: Value| json!({"data": [outcome("error", code, details)]});
    let twice = json!({"api_name": "Email", "duplicate_record": {"id": "51", "module": {"api_name": "Leads"}}});
    let cases = [
        (401, top("INVALID_TOKEN"), "unauthorized", false),
        (401, top("OAUTH_SCOPE_MISMATCH"), "forbidden", false),
        (403, top("NO_PERMISSION"), "forbidden", false),
        (400, top("INVALID_MODULE"), "invalid_request", false),
        (202, one("MANDATORY_NOT_FOUND", json!({"api_name": "Last_Name"})), "invalid_request", false),
        (202, one("DUPLICATE_DATA", twice), "conflict", false),
        (429, top("TOO_MANY_REQUESTS"), "rate_limited", true),
        (500, json!("<html>"), "unavailable", true),
    ];
    for (status, body, code, retryable) in cases {
        let host = host();
        host.http("POST", LEADS).answer(status, &body);
        let error = ZohoCrm::create_records(CreateRecords::of("Leads").record([("Email", "a@b.example")])).unwrap_err();
        assert_eq!((error.code.as_str(), error.retryable), (code, retryable), "{status} {body}");
        let details = error.details.unwrap();
        let existing = if code == "conflict" { json!("51") } else { Value::Null };
        assert_eq!((details["status"].clone(), details["existing_id"].clone()), (json!(status), existing));
    }
}

#[test]
fn nothing_is_asked_of_an_account_that_is_nowhere_yet() {
    let host = Host::of::<ZohoCrm>();
    let error = ZohoCrm::search_records(SearchRecords::by_email("Leads", "ada@example.com")).unwrap_err();
    assert_eq!(error.code, "invalid_config");
    assert!(host.requests().is_empty());
}

#[test]
fn the_redirect_and_the_token_say_where_the_account_is() {
    let manifest = <ZohoCrm as headgate_sdk::Connector>::describe();
    for auth in &manifest.auth[..2] {
        let oauth = auth.kind.oauth().unwrap();
        let told: Vec<_> = oauth.metadata.iter().map(|told| (told.source, told.field.as_str())).collect();
        let expected = [(MetadataSource::Redirect, "accounts-server"), (MetadataSource::Token, "/api_domain")];
        assert_eq!((told.as_slice(), oauth.scope_separator.as_str()), (&expected[..], ","));
    }
    let own = manifest.auth[2].kind.oauth().unwrap();
    assert_eq!((own.grant, own.metadata.len()), (OauthGrant::ClientCredentials, 0));
    // A search needs two scopes, and a method names those of which it needs one: the other is always there.
    let scopes = manifest.auth.iter().filter_map(|auth| auth.kind.oauth()).map(|oauth| &oauth.scopes);
    for scopes in scopes {
        let read = scopes.iter().find(|scope| scope.name == "ZohoCRM.modules.READ").unwrap();
        assert!(read.required);
    }
    let field = &manifest.config[0];
    assert_eq!(field.choice_titles["zoho.com"], "Zoho US (Global)");
    assert!(
        "https://accounts.zohocloud.ca".strip_prefix(&field.prefix).is_some_and(|d| field.choices.contains(&d.into()))
    );
}

#[test]
fn every_data_centre_has_an_api() {
    let manifest = <ZohoCrm as headgate_sdk::Connector>::describe();
    let field = |name: &str| manifest.config.iter().find(|field| field.name == name).unwrap();
    let pattern = field("api_domain").pattern.clone().unwrap();
    let (_, domains) = pattern.split_once(r"zohoapis\.(").unwrap();
    let domains: Vec<_> = domains.split_once(')').unwrap().0.split('|').collect();
    for choice in &field("data_center").choices {
        let domain = choice.split_once('.').unwrap().1.replace('.', r"\.");
        assert!(domains.contains(&domain.as_str()), "{choice}");
    }
    assert!(field("data_center").choices.contains(&"zoho.ae".to_owned()));
}
