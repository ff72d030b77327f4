//! Notion, by an internal integration and by OAuth.

use headgate_tests::apps::notion::{self, BUSY, DATABASE, PAGE, TOKEN};
use headgate_tests::apps::{Caller, Fake};
use serde_json::{Value, json};

fn integration(fake: &Fake, token: &str) -> Value {
    let mut connection = notion::connection(fake, "notes");
    connection["auth"] = "integration".into();
    connection["secrets"] = json!({ "token": token });
    connection
}

#[tokio::test]
async fn queries_creates_and_retrieves() {
    let fake = notion::start(notion::oauth()).await;
    let caller = Caller::start("notion", &fake.app).await;
    caller.connect(integration(&fake, TOKEN)).await;
    let query = json!({"database_id": DATABASE, "filter": {"property": "Age", "number": {"equals": 36}}});
    let first = caller.call("query_database", query).await.unwrap();
    assert_eq!((&first["has_more"], &first["next_cursor"]), (&json!(true), &json!(PAGE)));
    // The version that the host puts on requests is no secret: dates that look like it stay.
    assert_eq!(first["results"][0]["created_time"], "2022-06-28T03:04:00.000Z");
    let next = json!({"database_id": DATABASE, "start_cursor": first["next_cursor"]});
    assert_eq!(caller.call("query_database", next).await.unwrap()["has_more"], false);
    let new = json!({"parent": {"database_id": DATABASE}, "properties": {"Age": {"number": 36}}});
    assert_eq!(caller.call("create_page", new.clone()).await.unwrap()["properties"]["Age"], json!({"number": 36}));
    assert_eq!(fake.bodies("/v1/pages"), [new]);
    assert_eq!(caller.call("retrieve_page", json!({"page_id": PAGE})).await.unwrap()["id"], PAGE);
}

#[tokio::test]
async fn says_what_notion_refuses() {
    let fake = notion::start(notion::oauth()).await;
    let caller = Caller::start("notion", &fake.app).await;
    caller.connect(integration(&fake, TOKEN)).await;
    let (code, retryable, details) = caller.refused("query_database", json!({"database_id": BUSY})).await;
    assert_eq!((code.as_str(), retryable, &details["retry_after_seconds"]), ("rate_limited", true, &json!(2)));
    let (code, ..) = caller.refused("retrieve_page", json!({"page_id": DATABASE})).await;
    assert_eq!(code, "not_found");

    let caller = Caller::start("notion", &fake.app).await;
    caller.connect(integration(&fake, "ntn_wrong")).await;
    assert_eq!(caller.refused("retrieve_page", json!({"page_id": PAGE})).await.0, "unauthorized");
}

#[tokio::test]
async fn somebody_consents() {
    let fake = notion::start(notion::oauth()).await;
    let caller = Caller::start("notion", &fake.app).await;
    let mut connection = notion::connection(&fake, "notes");
    connection["auth"] = "oauth_advanced".into();
    caller.authorize(connection, &fake.oauth).await;
    assert_eq!(fake.oauth.asked()[0]["owner"], "user");
    assert_eq!(caller.call("retrieve_page", json!({"page_id": PAGE})).await.unwrap()["id"], PAGE);
}
