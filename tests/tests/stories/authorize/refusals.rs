//! Everything that connects nothing.

use headgate_tests::clock::TestClock;
use headgate_tests::oidc::{Browser, DENY, folder};
use headgate_tests::{Answer, TestApp};
use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::{House, LOOPBACK, asked, with_provider};

/// Nobody is there: these stories end before anybody asks.
const NOWHERE: &str = "http://127.0.0.1:9";

/// What an app's redirect looks like.
fn back_to(house: &House, page: &str, rest: &str) -> String {
    format!("{}?state={}&{rest}", house.callback(), asked(page, "state"))
}

#[tokio::test]
async fn another_browser_connects_nothing() {
    let house = House::at(NOWHERE, |_| {}).await;
    let connection = house.connection("crm", "own").await;
    let mut browser = Browser::default();
    let page = house.begin(&mut browser, house.app.token(), &connection).await;
    let back = back_to(&house, &page, "code=x");
    let (status, text) = house.read(&mut Browser::default(), &back).await;
    assert!(status == 403 && text.contains("Begun in another browser"), "{text}");
    let (status, text) = house.read(&mut browser, &back).await;
    assert!(status == 400 && text.contains("This page has expired"), "the state was used: {text}");

    // A browser that has the cookie of another authorization is another one, too.
    let mut other = Browser::default();
    let page = house.begin(&mut browser, house.app.token(), &connection).await;
    let second = house.connection("second", "own").await;
    house.begin(&mut other, house.app.token(), &second).await;
    let (status, _) = house.read(&mut other, &back_to(&house, &page, "code=x")).await;
    assert_eq!(status, 403);
    assert_eq!(house.authorizations().await, 0);
}

#[tokio::test]
async fn an_authorization_ends_after_ten_minutes_and_when_another_begins() {
    let clock = TestClock::at(Timestamp::now());
    let app = TestApp::with_clock(clock.clock(), |settings| with_provider(settings, NOWHERE, |_| {})).await;
    let house = House::of(app, NOWHERE).await;
    let connection = house.connection("crm", "own").await;
    let mut browser = Browser::default();
    let page = house.begin(&mut browser, house.app.token(), &connection).await;
    clock.forward(SignedDuration::from_mins(10));
    let (status, text) = house.read(&mut browser, &back_to(&house, &page, "code=x")).await;
    assert!(status == 400 && text.contains("This page has expired"), "{text}");

    let first = house.begin(&mut browser, house.app.token(), &connection).await;
    clock.forward(SignedDuration::from_mins(9));
    let second = house.begin(&mut browser, house.app.token(), &connection).await;
    let (status, _) = house.read(&mut browser, &back_to(&house, &first, "error=access_denied")).await;
    assert_eq!(status, 400);
    let (status, text) = house.read(&mut browser, &back_to(&house, &second, "error=access_denied")).await;
    assert!(status == 200 && text.contains("Access was denied"), "{text}");

    for made_up in ["state=x&code=y", "code=y", "", "state=&code=y"] {
        let (status, text) = house.read(&mut browser, &format!("{}?{made_up}", house.callback())).await;
        assert!(status == 400 && text.contains("This page has expired"), "{made_up}: {text}");
    }
}

#[tokio::test]
async fn a_code_is_for_who_began_and_for_their_connection() {
    let Some(folder) = folder() else { return };
    let house = House::open(&folder).await;
    let (crm, other) = (house.connection("crm", "own").await, house.connection("other", "own").await);
    let editor = house.app.user("editor@example.com", "editor").await;
    let consent = async || {
        let begun = house.begin_in_terminal(&crm).await;
        let end = Browser::default().log_in(begun["url"].as_str().unwrap(), "ada@example.com", LOOPBACK).await;
        asked(&end.unwrap(), "code")
    };
    for (token, connection) in [(editor.as_str(), &crm), (house.app.token(), &other)] {
        let code = consent().await;
        let (status, word, _) = house.finish(token, connection, &code).await.problem();
        assert_eq!((status, word.as_str()), (400, "authorization_unknown"));
        let again = house.finish(house.app.token(), &crm, &code).await;
        assert_eq!(again.status, 400, "a wrong use ended it");
    }
    assert_eq!(house.authorizations().await, 0);
    assert_eq!(house.finish(house.app.token(), &crm, &consent().await).await.status, 200);
}

