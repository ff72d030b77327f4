//! What was acknowledged stays: over kill -9, over a stop, and over damage that is said.

mod kills;
mod starts;
mod stops;

use std::path::PathBuf;

use headgate_tests::held::Held;
use headgate_tests::process::{self, Process};
use headgate_tests::{Key, TestApp, Trigger};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The server of the other stories, which run this test in a process of its own.
#[test]
fn server_process() {
    process::serve();
}

/// A data folder with a flow that calls an app which answers when it is told to, and one that answers at once.
struct Stage {
    dir: TempDir,
    token: String,
    held: Held,
    key: Key,
    /// The obeying flow (guest `hostile-flow`), answered by its run's id.
    queued: Trigger,
    /// The same, answered by the flow itself.
    sync: Trigger,
    /// The flow that answers its event.
    echo: Trigger,
}

impl Stage {
    async fn set() -> Self {
        Self::set_with(json!({})).await
    }

    /// With triggers that have these settings besides.
    async fn set_with(settings: Value) -> Self {
        let held = Held::start().await;
        let exempt = held.address.to_string();
        let app = TestApp::with(|settings| settings.egress.allow_private = vec![exempt.parse().unwrap()]).await;
        app.install("http-connector").await;
        app.publish("obey", "hostile-flow").await;
        app.publish("echo", "echo").await;
        let base_url = format!("http://{}", held.address);
        let connection = json!({"name": "app", "connector": "http", "auth": "none", "config": {"base_url": base_url}});
        app.connect("obey", "app", connection).await;
        let key = app.key("caller").await;
        let mut respond_async = settings.clone();
        respond_async["respond"] = json!("async");
        let queued = app.trigger("obey", respond_async).await;
        let sync = app.trigger("obey", settings.clone()).await;
        let echo = app.trigger("echo", settings).await;
        let token = app.token().to_owned();
        Self { dir: app.stop().await, token, held, key, queued, sync, echo }
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A server on the folder that executes one queued run at a time.
    async fn server(&self) -> Process {
        let held = self.held.address.to_string();
        let settings = [("SERVICE__CONCURRENT_ASYNC_RUNS", "1"), ("EGRESS__ALLOW_PRIVATE", held.as_str())];
        Process::start(&self.folder(), &self.token, &settings).await
    }

    /// Takes in a run that calls the app at this path.
    async fn queue_call(&self, server: &Process, path: &str) -> String {
        server.queue(&self.queued, &self.key, call(path)).await
    }
}

/// Has the obeying flow call the app.
fn call(path: &str) -> Value {
    json!({"do": "call", "slot": "app", "method": "request", "input": {"path": path}})
}

/// Has the obeying flow wait, and call nobody.
fn sleep(milliseconds: u64) -> Value {
    json!({"do": "sleep", "milliseconds": milliseconds})
}
