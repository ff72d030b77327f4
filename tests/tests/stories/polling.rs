//! Connectors' triggers in the real sandbox, against stand-ins for their apps: each record is told once.

use std::sync::{Arc, Mutex};

use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use headgate_tests::crm::{Received, StandIn};
use headgate_tests::guests;
use headgate_tests::polling::Poller;
use serde_json::{Value, json};

/// An app's records, which a story adds to.
#[derive(Clone, Default)]
struct Rows(Arc<Mutex<Vec<Value>>>);

impl Rows {
    fn add(&self, row: Value) {
        self.0.lock().unwrap().push(row);
    }

    fn all(&self) -> Vec<Value> {
        self.0.lock().unwrap().clone()
    }
}

/// Starts a connector with a stand-in that answers from rows.
async fn start(connector: &str, path: &str, answer: fn(&Received, &[Value]) -> Value) -> (Poller, Rows, StandIn) {
    let rows = Rows::default();
    let known = rows.clone();
    let app = StandIn::start(move |request| axum::Json(answer(request, &known.all())).into_response()).await;
    (Poller::start(&guests::component(connector), &app, path).await, rows, app)
}

fn body(request: &Received) -> Value {
    serde_json::from_slice(&request.body).unwrap_or_default()
}

fn created(id: &str, second: u32) -> Value {
    let time = format!("2026-01-02T03:04:{second:02}.000Z");
    json!({"id": id, "createdAt": time, "createdTime": time, "properties": {}, "fields": {}})
}

#[tokio::test]
async fn hubspot_tells_each_new_contact_once() {
    let (poller, rows, _app) = start("hubspot", "", |request, rows| {
        let asked = body(request);
        let mut found = rows.to_vec();
        if asked["sorts"][0]["direction"] == "DESCENDING" {
            found.reverse();
        }
        json!({"total": found.len(), "results": found})
    })
    .await;
    rows.add(created("1", 5));
    let input = json!({"properties": ["email"]});
    let begun = poller.poll("new_contact", &input, None).await;
    assert_eq!((begun.ids.len(), begun.more), (0, false));
    rows.add(created("2", 5));
    rows.add(created("3", 6));
    let told = poller.poll("new_contact", &input, Some(&begun.cursor)).await;
    assert_eq!(told.ids, ["2", "3"]);
    assert_eq!(told.data[0]["createdAt"], "2026-01-02T03:04:05.000Z");
    assert_eq!(poller.poll("new_contact", &input, Some(&told.cursor)).await.ids.len(), 0);
    assert_eq!(poller.refused("new_deal", &input, None).await, "trigger_not_found");
    assert_eq!(poller.refused("new_contact", &json!({"property": 1}), None).await, "invalid_input");
    assert_eq!(poller.refused("new_contact", &input, Some(&json!("mine"))).await, "invalid_cursor");
}

#[tokio::test]
async fn airtable_tells_each_new_record_once() {
    let (poller, rows, app) = start("airtable", "/v0", |request, rows| {
        let offset = body(request)["offset"].as_str().and_then(|offset| offset.parse().ok()).unwrap_or(0);
        let mut page = json!({"records": rows.iter().skip(offset).take(1).collect::<Vec<_>>()});
        if offset + 1 < rows.len() {
            page["offset"] = (offset + 1).to_string().into();
        }
        page
    })
    .await;
    let input = json!({"baseId": "appLkNDICXNqxSDhG", "table": "Tasks"});
    let begun = poller.poll("new_record", &input, None).await;
    assert_eq!(begun.ids.len(), 0);
    let formula = body(&app.received()[0])["filterByFormula"].as_str().unwrap().to_owned();
    assert!(formula.starts_with("NOT(IS_BEFORE(CREATED_TIME(), '20"), "{formula}");

    // It begins by the clock; these are created a while later.
    let later = |id: &str, second: u32| {
        let mut row = created(id, second);
        row["createdTime"] = format!("2999-01-02T03:04:{second:02}.000Z").into();
        row
    };
    rows.add(later("recA", 5));
    rows.add(later("recB", 5));
    let first = poller.poll("new_record", &input, Some(&begun.cursor)).await;
    assert_eq!((first.ids, first.more), (vec!["recA".to_owned()], true));
    let second = poller.poll("new_record", &input, Some(&first.cursor)).await;
    assert_eq!((second.ids, second.more), (vec!["recB".to_owned()], false));
    assert_eq!(poller.poll("new_record", &input, Some(&second.cursor)).await.ids.len(), 0);
}

