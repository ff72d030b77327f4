//! Authorizing connections: at a real, certified provider, and at a stand-in where the provider has to misbehave.

mod refusals;
mod regional;

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Stdio;

use clap::Parser as _;
use headgate::cli::Cli;
use headgate::settings::Settings;
use headgate_tests::oidc::{Browser, CLIENT_SECRET, DENY, OpenIdProvider, folder};
use headgate_tests::{Answer, TestApp};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

/// Tells the command line's process what to do: a list of words, as JSON.
const STORY: &str = "STORY_COMMAND";
/// Nobody listens there.
const LOOPBACK: &str = "http://127.0.0.1:9/done";

/// A server whose group has connections to be authorized at a provider.
pub(super) struct House {
    pub(super) app: TestApp,
    provider: String,
    /// Ends with the story.
    _certified: Option<OpenIdProvider>,
}

impl House {
    /// A house at the certified provider.
    async fn open(folder: &Path) -> Self {
        let mut provider = OpenIdProvider::start_fixture(folder, "oauth-consent.mjs").await;
        // The provider must know where it sends browsers back to before the server listens there.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        provider.tell(json!({"redirect_uri": format!("http://127.0.0.1:{port}/oauth/callback")})).await;
        let issuer = provider.issuer.clone();
        let house = Self::at(&issuer, |settings| settings.listen.set_port(port)).await;
        Self { _certified: Some(provider), ..house }
    }

    /// A house at a provider of the story's own.
    async fn at(provider: &str, change: impl FnOnce(&mut Settings)) -> Self {
        Self::of(TestApp::with(|settings| with_provider(settings, provider, change)).await, provider).await
    }

    /// A house on a server of the story's own.
    async fn of(app: TestApp, provider: &str) -> Self {
        app.install("consent-connector").await;
        let own = json!({"name": "own", "connector": "consent", "client_id": "headgate", "client_secret": CLIENT_SECRET, "token_hosts": ["127.0.0.1"]});
        app.post("/groups/acme/app-registrations", own).await;
        Self { app, provider: provider.to_owned(), _certified: None }
    }

    async fn registration(&self) -> Value {
        self.app.get("/groups/acme/app-registrations").await[0]["id"].clone()
    }

    /// Makes a connection of one of the connector's kinds with the group's registration; answers its id.
    async fn connection(&self, name: &str, auth: &str) -> String {
        let mut config = json!({ "provider": self.provider });
        if auth != "regional" {
            config["region"] = json!("eu");
        }
        let registration = self.registration().await;
        let wanted =
            json!({"name": name, "connector": "consent", "auth": auth, "config": config, "registration": registration});
        self.app.post("/groups/acme/connections", wanted).await["id"].as_str().unwrap().to_owned()
    }

    fn path(connection: &str) -> String {
        format!("/groups/acme/connections/{connection}")
    }

    /// Begins in a browser; answers the app's page.
    async fn begin(&self, browser: &mut Browser, token: &str, connection: &str) -> String {
        let request = self.app.manage_as(token, Method::POST, &format!("{}/authorize", Self::path(connection)));
        let answer = browser.send(request).await;
        assert_eq!(answer.status(), 200);
        answer.json::<Value>().await.unwrap()["url"].as_str().unwrap().to_owned()
    }

    /// Begins in a terminal that waits at a loopback address.
    async fn begin_in_terminal(&self, connection: &str) -> Value {
        self.app.post(&format!("{}/authorize", Self::path(connection)), json!({"return_to": LOOPBACK})).await
    }

    async fn finish(&self, token: &str, connection: &str, code: &str) -> Answer {
        let request = self.app.manage_as(token, Method::POST, &format!("{}/authorize/finish", Self::path(connection)));
        Answer::to(request.json(&json!({ "code": code }))).await
    }

    fn callback(&self) -> String {
        format!("{}/oauth/callback", self.app.url())
    }

