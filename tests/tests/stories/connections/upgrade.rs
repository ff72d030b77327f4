//! A connector that widens what its connections may do gets it only by an owner's consent.

use std::sync::Arc;

use headgate::domain::connector::Connector;
use headgate::domain::permission::Action;
use headgate::service::access::Actor;
use headgate::service::record::Record;
use headgate_tests::Answer;
use headgate_tests::crm::StandIn;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Stage, TOKEN, acme, health};

impl Stage {
    /// Lets the connector say something else about itself, as a newer version would.
    pub(super) async fn upgrade(&self, change: impl FnOnce(&mut Value)) {
        let mut edit = self.service().edit(&Actor::system(), &acme(), Action::InstallConnector).await.unwrap();
        let name = (Some(acme()), "hubspot".parse().unwrap());
        let mut connector = Connector::clone(edit.catalog().connectors.get(&name).unwrap());
        let mut manifest = serde_json::to_value(&connector.manifest).unwrap();
        change(&mut manifest);
        connector.manifest = serde_json::from_value(manifest).unwrap();
        edit.put(Record::Connector(Arc::new(connector)));
        edit.save().await.unwrap();
    }

    /// Consents to differences.
    async fn accept(&self, token: &str, path: &str, seen: &Value) -> Answer {
        let path = format!("{path}/accept-upgrade");
        Answer::to(self.app.manage_as(token, Method::POST, &path).json(&json!({ "upgrade": seen }))).await
    }
}

fn base_urls(manifest: &mut Value) -> &mut Vec<Value> {
    manifest["base_urls"].as_array_mut().unwrap()
}

#[tokio::test]
async fn what_is_pinned_holds_until_an_owner_consents_to_what_they_saw() {
    let stage = Stage::set().await;
    let path = stage.connect("crm", TOKEN).await;
    let (owner, editor) =
        (stage.app.user("owner@acme.example", "owner").await, stage.app.user("editor@acme.example", "editor").await);
    let before = stage.app.get(&path).await;
    assert_eq!(before["upgrade"], json!([]));
    let other = StandIn::crm(TOKEN).await;
    let more = other.url();
    stage.upgrade(|manifest| base_urls(manifest).push(json!(more))).await;
    let view = stage.app.get(&path).await;
    let seen = view["upgrade"].clone();
    assert_eq!(
        seen,
        json!([{"what": "base_urls", "pinned": ["${config.api_url}"], "offered": ["${config.api_url}", other.url()]}])
    );
    assert_eq!(view["base_urls"], before["base_urls"]);
    // Calls go on, and another connection may be made with the new manifest.
    assert_eq!(stage.fire().await, 200);
    let made = stage.app.post(super::CONNECTIONS, stage.connection("newer", TOKEN)).await;
    assert_eq!((made["base_urls"].as_array().unwrap().len(), &made["upgrade"]), (2, &json!([])));
    // Only an owner consents, and only to what is there.
    assert_eq!(stage.accept(&editor, &path, &seen).await.status, 403);
    assert_eq!(stage.accept(&owner, &path, &json!([])).await.status, 409);
    stage.upgrade(|manifest| base_urls(manifest).push(json!("https://evil.example"))).await;
    assert_eq!(stage.accept(&owner, &path, &seen).await.status, 409);
    assert_eq!(stage.app.get(&path).await["base_urls"], before["base_urls"]);
    stage.upgrade(|manifest| drop(base_urls(manifest).pop())).await;
    let accepted = stage.accept(&owner, &path, &seen).await;
    assert_eq!(accepted.status, 200, "{}", accepted.text());
    let accepted = accepted.json();
    assert_eq!((accepted["base_urls"].as_array().unwrap().len(), &accepted["upgrade"]), (2, &json!([])));
    assert_eq!(stage.fire().await, 200);
}

#[tokio::test]
async fn credentials_go_where_they_went_until_somebody_consents() {
    let stage = Stage::set().await;
    let path = stage.connect("crm", TOKEN).await;
    let placements = json!([{"in": "header", "name": "x-token", "value": "${secret.token}"}]);
    stage.upgrade(|manifest| manifest["auth"][0]["placements"] = placements).await;
    assert_eq!(stage.fire().await, 200);
    assert!(!stage.crm.received().iter().any(|request| request.headers.contains_key("x-token")));
    let seen = stage.app.get(&path).await["upgrade"].clone();
    assert_eq!((seen.as_array().unwrap().len(), &seen[0]["what"]), (1, &json!("placements")));
    assert_eq!(stage.accept(stage.app.token(), &path, &seen).await.status, 200);
    stage.fire().await;
    let last = stage.crm.received().pop().unwrap();
    assert_eq!((last.headers["x-token"].to_str().unwrap(), last.headers.get("authorization")), (TOKEN, None));
}

#[tokio::test]
async fn a_way_to_authenticate_that_is_gone_is_said_to_be_gone() {
    let stage = Stage::set().await;
    let path = stage.connect("crm", TOKEN).await;
    stage.upgrade(|manifest| manifest["auth"][0]["id"] = json!("other")).await;
    let view = stage.app.get(&path).await;
    assert_eq!(view["upgrade"], json!([{"what": "auth", "pinned": "private_app", "offered": null}]));
    assert_eq!(stage.fire().await, 200);
    assert_eq!(health(&stage.app.get(&path).await).0, "green");
    let (status, _, message) = stage.accept(stage.app.token(), &path, &view["upgrade"]).await.problem();
    assert_eq!(status, 409);
    assert!(message.contains("Make a new connection"), "{message}");
}

#[tokio::test]
async fn a_setting_that_the_new_manifest_wants_is_asked_for() {
    let stage = Stage::set().await;
    let path = stage.connect("crm", TOKEN).await;
    let field = json!({"name": "hub", "title": "Hub", "required": true});
    stage
        .upgrade(|manifest| {
            manifest["config"].as_array_mut().unwrap().push(field);
            manifest.as_object_mut().unwrap().remove("verification");
        })
        .await;
    let seen = stage.app.get(&path).await["upgrade"].clone();
    let (status, _, message) = stage.accept(stage.app.token(), &path, &seen).await.problem();
    assert_eq!(status, 400);
    assert!(message.contains("\"hub\" (Hub) is missing"), "{message}");
    assert_eq!(stage.patch(&path, json!({"config": {"hub": "7"}})).await.status, 200);
    let accepted = stage.accept(stage.app.token(), &path, &seen).await;
    assert_eq!((accepted.status, &accepted.json()["config"]["hub"]), (200, &json!("7")));
    let test = stage.app.post(&format!("{path}/test"), json!({})).await;
    assert_eq!(test["result"], "not_offered");
}
