//! The life of a connection: made, bound, used, tested, changed, disconnected, connected again, upgraded, deleted.

mod commands;
mod life;
mod oauth;
mod people;
mod upgrade;

use std::sync::Arc;

use headgate::domain::connection::Connection;
use headgate::domain::id::{ConnectionId, GroupId};
use headgate::domain::permission::Action;
use headgate::service::Service;
use headgate::service::access::Actor;
use headgate::service::record::Record;
use headgate_tests::crm::StandIn;
use headgate_tests::{Answer, Key, TestApp, Trigger};
use reqwest::Method;
use serde_json::{Value, json};

const CONNECTIONS: &str = "/groups/acme/connections";
const FLOW: &str = "update-lead-status";
const TOKEN: &str = "pat-na1-the-right-one";

/// A server with the CRM's flow and connector, and the CRM.
struct Stage {
    app: TestApp,
    crm: StandIn,
    key: Key,
    trigger: Trigger,
}

impl Stage {
    async fn set() -> Self {
        let crm = StandIn::crm(TOKEN).await;
        let exempt = crm.address.to_string();
        let app = TestApp::with(|settings| settings.egress.allow_private = vec![exempt.parse().unwrap()]).await;
        app.install("hubspot").await;
        app.publish(FLOW, FLOW).await;
        let (key, trigger) = (app.key("crm").await, app.trigger(FLOW, json!({"description": "deals"})).await);
        Self { app, crm, key, trigger }
    }

    fn service(&self) -> &Arc<Service> {
        self.app.app().service()
    }

    /// What a connection to the CRM is made from.
    fn connection(&self, name: &str, token: &str) -> Value {
        json!({"name": name, "connector": "hubspot", "config": {"api_url": self.crm.url()}, "secrets": {"token": token}})
    }

    /// Makes a connection and binds the flow's slot to it; answers its path.
    async fn connect(&self, name: &str, token: &str) -> String {
        let made = self.app.connect(FLOW, "crm", self.connection(name, token)).await;
        path(&made)
    }

    /// Fires the flow; answers the status.
    async fn fire(&self) -> u16 {
        let event = json!({"deal": {"id": "9001", "stage": "closedwon"}, "contact": {"email": "ada@example.com"}});
        self.app.fire(&self.trigger, &self.key, event.to_string()).await.status().as_u16()
    }

    async fn patch(&self, path: &str, change: Value) -> Answer {
        Answer::to(self.app.manage(Method::PATCH, path).json(&change)).await
    }

    async fn delete(&self, path: &str) -> Answer {
        Answer::to(self.app.manage(Method::DELETE, path)).await
    }

    /// Changes a connection as no operation of the API does.
    async fn doctor(&self, path: &str, change: impl FnOnce(&mut Connection)) {
        let id: ConnectionId = path.rsplit('/').next().unwrap().parse().unwrap();
        let mut edit = self.service().edit(&Actor::system(), &acme(), Action::UpdateConnection).await.unwrap();
        let mut connection = Connection::clone(edit.catalog().connections.get(&id).unwrap());
        change(&mut connection);
        edit.put(Record::Connection(Arc::new(connection)));
        edit.save().await.unwrap();
    }
}

fn acme() -> GroupId {
    "acme".parse().unwrap()
}

fn path(connection: &Value) -> String {
    format!("{CONNECTIONS}/{}", connection["id"].as_str().unwrap())
}

/// The health in one word, and why.
fn health(connection: &Value) -> (String, String) {
    let text = |name: &str| connection[name].as_str().unwrap().to_owned();
    (text("health"), text("health_reason"))
}