#[tokio::test]
async fn notion_tells_each_change_once() {
    const DATABASE: &str = "668d797c76fa49349b05ad288df2d136";
    let (poller, rows, app) = start("notion", "/v1", |_, rows| json!({"results": rows, "has_more": false})).await;
    let changed = |id: &str, time: &str| json!({"id": id, "last_edited_time": time, "properties": {}});
    let input = json!({"database_id": DATABASE});
    let begun = poller.poll("page_changed", &input, None).await;
    assert_eq!(begun.ids.len(), 0);
    let sent = body(&app.received()[0]);
    assert_eq!(sent["sorts"][0], json!({"timestamp": "last_edited_time", "direction": "ascending"}));

    // As if it had begun long ago.
    let mut cursor = begun.cursor;
    for bound in ["floor", "from", "newest"] {
        cursor[bound] = 1_767_323_040_000_i64.into();
    }
    rows.add(changed("a", "2026-01-02T03:04:00.000Z"));
    rows.add(changed("b", "2026-01-02T03:04:00.000Z"));
    let told = poller.poll("page_changed", &input, Some(&cursor)).await;
    assert_eq!(told.ids, ["a@2026-01-02T03:04:00.000Z", "b@2026-01-02T03:04:00.000Z"]);
    rows.add(changed("a", "2026-01-02T03:05:00.000Z"));
    // Its minute is not over: nobody knows yet how it will be then.
    rows.add(changed("c", "2999-01-02T03:05:00.000Z"));
    let told = poller.poll("page_changed", &input, Some(&told.cursor)).await;
    assert_eq!(told.ids, ["a@2026-01-02T03:05:00.000Z"]);
}

#[tokio::test]
async fn gmail_tells_each_new_message_once() {
    let (poller, rows, _app) = start("gmail", "/gmail/v1", |request, rows| {
        let path = request.uri.path();
        if path.ends_with("/profile") {
            return json!({"emailAddress": "me@example.com", "historyId": "100"});
        }
        if path.ends_with("/history") {
            let begin: usize = parameter(request, "startHistoryId").parse().unwrap();
            let added = rows.iter().skip(begin - 100).map(|row| json!({"messagesAdded": [{"message": row}]}));
            return json!({"history": added.collect::<Vec<_>>(), "historyId": (100 + rows.len()).to_string()});
        }
        let id = path.rsplit('/').next().unwrap();
        let headers = json!([{"name": "Subject", "value": format!("About {id}")}]);
        json!({"id": id, "threadId": id, "labelIds": ["INBOX"], "payload": {"headers": headers}})
    })
    .await;
    let begun = poller.poll("new_mail", &json!({}), None).await;
    assert_eq!((begun.ids.len(), begun.cursor), (0, json!({"history_id": "100"})));
    rows.add(json!({"id": "m1"}));
    rows.add(json!({"id": "m2"}));
    let told = poller.poll("new_mail", &json!({}), Some(&json!({"history_id": "100"}))).await;
    assert_eq!((told.ids, told.cursor), (vec!["m1".to_owned(), "m2".into()], json!({"history_id": "102"})));
    assert_eq!(told.data[0]["subject"], "About m1");
    assert_eq!(poller.poll("new_mail", &json!({}), Some(&json!({"history_id": "102"}))).await.ids.len(), 0);
}

/// What a flow that is only tried gets instead of an app's answer.
#[tokio::test]
async fn each_method_and_each_trigger_has_a_sample() {
    let app = StandIn::start(|_| StatusCode::OK.into_response()).await;
    for connector in [
        "airtable",
        "gmail",
        "google-drive",
        "http-connector",
        "hubspot",
        "mailchimp-transactional",
        "notion",
        "openai",
        "power-bi",
        "slack",
        "zoho-crm",
    ] {
        let manifest = Poller::start(&guests::component(connector), &app, "").await.manifest().await;
        let entries = ["methods", "triggers"].map(|kind| manifest[kind].as_array().cloned().unwrap_or_default());
        for entry in entries.concat() {
            assert!(entry["sample"].is_object(), "{connector}: {}", entry["name"]);
        }
    }
}

fn parameter(request: &Received, name: &str) -> String {
    let query = request.uri.query().unwrap_or_default();
    let found = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_limit_says_when_to_ask_again() {
    let app = StandIn::start(|_| -> Response {
        let body = json!({"status": "error", "category": "RATE_LIMITS", "message": "Too fast."});
        let mut answer = (StatusCode::TOO_MANY_REQUESTS, axum::Json(body)).into_response();
        answer.headers_mut().insert("retry-after", HeaderValue::from_static("10"));
        answer
    })
    .await;
    let poller = Poller::start(&guests::component("hubspot"), &app, "").await;
    let error = poller.try_poll("new_contact", &json!({}), None).await.unwrap_err().for_flow();
    assert_eq!((error.code.as_str(), error.retryable), ("rate_limited", true));
    assert!(format!("{:?}", error.details).contains("retry_after_seconds"), "{:?}", error.details);
}
