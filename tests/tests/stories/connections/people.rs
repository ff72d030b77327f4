//! Connections that work by the consent of somebody who leaves.

use headgate::domain::connection::{ConnectionKind, OauthPart};
use headgate::domain::permission::Action;
use headgate::service::access::Actor;
use headgate::service::record::Record;
use headgate_tests::Answer;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Stage, TOKEN, acme};

const ALERTS: &str = "/groups/acme/alerts";

impl Stage {
    /// A connection as if this person had consented to it.
    async fn authorized_by(&self, email: &str) -> String {
        let path = self.connect("crm", TOKEN).await;
        let user = self.app.get(&format!("/users/{email}")).await["id"].as_str().unwrap().parse().unwrap();
        let part = OauthPart {
            registration: format!("app_{}", "a".repeat(20)).parse().unwrap(),
            scopes: Vec::new(),
            authorized_by: Some(user),
        };
        self.doctor(&path, |connection| {
            connection.kind = ConnectionKind::Oauth;
            connection.oauth = Some(part);
        })
        .await;
        path
    }

    async fn leaves(&self, email: &str) {
        assert_eq!(self.delete(&format!("/groups/acme/members/{email}")).await.status, 204);
    }
}

#[tokio::test]
async fn owners_are_told_when_whoever_authorized_a_connection_leaves() {
    let stage = Stage::set().await;
    let ada = "ada@acme.example";
    stage.app.user(ada, "editor").await;
    let path = stage.authorized_by(ada).await;
    let view = stage.app.get(&path).await;
    assert_eq!((&view["authorized_by"], &view["authorizer_left"]), (&json!(ada), &json!(false)));
    stage.service().evaluate_alerts().await.unwrap();
    assert_eq!(stage.app.get(ALERTS).await, json!([]));
    stage.leaves(ada).await;
    let alerts = stage.app.until(ALERTS, |alerts| alerts[0]["kind"] == "authorizer_left").await;
    let message = alerts[0]["message"].as_str().unwrap();
    assert!(message.contains(ada) && message.contains("headgate connections authorize"), "{message}");
    let view = stage.app.get(&path).await;
    assert_eq!((&view["authorized_by"], &view["authorizer_left"]), (&json!(ada), &json!(true)));
    // It stays one alert, and closes when they come back.
    stage.service().evaluate_alerts().await.unwrap();
    stage.app.post("/groups/acme/members", json!({"email": ada, "role": "viewer"})).await;
    stage.service().evaluate_alerts().await.unwrap();
    let alerts = stage.app.get(ALERTS).await;
    assert_eq!((alerts.as_array().unwrap().len(), &alerts[0]["state"]), (1, &json!("closed")));
    assert_eq!(stage.app.get(&path).await["authorizer_left"], false);
}

#[tokio::test]
async fn a_user_who_is_deleted_has_left_too() {
    let stage = Stage::set().await;
    let ada = "ada@acme.example";
    stage.app.user(ada, "owner").await;
    let path = stage.authorized_by(ada).await;
    assert_eq!(stage.delete(&format!("/users/{ada}")).await.status, 204);
    stage.app.until(ALERTS, |alerts| alerts[0]["kind"] == "authorizer_left").await;
    let view = stage.app.get(&path).await;
    assert_eq!((&view["authorized_by"], &view["authorizer_left"]), (&Value::Null, &json!(true)));
}

#[tokio::test]
async fn a_group_may_want_such_connections_disconnected() {
    let stage = Stage::set().await;
    let ada = "ada@acme.example";
    stage.app.user(ada, "editor").await;
    let path = stage.authorized_by(ada).await;
    let change = json!({"disconnect_when_authorizer_leaves": true});
    let changed = Answer::to(stage.app.manage(Method::PATCH, "/groups/acme").json(&change)).await.json();
    assert_eq!(changed["disconnect_when_authorizer_leaves"], true);
    stage.leaves(ada).await;
    let view = stage.app.until(&path, |view| view["authorized_by"] == Value::Null).await;
    assert_eq!(
        (&view["authorizer_left"], &view["health"], &view["secrets"]),
        (&json!(false), &json!("grey"), &json!([]))
    );
    // Nobody has to be told, at least when somebody looks again.
    stage.service().evaluate_alerts().await.unwrap();
    assert_eq!(stage.app.get(&format!("{ALERTS}?state=open")).await, json!([]));
    let audit = stage.app.get("/groups/acme/audit").await.to_string();
    assert!(audit.contains("connection.disconnect"), "{audit}");
}

#[tokio::test]
async fn such_a_disconnection_that_was_cut_off_is_made_up_for() {
    let stage = Stage::set().await;
    let ada = "ada@acme.example";
    stage.app.user(ada, "editor").await;
    let path = stage.authorized_by(ada).await;
    let change = json!({"disconnect_when_authorizer_leaves": true});
    assert_eq!(Answer::to(stage.app.manage(Method::PATCH, "/groups/acme").json(&change)).await.status, 200);
    // The server ended between the change and what follows from it.
    let mut edit = stage.service().edit(&Actor::system(), &acme(), Action::RemoveMember).await.unwrap();
    let ada = edit.catalog().user_by_email(&ada.parse().unwrap()).unwrap().id.clone();
    let member = edit.catalog().member(&acme(), &ada).unwrap().clone();
    edit.remove(&Record::Member(member));
    edit.save().await.unwrap();
    assert_ne!(stage.app.get(&path).await["authorized_by"], Value::Null);
    stage.service().evaluate_alerts().await.unwrap();
    stage.app.until(&path, |view| view["authorized_by"] == Value::Null).await;
    stage.service().evaluate_alerts().await.unwrap();
    let audit = stage.app.get("/groups/acme/audit").await.to_string();
    assert_eq!(audit.matches("connection.disconnect\"").count(), 1, "{audit}");
}
