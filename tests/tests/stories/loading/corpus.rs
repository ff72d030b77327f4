//! Bad modules: each is refused with its own words within its bound, while another flow goes on answering.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use headgate_tests::{Key, TestApp, Trigger, compiler, guests};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{bomb, leb128};

const FLOWS: &str = "/groups/acme/flows/echo/versions";
const CONNECTORS: &str = "/groups/acme/connectors";
const MIB: usize = 1024 * 1024;
/// Compiling may take this long here.
const COMPILE: Duration = Duration::from_secs(8);
/// Computing may take this long.
const CPU: Duration = Duration::from_secs(1);
/// What a bound may be passed by on a machine that is busy with other tests.
const SLACK: Duration = Duration::from_secs(40);

/// What a bad module is called, where it is put, what it is, and what is said of it.
struct Bad {
    name: String,
    path: &'static str,
    bytes: Vec<u8>,
    status: u16,
    said: &'static str,
}

fn bad(name: impl Into<String>, bytes: Vec<u8>, said: &'static str) -> Bad {
    Bad { name: name.into(), path: FLOWS, bytes, status: 422, said }
}

fn wat(text: impl AsRef<str>) -> Vec<u8> {
    wat::parse_str(text.as_ref()).unwrap()
}

/// A component that imports an empty interface.
fn wanting(import: &str, export: &str) -> Vec<u8> {
    wat(format!(
        r#"(component (import "{import}" (instance)) (instance $empty) (export "headgate:runtime/{export}@0.1.0" (instance $empty)))"#
    ))
}

/// A good flow, and beside it a core module of its own that is instantiated with it.
fn flow_with(fields: &str) -> Vec<u8> {
    let (mut flow, module) = (guests::component("echo"), wat(format!("(module {fields})")));
    let modules = core_modules(&flow);
    flow.push(1);
    flow.extend(leb128(module.len()));
    flow.extend(module);
    // One core instance, made of the last module without arguments.
    let instance = [&[1, 0][..], &leb128(modules), &[0]].concat();
    flow.extend([2, instance.len() as u8]);
    flow.extend(instance);
    flow
}

/// How many core modules stand among a component's own sections.
fn core_modules(component: &[u8]) -> usize {
    let (mut at, mut count) = (8, 0);
    while at < component.len() {
        count += usize::from(component[at] == 1);
        let (mut length, mut shift) = (0, 0);
        loop {
            at += 1;
            length |= usize::from(component[at] & 0x7f) << shift;
            shift += 7;
            if component[at] < 0x80 {
                break;
            }
        }
        at += 1 + length;
    }
    count
}

/// Components within each other.
fn nested(depth: usize) -> Vec<u8> {
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";
    let around = |inner: Vec<u8>| [EMPTY, &[4], &leb128(inner.len()), &inner].concat();
    let inner = (1..depth).fold(EMPTY.to_vec(), |inner, _| around(inner));
    [&guests::component("echo")[..], &[4], &leb128(inner.len()), &inner].concat()
}

/// A file of a hundred megabytes that begins like a component: one custom section.
fn large() -> Vec<u8> {
    let length = 100 * MIB;
    let mut bytes = [b"\0asm\x0d\0\x01\0\0", &leb128(length)[..], b"\x01x"].concat();
    bytes.resize(bytes.len() + length - 2, 0);
    bytes
}

fn files() -> Vec<Bad> {
    let echo = guests::component("echo");
    let mut all = vec![
        bad("zero bytes", Vec::new(), "is not a WebAssembly component: it does not begin with"),
        bad("a zip", b"PK\x03\x04\x14\0\0\0\x08\0".to_vec(), "is not a WebAssembly component"),
        bad("a core module", wat("(module)"), "is a core WebAssembly module, not a component"),
        bad("garbage after a valid header", [b"\0asm\x0d\0\x01\0", &[0xff; 4096][..]].concat(), "is not valid"),
        bad("bytes after the last section", [&echo[..], b"\x7f\x7f\x7f"].concat(), "is cut off after"),
        Bad { status: 413, ..bad("100 MB", large(), "larger than the 67108864 bytes") },
    ];
    for cut in [5, 9, 100, echo.len() / 3, echo.len() / 2, echo.len() - 1] {
        all.push(bad(format!("cut off at {cut}"), echo[..cut].to_vec(), "is cut off after"));
    }
    all
}

