//! `headgate doctor`: a healthy server has nothing to tell, and each fault is found with what to do about it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use headgate::domain::doctor::{Check, Examination, Verdict};
use headgate::service::doctor::{Stopped, examine_stopped};
use headgate::settings::Settings;
use headgate::store::StoreError;
use headgate_tests::TestApp;
use headgate_tests::crm::StandIn;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tempfile::TempDir;

use super::authorize::headgate;

const FLOW: &str = "update-lead-status";
const TOKEN: &str = "pat-na1-of-the-patient";

/// A server whose flow calls the CRM through a connection.
async fn healthy(crm: &StandIn) -> TestApp {
    let exempt = crm.address.to_string().parse().unwrap();
    let app = TestApp::with(|settings| {
        settings.egress.allow_private = vec![exempt];
        settings.doctor.min_free_disk = 1;
    })
    .await;
    app.install("hubspot").await;
    app.publish(FLOW, FLOW).await;
    let connection =
        json!({"name": "crm", "connector": "hubspot", "config": {"api_url": crm.url()}, "secrets": {"token": TOKEN}});
    app.connect(FLOW, "crm", connection).await;
    app
}

/// The checks that did not end well.
fn faults(examination: &Examination) -> Vec<&Check> {
    examination.checks.iter().filter(|check| check.verdict != Verdict::Ok).collect()
}

/// A data folder whose server was stopped.
struct Patient {
    dir: TempDir,
    crm: StandIn,
    /// When it was stopped.
    now: Timestamp,
}

impl Patient {
    async fn new() -> Self {
        let crm = StandIn::crm(TOKEN).await;
        let dir = healthy(&crm).await.stop().await;
        Self { dir, crm, now: Timestamp::now() }
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    async fn examine(&self, change: impl FnOnce(&mut Stopped)) -> Examination {
        let exempt = self.crm.address.to_string().parse().unwrap();
        let mut settings = Settings { data_dir: self.folder(), ..Settings::default() };
        settings.doctor.min_free_disk = 1;
        settings.egress.allow_private = vec![exempt];
        let (premises, egress) = (settings.premises(), settings.egress);
        let mut stopped = Stopped { premises, egress, key: None, now: self.now };
        change(&mut stopped);
        let examination = loop {
            let Stopped { premises, egress, key, now } = &stopped;
            let (premises, egress) = (premises.clone(), egress.clone());
            match examine_stopped(Stopped { premises, egress, key: key.clone(), now: *now }).await {
                // A process that another story starts has all files of this one for a moment, the lock among them.
                Err(StoreError::Locked { .. }) => tokio::task::yield_now().await,
                ended => break ended.unwrap(),
            }
        };
        assert!(!serde_json::to_string(&examination).unwrap().contains(TOKEN));
        examination
    }

    /// Finds the one fault there is, which has a remedy.
    async fn suffers(&self, name: &str, verdict: Verdict, part: &str, change: impl FnOnce(&mut Stopped)) {
        let examination = self.examine(change).await;
        let faults = faults(&examination);
        assert_eq!(faults.len(), 1, "{name}: {faults:?}");
        assert_eq!((faults[0].name.as_str(), faults[0].verdict), (name, verdict), "{faults:?}");
        assert!(faults[0].finding.contains(part), "{:?} should say {part}", faults[0]);
        assert!(faults[0].remedy.is_some(), "{faults:?}");
    }
}

fn only_file(folder: &Path, ending: &str) -> PathBuf {
    let mut files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.to_string_lossy().ends_with(ending)).unwrap()
}

/// Does something to a file, and puts it back.
async fn with_file(path: &Path, bytes: Option<Vec<u8>>, check: impl Future<Output = ()>) {
    let before = (fs::read(path).unwrap(), fs::metadata(path).unwrap().permissions());
    match bytes {
        Some(bytes) => fs::write(path, bytes).unwrap(),
        None => fs::remove_file(path).unwrap(),
    }
    check.await;
    fs::write(path, before.0).unwrap();
    fs::set_permissions(path, before.1).unwrap();
}

#[tokio::test]
async fn a_healthy_server_has_nothing_to_tell_whether_it_runs_or_not() {
    let crm = StandIn::crm(TOKEN).await;
    let app = healthy(&crm).await;
    let running: Examination = serde_json::from_value(app.get("/doctor").await).unwrap();
    assert!(running.running);
    assert_eq!(faults(&running), Vec::<&Check>::new());
    let names: Vec<_> = running.checks.iter().map(|check| check.name.as_str()).collect();
    let all = ["store", "key", "clock", "modules", "cache", "disk", "settings", "connections", "alerts", "hosts"];
    assert_eq!(names, all);
    let asked = crm.received();
    assert!(asked.iter().any(|request| request.method == "HEAD"), "{asked:?}");
    assert!(asked.iter().all(|request| !request.headers.contains_key("authorization")), "no credentials are sent");

    let output = headgate(&app, &format!("doctor --data-dir {}", app.data_dir().display())).output().await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("The server examined itself"), "{said}");

    let patient = Patient { dir: app.stop().await, crm, now: Timestamp::now() };
    let stopped = patient.examine(|_| {}).await;
    assert!(!stopped.running);
    assert_eq!(faults(&stopped), Vec::<&Check>::new());
    assert_eq!(stopped.checks.len(), all.len());
}

