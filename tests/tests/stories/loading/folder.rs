//! The watched folder: operators deploy files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use headgate_tests::{TestApp, guests};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

const VERSIONS: &str = "/groups/acme/flows/hello/versions";
const ALERTS: &str = "/groups/acme/alerts?state=open";

struct Watched {
    app: TestApp,
    folder: TempDir,
}

impl Watched {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().to_owned();
        let change = |settings: &mut headgate::settings::Settings| {
            settings.modules.dir = Some(dir);
            settings.modules.rescan = Duration::from_millis(200);
        };
        Self { app: TestApp::with(change).await, folder }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Writes a file under another name first, as whoever deploys should.
    fn write(&self, file: &str, bytes: &[u8]) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let hidden = path.with_file_name(".unfinished");
        fs::write(&hidden, bytes).unwrap();
        fs::rename(hidden, path).unwrap();
    }

    /// Waits until a flow exists and has this many versions.
    async fn versions(&self, count: usize) -> Value {
        self.app.until("/groups/acme/flows", |flows| flows.as_array().is_some_and(|flows| !flows.is_empty())).await;
        self.app.until(VERSIONS, |versions| versions.as_array().is_some_and(|all| all.len() == count)).await
    }

    async fn published(&self, version: u64) {
        let is_published = |flow: &Value| flow["name"] == "hello" && flow["published"]["production"] == version;
        self.app.until("/groups/acme/flows", |flows| flows.as_array().unwrap().iter().any(is_published)).await;
    }
}

#[tokio::test]
async fn a_file_becomes_a_version_and_is_published_where_its_path_says() {
    let watched = Watched::start().await;
    watched.write("acme/flows/hello.wasm", &guests::component("echo"));
    watched.versions(1).await;
    assert_eq!(watched.app.get("/groups/acme/flows/hello").await["published"], json!({}), "a draft");

    watched.write("acme/flows/production/hello.wasm", &guests::component("mirror"));
    watched.versions(2).await;
    watched.published(2).await;
    watched.write("acme/connectors/http.wasm", &guests::component("http-connector"));
    watched.app.until("/groups/acme/connectors", |all| all[0]["name"] == "http").await;

    let audit = watched.app.get("/groups/acme/audit").await;
    let by_system = audit["entries"].as_array().unwrap().iter();
    let by_system: Vec<_> = by_system.filter(|entry| entry["by"]["kind"] == "system").collect();
    assert!(by_system.len() >= 5, "{audit:#}");

    let (key, trigger) = (watched.app.key("caller").await, watched.app.trigger("hello", json!({})).await);
    assert_eq!(watched.app.fire(&trigger, &key, "x").await.status(), 200);
    fs::remove_file(watched.path("acme/flows/production/hello.wasm")).unwrap();
    watched.write("acme/flows/other.wasm", &guests::component("echo"));
    watched.app.until("/groups/acme/flows", |flows| flows.as_array().is_some_and(|all| all.len() == 2)).await;
    assert_eq!(watched.app.fire(&trigger, &key, "x").await.status(), 200, "a file that goes changes nothing");
}

#[tokio::test]
async fn a_bad_file_is_told_once_and_harms_nothing() {
    let watched = Watched::start().await;
    let echo = guests::component("echo");
    watched.write("acme/flows/production/hello.wasm", &echo);
    watched.published(1).await;
    watched.write("acme/flows/production/hello.wasm", &echo[..echo.len() / 2]);
    let alerts = watched.app.until(ALERTS, |alerts| alerts[0]["kind"] == "module_refused").await;
    let message = alerts[0]["message"].as_str().unwrap();
    assert!(message.contains("acme/flows/production/hello.wasm") && message.contains("is cut off after"), "{message}");
    assert_eq!(alerts[0]["count"], 1, "{alerts}");
    watched.published(1).await;

    watched.write("acme/flows/staging/hello.wasm", &echo);
    watched.write("acme/connectors/other.wasm", &guests::component("http-connector"));
    watched.write("acme/connectors/http.wasm", &echo);
    let alerts = watched.app.until(ALERTS, |alerts| alerts.as_array().is_some_and(|all| all.len() == 4)).await;
    for said in
        ["has no environment \"staging\"", "calls itself \"http\". Name the file http.wasm", "this component is a flow"]
    {
        let told = |alert: &Value| alert["message"].as_str().unwrap().contains(said);
        assert!(alerts.as_array().unwrap().iter().any(told), "{said}: {alerts:#}");
    }
    watched.write("nobody/flows/hello.wasm", &echo);
    watched.write("hello.wasm", &echo);
    let server = "/alerts?state=open";
    let alerts = watched.app.until(server, |alerts| alerts.as_array().is_some_and(|all| all.len() == 2)).await;
    assert!(alerts.to_string().contains("There is no group \\\"nobody\\\""), "{alerts:#}");
    assert!(alerts.to_string().contains("GROUP/flows/NAME.wasm"), "{alerts:#}");
    assert_eq!(watched.app.get(VERSIONS).await.as_array().unwrap().len(), 1);
    assert_eq!(watched.app.get("/groups/acme/connectors").await, json!([]));

    watched.write("acme/flows/production/hello.wasm", &guests::component("mirror"));
    watched.published(2).await;
    watched.app.until(ALERTS, |alerts| alerts.as_array().is_some_and(|all| all.len() == 3)).await;
}