    /// What a browser reads where the app sends it back to.
    async fn read(&self, browser: &mut Browser, url: &str) -> (u16, String) {
        let answer = browser.get(url).await;
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Who authorized a connection, as the audit log tells it.
    async fn authorizations(&self) -> usize {
        let entries = self.app.get("/groups/acme/audit").await;
        let entries = entries.as_array().or_else(|| entries["entries"].as_array()).unwrap();
        entries.iter().filter(|entry| entry["action"] == "connection.authorize").count()
    }
}

/// The settings of a server that may reach a provider on this machine.
pub(super) fn with_provider(settings: &mut Settings, provider: &str, change: impl FnOnce(&mut Settings)) {
    let address = provider.strip_prefix("http://").unwrap();
    settings.egress.allow_private = vec![address.parse().unwrap()];
    change(settings);
}

pub(super) fn asked(url: &str, name: &str) -> String {
    let url = Url::parse(url).unwrap();
    let found = url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned());
    found.unwrap_or_else(|| panic!("{name} in {url}"))
}

#[tokio::test]
async fn a_person_consents_at_a_certified_provider() {
    let Some(folder) = folder() else { return };
    let house = House::open(&folder).await;
    let connection = house.connection("crm", "own").await;
    let mut browser = Browser::default();
    let page = house.begin(&mut browser, house.app.token(), &connection).await;
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "headgate"),
        ("scope", "contacts.read contacts.write"),
        ("code_challenge_method", "S256"),
        ("redirect_uri", &house.callback()),
    ] {
        assert_eq!(asked(&page, name), value);
    }
    assert_eq!((asked(&page, "state").len(), asked(&page, "code_challenge").len()), (43, 43));

    let back = browser.log_in(&page, "ada@example.com", &house.callback()).await.unwrap();
    let answer = browser.get(&back).await;
    let headers = answer.headers().clone();
    let text = answer.text().await.unwrap();
    assert!(text.contains("<h1>Connected</h1>") && text.contains("&quot;crm&quot;"), "{text}");
    assert!(text.contains("A test of it found something to look at, though"), "there is nobody to ask: {text}");
    assert!(!text.contains("<script") && !text.contains("http://") && !text.contains("https://"), "{text}");
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(headers["cache-control"] == "no-store" && headers["referrer-policy"] == "no-referrer", "{headers:?}");
    assert_eq!(house.authorizations().await, 1);

    // The redirect works once.
    let (status, text) = house.read(&mut browser, &back).await;
    assert!(status == 400 && text.contains("This page has expired"), "{text}");
    // Beginning again works as long as one likes.
    let page = house.begin(&mut browser, house.app.token(), &connection).await;
    let back = browser.log_in(&page, "ada@example.com", &house.callback()).await.unwrap();
    let (status, text) = house.read(&mut browser, &back).await;
    assert!(status == 200 && text.contains("<h1>Connected</h1>"), "{text}");
    assert_eq!(house.authorizations().await, 2);
}

#[tokio::test]
async fn a_terminal_finishes_what_it_began() {
    let Some(folder) = folder() else { return };
    let house = House::open(&folder).await;
    let connection = house.connection("crm", "own").await;
    let begun = house.begin_in_terminal(&connection).await;
    assert_eq!(begun["redirect_uri"], house.callback());
    let page = begun["url"].as_str().unwrap();
    let end = Browser::default().log_in(page, "ada@example.com", LOOPBACK).await.unwrap();
    assert_eq!(Url::parse(&end).unwrap().query_pairs().count(), 1, "{end}");
    let code = asked(&end, "code");
    assert_eq!(house.authorizations().await, 0, "consent alone connects nothing");
    let answer = house.finish(house.app.token(), &connection, &code).await;
    assert_eq!((answer.status, &answer.json()["name"]), (200, &json!("crm")));
    assert_eq!(house.authorizations().await, 1);
    let (status, code, message) = house.finish(house.app.token(), &connection, &code).await.problem();
    assert_eq!((status, code.as_str()), (400, "authorization_unknown"), "{message}");
    assert!(message.contains("headgate connections authorize"), "{message}");
}

