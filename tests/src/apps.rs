//! Connectors of this workspace against stand-ins for their apps.

#![expect(clippy::result_large_err, reason = "what a stand-in refuses with is an answer, and is made once")]

pub mod airtable;
pub mod gmail;
pub mod google_drive;
pub mod hubspot;
pub mod mailchimp;
pub mod notion;
pub mod oauth;
pub mod openai;
pub mod power_bi;
pub mod slack;
pub mod zoho_crm;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use headgate::service::Clock;
use jiff::Timestamp;
use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::app::{Key, TestApp, Trigger};
use crate::crm::{Received, StandIn};
use oauth::{Grant, Oauth};

/// Where people are sent back to when they have consented. Nobody serves it.
const DONE: &str = "http://127.0.0.1:1/done";

/// A stand-in for an app, with its OAuth part.
pub struct Fake {
    /// What it was asked.
    pub app: StandIn,
    /// Its consent and its tokens.
    pub oauth: Arc<Oauth>,
}

impl Fake {
    /// An app that answers as told; it is told what the request's token allows.
    pub async fn start(
        oauth: Oauth,
        answer: impl Fn(&Received, Option<Grant>) -> Response + Send + Sync + 'static,
    ) -> Self {
        let oauth = Arc::new(oauth);
        let known = oauth.clone();
        let app = StandIn::start(move |request| {
            known.answer(request).unwrap_or_else(|| answer(request, known.grant(request)))
        });
        Self { app: app.await, oauth }
    }

    /// Its URL with a path.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.app.url())
    }

    /// The bodies of the requests to a path, read as JSON.
    pub fn bodies(&self, path: &str) -> Vec<Value> {
        let received = self.app.received();
        let those = received.iter().filter(|request| request.uri.path() == path);
        those.map(|request| serde_json::from_slice(&request.body).unwrap_or_default()).collect()
    }
}

/// An answer with JSON.
fn answer(status: u16, body: Value) -> Response {
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

/// An answer that says when to come back.
fn later(seconds: u32, status: u16, body: Value) -> Response {
    let mut response = answer(status, body);
    response.headers_mut().insert("retry-after", seconds.into());
    response
}

/// The parameters of a query or of a form.
fn parameters(query: &str) -> BTreeMap<String, String> {
    let url = Url::parse(&format!("http://localhost/?{query}")).unwrap();
    url.query_pairs().into_owned().collect()
}

/// The parameters of a request's query.
fn query(request: &Received) -> BTreeMap<String, String> {
    parameters(request.uri.query().unwrap_or_default())
}

/// A server with one connector, and the flow `caller` to call its methods.
pub struct Caller {
    /// The server.
    pub app: TestApp,
    key: Key,
    trigger: Trigger,
}

impl Caller {
    /// A server that may reach the stand-in, with a connector of this workspace.
    pub async fn start(connector: &str, app: &StandIn) -> Self {
        Self::with_clock(connector, app, Arc::new(Timestamp::now)).await
    }

    /// The same, going by the story's own clock.
    pub async fn with_clock(connector: &str, app: &StandIn, clock: Clock) -> Self {
        let exempt = app.address.to_string().parse().unwrap();
        let app = TestApp::with_clock(clock, |settings| settings.egress.allow_private = vec![exempt]).await;
        app.install(connector).await;
        app.publish("caller", "caller").await;
        let key = app.key("caller").await;
        let trigger = app.trigger("caller", json!({})).await;
        Self { app, key, trigger }
    }

    /// Makes a connection and binds the slot `app` to it.
    pub async fn connect(&self, connection: Value) -> Value {
        self.app.connect("caller", "app", connection).await
    }

    /// Makes an OAuth connection, has it authorized, and binds the slot `app` to it.
    pub async fn authorize(&self, connection: Value, oauth: &Oauth) -> Value {
        let made = authorized(&self.app, connection, oauth).await;
        self.app.put("/groups/acme/flows/caller/slots/app", json!({"connection": made["id"]})).await;
        made
    }

    /// Tests a connection; answers what was found, and whose account it is.
    pub async fn test(&self, connection: &Value) -> (String, Option<String>) {
        let path = format!("/groups/acme/connections/{}/test", connection["id"].as_str().unwrap());
        let report = self.app.post(&path, json!({})).await;
        (report["result"].as_str().unwrap().to_owned(), report["account"].as_str().map(str::to_owned))
    }

    /// Calls a method; a file in the input is `{"$text": "a,b", "content_type": "text/csv"}`.
    pub async fn call(&self, method: &str, input: Value) -> Result<Value, Value> {
        let order = json!({"method": method, "input": input});
        let answer = self.app.fire(&self.trigger, &self.key, order.to_string()).await;
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{text}");
        let mut body: Value = serde_json::from_str(&text).unwrap();
        match body["error"].take() {
            Value::Null => Ok(body["output"].take()),
            error => Err(error),
        }
    }

    /// Calls a method that fails; answers the error's code, whether a repetition may help, and the details.
    pub async fn refused(&self, method: &str, input: Value) -> (String, bool, Value) {
        let mut error = self.call(method, input).await.expect_err(method);
        let details = error["details"].take();
        (error["code"].as_str().unwrap().to_owned(), error["retryable"].as_bool().unwrap(), details)
    }
}

/// Makes an OAuth connection of `acme` and has it authorized: by the server's app registration, or by the group's where
/// the connection's `auth` is `oauth_advanced`. Answers the connection.
pub async fn authorized(app: &TestApp, mut connection: Value, oauth: &Oauth) -> Value {
    let registration = json!({
        "name": connection["name"],
        "connector": connection["connector"],
        "client_id": oauth.client_id,
        "client_secret": oauth.client_secret,
        "token_hosts": ["127.0.0.1"],
    });
    if connection["auth"] == "oauth_advanced" {
        let made = app.post("/groups/acme/app-registrations", registration).await;
        connection["registration"] = made["id"].clone();
    } else {
        app.post("/app-registrations", registration).await;
    }
    let made = app.post("/groups/acme/connections", connection).await;
    let path = format!("/groups/acme/connections/{}", made["id"].as_str().unwrap());
    consent(app, &path).await;
    app.get(&path).await
}

/// Does what a person does in the browser, and what the command line does with what comes of it. `path` names the
/// connection.
pub async fn consent(app: &TestApp, path: &str) {
    let begun = app.post(&format!("{path}/authorize"), json!({"return_to": DONE})).await;
    let back = redirect(app, begun["url"].as_str().unwrap()).await;
    // The callback's place follows the server's public address, which a test's server need not have.
    let back = Url::parse(&back).unwrap();
    let callback = format!("{}{}?{}", app.url(), back.path(), back.query().unwrap());
    let done = redirect(app, &callback).await;
    assert!(done.starts_with(DONE), "{done}");
    let done = Url::parse(&done).unwrap();
    let code = done.query_pairs().find(|(name, _)| name == "code").unwrap_or_else(|| panic!("{done}")).1;
    app.post(&format!("{path}/authorize/finish"), json!({ "code": code })).await;
}

/// Where a page redirects to.
async fn redirect(app: &TestApp, url: &str) -> String {
    let answer = Answer::to(app.client().request(Method::GET, url)).await;
    assert!((300..400).contains(&answer.status), "{url}: {answer:?}");
    answer.header("location").to_owned()
}