#[tokio::test]
async fn whoever_says_no_and_an_app_that_knows_another_address_connect_nothing() {
    let Some(folder) = folder() else { return };
    let house = House::open(&folder).await;
    let connection = house.connection("crm", "own").await;
    let mut browser = Browser::default();
    let page = house.begin(&mut browser, house.app.token(), &connection).await;
    let end = browser.log_in(&page, DENY, &house.callback()).await.unwrap();
    let (status, text) = house.read(&mut browser, &end).await;
    assert!(status == 200 && text.contains("Access was denied") && text.contains("Begin again"), "{text}");

    let begun = house.begin_in_terminal(&connection).await;
    let end = Browser::default().log_in(begun["url"].as_str().unwrap(), DENY, LOOPBACK).await.unwrap();
    assert_eq!(asked(&end, "error"), "access_denied");
    assert!(asked(&end, "error_description").contains("Access was denied at the app"), "{end}");

    // The provider sends nobody to an address that its client did not register.
    let registration = house.registration().await;
    let path = format!("/groups/acme/app-registrations/{}", registration.as_str().unwrap());
    let change = house.app.manage(Method::PATCH, &path).json(&json!({"client_id": "elsewhere"}));
    assert_eq!(Answer::to(change).await.status, 200);
    let page = house.begin(&mut browser, house.app.token(), &connection).await;
    let answer = browser.log_in(&page, "ada@example.com", &house.callback()).await.unwrap_err();
    assert_eq!(answer["status"], 400);
    assert!(answer["body"].as_str().unwrap().contains("redirect_uri"), "{answer}");
    // Other apps send the browser back to say so.
    let (status, text) = house.read(&mut browser, &back_to(&house, &page, "error=redirect_uri_mismatch")).await;
    assert!(status == 400 && text.contains("headgate app-registrations show"), "{text}");
    assert_eq!(house.authorizations().await, 0);
}

#[tokio::test]
async fn without_pkce_the_provider_gives_nothing() {
    let Some(folder) = folder() else { return };
    let house = House::open(&folder).await;
    let connection = house.connection("crm", "no_pkce").await;
    let mut browser = Browser::default();
    let page = house.begin(&mut browser, house.app.token(), &connection).await;
    assert!(!page.contains("code_challenge"), "{page}");
    let end = browser.log_in(&page, "ada@example.com", &house.callback()).await.unwrap();
    let (status, text) = house.read(&mut browser, &end).await;
    assert!(status == 502 && text.contains("invalid_request") && text.contains("PKCE"), "{text}");

    // Whoever gets hold of a code has no use of it: the verifier stays on the server.
    let connection = house.connection("with", "own").await;
    let page = house.begin(&mut browser, house.app.token(), &connection).await;
    let end = browser.log_in(&page, "ada@example.com", &house.callback()).await.unwrap();
    let stolen = [
        ("grant_type", "authorization_code"),
        ("code", &asked(&end, "code")),
        ("redirect_uri", &house.callback()),
        ("client_id", "headgate"),
    ];
    let body = Url::parse_with_params("http://x", stolen).unwrap().query().unwrap().to_owned();
    let request = house.app.client().post(format!("{}/token", house.provider));
    let request = request.basic_auth("headgate", Some(super::CLIENT_SECRET)).body(body);
    let answer = Answer::to(request.header("content-type", "application/x-www-form-urlencoded")).await;
    assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("invalid_grant")));
}

#[tokio::test]
async fn rights_and_connections_that_are_gone_meanwhile_connect_nothing() {
    let house = House::at(NOWHERE, |_| {}).await;
    let connection = house.connection("crm", "own").await;
    let ada = house.app.user("ada@example.com", "editor").await;
    let mut browser = Browser::default();
    let change = async |method: Method, path: &str, body: Value| {
        let answer = Answer::to(house.app.manage(method, path).json(&body)).await;
        assert!(answer.status < 300, "{answer:?}");
    };
    let member = "/groups/acme/members/ada@example.com";

    let page = house.begin(&mut browser, &ada, &connection).await;
    change(Method::PATCH, member, json!({"role": "viewer"})).await;
    let (status, text) = house.read(&mut browser, &back_to(&house, &page, "code=x")).await;
    assert!(status == 403 && text.contains("Not allowed any more"), "{text}");
    change(Method::PATCH, member, json!({"role": "editor"})).await;

    let page = house.begin(&mut browser, &ada, &connection).await;
    change(Method::DELETE, &House::path(&connection), Value::Null).await;
    let (status, text) = house.read(&mut browser, &back_to(&house, &page, "code=x")).await;
    assert!(status == 404 && text.contains("The connection is gone"), "{text}");

    let connection = house.connection("crm", "own").await;
    let page = house.begin(&mut browser, &ada, &connection).await;
    let out = house.app.manage_as(&ada, Method::POST, "/auth/logout");
    assert_eq!(Answer::to(out).await.status, 204);
    let (status, text) = house.read(&mut browser, &back_to(&house, &page, "code=x")).await;
    assert!(status == 403 && text.contains("No longer logged in"), "{text}");
    assert_eq!(house.authorizations().await, 0);
}