/// The command line of the stories, which run this test in a process of its own.
#[test]
fn command_process() {
    let Ok(words) = std::env::var(STORY) else { return };
    let words: Vec<String> = serde_json::from_str(&words).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ended = runtime.block_on(Cli::parse_from(words).run());
    std::process::exit(ended.map_or_else(
        |error| {
            eprintln!("{}", error.report());
            1
        },
        |()| 0,
    ));
}

/// A command of an operator at a server, in the group `acme`, on a machine without a desktop.
pub(super) fn headgate(app: &TestApp, line: &str) -> Command {
    let url = app.url();
    let words = format!("headgate --url {url} --group acme {line}");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "authorize::command_process", "--nocapture"]);
    command.env(STORY, json!(words.split(' ').collect::<Vec<_>>()).to_string()).env("HEADGATE_TOKEN", app.token());
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// `headgate connections authorize crm`, what it says, and the page it shows.
async fn waiting(house: &House) -> (Child, Lines<BufReader<ChildStderr>>, String) {
    let mut child = headgate(&house.app, "connections authorize crm").spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    loop {
        let line = lines.next_line().await.unwrap().expect("it shows a page");
        if line.contains("/auth?") {
            return (child, lines, line.trim().to_owned());
        }
    }
}

#[tokio::test]
async fn the_servers_app_serves_a_group() {
    let Some(folder) = folder() else { return };
    let house = House::open(&folder).await;
    let of_server = json!({"name": "consent", "connector": "consent", "client_id": "headgate",
        "client_secret": CLIENT_SECRET, "token_hosts": ["127.0.0.1"]});
    house.app.post("/app-registrations", of_server).await;
    let config = json!({"provider": house.provider, "region": "eu"});
    let wanted = json!({"name": "crm", "connector": "consent", "auth": "oauth", "config": config});
    let made = house.app.post("/groups/acme/connections", wanted).await;
    let ada = house.app.user("ada@example.com", "editor").await;
    let mut browser = Browser::default();
    let page = house.begin(&mut browser, &ada, made["id"].as_str().unwrap()).await;
    let back = browser.log_in(&page, "ada@example.com", &house.callback()).await.unwrap();
    let (status, text) = house.read(&mut browser, &back).await;
    assert!(status == 200 && text.contains("<h1>Connected</h1>"), "{text}");
    let entry = house.app.get("/groups/acme/audit").await.to_string();
    assert!(entry.contains("connection.authorize") && !entry.contains(CLIENT_SECRET), "{entry}");
}

#[tokio::test]
async fn the_command_line_authorizes_with_the_browser() {
    let Some(folder) = folder() else { return };
    let house = House::open(&folder).await;
    house.connection("crm", "own").await;
    let (child, _lines, page) = waiting(&house).await;
    let callback = house.callback();
    let mut browser = Browser::default();
    let back = browser.log_in(&page, "ada@example.com", &callback).await.unwrap();
    // The browser goes on to the address at which the terminal waits.
    let answer = browser.get(&back).await;
    assert_eq!(answer.status(), 303);
    let terminal = answer.headers()["location"].to_str().unwrap().to_owned();
    assert!(terminal.starts_with("http://127.0.0.1:"), "{terminal}");
    let said = Answer::to(house.app.client().get(terminal)).await;
    assert!(said.text().contains("The app gave its consent"), "{said:?}");
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("The connection \"crm\" is authorized"), "{said}");
    assert_eq!(house.authorizations().await, 1);

    // Whoever says no is told so in both places.
    let (mut child, mut lines, page) = waiting(&house).await;
    let mut browser = Browser::default();
    let back = browser.log_in(&page, DENY, &callback).await.unwrap();
    let terminal = browser.get(&back).await.headers()["location"].to_str().unwrap().to_owned();
    let said = Answer::to(house.app.client().get(terminal)).await;
    assert!(said.status == 403 && said.text().contains("not authorized"), "{said:?}");
    let mut told = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        told.push_str(&line);
    }
    assert!(told.contains("Access was denied at the app"), "{told}");
    assert!(!child.wait().await.unwrap().success());
}
