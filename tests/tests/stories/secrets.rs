//! Secrets at rest: they open in their place only, and the key above all of them is replaced while the server works.

mod rotation;

use axum::response::IntoResponse as _;
use headgate::store::Batch;
use headgate_tests::Hostile;
use headgate_tests::crm::StandIn;
use headgate_tests::records::{records, tampered};
use serde_json::{Value, json};

const TOKEN: &str = "pat-at-rest-81b2c9d0e3";

fn connection(name: &str, base_url: &str, token: &str) -> Value {
    json!({"name": name, "connector": "http", "auth": "bearer", "config": {"base_url": base_url}, "secrets": {"key": token}})
}

/// A server with a connection to an app that answers 200 to everything.
async fn stage() -> (StandIn, Hostile) {
    let app = StandIn::start(|_| "fine".into_response()).await;
    let exempt = app.address.to_string().parse().unwrap();
    let hostile = Hostile::start(|settings| settings.egress.allow_private = vec![exempt]).await;
    hostile.connect("http-connector", connection("app", &app.url(), TOKEN)).await;
    (app, hostile)
}

/// Calls the app through the slot; answers the status that it gave, or null.
async fn called(hostile: &Hostile) -> Value {
    hostile.call("request", json!({"path": "/a"})).await.body["output"]["status"].clone()
}

#[tokio::test]
async fn a_ciphertext_that_was_copied_elsewhere_does_not_open() {
    // From another connection of the group, then from another group: the value, and the value with that group's key.
    for (from, with_key) in [("acme", false), ("rival", false), ("rival", true)] {
        let (app, hostile) = stage().await;
        let (key, trigger) = (hostile.key, hostile.trigger);
        hostile.app.post("/groups", json!({"name": "rival"})).await;
        let put = hostile.app.manage(reqwest::Method::PUT, "/groups/rival/connectors");
        let put =
            put.header("content-type", "application/wasm").body(headgate_tests::guests::component("http-connector"));
        assert!(put.send().await.unwrap().status().is_success());
        for group in ["acme", "rival"] {
            let other = connection("other", &app.url(), "pat-of-somebody-else");
            hostile.app.post(&format!("/groups/{group}/connections"), other).await;
        }
        let moved = tampered(hostile.app, move |database| {
            let of = |group: &str, name: &str| {
                let all = records(database, &format!("connection/{group}/"));
                all.into_iter().find(|(_, record)| record["record"]["name"] == name).unwrap()
            };
            let (_, source) = of(from, "other");
            let (place, mut target) = of("acme", "app");
            target["record"]["secrets"]["key"] = source["record"]["secrets"]["key"].clone();
            let batch = Batch::new().put(place, target.to_string());
            let theirs = records(database, "data-key/rival").remove(0).1;
            if with_key { batch.put("data-key/acme", theirs.to_string()) } else { batch }
        });
        let hostile = Hostile::again(moved.await, key, trigger);
        let ended = hostile.call("request", json!({"path": "/a"})).await;
        assert_eq!(ended.body["error"]["code"], "internal", "from {from}, {with_key}: {}", ended.body);
        assert_eq!(app.received().len(), 0, "the app was sent somebody else's secret");
    }
}