#[tokio::test]
async fn faults_of_the_key_file_are_found() {
    let patient = Patient::new().await;
    let key = patient.folder().join("keys/key-encryption-key");
    let missing = patient.suffers("key", Verdict::Problem, "is missing", |_| {});
    with_file(&key, None, missing).await;
    let wrong = patient.suffers("key", Verdict::Problem, "is not the one this store was made with", |_| {});
    with_file(&key, Some("ab".repeat(32).into_bytes()), wrong).await;
    let damaged = patient.suffers("key", Verdict::Problem, "64 hexadecimal digits", |_| {});
    with_file(&key, Some(b"nonsense".to_vec()), damaged).await;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    patient.suffers("key", Verdict::Problem, "others may read it (mode 644). Run: chmod 600", |_| {}).await;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(faults(&patient.examine(|_| {}).await), Vec::<&Check>::new());
}

#[tokio::test]
async fn faults_of_the_folder_are_found() {
    let patient = Patient::new().await;
    let module = only_file(&patient.folder().join("modules"), ".wasm");
    let missing = patient.suffers("modules", Verdict::Problem, "is missing, of the ", |_| {});
    with_file(&module, None, missing).await;
    let mut changed = fs::read(&module).unwrap();
    changed[1000] ^= 1;
    let changed_module = patient.suffers("modules", Verdict::Problem, "SHA-256", |_| {});
    with_file(&module, Some(changed), changed_module).await;

    let log = only_file(&patient.folder().join("log"), ".log");
    let mut flipped = fs::read(&log).unwrap();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 4;
    let damaged = patient.suffers("store", Verdict::Problem, "is damaged at byte", |_| {});
    with_file(&log, Some(flipped), damaged).await;
    assert_eq!(faults(&patient.examine(|_| {}).await), Vec::<&Check>::new());
}

#[tokio::test]
async fn faults_of_the_surroundings_are_found() {
    let patient = Patient::new().await;
    patient
        .suffers("disk", Verdict::Problem, "should be", |stopped| stopped.premises.settings.min_free_disk = u64::MAX)
        .await;
    let yesterday = SignedDuration::from_hours(24);
    patient.suffers("clock", Verdict::Problem, "later than that", |stopped| stopped.now -= yesterday).await;
    patient.suffers("hosts", Verdict::Problem, "crm of acme", |stopped| stopped.egress.allow_private.clear()).await;
    let open = |stopped: &mut Stopped| stopped.premises.listen = "0.0.0.0:8080".parse().unwrap();
    patient.suffers("settings", Verdict::Warning, "public_url is not set", open).await;
    let plain = |stopped: &mut Stopped| {
        stopped.premises.public_url = Some("http://flows.example.com".parse().unwrap());
    };
    patient.suffers("settings", Verdict::Warning, "in clear", plain).await;
    let nowhere = patient.examine(|stopped| stopped.premises.data_dir.push("nowhere")).await;
    assert_eq!((nowhere.checks.len(), nowhere.checks[0].verdict), (1, Verdict::Problem));
    assert!(!patient.folder().join("nowhere").exists(), "nothing is made");
}

#[tokio::test]
async fn a_running_server_finds_its_faults_and_the_command_fails() {
    let crm = StandIn::crm(TOKEN).await;
    let app = healthy(&crm).await;
    fs::remove_file(only_file(&app.data_dir().join("modules"), ".wasm")).unwrap();
    fs::remove_file(app.data_dir().join("keys/key-encryption-key")).unwrap();
    let connections = app.get("/groups/acme/connections").await;
    let id = connections[0]["id"].as_str().unwrap();
    app.post(&format!("/groups/acme/connections/{id}/disconnect"), json!({})).await;

    let found: Examination = serde_json::from_value(app.get("/doctor").await).unwrap();
    let names: Vec<_> = faults(&found).iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, ["key", "modules", "connections"]);
    let line = format!("doctor --data-dir {}", app.data_dir().display());
    let output = headgate(&app, &line).output().await.unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in
        ["problem  key: ", "-> Put the key file back", "crm of acme (production): it has no secrets", "3 problems"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let viewer = app.user("viewer@example.com", "viewer").await;
    let refused = app.manage_as(&viewer, reqwest::Method::GET, "/doctor").send().await.unwrap();
    assert_eq!(refused.status(), 403);
}
