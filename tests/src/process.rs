//! The server as a process of its own, which can be killed: the test binary runs itself again as `headgate serve`.

use std::fs::{self, File};
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use clap::Parser as _;
use headgate::cli::Cli;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tempfile::TempPath;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::app::{Key, PATIENCE, Trigger, client, succeeded};
use crate::compiler;

/// The test that is the server. It calls [`serve`].
const SERVER: &str = "durable::server_process";
/// Names the data folder to the child.
const FOLDER: &str = "STORY_DATA_FOLDER";
const GREETING: &str = "Headgate listens at ";

/// What the child does. Without its variable, as when all tests run, it does nothing.
pub fn serve() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let line = ["headgate".into(), "serve".into(), "--listen=127.0.0.1:0".into(), "--data-dir".into(), folder];
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ended = runtime.block_on(Cli::parse_from(line).with_compiler(compiler::child()).run());
    // As at the end of `main`: what still runs there holds up the end of the process here as well.
    drop(runtime);
    let status = ended.map_or_else(
        |error| {
            eprintln!("{}", error.report());
            error.exit_status()
        },
        |()| 0,
    );
    std::process::exit(status.into());
}

/// A server that runs, with whoever manages it.
pub struct Process {
    child: Child,
    url: String,
    token: String,
    said: TempPath,
    client: reqwest::Client,
}

/// A server that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it wrote to standard error: its log, and the reason.
    pub said: String,
}

impl Process {
    /// Starts a server on a data folder, with settings as variables: `("SERVICE__QUEUE", "3")`.
    ///
    /// `token` is an operator's access token, from an earlier server on the folder.
    pub async fn start(folder: &Path, token: &str, settings: &[(&str, &str)]) -> Self {
        match Self::try_start(folder, token, settings).await {
            Ok(process) => process,
            Err(ended) => panic!("the server did not start: {ended:?}"),
        }
    }

    /// Starts a server that may end before it listens.
    pub async fn try_start(folder: &Path, token: &str, settings: &[(&str, &str)]) -> Result<Self, Ended> {
        let said = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", SERVER, "--nocapture"]).env(FOLDER, folder);
        // Many servers share one machine.
        command.env("HEADGATE_WASM__FLOW_INSTANCES", "16").env("HEADGATE_WASM__CONNECTOR_INSTANCES", "16");
        command.envs(settings.iter().map(|(name, value)| (format!("HEADGATE_{name}"), value)));
        command.stdout(Stdio::piped()).stderr(File::create(&said).unwrap()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let listening = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                // The test harness may have begun the line.
                if let Some((_, url)) = line.split_once(GREETING) {
                    return Some(url.trim().to_owned());
                }
            }
            None
        };
        let url = tokio::time::timeout(PATIENCE, listening).await.expect("the server neither listens nor ends");
        let process =
            Self { child, url: url.clone().unwrap_or_default(), token: token.to_owned(), said, client: client() };
        match url {
            Some(_) => Ok(process),
            None => Err(process.ended().await),
        }
    }

    /// Ends it as kill -9 does.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Sends it a signal, such as `TERM` or `KILL`.
    pub async fn signal(&self, name: &str) {
        let line = format!("kill -{name} {}", self.child.id().expect("it runs"));
        assert!(Command::new("sh").args(["-c", &line]).status().await.unwrap().success());
    }

    /// How much memory it has resident, in KiB.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id().expect("it runs"))).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Waits until it has ended.
    pub async fn ended(mut self) -> Ended {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("the server does not end").unwrap();
        Ended { status, said: fs::read_to_string(&self.said).unwrap() }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Where it listens, without a trailing slash.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A management request; `path` follows `/api/v1`.
    pub fn manage(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}/api/v1{path}", self.url)).bearer_auth(&self.token)
    }

    /// A management request that must succeed.
    pub async fn get(&self, path: &str) -> Value {
        succeeded(self.manage(Method::GET, path)).await
    }

    /// A call of a trigger with a key in the header.
    pub fn fire(&self, trigger: &Trigger, key: &Key, body: impl ToString) -> RequestBuilder {
        let url = format!("{}/hooks/{}", self.url, trigger.routing_key);
        self.client.post(url).bearer_auth(&key.secret).body(body.to_string())
    }

    /// Calls a trigger whose runs are queued; answers the accepted run's id.
    pub async fn queue(&self, trigger: &Trigger, key: &Key, body: impl ToString) -> String {
        let answer = self.fire(trigger, key, body).send().await.unwrap();
        assert_eq!(answer.status(), 202);
        answer.headers()["headgate-run-id"].to_str().unwrap().to_owned()
    }

    /// Waits until a run of `acme` is in this state, and answers it.
    pub async fn run_in(&self, run: &str, state: &str) -> Value {
        let mut seen = Value::Null;
        let waiting = async {
            loop {
                seen = self.get(&format!("/groups/acme/runs/{run}")).await;
                if seen["state"] == state {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "the run is not {state}: {seen}");
        seen
    }
}
