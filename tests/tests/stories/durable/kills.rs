//! kill -9 in the middle.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headgate_tests::process::Process;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Stage, call, sleep};

#[tokio::test]
async fn accepted_runs_end_once_and_a_step_that_had_begun_is_left_to_a_person() {
    let stage = Stage::set().await;
    let server = stage.server().await;
    let begun = stage.queue_call(&server, "/begun").await;
    stage.held.asked(1).await;
    let waiting = stage.queue_call(&server, "/waiting").await;
    let last = stage.queue_call(&server, "/last").await;
    server.run_in(&begun, "running").await;
    server.run_in(&waiting, "queued").await;
    server.kill().await;

    stage.held.release();
    let server = stage.server().await;
    for run in [&waiting, &last] {
        let ended = server.run_in(run, "succeeded").await;
        assert_eq!(ended["steps"].as_array().unwrap().len(), 1, "{ended}");
    }
    let attention = server.run_in(&begun, "needs_attention").await;
    assert_eq!(attention["outcome"], Value::Null, "{attention}");
    server.kill().await;

    // Nothing is left to do for the next start.
    let server = stage.server().await;
    let after = stage.queue_call(&server, "/after").await;
    server.run_in(&after, "succeeded").await;
    server.run_in(&begun, "needs_attention").await;
    let mut paths = stage.held.paths();
    // Runs that are taken up again may overtake each other.
    paths[1..3].sort();
    assert_eq!(paths, ["/begun", "/last", "/waiting", "/after"]);
    let runs = server.get("/groups/acme/runs").await;
    let listed: Vec<_> = runs.as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap()).collect();
    assert_eq!(listed, [&after, &last, &waiting, &begun]);
    server.kill().await;
}

#[tokio::test]
async fn a_run_without_a_step_is_executed_again() {
    let stage = Stage::set().await;
    let server = stage.server().await;
    let run = server.queue(&stage.queued, &stage.key, sleep(1500)).await;
    server.run_in(&run, "running").await;
    server.kill().await;

    let server = stage.server().await;
    let ended = server.run_in(&run, "succeeded").await;
    assert_eq!(ended["steps"], json!([]));
    assert_eq!(server.get("/groups/acme/runs").await.as_array().unwrap().len(), 1);
    server.kill().await;
}

/// What was acknowledged, by the key's id.
#[derive(Default)]
struct Acknowledged {
    made: Vec<(String, String)>,
    revoked: Vec<(String, String)>,
    groups: Vec<String>,
}

/// Makes keys and groups and revokes every second key, until the server is gone.
async fn manage(server: Arc<Process>, round: usize, acknowledged: &mut Acknowledged, count: &watch::Sender<usize>) {
    for number in 0.. {
        let name = json!({"name": format!("k{round}-{number}")});
        let Some(key) = acknowledge(&server, "/groups/acme/api-keys", Some(name)).await else { return };
        let text = |field: &str| key[field].as_str().unwrap().to_owned();
        let (id, secret) = (text("id"), text("api_key"));
        acknowledged.made.push((id.clone(), secret.clone()));
        if number % 2 == 0 {
            let path = format!("/groups/acme/api-keys/{id}/revoke");
            if acknowledge(&server, &path, None).await.is_none() {
                // It may be revoked or not: nothing was said.
                acknowledged.made.pop();
                return;
            }
            acknowledged.revoked.push((id, secret));
        } else {
            let group = format!("g{round}-{number}");
            let made = acknowledge(&server, "/groups", Some(json!({"name": group}))).await;
            if made.is_none() {
                return;
            }
            acknowledged.groups.push(group);
        }
        count.send_modify(|count| *count += 1);
    }
}

/// The answer of a management write; none when the server went away meanwhile.
async fn acknowledge(server: &Process, path: &str, body: Option<Value>) -> Option<Value> {
    let request = server.manage(Method::POST, path);
    let request = match body {
        Some(body) => request.json(&body),
        None => request,
    };
    let answer = request.send().await.ok()?;
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    let body = answer.text().await.ok()?;
    Some(serde_json::from_str(&body).unwrap_or_default())
}

