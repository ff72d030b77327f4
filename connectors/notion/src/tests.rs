use headgate_sdk::testing::{Host, invoke};
use serde_json::{Value, json};

use super::*;

const API: &str = "https://api.notion.com/v1";
const DATABASE: &str = "668d797c76fa49349b05ad288df2d136";
const PAGE: &str = "59833787-2cf9-4fdf-8782-e53db20768a5";

fn call(method: &str, input: Value) -> Result<Value> {
    invoke::<Notion>(method, &input)
}

fn page() -> Value {
    json!({
        "id": PAGE,
        "url": "https://www.notion.so/Ada-598337872cf94fdf8782e53db20768a5",
        "created_time": "2026-01-02T03:04:00.000Z",
        "last_edited_time": "2026-01-02T03:04:00.000Z",
        "archived": false,
        "in_trash": false,
        "parent": {"type": "database_id", "database_id": DATABASE},
        "properties": {
            "Name": {"id": "title", "type": "title", "title": [{"plain_text": "Ada "}, {"plain_text": "Lovelace"}]},
            "Age": {"id": "%3F", "type": "number", "number": 36}
        }
    })
}

#[test]
fn the_host_says_the_version() {
    for auth in &Notion::manifest().auth {
        let version = Placement::Header { name: "Notion-Version".into(), value: VERSION.into() };
        assert!(auth.kind.placements().contains(&version), "{}", auth.id);
    }
}

#[test]
fn queries_a_database() {
    let host = Host::of::<Notion>();
    let filter = json!({"property": "Status", "status": {"equals": "Open"}});
    let body = json!({
        "filter": filter,
        "sorts": [{"property": "Name", "direction": "ascending"}],
        "page_size": 1,
        "start_cursor": PAGE
    });
    let found = json!({"object": "list", "results": [page()], "has_more": true, "next_cursor": DATABASE});
    host.http("POST", &format!("{API}/databases/{DATABASE}/query"))
        .query("filter_properties", "title")
        .json(&body)
        .answer(200, &found);
    let mut input = body;
    input["database_id"] = DATABASE.into();
    input["filter_properties"] = json!(["title"]);
    let found = call("query_database", input).unwrap();
    assert_eq!((&found["results"][0], &found["next_cursor"]), (&page(), &json!(DATABASE)));

    host.http("POST", &format!("{API}/databases/{DATABASE}/query"))
        .json(&json!({}))
        .answer(200, &json!({"results": [], "has_more": false, "next_cursor": null}));
    assert_eq!(Notion::query_database(QueryDatabase::of(DATABASE)).unwrap(), Pages::default());
}

#[test]
fn creates_a_page() {
    let host = Host::of::<Notion>();
    host.http("POST", &format!("{API}/pages"))
        .json(&json!({
            "parent": {"database_id": DATABASE},
            "properties": {"Name": {"title": [{"text": {"content": "Ada"}}]}, "Age": {"number": 36}},
            "children": [{
                "object": "block",
                "type": "paragraph",
                "paragraph": {"rich_text": [{"type": "text", "text": {"content": "Hello"}}]}
            }]
        }))
        .answer(200, &page());
    let new = CreatePage::in_database(DATABASE).title("Name", "Ada").set("Age", json!({"number": 36}));
    let made = Notion::create_page(new.paragraph("Hello")).unwrap();
    assert_eq!(made.plain_text("Name").as_deref(), Some("Ada Lovelace"));
    assert_eq!(made.plain_text("Age"), None);

    host.http("POST", "/v1/pages").json(&json!({"parent": {"page_id": PAGE}, "properties": {}})).answer(200, &page());
    Notion::create_page(CreatePage::below_page(PAGE)).unwrap();
}

#[test]
fn retrieves_a_page() {
    let host = Host::of::<Notion>();
    host.http("GET", &format!("{API}/pages/{PAGE}")).query("filter_properties", "title").answer(200, &page());
    let input = json!({"page_id": PAGE, "filter_properties": ["title"]});
    assert_eq!(call("retrieve_page", input).unwrap(), page());
}

#[test]
fn an_id_is_an_id() {
    let _host = Host::of::<Notion>();
    for bad in ["", "..", "../users", "668d797c", &format!("{DATABASE}/x"), &format!("{DATABASE}?"), &"a".repeat(33)] {
        let inputs = [
            ("query_database", json!({"database_id": bad})),
            ("retrieve_page", json!({"page_id": bad})),
            ("create_page", json!({"parent": {"page_id": bad}})),
            ("create_page", json!({"parent": {"database_id": bad}})),
        ];
        for (method, input) in inputs {
            assert_eq!(call(method, input).unwrap_err().code, "invalid_input", "{method} {bad}");
        }
    }
    let both = json!({"parent": {"page_id": PAGE, "database_id": DATABASE}});
    assert_eq!(call("create_page", both).unwrap_err().code, "invalid_input");
}

#[test]
fn errors_say_what_to_do() {
    let cases = [
        (400, "validation_error", "invalid_request", false),
        (401, "unauthorized", "unauthorized", false),
        (403, "restricted_resource", "forbidden", false),
        (404, "object_not_found", "not_found", false),
        (409, "conflict_error", "conflict", true),
        (429, "rate_limited", "rate_limited", true),
        (503, "service_unavailable", "unavailable", true),
    ];
    for (status, name, code, retryable) in cases {
        let host = Host::of::<Notion>();
        let body = json!({"object": "error", "status": status, "code": name, "message": "m", "request_id": "r"});
        let headers = [("retry-after", "2")].into_iter().collect();
        let bytes = body.to_string().into_bytes();
        host.http("GET", &format!("{API}/pages/{PAGE}")).answer_with(http::Response { status, headers, bytes });
        let error = Notion::retrieve_page(RetrievePage::by_id(PAGE)).unwrap_err();
        assert_eq!((error.code.as_str(), error.retryable, error.message.as_str()), (code, retryable, "m"));
        let details = json!({"status": status, "code": name, "request_id": "r", "retry_after_seconds": 2});
        assert_eq!(error.details.unwrap(), details);
    }
}

#[test]
fn a_database_with_several_data_sources_is_told_so() {
    let host = Host::of::<Notion>();
    let body = json!({
        "object": "error",
        "status": 400,
        "code": "validation_error",
        "message": "Databases with multiple data sources are not supported in this API version.",
        "additional_data": {
            "error_type": "multiple_data_sources_for_database",
            "database_id": DATABASE,
            "child_data_source_ids": [PAGE, DATABASE],
            "minimum_api_version": "2025-09-03"
        }
    });
    host.http("POST", &format!("{API}/databases/{DATABASE}/query")).answer(400, &body);
    let error = Notion::query_database(QueryDatabase::of(DATABASE)).unwrap_err();
    assert_eq!((error.code.as_str(), error.retryable), ("invalid_request", false));
    assert!(error.message.contains("version. This connector speaks version 2022-06-28"), "{}", error.message);
    assert_eq!(error.details.unwrap()["error_type"], "multiple_data_sources_for_database");
}
