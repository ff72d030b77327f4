//! The same with a real, certified provider.

use std::net::{Ipv4Addr, TcpListener};

use headgate_tests::clock::TestClock;
use headgate_tests::oauth::{CLIENT_ID, CLIENT_SECRET};
use headgate_tests::oidc::{Browser, OpenIdProvider, folder};
use headgate_tests::{Hostile, TestApp};
use jiff::{SignedDuration, Timestamp};
use reqwest::Url;
use serde_json::{Value, json};

use super::{LOOPBACK, broken, connect, stage};

struct House {
    hostile: Hostile,
    provider: OpenIdProvider,
    clock: TestClock,
    connection: String,
}

impl House {
    /// Nothing where there is no provider.
    async fn open(auth: &str) -> Option<Self> {
        let mut provider = OpenIdProvider::start_fixture(&folder()?, "oauth-provider.mjs").await;
        // The provider must know where it sends browsers back to before the server listens there.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let redirect = format!("http://127.0.0.1:{port}/oauth/callback");
        let client = json!({"redirect_uri": redirect, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET});
        provider.tell(client).await;
        let clock = TestClock::at(Timestamp::now());
        let address = provider.issuer.strip_prefix("http://").unwrap().to_owned();
        let app = TestApp::with_clock(clock.clock(), |settings| {
            settings.listen.set_port(port);
            settings.egress.allow_private = vec![address.parse().unwrap()];
        });
        let hostile = stage(app.await).await;
        let connection = connect(&hostile, &provider.issuer, &format!("{}/api", provider.issuer), auth).await;
        Some(Self { hostile, provider, clock, connection })
    }

    fn path(&self) -> String {
        format!("/groups/acme/connections/{}", self.connection)
    }

    /// Somebody consents, in their browser.
    async fn authorize(&self) {
        let app = &self.hostile.app;
        let begun = app.post(&format!("{}/authorize", self.path()), json!({"return_to": LOOPBACK})).await;
        let page = begun["url"].as_str().unwrap();
        let end = Browser::default().log_in(page, "ada@example.com", LOOPBACK).await.unwrap();
        let end = Url::parse(&end).unwrap();
        let code = end.query_pairs().find(|(name, _)| name == "code").unwrap_or_else(|| panic!("{end}")).1.into_owned();
        app.post(&format!("{}/authorize/finish", self.path()), json!({ "code": code })).await;
    }

    /// With which token a call is let in.
    async fn token(&self) -> String {
        let answer = self.hostile.call("me", json!({})).await.body;
        answer["output"]["token_id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    async fn ask(&self, path: &str) -> Value {
        let answer = self.hostile.app.client().get(format!("{}{path}", self.provider.issuer)).send().await.unwrap();
        answer.json().await.unwrap()
    }

    /// Whether the provider still takes a token.
    async fn is_live(&self, token: &str) -> bool {
        self.ask(&format!("/live/{token}")).await == true
    }

    /// How often something happened to tokens.
    async fn count(&self, event: &str) -> usize {
        let events = self.ask("/events").await;
        events.as_array().unwrap().iter().filter(|name| **name == event).count()
    }
}

#[tokio::test]
async fn refresh_tokens_rotate() {
    let Some(house) = House::open("oauth_advanced").await else { return };
    house.authorize().await;
    let mut tokens = vec![house.token().await];
    for _ in 0..3 {
        house.clock.forward(SignedDuration::from_hours(1));
        tokens.push(house.token().await);
        assert_eq!(house.token().await, *tokens.last().unwrap());
    }
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), 4);
    assert_eq!((house.count("refresh_token.consumed").await, house.count("grant.revoked").await), (3, 0));
}

#[tokio::test]
async fn a_client_acts_for_itself() {
    let Some(house) = House::open("client_credentials").await else { return };
    let first = house.token().await;
    assert_eq!(house.token().await, first);
    house.clock.forward(SignedDuration::from_hours(1));
    assert_ne!(house.token().await, first);
    assert_eq!(house.count("client_credentials.saved").await, 2);
}

#[tokio::test]
async fn introspection_tells_when_a_token_ends() {
    let Some(house) = House::open("untold").await else { return };
    let first = house.token().await;
    house.clock.forward(SignedDuration::from_hours(1));
    // The provider goes by another clock and would still take the token: only its answer says that it ended.
    let renewed = async {
        while house.token().await == first {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), renewed).await.expect("the end is not known");
}

#[tokio::test]
async fn a_connection_that_is_disconnected_has_its_tokens_revoked() {
    let Some(house) = House::open("oauth_advanced").await else { return };
    house.authorize().await;
    let token = house.token().await;
    assert!(house.is_live(&token).await);
    let done = house.hostile.app.post(&format!("{}/disconnect", house.path()), json!({})).await;
    assert_eq!(done["revoked"], true, "{done}");
    assert!(!house.is_live(&token).await, "the provider still takes the access token");
    let ended = house.count("refresh_token.destroyed").await + house.count("grant.revoked").await;
    assert!(ended > 0, "the provider still takes the refresh token");
    let answer = house.hostile.call("me", json!({})).await.body;
    assert!(broken(&answer).contains("it was disconnected"), "{answer}");
    house.authorize().await;
    house.token().await;
}
