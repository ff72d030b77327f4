//! Airtable, by a personal access token and by OAuth.

use headgate_tests::apps::Caller;
use headgate_tests::apps::airtable::{Airtable, BASE, TOKEN};
use headgate_tests::clock::TestClock;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

fn input(more: Value) -> Value {
    let mut input = json!({"baseId": BASE, "table": "Tasks"});
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    input
}

#[tokio::test]
async fn records_are_written_and_listed_with_a_personal_access_token() {
    let airtable = Airtable::start().await;
    let caller = Caller::start("airtable", &airtable.app).await;
    let secrets = json!({"token": TOKEN});
    caller
        .connect(json!({"name": "base", "connector": "airtable", "config": airtable.config(), "secrets": secrets}))
        .await;

    let records = ["Call Ada", "Write to Grace", "Visit Edsger"].map(|name| json!({"fields": {"Name": name}}));
    let made = caller.call("create_records", input(json!({ "records": records }))).await.unwrap();
    assert_eq!(made["records"][2]["id"], "rec2");
    let done = input(json!({"records": [{"id": "rec1", "fields": {"Done": true}}]}));
    let done = caller.call("update_records", done).await.unwrap();
    assert_eq!(done["records"][0]["fields"], json!({"Name": "Write to Grace", "Done": true}));
    let merged = json!({"mergeOn": ["Name"], "records": [{"fields": {"Name": "Call Ada", "Done": true}}, {"fields": {"Name": "Rest"}}]});
    let merged = caller.call("upsert_records", input(merged)).await.unwrap();
    assert_eq!((&merged["createdRecords"], &merged["updatedRecords"]), (&json!(["rec3"]), &json!(["rec0"])));

    let page = caller.call("list_records", input(json!({"pageSize": 3}))).await.unwrap();
    assert_eq!(page["records"].as_array().unwrap().len(), 3);
    let last = caller.call("list_records", input(json!({"pageSize": 3, "offset": page["offset"]}))).await.unwrap();
    assert_eq!((&last["records"][0]["fields"]["Name"], last.get("offset")), (&json!("Rest"), None));

    let bearer = format!("Bearer {TOKEN}");
    assert!(airtable.app.received().iter().all(|request| request.headers["authorization"] == bearer.as_str()));
}

#[tokio::test]
async fn airtables_errors_come_with_their_causes() {
    let airtable = Airtable::start().await;
    let caller = Caller::start("airtable", &airtable.app).await;
    let secrets = json!({"token": TOKEN});
    caller
        .connect(json!({"name": "base", "connector": "airtable", "config": airtable.config(), "secrets": secrets}))
        .await;

    let misspelt = input(json!({"records": [{"fields": {"Nme": "Call Ada"}}]}));
    let (code, retryable, details) = caller.refused("create_records", misspelt).await;
    assert_eq!((code.as_str(), retryable, &details["type"]), ("invalid_request", false, &json!("UNKNOWN_FIELD_NAME")));
    let busy = json!({"baseId": BASE, "table": "Busy"});
    let (code, retryable, details) = caller.refused("list_records", busy).await;
    assert_eq!((code.as_str(), retryable, &details["retry_after_seconds"]), ("rate_limited", true, &json!(30)));
    for (base, table, expected) in [(BASE, "Nowhere", "forbidden"), ("appOther", "Tasks", "not_found")] {
        let (code, ..) = caller.refused("list_records", json!({"baseId": base, "table": table})).await;
        assert_eq!(code, expected);
    }
}

#[tokio::test]
async fn an_authorized_connection_outlives_its_tokens() {
    let airtable = Airtable::start().await;
    let clock = TestClock::at(Timestamp::now());
    let caller = Caller::with_clock("airtable", &airtable.app, clock.clock()).await;
    let connection = json!({"name": "base", "connector": "airtable", "auth": "oauth", "config": airtable.config()});
    let made = caller.authorize(connection, &airtable.oauth).await;
    assert_eq!(caller.test(&made).await, ("valid".to_owned(), Some("ada@example.com".to_owned())));

    let asked = airtable.oauth.asked();
    assert_eq!(asked[0]["scope"], "data.records:read data.records:write user.email:read");
    assert_eq!(asked[0]["code_challenge_method"], "S256");
    caller.call("create_records", input(json!({"records": [{"fields": {"Name": "Call Ada"}}]}))).await.unwrap();
    // Each refresh token is good once: a second refresh works only if the new one was kept.
    for _ in 0..2 {
        airtable.oauth.expire();
        clock.forward(SignedDuration::from_mins(1));
        let page = caller.call("list_records", input(json!({}))).await.unwrap();
        assert_eq!(page["records"][0]["fields"]["Name"], "Call Ada");
    }
}
