//! A certified OpenID provider, and somebody's browser.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::app::{PATIENCE, client};

/// Names the folder with the provider's package.
const FOLDER: &str = "OIDC_PROVIDER";
/// Redirects that a browser follows at most.
const MOST_REDIRECTS: usize = 20;

/// The client's secret, which the fixture knows.
pub const CLIENT_SECRET: &str = "the-secret-of-the-client";

/// Whoever logs in as this one cancels instead.
pub const DENY: &str = "deny";

/// The folder with the npm package `oidc-provider`. Where the variable is not set, a story about it cannot be told; in CI
/// it has to be.
pub fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os(FOLDER).map(PathBuf::from);
    if folder.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{FOLDER} must name the folder with node_modules/oidc-provider");
        eprintln!("skipped: {FOLDER} does not name a folder with node_modules/oidc-provider");
    }
    folder
}

/// A running provider.
pub struct OpenIdProvider {
    _child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// Its address.
    pub issuer: String,
}

impl OpenIdProvider {
    /// Starts one that waits for its client.
    pub async fn start(folder: &Path) -> Self {
        Self::start_fixture(folder, "oidc-provider.mjs").await
    }

    /// Starts one as a fixture of the stories sets it up.
    pub async fn start_fixture(folder: &Path, fixture: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(fixture);
        let mut command = Command::new("node");
        command.arg(script).env(FOLDER, folder).kill_on_drop(true);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("the provider does not start");
        Self { _child: child, input, lines, issuer: first.unwrap().expect("the provider ended") }
    }

    /// Tells it who its client is.
    pub async fn serve(&mut self, public_url: &str, alg: &str, id_token_claims: bool) {
        let redirect = format!("{public_url}/api/v1/auth/oidc/callback");
        self.tell(json!({"redirect_uri": redirect, "alg": alg, "id_token_claims": id_token_claims})).await;
    }

    /// Tells it what it waits for.
    pub async fn tell(&mut self, client: Value) {
        self.input.write_all(format!("{client}\n").as_bytes()).await.unwrap();
        let ready = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.expect("the provider is not ready");
        assert_eq!(ready.unwrap().as_deref(), Some("ready"));
    }
}

/// A browser: it follows redirects, keeps cookies, and fills in the provider's forms.
#[derive(Default)]
pub struct Browser {
    cookies: HashMap<String, String>,
}

impl Browser {
    /// Goes to a page, logs in as somebody where a form asks for it ([`DENY`] cancels there), and answers where the last redirect leads: to a loopback
    /// address nobody serves, or the page it stops at.
    pub async fn log_in(&mut self, start: &str, login: &str, stop_at: &str) -> Result<String, Value> {
        let mut url = start.to_owned();
        let mut answer = self.get(&url).await;
        for _ in 0..MOST_REDIRECTS {
            if answer.status() == StatusCode::SEE_OTHER || answer.status() == StatusCode::FOUND {
                let location = answer.headers()["location"].to_str().unwrap();
                url = reqwest::Url::parse(&url).unwrap().join(location).unwrap().to_string();
                if url.starts_with(stop_at) {
                    return Ok(url);
                }
                answer = self.get(&url).await;
            } else if answer.status() == StatusCode::OK {
                let page = answer.text().await.unwrap();
                if let Some(cancel) = page.split_once("[ Cancel ]").filter(|_| login == DENY) {
                    let link = cancel.0.rsplit_once("<a href=\"").unwrap().1.split('"').next().unwrap();
                    url = reqwest::Url::parse(&url).unwrap().join(link).unwrap().to_string();
                    answer = self.get(&url).await;
                    continue;
                }
                let prompt = if page.contains("name=\"login\"") { "login" } else { "consent" };
                let form = [("prompt", prompt), ("login", login), ("password", "any")];
                let body = form.map(|(name, value)| format!("{name}={}", encoded(value))).join("&");
                let request = client().post(&url).header("content-type", "application/x-www-form-urlencoded");
                answer = self.send(request.body(body)).await;
            } else {
                let status = answer.status().as_u16();
                return Err(json!({"status": status, "body": answer.text().await.unwrap()}));
            }
        }
        panic!("{url} redirects for ever");
    }

    /// Goes to a page, and no further.
    pub async fn get(&mut self, url: &str) -> Response {
        self.send(client().get(url)).await
    }

    /// Sends a request with the browser's cookies.
    pub async fn send(&mut self, request: reqwest::RequestBuilder) -> Response {
        let cookies = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        let answer = request.header("cookie", cookies.join("; ")).send().await.unwrap();
        for cookie in answer.headers().get_all("set-cookie") {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            match value {
                "" => drop(self.cookies.remove(name)),
                value => drop(self.cookies.insert(name.to_owned(), value.to_owned())),
            }
        }
        answer
    }
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
