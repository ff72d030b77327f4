//! `headgate dev`: from a save to an answer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use headgate_tests::{TestApp, guests, javascript};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout};

use super::authorize::headgate;

/// From a save to the answer, for a small flow in Rust. What is asked of it, on the quickest of a few saves: others may
/// use this machine as well.
const QUICK: Duration = Duration::from_secs(3);
/// How long the first build may take, which compiles what the flow depends on.
const FIRST: Duration = Duration::from_secs(900);

const FLOW: &str = "/groups/acme/flows/greet";

/// A crate that `headgate new` made, and `headgate dev` in it.
struct Desk {
    app: TestApp,
    folder: TempDir,
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    err: Lines<BufReader<ChildStderr>>,
}

impl Desk {
    async fn sit() -> Self {
        let (app, folder) = (TestApp::start().await, tempfile::tempdir().unwrap());
        let path = folder.path().join("greet");
        let sdk = guests::workspace().join("sdk");
        javascript::headgate(&[
            "new",
            "flow",
            "greet",
            "--path",
            path.to_str().unwrap(),
            "--sdk",
            sdk.to_str().unwrap(),
        ])
        .await;
        let mut dev = headgate(&app, &format!("--json dev {}", path.display()));
        // What the flow depends on is compiled once for all runs of this story.
        dev.env("CARGO_TARGET_DIR", guests::target().join("dev")).stdin(Stdio::null());
        let mut child = dev.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        let err = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { app, folder, child, out, err }
    }

    fn source(&self) -> PathBuf {
        self.folder.path().join("greet/src/lib.rs")
    }

    /// Replaces a text in the source, as an editor saves.
    fn change(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.source()).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(self.source(), text.replace(from, to)).unwrap();
    }

    /// Waits until it says this.
    async fn says(&mut self, what: &str) {
        let mut said = Vec::new();
        let saying = async {
            while let Some(line) = self.err.next_line().await.unwrap() {
                if line.contains(what) {
                    return;
                }
                said.push(line);
            }
            panic!("it ended before it said \"{what}\": {said:#?}");
        };
        tokio::time::timeout(FIRST, saying).await.unwrap_or_else(|_| panic!("it did not say \"{what}\""));
    }

    /// What it shows next: a line of the log, or the run.
    async fn shows(&mut self, member: &str) -> Value {
        let showing = async {
            loop {
                let line = self.out.next_line().await.unwrap().expect("it goes on");
                // The test harness writes as well.
                match serde_json::from_str::<Value>(&line) {
                    Ok(shown) if shown.is_object() => return shown[member].clone(),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(FIRST, showing).await.unwrap_or_else(|_| panic!("it shows no {member}"))
    }

    /// The body of the next answer, past the lines of the log.
    async fn answer(&mut self) -> String {
        loop {
            let run = self.shows("run").await;
            if !run.is_null() {
                return run["outcome"]["response"]["body"]["text"]
                    .as_str()
                    .unwrap_or_else(|| panic!("{run}"))
                    .to_owned();
            }
        }
    }

    async fn runs(&self) -> usize {
        self.app.get("/groups/acme/runs").await.as_array().unwrap().len()
    }
}

#[tokio::test]
async fn a_save_becomes_an_answer() {
    let mut desk = Desk::sit().await;
    desk.says("there is no event yet").await;
    let event = json!({"event": {"name": "Ada"}});
    assert_eq!(desk.app.post(&format!("{FLOW}/run"), event).await["version"], 1);

    // The last event is used again, and what is written is shown while the run goes on.
    let slow =
        "println!(\"begun\"); std::thread::sleep(std::time::Duration::from_secs(1)); log::info!(\"greeting {name}\");";
    desk.change("log::info!(\"greeting {name}\");", slow);
    let begun = desk.shows("log").await;
    assert_eq!((&begun["message"], &begun["source"]), (&json!("begun"), &json!("flow")));
    assert_eq!(desk.runs().await, 1, "the run goes on");
    assert_eq!(desk.shows("log").await["message"], "greeting Ada");
    assert_eq!(desk.answer().await, r#"{"greeting":"Hello, Ada!"}"#);
    assert_eq!(desk.runs().await, 2);

    // What cannot be built, and what fails, ends nothing.
    desk.change(slow, "let name = ;");
    desk.says("cargo build failed").await;
    desk.change("let name = ;", "");
    assert_eq!(desk.answer().await, r#"{"greeting":"Hello, Ada!"}"#);

    let mut quickest = Duration::MAX;
    for pair in ["Hello", "Good day", "Welcome", "Salve"].windows(2) {
        let saved = Instant::now();
        desk.change(&format!("\"{}, ", pair[0]), &format!("\"{}, ", pair[1]));
        assert_eq!(desk.answer().await, format!(r#"{{"greeting":"{}, Ada!"}}"#, pair[1]));
        quickest = quickest.min(saved.elapsed());
    }
    println!("from a save to the answer: {} ms", quickest.as_millis());
    assert!(quickest < QUICK, "{quickest:?}");

    // All that was one draft; nothing is published.
    let versions = desk.app.get(&format!("{FLOW}/versions")).await;
    assert_eq!(versions.as_array().unwrap().len(), 1, "{versions}");
    assert_eq!((&versions[0]["version"], &versions[0]["draft"]), (&json!(1), &json!(true)));
    assert_eq!(desk.app.get(FLOW).await["published"], json!({}));
    assert!(desk.child.try_wait().unwrap().is_none(), "it goes on until it is stopped");
    desk.child.kill().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_watched_is_said() {
    let app = TestApp::start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    for (path, wanted) in [(Path::new("/does/not/exist"), "/does/not/exist"), (file.path(), "headgate push FILE")] {
        let ended = headgate(&app, &format!("dev {}", path.display())).output().await.unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(!ended.status.success() && said.contains(wanted), "{said}");
    }
}
