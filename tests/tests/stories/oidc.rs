//! Logging in through an OpenID provider: a real, certified one.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Parser as _;
use headgate::cli::Cli;
use headgate::settings::Settings;
use headgate_tests::oidc::{Browser, CLIENT_SECRET, OpenIdProvider, folder};
use headgate_tests::{Answer, TestApp};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// Names the server to the process that logs in.
const SERVER: &str = "STORY_LOGIN_SERVER";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const LOOPBACK: &str = "http://127.0.0.1:9/done";

struct House {
    app: TestApp,
    _provider: OpenIdProvider,
}

impl House {
    async fn open(folder: &Path, alg: &str, id_token_claims: bool, change: impl FnOnce(&mut Settings)) -> Self {
        let mut provider = OpenIdProvider::start(folder).await;
        // The provider must know where it sends browsers back to before the server listens there.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let public_url = format!("http://127.0.0.1:{port}");
        provider.serve(&public_url, alg, id_token_claims).await;
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), format!("{CLIENT_SECRET}\n")).unwrap();
        let app = TestApp::with(|settings| {
            settings.listen.set_port(port);
            settings.oidc.issuer = Some(provider.issuer.clone());
            settings.oidc.client_id = Some("headgate".to_owned());
            settings.oidc.client_secret_file = Some(secret.path().to_owned());
            change(settings);
        });
        Self { app: app.await, _provider: provider }
    }

    fn page(&self) -> String {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
        let query = [("redirect_uri", LOOPBACK), ("code_challenge", challenge.as_str())];
        let start = format!("{}/api/v1/auth/oidc/start", self.app.url());
        Url::parse_with_params(&start, query).unwrap().to_string()
    }

    /// Where the browser ends up: `code`, or `error_description`.
    async fn browse(&self, login: &str, name: &str) -> String {
        let end = Browser::default().log_in(&self.page(), login, LOOPBACK).await.unwrap();
        let end = Url::parse(&end).unwrap();
        let value = end.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned());
        value.unwrap_or_else(|| panic!("{name} in {end}"))
    }

    async fn fetch(&self, code: &str, verifier: &str) -> Answer {
        let request = self.app.client().post(format!("{}/api/v1/auth/oidc/token", self.app.url()));
        Answer::to(request.json(&json!({"code": code, "code_verifier": verifier}))).await
    }

    async fn log_in(&self, login: &str) -> Answer {
        let code = self.browse(login, "code").await;
        self.fetch(&code, VERIFIER).await
    }
}

#[tokio::test]
async fn whoever_the_provider_lets_in_has_a_session() {
    let Some(folder) = folder() else { return };
    for (alg, id_token_claims) in [("RS256", false), ("ES256", true), ("PS256", true), ("EdDSA", false)] {
        let house = House::open(&folder, alg, id_token_claims, |_| {}).await;
        house.app.post("/users", json!({"email": "ada@example.com"})).await;
        let answer = house.log_in("ada@example.com").await;
        assert_eq!(answer.status, 200, "{alg}: {answer:?}");
        let session = answer.json();
        let me = house.app.manage_as(session["access_token"].as_str().unwrap(), Method::GET, "/auth/me");
        let me = Answer::to(me).await.json();
        assert_eq!((&me["user"]["email"], &me["user"]["status"]), (&json!("ada@example.com"), &json!("active")));
        // And once more, now that they are known there.
        assert_eq!(house.log_in("ada@example.com").await.status, 200);
    }
}

/// `headgate login --oidc` of the story below, which runs this test in a process of its own.
#[test]
fn login_process() {
    let Some(url) = std::env::var_os(SERVER) else { return };
    let line = ["headgate".into(), "login".into(), "--oidc".into(), "--url".into(), url];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ended = runtime.block_on(Cli::parse_from(line).run());
    std::process::exit(ended.map_or_else(|error| panic!("{}", error.report()), |()| 0));
}

#[tokio::test]
async fn the_command_line_logs_in_with_the_browser() {
    let Some(folder) = folder() else { return };
    let house = House::open(&folder, "RS256", false, |_| {}).await;
    house.app.post("/users", json!({"email": "ada@example.com"})).await;
    let config = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "oidc::login_process", "--nocapture"]).env(SERVER, house.app.url());
    command.env("XDG_CONFIG_HOME", config.path()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let page = loop {
        let line = lines.next_line().await.unwrap().expect("it shows a page");
        if line.contains("/oidc/start?") {
            break line.trim().to_owned();
        }
    };
    let back = Url::parse(&page).unwrap();
    let back = back.query_pairs().find(|(name, _)| name == "redirect_uri").unwrap().1.into_owned();
    let end = Browser::default().log_in(&page, "ada@example.com", &back).await.unwrap();
    let said = Answer::to(house.app.client().get(end)).await;
    assert!(said.text().contains("You are logged in"), "{said:?}");
    assert!(child.wait().await.unwrap().success());
    let kept: Value =
        serde_json::from_slice(&std::fs::read(config.path().join("headgate/sessions.json")).unwrap()).unwrap();
    let token = kept[house.app.url()]["access_token"].as_str().unwrap();
    assert_eq!(Answer::to(house.app.manage_as(token, Method::GET, "/auth/me")).await.status, 200);
}

