//! A webhook runs a sandboxed flow that calls an app through a connection.

use headgate_tests::TestApp;
use headgate_tests::crm::StandIn;
use serde_json::{Value, json};

const TOKEN: &str = "pat-na1-canary-0123456789";

#[tokio::test]
async fn a_deal_update_reaches_the_crm_through_a_connection() {
    let crm = StandIn::crm(TOKEN).await;
    let exempt = crm.address.to_string();
    let app = TestApp::with(|settings| settings.egress.allow_private = vec![exempt.parse().unwrap()]).await;
    app.install("hubspot").await;
    app.publish("update-lead-status", "update-lead-status").await;
    let connection = json!({
        "name": "crm",
        "connector": "hubspot",
        "config": {"api_url": crm.url()},
        "secrets": {"token": TOKEN},
    });
    app.connect("update-lead-status", "crm", connection).await;
    let key = app.key("crm-webhooks").await;
    let trigger = app.trigger("update-lead-status", json!({"keys": ["crm-webhooks"]})).await;

    let event = json!({"deal": {"id": "9001", "stage": "closedwon"}, "contact": {"email": "ada@example.com"}});
    let answer = app.fire(&trigger, &key, event.to_string()).await;
    let run = app.run_of(&answer).await;
    let status = answer.status();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(status, 200, "{body} {run}");
    assert_eq!(body["status"], "CONNECTED");

    assert_eq!(run["state"], "succeeded");
    assert_eq!(run["caller"], "Key: crm-webhooks");
    let methods: Vec<_> = run["steps"].as_array().unwrap().iter().map(|step| step["method"].clone()).collect();
    assert_eq!(methods, ["search_contacts", "update_contact"]);
    assert!(!run.to_string().contains(TOKEN));
    let received = crm.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].headers["authorization"], format!("Bearer {TOKEN}").as_str());
}
