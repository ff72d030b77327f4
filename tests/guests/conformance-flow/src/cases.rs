//! The cases, one report entry each.

use std::collections::BTreeMap;

use headgate_sdk::prelude::*;
use serde_json::{Value, json};

type Report = BTreeMap<&'static str, Value>;

/// A result whose error was made by a guest: all of it is the contract.
fn whole(result: Result<Value>) -> Value {
    result.unwrap_or_else(|Error { code, message, retryable, details }| {
        json!({"code": code, "message": message, "retryable": retryable, "details": details})
    })
}

/// A result whose error was made by the host: its code is the contract, its text is not.
fn coded<T: Serialize>(result: Result<T>) -> Value {
    match result {
        Ok(value) => json!({ "ok": value }),
        Err(error) => json!({ "code": error.code, "retryable": error.retryable }),
    }
}

pub(crate) fn event(event: &Event) -> Value {
    json!({
        "method": event.method,
        "path": event.path,
        "greeting": event.query.get("greeting"),
        "x-probe": event.headers.get("X-Probe"),
        "body": event.body.text().unwrap_or_default(),
    })
}

pub(crate) fn calls(app: &Connection, report: &mut Report) {
    let number = |n: i64| json!({ "n": n });
    report.insert("open_unbound", coded(Connection::open("nowhere").map(|_| ())));
    report.insert("call", whole(app.call("echo", &number(7))));
    report.insert("call_twice_by_two_handles", whole(again(&number(8))));
    report.insert("call_unknown_method", whole(app.call("no_such_method", &number(1))));
    report.insert("call_invalid_input", whole(app.call("echo", &json!({"n": "seven"}))));
    report.insert("call_unknown_field", whole(app.call("echo", &json!({"n": 1, "m": 2}))));
    report.insert("call_fails", whole(app.call("fail", &number(3))));
    let mixed = call_all(vec![
        app.prepare::<Value>("echo", &number(1)),
        app.prepare("fail", &number(2)),
        app.prepare("echo", &number(3)),
        app.prepare("no_such_method", &number(4)),
    ]);
    report.insert("call_all_order", mixed.into_iter().map(whole).collect());
    report.insert("call_all_empty", call_all(Vec::<Call<'_, Value>>::new()).into_iter().map(whole).collect());
    let names = ["region", "note", "unset", "no_such_setting"];
    report.insert("config", whole(app.call("settings", &json!({ "names": names }))));
}

fn again(input: &Value) -> Result<Value> {
    let other = Connection::open("app")?;
    let first: Value = other.call("echo", input)?;
    drop(other);
    Connection::open("app")?.call("echo", &first)
}

pub(crate) fn blobs(app: &Connection, report: &mut Report) {
    let blob = Blob::new("text/x-test");
    report.insert("blob_empty", json!({"size": blob.size(), "read": blob.read(0, 10), "type": blob.content_type()}));
    let written = blob.write(b"hello ").and_then(|()| blob.write(b"")).and_then(|()| blob.write(b"world"));
    let text = |offset, len| String::from_utf8_lossy(&blob.read(offset, len)).into_owned();
    report.insert("blob_written", json!({"written": coded(written), "size": blob.size(), "all": text(0, 100)}));
    let reads = [text(6, 3), text(6, 100), text(11, 1), text(u64::MAX, 1), text(0, 0)];
    report.insert("blob_read_offsets", json!(reads));
    let id = blob.id();
    report.insert("blob_closed_by_id", coded(blob.write(b"!")));
    report.insert("blob_same_id", json!(id == blob.id()));
    let reopened = Blob::open(&id).map(|blob| String::from_utf8_lossy(&blob.bytes()).into_owned());
    report.insert("blob_opened_by_id", coded(reopened));
    report.insert("blob_not_found", coded(Blob::open("no-such-blob").map(|_| ())));
    report.insert("blob_through_connector", coded(reversed(app, &blob)));
}

fn reversed(app: &Connection, blob: &Blob) -> Result<Value> {
    let output: BTreeMap<String, Blob> = app.call("reverse", &json!({ "content": blob }))?;
    let blob = output.get("content").ok_or_else(|| Error::new("no_content", "The connector answered no blob."))?;
    Ok(json!({"text": String::from_utf8_lossy(&blob.bytes()), "type": blob.content_type()}))
}

pub(crate) fn run(app: &Connection, report: &mut Report) {
    let info = run::current();
    let same_run = app.call::<String>("run_id", &json!({})).map(|id| id == info.id);
    report.insert(
        "run",
        json!({
            "attempt": info.attempt,
            "id_length": info.id.len(),
            "id_version": info.id.get(14..15),
            "has_environment": !info.environment.is_empty(),
            "has_flow": !info.flow.is_empty(),
            "has_caller": !info.caller.is_empty(),
            "connector_has_same_id": coded(same_run),
        }),
    );
    log::debug!("conformance: debug");
    log::info!("conformance: info");
    log::warn!("conformance: warn");
    log::error!("conformance: error {}", 1);
}

pub(crate) fn requests(app: &Connection, report: &mut Report) {
    let ask = |input: Value| app.call::<Value>("ask", &input);
    report.insert("http_json", coded(ask(json!({"to": "/json"}))));
    report.insert("http_status_is_an_answer", coded(ask(json!({"to": "/missing"}))));
    let query = json!(["x", "1&2 ü"]);
    let header = json!(["x-probe", "7"]);
    let mirror = json!({"method": "POST", "to": "/mirror", "query": query, "header": header, "json": {"a": [1]}});
    report.insert("http_mirror", coded(ask(mirror)));
    let large = json!({"method": "PUT", "to": "/mirror", "bytes": 200_000});
    report.insert("http_large_body", coded(ask(large)));
    report.insert("http_large_answer", coded(ask(json!({"to": "/big"}))));
    report.insert("http_limit", coded(ask(json!({"to": "/big", "limit": 1000}))));
    for (case, name) in [
        ("http_denied_authorization", "Authorization"),
        ("http_denied_cookie", "cookie"),
        ("http_denied_host_header", "Host"),
        ("http_denied_proxy_authorization", "Proxy-Authorization"),
    ] {
        report.insert(case, coded(ask(json!({"to": "/json", "header": [name, "x"]}))));
    }
    report.insert("http_denied_host", coded(ask(json!({"to": "https://elsewhere.invalid/json"}))));
    report.insert("http_denied_dots_outside", coded(ask(json!({"to": "/../json"}))));
    report.insert("http_dots_inside", coded(ask(json!({"to": "/a/.././json"}))));
    report.insert("http_invalid_url", coded(ask(json!({"to": "ftp://elsewhere.invalid/"}))));
}
