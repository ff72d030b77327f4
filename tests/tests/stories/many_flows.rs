//! Many flows on one server: what each takes of memory while it waits.

use std::time::Duration;

use futures::future::join_all;
use headgate_tests::{Key, TestApp, Trigger, guests};
use reqwest::Method;
use serde_json::json;

/// The longest wait for a flow to be let go of.
const READY: Duration = Duration::from_secs(5);
/// Requests under way at a time.
const CALLERS: usize = 16;

/// Makes a flow that is published and has a trigger.
async fn flow(app: &TestApp, number: u32, distinct: u32) -> Trigger {
    let (name, module) = (format!("flow-{number}"), guests::stamped("echo", number % distinct));
    app.post("/groups/acme/flows", json!({ "name": name })).await;
    let push = app.manage(Method::PUT, &format!("/groups/acme/flows/{name}/versions")).body(module);
    let pushed = push.header("content-type", "application/wasm").send().await.unwrap();
    assert_eq!(pushed.status(), 201, "{}", pushed.text().await.unwrap());
    app.post(&format!("/groups/acme/flows/{name}/publish"), json!({})).await;
    app.trigger(&name, json!({})).await
}

/// Calls a flow where the server is now.
async fn called(app: &TestApp, trigger: &Trigger, key: &Key) {
    let call = app.client().post(format!("{}/hooks/{}", app.url(), trigger.routing_key));
    assert_eq!(call.bearer_auth(&key.secret).body("x").send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_that_are_not_called_are_let_go_of_and_come_back() {
    let app = TestApp::with(|settings| settings.service.ready_flows = 0).await;
    let key = app.key("caller").await;
    let triggers = [flow(&app, 0, 2).await, flow(&app, 1, 2).await];
    let app = app.restart().await;
    let figures = || app.app().service().shelf_figures();
    assert_eq!((figures().published, figures().alive, figures().made_ready), (0, 0, 2), "looked at and let go of");
    join_all((0..CALLERS).map(|_| called(&app, &triggers[0], &key))).await;
    assert_eq!((figures().published, figures().made_ready), (1, 3), "the first caller makes it ready for all");
    assert_eq!(app.app().service().sandbox().compilations(), 0);

    let app = app.restart_with(|settings| settings.service.ready_ms = 50).await;
    let figures = || app.app().service().shelf_figures();
    for calls in 1..=2 {
        called(&app, &triggers[1], &key).await;
        assert_eq!(figures().made_ready, 2 + calls);
        let idle = async {
            while figures().alive > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(READY, idle).await.expect("it is let go of");
    }
}
