//! Zoho CRM, whose accounts are in several data centres.

use headgate_tests::apps::Caller;
use headgate_tests::apps::zoho_crm::{OWN_TOKEN, ZohoCrm};
use serde_json::json;

#[tokio::test]
async fn the_connection_follows_the_account_to_its_data_centre() {
    let zoho = ZohoCrm::start().await;
    let caller = Caller::start("zoho-crm", &zoho.app).await;
    let connection = json!({"name": "crm", "connector": "zoho-crm", "auth": "oauth", "config": zoho.config()});
    let made = caller.authorize(connection, &zoho.oauth).await;
    assert_eq!(
        (&made["config"]["data_center"], &made["config"]["api_domain"]),
        (&json!("zoho.eu"), &json!(zoho.app.url()))
    );
    assert_eq!(caller.test(&made).await, ("valid".to_owned(), Some("ada@example.com".to_owned())));
    let asked = zoho.oauth.asked();
    assert_eq!((asked[0]["access_type"].as_str(), asked[0]["prompt"].as_str()), ("offline", "consent"));
    assert!(asked[0]["scope"].contains("ZohoCRM.users.READ,ZohoCRM.modules.READ"), "{asked:?}");

    let leads =
        json!({"module": "Leads", "data": [{"Last_Name": "Lovelace", "Email": "ada@example.com"}, {"Email": "x"}]});
    let made = caller.call("create_records", leads).await.unwrap();
    assert_eq!(
        (&made["data"][0]["status"], &made["data"][1]["code"]),
        (&json!("success"), &json!("MANDATORY_NOT_FOUND"))
    );
    let id = made["data"][0]["details"]["id"].clone();
    zoho.oauth.expire();
    let change = json!({"module": "Leads", "data": [{"id": id, "Lead_Status": "Contacted"}]});
    caller.call("update_records", change).await.unwrap();

    let found =
        caller.call("search_records", json!({"module": "Leads", "email": "ada@example.com", "per_page": 1})).await;
    let found = found.unwrap();
    assert_eq!(
        (&found["data"][0]["Lead_Status"], &found["info"]["more_records"]),
        (&json!("Contacted"), &json!(false))
    );
    let nobody = caller.call("search_records", json!({"module": "Leads", "email": "bob@example.com"})).await.unwrap();
    assert_eq!(nobody["data"], json!([]));
    let lead = caller.call("get_record", json!({"module": "Leads", "id": id})).await.unwrap();
    assert_eq!(lead["Last_Name"], "Lovelace");
    for request in zoho.app.received().iter().filter(|request| request.uri.path().starts_with("/crm/")) {
        assert!(request.headers["authorization"].to_str().unwrap().starts_with("Zoho-oauthtoken access-canary-"));
    }

    let (code, retryable, _) = caller.refused("search_records", json!({"module": "Busy", "word": "ada"})).await;
    assert_eq!((code.as_str(), retryable), ("rate_limited", true));
    for (input, expected) in [
        (json!({"module": "Leads", "data": [{"Email": "x"}]}), "invalid_request"),
        (json!({"module": "Nowhere", "data": [{"Email": "x"}]}), "invalid_request"),
    ] {
        assert_eq!(caller.refused("create_records", input).await.0, expected);
    }
}

#[tokio::test]
async fn a_self_client_acts_on_its_own_behalf() {
    let zoho = ZohoCrm::start().await;
    let caller = Caller::start("zoho-crm", &zoho.app).await;
    let registration = json!({
        "name": "self-client",
        "connector": "zoho-crm",
        "client_id": zoho.oauth.client_id,
        "client_secret": zoho.oauth.client_secret,
        "token_hosts": ["127.0.0.1"],
    });
    let registration = caller.app.post("/groups/acme/app-registrations", registration).await;
    let mut config = zoho.config();
    config["data_center"] = json!("zoho.in");
    config["organization"] = json!("600123");
    config["api_domain"] = json!(zoho.app.url());
    let connection = json!({
        "name": "crm",
        "connector": "zoho-crm",
        "auth": "self_client",
        "registration": registration["id"],
        "config": config,
    });
    caller.connect(connection).await;
    caller.call("create_records", json!({"module": "Leads", "data": [{"Last_Name": "Hopper"}]})).await.unwrap();
    let received = zoho.app.received();
    assert_eq!(received.last().unwrap().headers["authorization"], format!("Zoho-oauthtoken {OWN_TOKEN}").as_str());
}
