//! HubSpot, by OAuth. (By a private app's token: `main_job`.)

use headgate_tests::apps::{Caller, hubspot};
use serde_json::json;

#[tokio::test]
async fn somebody_consents() {
    let fake = hubspot::start(hubspot::oauth()).await;
    let caller = Caller::start("hubspot", &fake.app).await;
    let mut connection = hubspot::connection(&fake, "crm");
    connection["auth"] = "oauth".into();
    connection["config"]["optional_scope"] = "tickets automation".into();
    caller.authorize(connection, &fake.oauth).await;
    let asked = &fake.oauth.asked()[0];
    assert_eq!(asked["scope"], "oauth crm.objects.contacts.read crm.objects.contacts.write");
    assert_eq!(asked["optional_scope"], "tickets automation");
    let ada = caller.call("get_contact", json!({"id": "51"})).await.unwrap();
    assert_eq!(ada["properties"]["email"], "ada@example.com");
    assert_eq!(caller.refused("get_contact", json!({"id": "99"})).await.0, "not_found");
}

#[tokio::test]
async fn an_expired_token_is_refreshed() {
    let fake = hubspot::start(hubspot::oauth()).await;
    let caller = Caller::start("hubspot", &fake.app).await;
    let mut connection = hubspot::connection(&fake, "crm");
    connection["auth"] = "oauth_advanced".into();
    caller.authorize(connection, &fake.oauth).await;
    fake.oauth.expire();
    assert_eq!(caller.call("get_contact", json!({"id": "51"})).await.unwrap()["id"], "51");
}