#[tokio::test]
async fn every_acknowledged_management_write_is_there() {
    let stage = Stage::set().await;
    let mut acknowledged = Acknowledged::default();
    for round in 0..4 {
        let server = Arc::new(stage.server().await);
        let (count, mut reached) = watch::channel(0);
        let killed = async {
            reached.wait_for(|count| *count >= 12 + round * 3).await.unwrap();
            server.signal("KILL").await;
        };
        tokio::join!(manage(server.clone(), round, &mut acknowledged, &count), killed);
        Arc::into_inner(server).unwrap().ended().await;
    }
    assert!(acknowledged.revoked.len() >= 24 && acknowledged.groups.len() >= 24);

    let server = stage.server().await;
    let keys = server.get("/groups/acme/api-keys").await;
    let status = |id: &str| {
        let key = keys.as_array().unwrap().iter().find(|key| key["id"] == id);
        key.unwrap_or_else(|| panic!("the key {id} was acknowledged and is gone"))["status"].as_str().unwrap()
    };
    for (id, secret) in &acknowledged.made {
        let revoked = acknowledged.revoked.iter().any(|(revoked, _)| revoked == id);
        assert_eq!(status(id), if revoked { "revoked" } else { "active" }, "{id}");
        let key = headgate_tests::Key { id: id.clone(), secret: secret.clone() };
        let answer = server.fire(&stage.echo, &key, "hello").send().await.unwrap();
        assert_eq!(answer.status(), if revoked { 401 } else { 200 }, "{id}");
    }
    let groups = server.get("/groups").await;
    for group in &acknowledged.groups {
        let found = groups.as_array().unwrap().iter().any(|found| found["name"] == group.as_str());
        assert!(found, "the group {group} was acknowledged and is gone");
    }
    server.kill().await;
}

/// The bytes of all files in a folder.
fn size(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).unwrap();
    // A file may go while its folder is read.
    files.filter_map(|file| file.ok()?.metadata().ok()).map(|file| file.len()).sum()
}

#[tokio::test]
async fn the_record_of_a_synchronous_run_is_on_disk_within_a_second() {
    let stage = Stage::set().await;
    let server = stage.server().await;
    let runs = stage.folder().join("runs");
    let before = size(&runs);
    let answer = server.fire(&stage.echo, &stage.key, "kept").send().await.unwrap();
    let answered = Instant::now();
    assert_eq!(answer.status(), 200);
    let run = answer.headers()["headgate-run-id"].to_str().unwrap().to_owned();
    while size(&runs) == before {
        assert!(answered.elapsed() < Duration::from_secs(1), "nothing was written within a second");
        tokio::task::yield_now().await;
    }
    server.kill().await;

    let server = stage.server().await;
    let run = server.run_in(&run, "succeeded").await;
    assert_eq!(run["outcome"]["response"]["status"], 200, "{run}");
    server.kill().await;
}

#[tokio::test]
async fn a_synchronous_run_that_was_killed_is_not_executed_again() {
    let stage = Stage::set().await;
    let server = stage.server().await;
    let caller = tokio::spawn(server.fire(&stage.sync, &stage.key, call("/sync")).send());
    stage.held.asked(1).await;
    server.kill().await;
    assert!(caller.await.unwrap().is_err());

    stage.held.release();
    let server = stage.server().await;
    let after = stage.queue_call(&server, "/after").await;
    server.run_in(&after, "succeeded").await;
    assert_eq!(stage.held.paths(), ["/sync", "/after"]);
    server.kill().await;
}

#[tokio::test]
async fn a_killed_servers_idempotency_keys_are_not_run_again() {
    let stage = Stage::set_with(json!({"idempotency": {}})).await;
    let server = stage.server().await;
    let send = |server: &Process, trigger, body: Value| {
        server.fire(trigger, &stage.key, body).header("idempotency-key", "k").send()
    };
    // Answered: 202, and 200.
    let queued = send(&server, &stage.queued, call("/queued")).await.unwrap();
    assert_eq!(queued.status(), 202);
    let queued = queued.headers()["headgate-run-id"].clone();
    stage.held.asked(1).await;
    let echoed = send(&server, &stage.echo, json!({"a": 1})).await.unwrap();
    assert_eq!(echoed.status(), 200);
    let (echoed_run, echoed) = (echoed.headers()["headgate-run-id"].clone(), echoed.text().await.unwrap());
    // In the middle: it asks its app, and nobody answers.
    let unanswered = tokio::spawn(send(&server, &stage.sync, call("/sync")));
    stage.held.asked(2).await;
    server.kill().await;
    assert!(unanswered.await.unwrap().is_err());

    stage.held.release();
    let server = stage.server().await;
    let again = send(&server, &stage.queued, call("/queued")).await.unwrap();
    assert_eq!((again.status().as_u16(), &again.headers()["headgate-run-id"]), (202, &queued));
    let again = send(&server, &stage.echo, json!({"a": 1})).await.unwrap();
    assert_eq!(
        (again.headers()["idempotency-replayed"].to_str().unwrap(), &again.headers()["headgate-run-id"]),
        ("true", &echoed_run)
    );
    assert_eq!(again.text().await.unwrap(), echoed);
    for _ in 0..2 {
        let unknown = send(&server, &stage.sync, call("/sync")).await.unwrap();
        assert_eq!(unknown.status(), 409);
        let problem: Value = unknown.json().await.unwrap();
        assert_eq!(problem["code"], "idempotency_unknown");
        assert!(problem["error"].as_str().unwrap().contains(problem["run"].as_str().unwrap()), "{problem}");
    }
    // Nobody asked the app a second time.
    assert_eq!(stage.held.paths(), ["/queued", "/sync"]);
    server.kill().await;
}
