//! A new HubSpot lead gets a confirmation mail through Gmail.

use headgate_tests::TestApp;
use headgate_tests::apps::{authorized, gmail, hubspot};
use serde_json::{Value, json};

#[tokio::test]
async fn a_new_lead_gets_a_mail() {
    let (crm, mail) = (hubspot::start(hubspot::oauth()).await, gmail::start(gmail::oauth()).await);
    let places = [&crm, &mail].map(|fake| fake.app.address.to_string().parse().unwrap());
    let app = TestApp::with(|settings| settings.egress.allow_private = places.to_vec()).await;
    for connector in ["hubspot", "gmail"] {
        app.install(connector).await;
    }
    app.post("/groups/acme/flows", json!({"name": "confirm-lead"})).await;
    app.push("confirm-lead", "confirm-lead").await;
    let mut connection = hubspot::connection(&crm, "crm");
    connection["secrets"] = json!({"token": hubspot::TOKEN});
    app.connect("confirm-lead", "crm", connection).await;
    let mailbox = authorized(&app, gmail::connection(&mail, "mail"), &mail.oauth).await;
    app.put("/groups/acme/flows/confirm-lead/slots/mail", json!({"connection": mailbox["id"]})).await;
    let published = app.post("/groups/acme/flows/confirm-lead/publish", json!({})).await;
    assert_eq!(published["checked"], true, "the connectors' methods are those that the flow was built for");
    let key = app.key("hubspot").await;
    let trigger = app.trigger("confirm-lead", json!({})).await;

    let events = [51, 52, 53, 99].map(hubspot::created);
    let answer = app.fire(&trigger, &key, json!(events).to_string()).await;
    let run = app.run_of(&answer).await;
    let done: Value = answer.json().await.unwrap();
    assert_eq!((&done["confirmed"], &done["skipped"]), (&json!(["51"]), &json!(["52", "99"])), "{done} {run}");
    assert_eq!(
        (&done["failed"][0]["contact"], &done["failed"][0]["perhaps_sent"]),
        (&json!("53"), &json!(false)),
        "{done}"
    );
    let sent = &gmail::sent(&mail)[0];
    assert!(sent.starts_with("To: ada@example.com\r\nSubject: We got your message\r\n"), "{sent}");
    let steps: Vec<_> = run["steps"].as_array().unwrap().iter().map(|step| step["method"].clone()).collect();
    assert_eq!(steps.iter().filter(|method| *method == "send").count(), 2, "{steps:?}");
    assert!(!run.to_string().contains("canary"), "{run}");
}
