//! A server on a temporary store, with the group `acme`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use headgate::app::App;
use headgate::service::Clock;
use headgate::settings::Settings;
use headgate::wasm::Compiler;
use jiff::Timestamp;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{compiler, guests};

/// Who may do everything.
pub const OPERATOR: &str = "operator@example.com";
/// Everybody's password.
pub const PASSWORD: &str = "correct horse battery";
/// A session that outlives every story, whatever its clock does.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
/// How long a story waits for a condition before it gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running server, and a client that manages it.
pub struct TestApp {
    app: App,
    settings: Settings,
    compiler: Compiler,
    clock: Clock,
    dir: TempDir,
    token: String,
    client: reqwest::Client,
}

/// An API key in clear.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its id.
    pub id: String,
    /// The whole key.
    pub secret: String,
}

/// A trigger.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// Its id.
    pub id: String,
    /// Where it is called.
    pub url: String,
    /// Its routing key.
    pub routing_key: String,
}

impl TestApp {
    /// A server with the group `acme`.
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A server with the group `acme` and settings of the story's own.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::with_clock(Arc::new(Timestamp::now), change).await
    }

    /// A server with the group `acme` that goes by the story's own clock.
    pub async fn with_clock(clock: Clock, change: impl FnOnce(&mut Settings)) -> Self {
        // The components of most stories are this workspace's own; those of `loading` are compiled apart.
        Self::with_compiler(compiler::shared(), clock, change).await
    }

    /// A server with the group `acme` that compiles in the story's own way.
    pub async fn with_compiler(compiler: Compiler, clock: Clock, change: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings { data_dir: dir.path().join("data"), ..Settings::default() };
        settings.listen = "127.0.0.1:0".parse().unwrap();
        // Many servers share the address space of one test process.
        settings.wasm.flow_instances = 16;
        settings.wasm.connector_instances = 16;
        settings.users.access_token = FOREVER;
        settings.users.refresh_token = FOREVER;
        change(&mut settings);
        let app = App::start_with_clock(settings.clone(), None, compiler.clone(), clock.clone()).await.unwrap();
        let mut test = Self { app, settings, compiler, clock, dir, token: String::new(), client: client() };
        let setup = test.app.setup_token().unwrap().expose_secret().to_owned();
        test.token = text(&test.set_up(&setup, OPERATOR).await["access_token"]);
        test.post("/groups", json!({"name": "acme"})).await;
        test
    }

    /// Stops the server and starts it again on the same store.
    pub async fn restart(self) -> Self {
        self.restart_after(|_| {}).await
    }

    /// Stops the server, changes something in its data folder, and starts it again.
    pub async fn restart_after(self, change: impl FnOnce(&Path)) -> Self {
        let Self { app, settings, compiler, clock, dir, token, client } = self;
        app.stop().await.unwrap();
        change(&settings.data_dir);
        let app = App::start_with_clock(settings.clone(), None, compiler.clone(), clock.clone()).await.unwrap();
        Self { app, settings, compiler, clock, dir, token, client }
    }

    /// Stops the server and starts it again with other settings.
    pub async fn restart_with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self.restart().await
    }

    /// Stops the server; answers its folder.
    pub async fn stop(self) -> TempDir {
        self.app.stop().await.unwrap();
        self.dir
    }

    /// Where the server keeps its data.
    pub fn data_dir(&self) -> &Path {
        &self.settings.data_dir
    }

    /// The server's URL, without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.app.address())
    }

    /// The access token of an operator, who may do everything.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The server itself, for stories that look behind the API.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Sets a user's password with a one-time token; answers their session.
    pub async fn set_up(&self, token: &str, email: &str) -> Value {
        let body = json!({"token": token, "email": email, "password": PASSWORD});
        succeeded(self.client.post(format!("{}/api/v1/auth/setup", self.url())).json(&body)).await
    }

    /// Makes a user who belongs to no group; answers their session.
    pub async fn stranger(&self, email: &str) -> Value {
        let invited = self.post("/users", json!({ "email": email })).await;
        self.set_up(invited["setup_token"].as_str().unwrap(), email).await
    }

    /// Makes a user who is a member of `acme`; answers their access token.
    pub async fn user(&self, email: &str, role: &str) -> String {
        let session = self.stranger(email).await;
        self.post("/groups/acme/members", json!({"email": email, "role": role})).await;
        text(&session["access_token"])
    }

    /// A management request of somebody else than the operator; `path` follows `/api/v1`.
    pub fn manage_as(&self, token: &str, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}/api/v1{path}", self.url())).bearer_auth(token)
    }

    /// A client that follows no redirects.
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// A management request; `path` follows `/api/v1`.
    pub fn manage(&self, method: Method, path: &str) -> RequestBuilder {
        self.manage_as(&self.token, method, path)
    }

    /// A management request that must succeed.
    pub async fn get(&self, path: &str) -> Value {
        succeeded(self.manage(Method::GET, path)).await
    }

    /// A management request that must succeed.
    pub async fn post(&self, path: &str, body: Value) -> Value {
        succeeded(self.manage(Method::POST, path).json(&body)).await
    }

    /// A management request that must succeed.
    pub async fn put(&self, path: &str, body: Value) -> Value {
        succeeded(self.manage(Method::PUT, path).json(&body)).await
    }

    /// Makes a flow of `acme` from a guest of this workspace and publishes it in `production`.
    pub async fn publish(&self, flow: &str, guest: &str) -> Value {
        self.post("/groups/acme/flows", json!({"name": flow})).await;
        self.push(flow, guest).await;
        self.post(&format!("/groups/acme/flows/{flow}/publish"), json!({})).await
    }

    /// Pushes a guest of this workspace as a flow's next version.
    pub async fn push(&self, flow: &str, guest: &str) -> Value {
        let request = self.manage(Method::PUT, &format!("/groups/acme/flows/{flow}/versions"));
        succeeded(request.header("content-type", "application/wasm").body(guests::component(guest))).await
    }

    /// Installs a connector of this workspace.
    pub async fn install(&self, guest: &str) -> Value {
        let request = self.manage(Method::PUT, "/groups/acme/connectors");
        succeeded(request.header("content-type", "application/wasm").body(guests::component(guest))).await
    }

    /// Makes a connection in `production` and binds a flow's slot to it; answers the connection.
    pub async fn connect(&self, flow: &str, slot: &str, connection: Value) -> Value {
        let made = self.post("/groups/acme/connections", connection).await;
        let slot = format!("/groups/acme/flows/{flow}/slots/{slot}");
        self.put(&slot, json!({"connection": made["id"]})).await;
        made
    }

    /// Makes an API key of `production`.
    pub async fn key(&self, name: &str) -> Key {
        let made = self.post("/groups/acme/api-keys", json!({"name": name})).await;
        Key { id: text(&made["id"]), secret: text(&made["api_key"]) }
    }

    /// Makes an HTTP trigger of a flow.
    pub async fn trigger(&self, flow: &str, settings: Value) -> Trigger {
        let made = self.post(&format!("/groups/acme/flows/{flow}/triggers"), settings).await;
        let (id, routing_key) = (text(&made["id"]), text(&made["routing_key"]));
        Trigger { url: format!("{}/hooks/{routing_key}", self.url()), id, routing_key }
    }

    /// Calls a trigger with a key in the header.
    pub async fn fire(&self, trigger: &Trigger, key: &Key, body: impl Into<reqwest::Body>) -> Response {
        self.client.post(&trigger.url).bearer_auth(&key.secret).body(body).send().await.unwrap()
    }

    /// The recorded run that an answer came from.
    pub async fn run_of(&self, answer: &Response) -> Value {
        let run = answer.headers()["headgate-run-id"].to_str().unwrap();
        self.get(&format!("/groups/acme/runs/{run}")).await
    }

    /// Waits until a run has ended, and answers it.
    pub async fn ended(&self, run: &str) -> Value {
        self.until(&format!("/groups/acme/runs/{run}"), |run| run["outcome"] != Value::Null).await
    }

    /// Asks again until the answer is as it should be.
    pub async fn until(&self, path: &str, mut good: impl FnMut(&Value) -> bool) -> Value {
        let waiting = async {
            loop {
                let answer = self.get(path).await;
                if good(&answer) {
                    return answer;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{path} did not become as it should"))
    }
}

pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

pub(crate) async fn succeeded(request: RequestBuilder) -> Value {
    let response = request.send().await.unwrap();
    let status = response.status();
    let body = response.text().await.unwrap();
    assert!(status.is_success(), "{status}: {body}");
    if status == StatusCode::NO_CONTENT { Value::Null } else { serde_json::from_str(&body).unwrap() }
}
