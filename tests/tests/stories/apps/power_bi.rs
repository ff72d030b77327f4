//! Power BI, for a person and for a service principal.

use headgate_tests::apps::Caller;
use headgate_tests::apps::power_bi::{DATASET, OWN_TOKEN, PowerBi, WORKSPACE};
use serde_json::json;

#[tokio::test]
async fn a_persons_connection_refreshes_a_dataset() {
    let power_bi = PowerBi::start().await;
    let caller = Caller::start("power-bi", &power_bi.app).await;
    let connection =
        json!({"name": "bi", "connector": "power-bi", "auth": "oauth_advanced", "config": power_bi.config()});
    let made = caller.authorize(connection, &power_bi.oauth).await;
    assert_eq!(caller.test(&made).await.0, "valid");
    let asked = power_bi.oauth.asked();
    assert!(asked[0]["scope"].starts_with("offline_access https://analysis.windows.net/powerbi/api/"), "{asked:?}");

    let workspaces = caller.call("list_workspaces", json!({})).await.unwrap();
    assert_eq!(workspaces["value"][0]["id"], WORKSPACE);
    let datasets = caller.call("list_datasets", json!({"groupId": WORKSPACE})).await.unwrap();
    assert_eq!(datasets["value"][0]["isRefreshable"], true);

    let sales = json!({"groupId": WORKSPACE, "datasetId": DATASET});
    let started = caller.call("refresh_dataset", sales.clone()).await.unwrap();
    let (code, retryable, _) = caller.refused("refresh_dataset", sales.clone()).await;
    assert_eq!((code.as_str(), retryable), ("conflict", true));
    power_bi.oauth.expire();
    power_bi.finish();
    let history = caller.call("refresh_history", sales).await.unwrap();
    let last = &history["value"][0];
    assert_eq!((&last["requestId"], &last["status"]), (&started["requestId"], &json!("Completed")));

    let (code, _, details) = caller.refused("refresh_dataset", json!({"datasetId": "busy"})).await;
    assert_eq!((code.as_str(), &details["retry_after_seconds"]), ("rate_limited", &json!(3300)));
    assert_eq!(caller.refused("refresh_history", json!({"datasetId": DATASET})).await.0, "not_found");
}

#[tokio::test]
async fn a_service_principal_needs_nobodys_consent() {
    let power_bi = PowerBi::start().await;
    let caller = Caller::start("power-bi", &power_bi.app).await;
    let registration = json!({
        "name": "principal",
        "connector": "power-bi",
        "client_id": power_bi.oauth.client_id,
        "client_secret": power_bi.oauth.client_secret,
        "token_hosts": ["127.0.0.1"],
    });
    let registration = caller.app.post("/groups/acme/app-registrations", registration).await;
    let connection = json!({
        "name": "bi",
        "connector": "power-bi",
        "auth": "service_principal",
        "registration": registration["id"],
        "config": power_bi.config(),
    });
    caller.connect(connection).await;
    caller.call("refresh_dataset", json!({"groupId": WORKSPACE, "datasetId": DATASET})).await.unwrap();
    let received = power_bi.app.received();
    assert_eq!(received.last().unwrap().headers["authorization"], format!("Bearer {OWN_TOKEN}").as_str());
    let asked = received.iter().filter(|request| request.uri.path().ends_with("/token")).count();
    assert_eq!(asked, 1);
}
