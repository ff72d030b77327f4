//! Settings that an app tells when it is authorized.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use headgate_tests::oidc::Browser;
use reqwest::Url;
use serde_json::{Value, json};

use super::{House, asked};

type Request = (String, BTreeMap<String, String>);

/// A provider that gives tokens at a path of the region, and keeps what it was asked.
#[derive(Clone, Default)]
struct Provider {
    asked: Arc<Mutex<Vec<Request>>>,
    domain: Arc<Mutex<String>>,
    /// The tokens it was asked to revoke, with their regions.
    revoked: Arc<Mutex<Vec<(String, String)>>>,
}

impl Provider {
    async fn start(&self) -> String {
        let router = Router::new()
            .route("/{region}/token", post(token))
            .route("/{region}/revoke", post(revoke))
            .route("/whoami", get(whoami))
            .with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    fn tell(&self, domain: &str) {
        domain.clone_into(&mut self.domain.lock().unwrap());
    }
}

async fn whoami() -> Json<Value> {
    Json(json!({"email": "<ada@app.example>"}))
}

async fn revoke(State(provider): State<Provider>, Path(region): Path<String>, body: String) {
    let token = asked(&format!("http://x/?{body}"), "token");
    provider.revoked.lock().unwrap().push((region, token));
}

async fn token(State(provider): State<Provider>, Path(region): Path<String>, body: String) -> Json<Value> {
    let form = Url::parse(&format!("http://x/?{body}")).unwrap().query_pairs().into_owned().collect();
    provider.asked.lock().unwrap().push((region, form));
    let domain = provider.domain.lock().unwrap().clone();
    Json(json!({"access_token": "an-access-token", "refresh_token": "a-refresh-token", "token_type": "Bearer",
        "expires_in": 3600, "api_domain": domain}))
}

#[tokio::test]
async fn what_the_app_tells_is_kept_within_the_connectors_rules() {
    let provider = Provider::default();
    let house = House::at(&provider.start().await, |_| {}).await;
    let connection = house.connection("crm", "regional").await;
    let path = House::path(&connection);
    assert_eq!(house.app.get(&path).await["base_urls"], json!([format!("{}/", house.provider)]), "not there yet");
    let mut browser = Browser::default();
    let mut arrive = async |location: &str, domain: &str| {
        provider.tell(domain);
        let page = house.begin(&mut browser, house.app.token(), &connection).await;
        let back = format!("{}?state={}&code=the-code{location}", house.callback(), asked(&page, "state"));
        house.read(&mut browser, &back).await
    };

    // A region that the connector does not know never becomes part of a URL.
    for location in ["&location=mars", "&location=eu.evil.example", "&location="] {
        let (status, text) = arrive(location, "https://acme.app.example").await;
        assert!(status == 502 && text.contains("does not allow") && text.contains("must be one of"), "{text}");
    }
    let (status, text) = arrive("", "https://acme.app.example").await;
    assert!(status == 502 && text.contains("The app did not connect") && text.contains("region"), "{text}");
    assert!(provider.asked.lock().unwrap().is_empty(), "no code was sent anywhere");
    let (status, text) = arrive("&location=eu", "https://evil.example/").await;
    assert!(status == 502 && text.contains("must match the pattern"), "{text}");
    assert_eq!(house.app.get(&path).await["config"]["region"], Value::Null, "nothing of it was kept");
    assert_eq!(house.authorizations().await, 0);
    let revoked = std::mem::take(&mut *provider.revoked.lock().unwrap());
    let expected = ["a-refresh-token", "an-access-token"].map(|token| ("eu".to_owned(), token.to_owned()));
    assert_eq!(revoked, expected, "tokens that are not kept are revoked");

    let (status, text) = arrive("&location=us&api_domain=https://evil.example", "https://acme.app.example").await;
    assert!(status == 200 && text.contains("<h1>Connected</h1>"), "{text}");
    assert!(text.contains("is authorized with the account &lt;ada@app.example&gt;. Flows"), "{text}");
    let shown = house.app.get(&path).await;
    assert_eq!((&shown["config"]["region"], &shown["config"]["domain"]), (&json!("us"), &json!("acme")));
    assert_eq!(shown["account"], "<ada@app.example>");
    assert_eq!(shown["base_urls"], json!([format!("{}/", house.provider), "https://us.app.example/api/"]));
    let (region, form) = provider.asked.lock().unwrap().last().unwrap().clone();
    assert_eq!((region.as_str(), form["code"].as_str()), ("us", "the-code"));
    assert_eq!((form["redirect_uri"].as_str(), form["code_verifier"].len()), (house.callback().as_str(), 43));
    assert_eq!(house.authorizations().await, 1);
}

#[tokio::test]
async fn what_was_changed_meanwhile_is_not_authorized() {
    let provider = Provider::default();
    let house = House::at(&provider.start().await, |_| {}).await;
    provider.tell("https://acme.app.example");
    let connection = house.connection("crm", "regional").await;
    let ada = house.app.user("ada@example.com", "editor").await;
    let (mut one, mut other) = (Browser::default(), Browser::default());
    let pages =
        [house.begin(&mut one, house.app.token(), &connection).await, house.begin(&mut other, &ada, &connection).await];
    let back = |page: &str, location: &str| {
        format!("{}?state={}&code=the-code&location={location}", house.callback(), asked(page, "state"))
    };
    let (status, text) = house.read(&mut one, &back(&pages[0], "us")).await;
    assert_eq!(status, 200, "{text}");
    let (status, text) = house.read(&mut other, &back(&pages[1], "eu")).await;
    assert!(status == 409 && text.contains("was changed meanwhile"), "{text}");
    assert_eq!(house.app.get(&House::path(&connection)).await["config"]["region"], "us");
    assert_eq!(provider.asked.lock().unwrap().len(), 1, "the second code was sent nowhere");
}