#[tokio::test]
async fn the_provider_lets_in_only_whom_the_server_knows() {
    let Some(folder) = folder() else { return };
    let house = House::open(&folder, "RS256", false, |_| {}).await;
    let refused = |answer: Answer| {
        let (status, code, message) = answer.problem();
        assert_eq!((status, code.as_str()), (401, "provider_login_failed"), "{message}");
        message
    };
    let message = refused(house.log_in("ada@example.com").await);
    assert!(message.contains("Nobody on this server has the address ada@example.com"), "{message}");

    house.app.post("/users", json!({"email": "ada@example.com"})).await;
    let message = house.browse("unverified:ada@example.com", "error_description").await;
    assert!(message.contains("does not say that the email address is verified"), "{message}");
    assert_eq!(house.log_in("ada@example.com").await.status, 200);
    // The address went to somebody else at the provider.
    let message = refused(house.log_in("another:ada@example.com").await);
    assert!(message.contains("somebody else"), "{message}");
    house.app.post("/users/ada@example.com/invite", Value::Null).await;
    assert_eq!(house.log_in("another:ada@example.com").await.status, 200);

    let disable = house.app.manage(Method::PATCH, "/users/ada@example.com").json(&json!({"disabled": true}));
    assert_eq!(Answer::to(disable).await.status, 200);
    refused(house.log_in("another:ada@example.com").await);
}

#[tokio::test]
async fn new_people_come_in_where_the_operator_wants_it() {
    let Some(folder) = folder() else { return };
    let house = House::open(&folder, "RS256", false, |settings| settings.oidc.allow_new_users = true).await;
    let session = house.log_in("new@example.com").await.json();
    assert_eq!(session["user"]["name"], "Somebody new@example.com");
    assert_eq!(session["user"]["operator"], false);
    let groups = house.app.manage_as(session["access_token"].as_str().unwrap(), Method::GET, "/groups");
    assert_eq!(Answer::to(groups).await.json(), json!([]));
}

#[tokio::test]
async fn a_code_is_for_whoever_began_and_for_one_use() {
    let Some(folder) = folder() else { return };
    let house = House::open(&folder, "RS256", false, |_| {}).await;
    house.app.post("/users", json!({"email": "ada@example.com"})).await;
    let code = house.browse("ada@example.com", "code").await;
    assert_eq!(house.fetch(&code, "somebody else's verifier").await.status, 401);
    assert_eq!(house.fetch(&code, VERIFIER).await.status, 401, "a wrong verifier ended it");
    let code = house.browse("ada@example.com", "code").await;
    assert_eq!(house.fetch(&code, VERIFIER).await.status, 200);
    assert_eq!(house.fetch(&code, VERIFIER).await.status, 401);

    // The provider's own redirect works once, too.
    let callback = format!("{}/api/v1/auth/oidc/callback", house.app.url());
    let mut browser = Browser::default();
    let back = browser.log_in(&house.page(), "ada@example.com", &callback).await.unwrap();
    let first = Answer::to(house.app.client().get(&back)).await;
    assert!(first.header("location").starts_with(&format!("{LOOPBACK}?code=")), "{first:?}");
    assert_eq!((first.header("cache-control"), first.header("referrer-policy")), ("no-store", "no-referrer"));
    assert_eq!(Answer::to(house.app.client().get(&back)).await.problem().0, 401);
    assert_eq!(Answer::to(house.app.client().get(format!("{callback}?state=x&code=y"))).await.problem().0, 401);

    // A code that the provider did not give.
    let start = Answer::to(house.app.client().get(house.page())).await;
    let page = Url::parse(start.header("location")).unwrap();
    let asked = |name: &str| page.query_pairs().find(|(known, _)| known == name).unwrap().1.into_owned();
    assert_eq!((asked("code_challenge_method"), asked("response_type")), ("S256".to_owned(), "code".to_owned()));
    assert_ne!(asked("code_challenge"), URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER)), "each side has its own");
    let forged = format!("{callback}?state={}&code=forged", asked("state"));
    let answer = Answer::to(house.app.client().get(forged)).await;
    assert!(answer.header("location").contains("error=access_denied"), "{answer:?}");
}

#[tokio::test]
async fn a_login_begins_only_for_this_machine() {
    let Some(folder) = folder() else { return };
    let house = House::open(&folder, "RS256", false, |_| {}).await;
    let start = format!("{}/api/v1/auth/oidc/start", house.app.url());
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    for (redirect, challenge) in [
        ("https://evil.example/", challenge.as_str()),
        ("http://evil.example:80/", &challenge),
        ("", &challenge),
        (LOOPBACK, "short"),
        (LOOPBACK, ""),
    ] {
        let query = [("redirect_uri", redirect), ("code_challenge", challenge)];
        let url = Url::parse_with_params(&start, query).unwrap();
        assert_eq!(Answer::to(house.app.client().get(url)).await.problem().0, 400, "{redirect} {challenge}");
    }
}

#[tokio::test]
async fn without_a_provider_it_is_said_how_to_have_one() {
    let app = TestApp::start().await;
    let answer = Answer::to(app.client().get(format!("{}/api/v1/auth/oidc/start", app.url()))).await;
    let (status, code, message) = answer.problem();
    assert_eq!((status, code.as_str()), (404, "not_configured"));
    assert!(message.contains("oidc.issuer"), "{message}");

    let app = TestApp::with(|settings| {
        settings.oidc.issuer = Some("http://127.0.0.1:1".to_owned());
        settings.oidc.client_id = Some("headgate".to_owned());
    });
    let app = app.await;
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    let query = [("redirect_uri", LOOPBACK), ("code_challenge", challenge.as_str())];
    let url = Url::parse_with_params(&format!("{}/api/v1/auth/oidc/start", app.url()), query).unwrap();
    let answer = Answer::to(app.client().get(url)).await;
    assert_eq!(answer.status, 503, "the provider is not there: {answer:?}");
    assert_eq!(answer.header("retry-after"), "10");
}