#[tokio::test]
async fn what_was_deployed_is_not_deployed_again_by_a_restart() {
    let mut watched = Watched::start().await;
    let file = "acme/flows/production/hello.wasm";
    watched.write(file, &guests::component("echo"));
    watched.published(1).await;
    watched.write(file, &guests::component("mirror"));
    watched.published(2).await;
    watched.app.post("/groups/acme/flows/hello/publish", json!({"version": 1})).await;
    watched.app = watched.app.restart().await;
    // Once a later file was taken, this one was looked at.
    watched.write("acme/flows/zzz.wasm", &guests::component("echo"));
    watched.app.until("/groups/acme/flows", |flows| flows.as_array().is_some_and(|all| all.len() == 2)).await;
    watched.versions(2).await;
    watched.published(1).await;
}

#[tokio::test]
async fn what_was_refused_is_not_tried_by_a_restart_and_is_when_it_is_written_again() {
    let mut watched = Watched::start().await;
    let (file, echo) = ("acme/flows/staging/hello.wasm", guests::component("echo"));
    watched.write(file, &echo);
    watched.app.until(ALERTS, |alerts| alerts[0]["kind"] == "module_refused").await;
    let staging = json!({"environments": ["production", "test", "staging"]});
    let patched = watched.app.manage(Method::PATCH, "/groups/acme").json(&staging).send().await.unwrap();
    assert_eq!(patched.status(), 200);
    watched.app = watched.app.restart().await;
    // Once a later file was taken, this one was looked at.
    watched.write("acme/flows/zzz.wasm", &echo);
    let flows =
        watched.app.until("/groups/acme/flows", |flows| flows.as_array().is_some_and(|all| !all.is_empty())).await;
    assert_eq!((flows.as_array().unwrap().len(), &flows[0]["name"]), (1, &json!("zzz")));
    let alerts = watched.app.get(ALERTS).await;
    assert_eq!((alerts.as_array().unwrap().len(), &alerts[0]["count"]), (1, &json!(1)), "{alerts}");

    watched.write(file, &echo);
    let is_published = |flow: &Value| flow["name"] == "hello" && flow["published"]["staging"] == 1;
    watched.app.until("/groups/acme/flows", |flows| flows.as_array().unwrap().iter().any(is_published)).await;
    watched.app.until(ALERTS, |alerts| *alerts == json!([])).await;
}

#[tokio::test]
async fn a_file_is_taken_when_it_stands_still() {
    let watched = Watched::start().await;
    let (echo, path) = (guests::component("echo"), watched.path("acme/flows/hello.wasm"));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    write_slowly(&path, &echo).await;
    watched.versions(1).await;
    assert_eq!(watched.app.get(ALERTS).await, json!([]), "it was never seen half written");
}

/// Writes a file in parts, each sooner after the one before than a file has to stand still.
async fn write_slowly(path: &Path, bytes: &[u8]) {
    let mut written = fs::File::create(path).unwrap();
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    for part in bytes.chunks(bytes.len() / 15) {
        ticks.tick().await;
        std::io::Write::write_all(&mut written, part).unwrap();
    }
}
