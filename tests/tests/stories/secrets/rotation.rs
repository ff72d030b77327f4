//! `headgate secrets rotate`: under load, killed in between, and with the old key gone afterwards.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use headgate::service::access::Actor;
use headgate::store::Batch;
use headgate_tests::process::Process;
use headgate_tests::records::{records, tamper, tampered};
use headgate_tests::{Answer, Hostile, TestApp};
use reqwest::Method;
use serde_json::{Value, json};

use super::{TOKEN, called, stage};
use crate::authorize::headgate;

/// Groups with a key of their own, each with a trigger that shares a secret with its sender.
async fn groups(app: &TestApp, count: usize) {
    for number in 0..count {
        let group = format!("group-{number}");
        app.post("/groups", json!({"name": group})).await;
        app.post(&format!("/groups/{group}/flows"), json!({"name": "f"})).await;
        signed_trigger(app, &group).await;
    }
}

async fn signed_trigger(app: &TestApp, group: &str) -> Value {
    let signature = json!({"signature": {"scheme": "github", "secret": "shared-with-the-sender"}});
    app.post(&format!("/groups/{group}/flows/f/triggers"), signature).await
}

fn key_files(data: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(data.join("keys")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Which key-encryption keys the records of a stopped server name.
async fn named(data: &Path) -> BTreeSet<String> {
    let data = data.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let mut named = BTreeSet::new();
        tamper(&data, |database| {
            let wrapped = records(database, "data-key/").into_iter().chain(records(database, "server/secrets"));
            named.extend(wrapped.map(|(_, record)| record["kek"].as_str().unwrap().to_owned()));
            Batch::new().put("story/looked", "1")
        });
        named
    });
    read.await.unwrap()
}

