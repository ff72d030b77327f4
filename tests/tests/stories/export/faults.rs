//! Archives that are damaged or were tampered with, and a server that is killed while it imports.

use std::fs;

use headgate::domain::archive::{Archive, assemble, header_line, sha256};
use headgate_tests::TestApp;
use headgate_tests::process::Process;
use reqwest::Method;
use serde_json::{Value, json};

use super::{House, PASSPHRASE, import, server};

/// The archive with its records changed, and everything else made to fit.
fn tampered(archive: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let archive = Archive::read(&archive.to_vec().into()).unwrap();
    let mut records: Value = serde_json::from_slice(&archive.records).unwrap();
    change(&mut records);
    let records = records.to_string();
    let mut header = archive.header;
    (header.records.length, header.records.sha256) = (records.len() as u64, sha256(records.as_bytes()));
    let modules = archive.modules.into_iter().map(|(_, bytes)| bytes).collect();
    assemble(header_line(&header), records.into(), archive.secrets, modules).concat()
}

fn record<'a>(records: &'a mut Value, kind: &str) -> &'a mut Value {
    let entries = records["entries"].as_array_mut().unwrap();
    &mut entries.iter_mut().find(|entry| entry["kind"] == kind).unwrap()["record"]
}

async fn is_empty(app: &TestApp) -> bool {
    for part in ["flows", "connectors", "connections", "app-registrations", "api-keys"] {
        if app.get(&format!("/groups/acme/{part}")).await != json!([]) {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn a_damaged_archive_is_refused_whole_and_it_is_said_where() {
    let house = House::furnished().await;
    let archive = house.export(json!({"passphrase": PASSPHRASE})).await;
    let other = server(&house.crm).await;
    for part in 0..12 {
        let mut flipped = archive.clone();
        let at = (archive.len() - 1) * part / 11;
        flipped[at] ^= 1;
        let answer = import(&other, "", Some(PASSPHRASE), flipped).await;
        assert_eq!(answer.status, 400, "byte {at}: {}", answer.text());
    }
    for length in [0, 10, 100, archive.len() / 2, archive.len() - 1] {
        let answer = import(&other, "", Some(PASSPHRASE), archive[..length].to_vec()).await;
        assert!(answer.problem().2.contains("cut off"), "{length}: {}", answer.text());
    }
    let mut flipped = archive.clone();
    let middle = archive.len() / 2;
    flipped[middle] ^= 1;
    let said = import(&other, "", Some(PASSPHRASE), flipped).await.problem().2;
    assert!(said.contains("the module sha256:") && said.contains("bytes "), "{said}");
    assert!(is_empty(&other).await);
}

#[tokio::test]
async fn a_changed_archive_gives_its_secrets_to_nobody_and_does_not_hold_together() {
    let house = House::furnished().await;
    let sealed = house.export(json!({"passphrase": PASSPHRASE})).await;
    let other = server(&house.crm).await;
    let elsewhere =
        tampered(&sealed, |records| record(records, "connection")["base_urls"] = json!(["https://evil.example/"]));
    let answer = import(&other, "", Some(PASSPHRASE), elsewhere).await;
    assert!(answer.status == 400 && answer.problem().2.contains("the archive was changed"), "{}", answer.text());

    let open = house.export(json!({})).await;
    type Change = fn(&mut Value);
    let changes: [(Change, &str); 8] = [
        (|records| record(records, "trigger")["flow"] = json!("flw_aaaaaaaaaaaaaaaaaaaa"), "the flow of the trigger"),
        (|records| record(records, "schedule")["flow"] = json!("flw_aaaaaaaaaaaaaaaaaaaa"), "the flow of the schedule"),
        (|records| record(records, "schedule")["environment"] = json!("nowhere"), "has no environment nowhere"),
        (
            |records| record(records, "published-app")["flow"] = json!("flw_aaaaaaaaaaaaaaaaaaaa"),
            "the flow of the published app",
        ),
        (|records| record(records, "flow")["id"] = json!("flw_aaaaaaaaaaaaaaaaaaaa"), "belongs to"),
        (
            |records| record(records, "flow-version")["digest"] = json!(format!("sha256:{}", "0".repeat(64))),
            "is missing",
        ),
        (
            |records| record(records, "group")["environments"] = json!(["production", "test"]),
            "has no environment staging",
        ),
        (|records| records["entries"][1]["kind"] = json!("user"), "does not know"),
    ];
    for (change, part) in changes {
        let answer = import(&other, "", None, tampered(&open, change)).await;
        assert_eq!(answer.status, 400, "{part}: {}", answer.text());
        assert!(answer.problem().2.contains(part), "{part}: {}", answer.text());
    }
    assert!(is_empty(&other).await);
    let retitled = tampered(&open, |records| {
        record(records, "connector")["manifest"]["title"] = json!("Another");
        record(records, "flow-manifest")["event"] = json!({"title": "Another"});
    });
    let answer = import(&other, "", None, retitled).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let connectors = other.get("/groups/acme/connectors").await;
    assert_eq!(connectors, house.app.get("/groups/acme/connectors").await, "the modules' own manifests are taken");
    for flow in [super::FLOW, "echo"] {
        let version = format!("/groups/acme/flows/{flow}/versions/1");
        assert_eq!(other.get(&version).await, house.app.get(&version).await, "also of flows");
    }
}

#[tokio::test]
async fn an_archive_beyond_the_bound_is_refused() {
    let house = House::furnished().await;
    let archive = house.export(json!({})).await;
    let app = house.app.restart_with(|settings| settings.service.max_archive = 1000).await;
    let answer = headgate_tests::Answer::to(app.manage(Method::POST, "/groups/acme/export")).await;
    assert!(answer.problem().2.contains("service.max_archive"), "{}", answer.text());
    let answer = import(&app, "?as=twin", None, archive).await;
    assert_eq!(answer.status, 413, "{}", answer.text());
}

#[tokio::test]
async fn a_server_that_is_killed_while_it_imports_has_all_or_nothing() {
    let house = House::furnished().await;
    let archive = house.export(json!({})).await;
    let target = server(&house.crm).await;
    let token = target.token().to_owned();
    let dir = target.stop().await;
    let folder = dir.path().join("data");
    let modules = || fs::read_dir(folder.join("modules")).unwrap().count();
    // The first kill comes when the first module is written, the others after one more each.
    for wanted in 1..=3 {
        let process = Process::start(&folder, &token, &[]).await;
        let sending = process.manage(Method::POST, "/imports").body(archive.clone()).send();
        let sending = tokio::spawn(sending);
        while modules() < wanted && !sending.is_finished() {
            // The machine is needed for compiling.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        process.kill().await;
        let answered = sending.await.unwrap().is_ok_and(|answer| answer.status() == 201);
        let process = Process::start(&folder, &token, &[]).await;
        let flows = process.get("/groups/acme/flows").await;
        let kept = flows.as_array().unwrap().len();
        let connections = process.get("/groups/acme/connections").await.as_array().unwrap().len();
        let keys = process.get("/groups/acme/api-keys").await.as_array().unwrap().len();
        assert!(matches!((kept, connections, keys), (0, 0, 0) | (2, 2, 1)), "{kept} {connections} {keys}");
        assert!(kept == 2 || !answered, "what was answered is there");
        process.kill().await;
        if kept == 2 {
            return;
        }
    }
    let process = Process::start(&folder, &token, &[]).await;
    let answer = process.manage(Method::POST, "/imports").body(archive).send().await.unwrap();
    assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
    assert_eq!(process.get("/groups/acme/flows").await.as_array().unwrap().len(), 2);
    process.kill().await;
}

#[tokio::test]
async fn a_connection_reaches_what_is_pinned_and_it_is_told_when_other_things_are() {
    let house = House::furnished().await;
    let archive = house.export(json!({})).await;
    let other = server(&house.crm).await;
    let evil = json!(["https://evil.example/"]);
    let urls = tampered(&archive, |records| record(records, "connection")["base_urls"] = evil.clone());
    let answer = import(&other, "?as=urls", None, urls).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let connections = other.get("/groups/urls/connections").await.to_string();
    assert!(!connections.contains("evil.example"), "{connections}");
    assert!(!answer.text().contains("accept-upgrade"), "{}", answer.text());

    let pins = tampered(&archive, |records| record(records, "connection")["pins"]["base_urls"] = evil);
    let answer = import(&other, "?as=pins", None, pins).await;
    let left = answer.json()["left_to_do"].as_array().unwrap().clone();
    let told = left.iter().find(|left| left["remedy"].as_str().unwrap().contains("accept-upgrade")).expect("a word");
    assert!(told["kind"] == "connection" && told["why"].as_str().unwrap().contains("base_urls"), "{told}");
}