fn surfaces() -> Vec<Bad> {
    let of_connector = |bad: Bad| Bad { path: CONNECTORS, ..bad };
    let echo = guests::component("echo");
    vec![
        bad("a connector as a flow", guests::component("http-connector"), "this component is a connector. Push it as"),
        of_connector(bad("a flow as a connector", echo, "this component is a flow. Push it as a flow")),
        bad(
            "newer WIT",
            wanting("headgate:runtime/run@0.9.0", "handler"),
            "this server offers 0.1.0. Update the server",
        ),
        bad("wasi:http", wanting("wasi:http/outgoing-handler@0.2.12", "handler"), "which only a connector may use"),
        bad("an unknown import", wanting("acme:secrets/store@1.0.0", "handler"), "which this server does not offer"),
        bad("no exports", wat("(component)"), "and this component does not"),
        bad(
            "an export without its functions",
            wat(r#"(component (instance $i) (export "headgate:runtime/handler@0.1.0" (instance $i)))"#),
            "in another form than this server",
        ),
        bad(
            "an export of another form",
            wat(r#"(component
                  (core module $m (func (export "f") (result i32) i32.const 0))
                  (core instance $i (instantiate $m))
                  (func $f (result u32) (canon lift (core func $i "f")))
                  (instance $h (export "describe" (func $f)) (export "handle" (func $f)))
                  (export "headgate:runtime/handler@0.1.0" (instance $h)))"#),
            "in another form than this server calls it. First difference:",
        ),
        bad(
            "an import of another form",
            wat(r#"(component
                  (import "headgate:runtime/run@0.1.0" (instance (export "log" (func (param "text" string)))))
                  (instance $i) (export "headgate:runtime/handler@0.1.0" (instance $i)))"#),
            "Wanted: log: func(text: string). Offered: log: func(level: level, message: string). First difference:",
        ),
    ]
}

fn contents() -> Vec<Bad> {
    vec![
        bad("nested 1,000 deep", nested(1_000), "nested more than 64 deep"),
        bad(
            "a start that traps",
            flow_with("(func $s unreachable) (start $s)"),
            "when it is started, the flow trapped",
        ),
        bad("a start that never ends", flow_with("(func $s (loop br 0)) (start $s)"), "computed for more than 1s"),
        bad("100 GB of memory", flow_with("(memory $big i64 1600000)"), "more than one module may have"),
        bad("more memory than an instance has", flow_with("(memory $big 4000)"), "memory"),
        bad("tables without end", flow_with(&"(table 10 funcref)".repeat(20)), "more than one module may have"),
        bad("a table without end", flow_with("(table 4000000 funcref)"), "table"),
        bad("a compile-time bomb", bomb(10_000), "longer than 8s and was given up"),
    ]
}

/// Calls a flow without pause; every answer has to be 200.
fn keep_calling(app: &TestApp, trigger: &Trigger, key: &Key) -> (Arc<AtomicBool>, JoinHandle<usize>) {
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), AtomicUsize::new(0));
    let request = app.client().post(&trigger.url).bearer_auth(&key.secret).body("still here");
    let stopped = stop.clone();
    let calling = tokio::spawn(async move {
        while !stopped.load(Ordering::Relaxed) {
            let answer = request.try_clone().unwrap().send().await.unwrap();
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.text().await.unwrap(), "still here");
            answered.fetch_add(1, Ordering::Relaxed);
        }
        answered.into_inner()
    });
    (stop, calling)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_module_is_refused_with_its_own_words_while_others_run() {
    let change = |settings: &mut headgate::settings::Settings| {
        settings.wasm.compile = COMPILE;
        settings.wasm.cpu = CPU;
    };
    let app = TestApp::with_compiler(compiler::child(), Arc::new(Timestamp::now), change).await;
    app.publish("echo", "echo").await;
    let (key, trigger) = (app.key("caller").await, app.trigger("echo", json!({})).await);
    let before = (app.get(FLOWS).await, app.get("/groups/acme/flows/echo").await, app.get(CONNECTORS).await);
    let (stop, calling) = keep_calling(&app, &trigger, &key);

    let mut wrong = Vec::new();
    for Bad { name, path, bytes, status, said } in files().into_iter().chain(surfaces()).chain(contents()) {
        let request = app.manage(Method::PUT, path).header("content-type", "application/wasm").body(bytes);
        let began = Instant::now();
        let answer = request.send().await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let (took, got) = (began.elapsed(), answer.status().as_u16());
        let problem: Value = answer.json().await.unwrap();
        let error = problem["error"].as_str().unwrap_or("it was taken");
        if got != status || !error.contains(said) || took > COMPILE + SLACK {
            wrong.push(format!("{name}: {got} within {took:?}: {error}\n    should say: {said}"));
        }
    }
    stop.store(true, Ordering::Relaxed);
    let answered = calling.await.unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(answered > 20, "{answered} answers meanwhile");
    let after = (app.get(FLOWS).await, app.get("/groups/acme/flows/echo").await, app.get(CONNECTORS).await);
    assert_eq!(before, after, "a refused module changes nothing");
}

#[tokio::test]
async fn a_good_module_of_the_same_make_is_taken() {
    let app = TestApp::start().await;
    app.post("/groups/acme/flows", json!({"name": "plain"})).await;
    let path = "/groups/acme/flows/plain/versions";
    let request = app.manage(Method::PUT, path).header("content-type", "application/wasm").body(flow_with(""));
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
}