#[tokio::test]
async fn the_key_is_replaced_under_load_and_the_old_one_is_not_needed_afterwards() {
    let (app, hostile) = stage().await;
    groups(&hostile.app, 12).await;
    let before = hostile.app.get("/secrets").await;
    assert_eq!((&before["rotation"], &before["retired"]), (&Value::Null, &json!([])), "{before}");

    let (hostile, stop, calls) = (Arc::new(hostile), Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load = (0..3).map(|_| {
        let (hostile, stop, calls) = (hostile.clone(), stop.clone(), calls.clone());
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(called(&hostile).await, 200);
                calls.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let load: Vec<_> = load.collect();
    // New groups get keys while the old ones' are wrapped anew.
    let making = hostile.clone();
    let newcomers = tokio::spawn(async move {
        for number in 100..110 {
            let group = format!("group-{number}");
            making.app.post("/groups", json!({"name": group})).await;
            making.app.post(&format!("/groups/{group}/flows"), json!({"name": "f"})).await;
            signed_trigger(&making.app, &group).await;
        }
    });
    let begun = Answer::to(hostile.app.manage(Method::POST, "/secrets/rotate")).await;
    assert_eq!(begun.status, 202, "{}", begun.text());
    let after = hostile.app.until("/secrets", |view| view["rotation"]["state"] == "finished").await;
    newcomers.await.unwrap();
    let so_far = calls.load(Ordering::Relaxed);
    while calls.load(Ordering::Relaxed) < so_far + 10 {
        tokio::task::yield_now().await;
    }
    stop.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    assert_eq!((&after["rotation"]["from"], &after["rotation"]["to"]), (&before["key"], &after["key"]), "{after}");
    assert_ne!(before["key"], after["key"]);
    assert_eq!(after["rotation"]["done"], after["rotation"]["total"]);
    let audit = hostile.app.get("/audit?noun=secrets").await;
    let actions: Vec<_> = audit["entries"].as_array().unwrap().iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["secrets.rotate", "secrets.rotate"], "{audit}");

    let retired = after["retired"][0].as_str().unwrap().to_owned();
    let old = before["key"].as_str().unwrap();
    assert!(retired.ends_with(&format!("key-encryption-key.{old}.retired")), "{retired}");
    let hostile = Arc::into_inner(hostile).unwrap();
    let (key, trigger) = (hostile.key, hostile.trigger);
    let server = hostile.app.restart_after(|_| std::fs::remove_file(&retired).unwrap()).await;
    let hostile = Hostile::again(server, key, trigger);
    assert_eq!(called(&hostile).await, 200);
    assert_eq!(app.received().pop().unwrap().headers["authorization"], format!("Bearer {TOKEN}"));
    for group in ["group-0", "group-105"] {
        signed_trigger(&hostile.app, group).await;
    }
    assert_eq!(key_files(hostile.app.data_dir()), ["key-encryption-key"]);
    let data = hostile.app.data_dir().to_owned();
    let _folder = hostile.app.stop().await;
    assert_eq!(named(&data).await, BTreeSet::from([after["key"].as_str().unwrap().to_owned()]));
}

#[tokio::test]
async fn a_rotation_that_was_killed_goes_on_at_the_next_start() {
    let (app, hostile) = stage().await;
    groups(&hostile.app, 150).await;
    let token = hostile.app.token().to_owned();
    let exempt = app.address.to_string();
    let (key, trigger) = (hostile.key, hostile.trigger);
    let folder = hostile.app.stop().await;
    let data = folder.path().join("data");
    let settings = [("EGRESS__ALLOW_PRIVATE", exempt.as_str())];
    let order = json!({"do": "call", "slot": "app", "method": "request", "input": {"path": "/a"}});

    let server = Process::start(&data, &token, &settings).await;
    let begun = Answer::to(server.manage(Method::POST, "/secrets/rotate")).await;
    assert_eq!(begun.status, 202, "{}", begun.text());
    loop {
        let view = server.get("/secrets").await;
        assert_eq!(view["rotation"]["state"], "running", "it ended before it could be killed: {view}");
        if view["rotation"]["done"].as_u64().unwrap() >= 10 {
            break;
        }
    }
    server.kill().await;
    assert_eq!(key_files(&data), ["key-encryption-key", "key-encryption-key.next"]);
    assert_eq!(named(&data).await.len(), 2, "some keys are wrapped by the old one, some by the new one");

    let server = Process::start(&data, &token, &settings).await;
    loop {
        let answer = Answer::to(server.fire(&trigger, &key, &order)).await;
        assert_eq!(answer.json()["output"]["status"], 200, "{}", answer.text());
        let view = server.get("/secrets").await;
        if view["rotation"]["state"] == "finished" {
            break;
        }
        assert_eq!(view["rotation"]["state"], "running", "{view}");
    }
    server.kill().await;
    let files = key_files(&data);
    assert!(files.len() == 2 && files[1].ends_with(".retired"), "{files:?}");
    std::fs::remove_file(data.join("keys").join(&files[1])).unwrap();
    assert_eq!(named(&data).await.len(), 1);

    let server = Process::start(&data, &token, &settings).await;
    let answer = Answer::to(server.fire(&trigger, &key, &order)).await;
    assert_eq!(answer.json()["output"]["status"], 200, "{}", answer.text());
    assert_eq!(server.get("/secrets").await["retired"], json!([]));
    assert!(app.received().iter().all(|request| request.headers["authorization"] == format!("Bearer {TOKEN}")));
    server.kill().await;
}

#[tokio::test]
async fn a_caller_who_goes_away_does_not_stop_it() {
    let app = TestApp::start().await;
    groups(&app, 1).await;
    let before = app.get("/secrets").await;
    // Polled once and dropped: it has begun, and the new key is being made.
    let service = app.app().service().clone();
    let actor = Actor::system();
    let was_over =
        tokio::select! { biased; _ = service.rotate_secrets(&actor) => true, () = std::future::ready(()) => false };
    assert!(!was_over, "the caller went before the answer");
    let after = app.until("/secrets", |view| view["rotation"]["state"] == "finished").await;
    assert_ne!(after["key"], before["key"]);
}

#[tokio::test]
async fn a_rotation_that_ended_before_it_was_noted_is_noted_at_the_start() {
    let app = TestApp::start().await;
    groups(&app, 1).await;
    app.post("/secrets/rotate", json!({})).await;
    let before = app.until("/secrets", |view| view["rotation"]["state"] == "finished").await;
    let app = tampered(app, |database| {
        let (key, mut record) = records(database, "secrets/rotation").remove(0);
        record["record"]["finished"] = Value::Null;
        Batch::new().put(key, record.to_string())
    });
    let app = app.await;
    let after = app.until("/secrets", |view| view["rotation"]["state"] == "finished").await;
    for same in ["key", "retired"] {
        assert_eq!(after[same], before[same], "{after}");
    }
    for same in ["from", "to", "started"] {
        assert_eq!(after["rotation"][same], before["rotation"][same], "{after}");
    }
}

#[tokio::test]
async fn the_command_fails_where_the_rotation_does() {
    let app = TestApp::start().await;
    groups(&app, 2).await;
    // A key that was damaged opens under no other, and stops it; once it is as it was, the same goes on.
    let (good, bad) = (Arc::new(OnceLock::new()), "00".repeat(48));
    let kept = good.clone();
    let app = tampered(app, move |database| {
        let (key, record) = records(database, "data-key/").remove(0);
        let mut damaged = record.clone();
        damaged["ciphertext"] = bad.into();
        let batch = Batch::new().put(key.clone(), damaged.to_string());
        kept.set((key, record.to_string())).unwrap();
        batch
    });
    let app = app.await;
    let rotate = async |app: &TestApp| headgate(app, "secrets rotate").output().await.unwrap();
    let ended = rotate(&app).await;
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(
        !ended.status.success() && said.contains("the key was not replaced") && said.contains("rotate again"),
        "{said}"
    );
    let before = app.get("/secrets").await;
    assert_eq!((&before["rotation"]["state"], &before["retired"]), (&json!("interrupted"), &json!([])), "{before}");

    let app = tampered(app, move |_| {
        let (key, record) = good.get().unwrap().clone();
        Batch::new().put(key, record)
    });
    let app = app.await;
    let after = app.until("/secrets", |view| view["rotation"]["state"] == "finished").await;
    assert_eq!((&after["key"], &after["rotation"]["to"]), (&before["rotation"]["to"], &before["rotation"]["to"]));
    let ended = rotate(&app).await;
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[tokio::test]
async fn a_key_file_that_cannot_be_replaced_is_told_at_once() {
    let app = TestApp::start().await;
    groups(&app, 1).await;
    let before = app.get("/secrets").await;
    std::fs::create_dir(app.data_dir().join("keys/key-encryption-key.probe")).unwrap();
    let answer = Answer::to(app.manage(Method::POST, "/secrets/rotate")).await;
    let text = answer.text();
    assert_eq!(answer.status, 409, "{text}");
    assert!(text.contains("keys/key-encryption-key cannot be used") && text.contains("mount the folder"), "{text}");
    assert_eq!(app.get("/secrets").await["key"], before["key"]);
}
