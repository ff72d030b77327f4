//! Tokens of connections: got, used, renewed, revoked.

mod certified;
mod faults;
mod renewal;

use headgate::settings::Settings;
use headgate_tests::clock::TestClock;
use headgate_tests::oauth::{CLIENT_ID, CLIENT_SECRET, Oauth};
use headgate_tests::{Hostile, TestApp};
use reqwest::Url;
use serde_json::{Value, json};

/// Nobody listens there.
const LOOPBACK: &str = "http://127.0.0.1:9/done";
const ALERTS: &str = "/groups/acme/alerts";

/// A server whose flow `hostile` calls an app through a connection with OAuth.
struct House {
    hostile: Hostile,
    oauth: Oauth,
    clock: TestClock,
    /// The connection's id.
    connection: String,
}

impl House {
    /// A connection of one of the connector's ways to authenticate; authorized where a person has to consent.
    async fn open(auth: &str, change: impl FnOnce(&mut Settings)) -> Self {
        let oauth = Oauth::start().await;
        Self::with(oauth, auth, change).await
    }

    async fn with(oauth: Oauth, auth: &str, change: impl FnOnce(&mut Settings)) -> Self {
        let clock = TestClock::at("2026-03-01T12:00:00Z".parse().unwrap());
        let address = oauth.address.to_string();
        let app = TestApp::with_clock(clock.clock(), |settings| {
            settings.egress.allow_private = vec![address.parse().unwrap()];
            change(settings);
        });
        let hostile = stage(app.await).await;
        let connection = connect(&hostile, &oauth.url(), &oauth.url(), auth).await;
        let house = Self { hostile, oauth, clock, connection };
        if auth.starts_with("oauth") {
            house.authorize().await;
        }
        house
    }

    fn app(&self) -> &TestApp {
        &self.hostile.app
    }

    fn path(&self) -> String {
        format!("/groups/acme/connections/{}", self.connection)
    }

    /// Consents at the app.
    async fn authorize(&self) {
        let begun = self.app().post(&format!("{}/authorize", self.path()), json!({"return_to": LOOPBACK})).await;
        let back = self.follow(begun["url"].as_str().unwrap()).await;
        let end = Url::parse(&self.follow(&back).await).unwrap();
        let code = end.query_pairs().find(|(name, _)| name == "code").unwrap_or_else(|| panic!("{end}")).1.into_owned();
        self.app().post(&format!("{}/authorize/finish", self.path()), json!({ "code": code })).await;
    }

    async fn follow(&self, url: &str) -> String {
        let answer = self.app().client().get(url).send().await.unwrap();
        answer.headers()["location"].to_str().unwrap().to_owned()
    }

    /// Has the flow call a method; answers `{"output"}` or `{"error"}`.
    async fn call(&self, method: &str) -> Value {
        self.hostile.call(method, json!({})).await.body
    }

    /// Has the flow call the app, which must let it in.
    async fn works(&self) {
        let answer = self.call("me").await;
        assert_eq!(answer["output"]["sub"], "ada", "{answer}");
    }

    /// Restarts the server on the same store.
    async fn restart(self) -> Self {
        let Self { hostile: Hostile { app, key, trigger }, oauth, clock, connection } = self;
        let app = app.restart().await;
        let trigger =
            headgate_tests::Trigger { url: format!("{}/hooks/{}", app.url(), trigger.routing_key), ..trigger };
        Self { hostile: Hostile { app, key, trigger }, oauth, clock, connection }
    }
}

/// Why a call through a broken connection failed: the first one finds out, and the flow is not run again (424).
fn broken(answer: &Value) -> &str {
    let error = &answer["error"];
    if error.is_string() {
        assert_eq!(answer["status"], 424, "{answer}");
        return error.as_str().unwrap();
    }
    assert_eq!((&error["code"], &error["retryable"]), (&json!("connection_broken"), &json!(false)), "{answer}");
    error["message"].as_str().unwrap()
}

/// A server with the flow `hostile` and the connector of the app.
async fn stage(app: TestApp) -> Hostile {
    app.publish("hostile", "hostile-flow").await;
    app.install("oauth-connector").await;
    let (key, trigger) = (app.key("hostile").await, app.trigger("hostile", json!({})).await);
    Hostile { app, key, trigger }
}

/// Binds the flow's slot to a new connection; answers its id.
async fn connect(hostile: &Hostile, oauth_url: &str, api_url: &str, auth: &str) -> String {
    let registration = json!({"name": "ours", "connector": "account", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "token_hosts": ["127.0.0.1"]});
    let registration = hostile.app.post("/groups/acme/app-registrations", registration).await;
    let wanted = json!({
        "name": "account",
        "connector": "account",
        "auth": auth,
        "config": {"api_url": api_url, "oauth_url": oauth_url},
        "registration": registration["id"],
    });
    let made = hostile.app.connect("hostile", "app", wanted).await;
    made["id"].as_str().unwrap().to_owned()
}
