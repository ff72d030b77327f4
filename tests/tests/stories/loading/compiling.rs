//! Components are compiled in a process of its own, which is limited and ends with whoever started it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headgate::settings::Settings;
use headgate::wasm::{Compiler, Program};
use headgate_tests::process::Process;
use headgate_tests::{TestApp, compiler, guests};
use jiff::Timestamp;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::bomb;

async fn server(compiler: Compiler, change: impl FnOnce(&mut Settings)) -> TestApp {
    let app = TestApp::with_compiler(compiler, Arc::new(Timestamp::now), change).await;
    app.post("/groups/acme/flows", json!({"name": "tried"})).await;
    app
}

async fn push(app: &TestApp, bytes: Vec<u8>) -> Response {
    let request = app.manage(Method::PUT, "/groups/acme/flows/tried/versions");
    request.header("content-type", "application/wasm").body(bytes).send().await.unwrap()
}

async fn refusal(app: &TestApp, bytes: Vec<u8>) -> String {
    let answer = push(app, bytes).await;
    let (status, problem): (_, Value) = (answer.status(), answer.json().await.unwrap());
    assert_eq!(status, 422, "{problem}");
    problem["error"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_a_child_compiled_runs() {
    let app = server(compiler::child(), |_| {}).await;
    app.publish("echo", "echo").await;
    app.install("http-connector").await;
    let (key, trigger) = (app.key("caller").await, app.trigger("echo", json!({})).await);
    let answer = app.fire(&trigger, &key, "compiled apart").await;
    assert_eq!(answer.text().await.unwrap(), "compiled apart");
    assert_eq!(app.app().service().sandbox().compilations(), 2);
    let app = app.restart().await;
    assert_eq!(app.app().service().sandbox().compilations(), 0, "what the child compiled was kept");
}

#[tokio::test]
async fn compiling_ends_at_its_bound_of_time() {
    let app = server(compiler::child(), |settings| settings.wasm.compile = Duration::from_secs(1)).await;
    let began = Instant::now();
    let said = refusal(&app, bomb(3_000)).await;
    assert!(said.contains("compiling the component took longer than 1s and was given up"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    // Nobody waits for a process that has ended: it was killed, and taken leave of.
    let mine = std::process::id();
    until(|| (!processes().iter().any(|(_, parent, state)| *parent == mine && state == "Z")).then_some(())).await;
}

#[tokio::test]
async fn compiling_ends_at_its_bound_of_memory() {
    let app = server(compiler::child(), |settings| settings.wasm.compile_memory_bytes = 64 << 20).await;
    let said = refusal(&app, bomb(10_000)).await;
    assert!(said.contains("too large to compile within 67108864 bytes of memory"), "{said}");
    assert!(push(&app, guests::component("echo")).await.status().is_success(), "a small one still fits");
}

#[tokio::test]
async fn a_compiler_that_breaks_is_told_in_words() {
    let program = |path: &str, arguments: &[&str]| {
        let arguments = arguments.iter().map(Into::into).collect();
        Compiler::Child(Program { path: path.into(), arguments, variables: Vec::new() })
    };
    for (compiler, status, wanted) in [
        (program("sh", &["-c", "kill -SEGV $$"]), 422, "the process that compiled it ended with signal: 11"),
        (
            program("sh", &["-c", "kill -KILL $$"]),
            422,
            "was killed, most likely because the machine has too little memory",
        ),
        (program("sh", &["-c", "exit 3"]), 422, "ended with exit status: 3"),
        (program("sh", &["-c", "yes"]), 422, "compiled form has more than"),
        (program("/no/such/program", &[]), 500, "went wrong on the server"),
    ] {
        let app = server(compiler, |settings| settings.wasm.component_bytes = 1 << 20).await;
        let answer = push(&app, guests::component("echo")).await;
        let (got, problem): (_, Value) = (answer.status(), answer.json().await.unwrap());
        assert_eq!(got, status, "{problem}");
        assert!(problem["error"].as_str().unwrap().contains(wanted), "{wanted}: {problem}");
        assert_eq!(app.get("/groups/acme/flows/tried/versions").await, json!([]));
    }
}

#[tokio::test]
async fn the_child_sees_nothing_of_the_servers_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("environment");
    let script = format!("/usr/bin/env > {}; exit 3", file.display());
    let arguments = vec!["-c".into(), script.into()];
    let compiler = Compiler::Child(Program { path: "/bin/sh".into(), arguments, variables: Vec::new() });
    let app = server(compiler, |_| {}).await;
    push(&app, guests::component("echo")).await;
    let seen = std::fs::read_to_string(file).unwrap();
    let names = seen.lines().filter_map(|line| line.split('=').next());
    // A shell sets the last three itself.
    let known = ["RAYON_NUM_THREADS", "TOKIO_WORKER_THREADS", "PWD", "SHLVL", "_"];
    let unknown: Vec<_> = names.filter(|name| !known.contains(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[tokio::test]
async fn what_compiles_ends_with_its_server() {
    let app = server(compiler::shared(), |_| {}).await;
    let token = app.token().to_owned();
    let dir = app.stop().await;
    let process = Process::start(&dir.path().join("data"), &token, &[("WASM__COMPILE", "60s")]).await;
    let request = process.manage(Method::PUT, "/groups/acme/flows/tried/versions");
    let request = request.header("content-type", "application/wasm").body(bomb(3_000));
    let pushing = tokio::spawn(request.send());
    let server = process.id();
    let child = until(|| processes().into_iter().find(|(_, parent, _)| *parent == server)).await.0;
    process.kill().await;
    assert!(pushing.await.unwrap().is_err());
    until(|| (!processes().iter().any(|(id, _, state)| *id == child && state != "Z")).then_some(())).await;
}

/// Waits until there is something.
async fn until<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = found() {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it did not come to pass")
}

/// All processes: id, parent's id, state.
fn processes() -> Vec<(u32, u32, String)> {
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let stat = std::fs::read_to_string(entry.ok()?.path().join("stat")).ok()?;
        let (begin, rest) = stat.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let (state, parent) = (fields.next()?.to_owned(), fields.next()?.parse().ok()?);
        Some((begin.split(' ').next()?.parse().ok()?, parent, state))
    };
    std::fs::read_dir("/proc").unwrap().filter_map(read).collect()
}
