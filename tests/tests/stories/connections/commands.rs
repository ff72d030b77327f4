//! The life of a connection on the command line.

use headgate_tests::Answer;
use reqwest::Method;
use serde_json::json;

use super::super::authorize::headgate;
use super::{CONNECTIONS, FLOW, Stage, TOKEN};

/// What a command says, and whether it succeeded.
async fn says(stage: &Stage, line: &str) -> (bool, String) {
    let output = headgate(&stage.app, line).env("CRM_TOKEN", TOKEN).output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

async fn check(stage: &Stage, line: &str, succeeds: bool, parts: &[&str]) {
    let (succeeded, said) = says(stage, line).await;
    assert_eq!(succeeded, succeeds, "{line}: {said}");
    for part in parts {
        assert!(said.contains(part), "{line} should say \"{part}\": {said}");
    }
    assert!(!said.contains(TOKEN), "{line}: {said}");
}

#[tokio::test]
async fn the_command_line_looks_after_connections() {
    let stage = Stage::set().await;
    let url = stage.crm.url();
    let secret = "--secret token=env:CRM_TOKEN";
    let create = format!(
        "connections create --connector hubspot --name our-crm --config api_url={url} {secret} --flow {FLOW} --slot crm"
    );
    check(&stage, &create, true, &[FLOW]).await;
    assert_eq!(stage.fire().await, 200);
    check(&stage, "connections list", true, &["our-crm", "green"]).await;
    check(&stage, "connections show our-crm", true, &["green: It works", "slot crm, production", "token (encrypted"])
        .await;
    check(&stage, "connections test our-crm", true, &["valid: The app took the credentials"]).await;
    check(&stage, "connections delete our-crm", false, &["is used by", FLOW, "(deals)"]).await;
    check(&stage, "connections update our-crm --config api_url=http://127.0.0.1:1", false, &["Make a new connection"])
        .await;
    check(&stage, "connections disconnect our-crm", true, &["wiped", "headgate connections update"]).await;
    check(&stage, "connections test our-crm", true, &["not connected"]).await;
    let update = format!("connections update our-crm --name crm {secret}");
    check(&stage, &update, true, &["green"]).await;
    stage.upgrade(|manifest| manifest["base_urls"].as_array_mut().unwrap().push(json!("https://more.example"))).await;
    let diff = ["base_urls", "- [\"${config.api_url}\"]", "+ [\"${config.api_url}\",\"https://more.example\"]"];
    check(&stage, "connections show crm", true, &diff).await;
    check(&stage, "connections accept-upgrade crm", false, &[diff[0], diff[1], diff[2], "--yes"]).await;
    check(&stage, "connections accept-upgrade crm --yes", true, &["https://more.example/"]).await;
    check(&stage, "connections accept-upgrade crm --yes", true, &["is what the connector offers today"]).await;
    assert_eq!(stage.app.get(CONNECTIONS).await[0]["upgrade"], json!([]));
    assert_eq!(stage.fire().await, 200);
    check(&stage, "connections disconnect crm", true, &["wiped"]).await;
    let unbind = format!("headgate connections unbind {FLOW} crm --env production");
    let event = json!({"environment": "production", "event": {}});
    let run = stage.app.manage(Method::POST, &format!("/groups/acme/flows/{FLOW}/run")).json(&event);
    let (status, _, message) = Answer::to(run).await.problem();
    assert!(status == 424 && message.contains(&unbind), "{status} {message}");
    check(&stage, "connections delete crm", false, &["headgate connections unbind FLOW SLOT --env production"]).await;
    check(&stage, unbind.trim_start_matches("headgate "), true, &[FLOW]).await;
    assert_ne!(stage.fire().await, 424);
    check(&stage, "connections delete crm", true, &["Deleted"]).await;
}