#[tokio::test]
async fn only_people_authorize_and_only_what_can_be_authorized() {
    let house = House::at(NOWHERE, |_| {}).await;
    let begin = async |token: &str, connection: &str, body: Value| {
        let request = house.app.manage_as(token, Method::POST, &format!("{}/authorize", House::path(connection)));
        Answer::to(request.json(&body)).await.problem()
    };
    let own = house.connection("own", "own").await;
    let operator = house.app.token();
    for bad in ["https://evil.example/", "http://localhost:1/", "http://127.0.0.1/", "http://127.0.0.1:1/?x=1"] {
        let (status, _, message) = begin(operator, &own, json!({"return_to": bad})).await;
        assert!(status == 400 && message.contains("loopback"), "{bad}: {message}");
    }
    let key = house.app.post("/groups/acme/api-keys", json!({"name": "all", "scopes": ["connections:write"]})).await;
    let (status, code, _) = begin(key["api_key"].as_str().unwrap(), &own, json!({})).await;
    assert_eq!((status, code.as_str()), (403, "not_for_api_keys"));

    let client = house.connection("client", "client").await;
    let (status, _, message) = begin(operator, &client, json!({})).await;
    assert!(status == 409 && message.contains("client credentials"), "{message}");
    let token = json!({"name": "token", "connector": "consent", "auth": "token",
        "config": {"provider": NOWHERE, "region": "eu"}, "secrets": {"token": "a-token-of-the-app"}});
    let token = house.app.post("/groups/acme/connections", token).await;
    let (status, _, message) = begin(operator, token["id"].as_str().unwrap(), json!({})).await;
    assert!(status == 409 && message.contains("api_key: there is nothing to authorize"), "{message}");
}

#[tokio::test]
async fn nothing_that_comes_back_is_markup_and_no_cookie_goes_elsewhere() {
    let app = TestApp::with(|settings| {
        with_provider(settings, NOWHERE, |settings| {
            settings.public_url = Some("https://flows.example.com/at".parse().unwrap());
        });
    });
    let house = House::of(app.await, NOWHERE).await;
    let connection = house.connection("crm", "own").await;
    let path = format!("{}/authorize", House::path(&connection));
    // A request says nothing about where the app sends browsers back to.
    let request = house.app.manage(Method::POST, &path).header("host", "evil.example");
    let answer = Answer::to(request.header("x-forwarded-host", "evil.example")).await;
    let page = answer.json()["url"].as_str().unwrap().to_owned();
    assert_eq!(asked(&page, "redirect_uri"), "https://flows.example.com/at/oauth/callback");
    let cookie = answer.header("set-cookie").to_owned();
    let pair = cookie.split(';').next().unwrap();
    assert!(cookie.ends_with("; Path=/at/oauth; Max-Age=600; HttpOnly; SameSite=Lax; Secure"), "{cookie}");
    assert!(!cookie.contains(&asked(&page, "state")), "{cookie}");

    let said = "error=server_error&error_description=%3Cscript%3Ealert(1)%3C/script%3E";
    let request = house.app.client().get(back_to(&house, &page, said)).header("cookie", pair);
    let answer = Answer::to(request).await;
    assert_eq!((answer.status, answer.header("x-content-type-options")), (502, "nosniff"));
    assert!(answer.text().contains("&lt;script&gt;") && !answer.text().contains("<script"), "{}", answer.text());
}

#[tokio::test]
async fn several_connections_can_be_authorized_at_a_time() {
    let house = House::at(NOWHERE, |_| {}).await;
    let mut browser = Browser::default();
    let mut pages = Vec::new();
    for name in ["a", "b", "c"] {
        let connection = house.connection(name, "own").await;
        pages.push(house.begin(&mut browser, house.app.token(), &connection).await);
    }
    for page in pages {
        let (status, text) = house.read(&mut browser, &back_to(&house, &page, "error=access_denied")).await;
        assert!(status == 200 && text.contains("Access was denied"), "{text}");
    }
}
