//! Does what a flow should not, as its event says: `{"do": "loop"}`.

mod probe;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use headgate_sdk::prelude::*;
use serde_json::{Value, json};

/// What to do.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Order {
    /// Never ends.
    Loop,
    /// Takes memory until there is no more.
    Memory,
    /// Writes lines to the log and to stderr.
    Log { lines: u64, bytes: usize },
    /// Answers a body of so many bytes.
    Output { bytes: usize },
    /// Answers so many headers.
    Headers { count: u32 },
    /// Fails with a message and details of so many bytes.
    Error { bytes: usize },
    /// Panics.
    Panic,
    /// Calls itself until the stack is full.
    Stack,
    /// Ends the process.
    Exit,
    /// Waits on the clock.
    Sleep { milliseconds: u64 },
    /// Reads environment, arguments, files and sockets.
    Probe,
    /// Writes so many blobs of so many bytes, and keeps them.
    Blobs { count: u32, bytes: usize },
    /// Opens a slot.
    Open { slot: String },
    /// Calls a method, then perhaps another one, while it holds what the first one answered.
    Call { slot: String, method: String, input: Value, then: Option<(String, Value)> },
    /// Calls a method, and fails as it fails.
    Relay { slot: String, method: String, input: Value },
    /// Calls a method so many times at once.
    CallAll { slot: String, method: String, input: Value, count: usize },
    /// Opens a slot so many times, and keeps the handles.
    Handles { slot: String, count: u32 },
    /// Keeps a text for the next call, and tells what the call before kept.
    Remember { text: String },
    /// Writes a blob, and tells its id.
    KeepBlob { text: String },
    /// Reads a blob by its id.
    ReadBlob { id: String },
}

/// What a call kept for the next one: in an instance of its own, nothing.
static KEPT: Mutex<Option<String>> = Mutex::new(None);

#[headgate_sdk::flow]
fn hostile(event: Event<Order>) -> Result<Response> {
    let report = match event.data {
        Order::Loop => forever(),
        Order::Memory => take_memory(),
        Order::Log { lines, bytes } => write_log(lines, bytes),
        Order::Output { bytes } => return Ok(Response::new(200).text("x".repeat(bytes))),
        Order::Headers { count } => {
            return Ok((0..count).fold(Response::new(200), |answer, n| answer.header(format!("x-{n}"), "x")));
        }
        Order::Error { bytes } => {
            return Err(Error::new("large", "x".repeat(bytes)).details(json!({"x": "x".repeat(bytes)})));
        }
        Order::Panic => panic!("the flow panics because it was told to"),
        Order::Stack => json!(deeper(1)),
        Order::Exit => std::process::exit(3),
        Order::Sleep { milliseconds } => sleep(milliseconds),
        Order::Probe => probe::everything(),
        Order::Blobs { count, bytes } => write_blobs(count, bytes),
        Order::Open { slot } => outcome(Connection::open(&slot).map(|_| Value::Null)),
        Order::Call { slot, method, input, then } => call(&slot, &method, &input, then),
        Order::Relay { slot, method, input } => Connection::open(&slot)?.call(&method, &input)?,
        Order::CallAll { slot, method, input, count } => call_many(&slot, &method, &input, count)?,
        Order::Handles { slot, count } => open_many(&slot, count),
        Order::Remember { text } => {
            json!({"before": KEPT.lock().unwrap_or_else(PoisonError::into_inner).replace(text)})
        }
        Order::KeepBlob { text } => json!({"id": Blob::from_bytes("text/plain", text.as_bytes())?.id()}),
        Order::ReadBlob { id } => {
            outcome(Blob::open(&id).map(|blob| String::from_utf8_lossy(&blob.bytes()).into_owned().into()))
        }
    };
    Response::new(200).json(&report)
}

/// What a call came to, as data, so that a test reads it from the answer.
fn outcome(result: Result<Value>) -> Value {
    match result {
        Ok(output) => json!({ "output": output }),
        Err(Error { code, message, retryable, details }) => {
            json!({"error": {"code": code, "message": message, "retryable": retryable, "details": details}})
        }
    }
}

fn forever() -> Value {
    let mut rounds = 0_u64;
    loop {
        rounds = std::hint::black_box(rounds.wrapping_add(1));
    }
}

fn take_memory() -> Value {
    let mut blocks = Vec::new();
    loop {
        // Written to, so that the memory is really there.
        blocks.push(std::hint::black_box(vec![1_u8; 1024 * 1024]));
    }
}

fn write_log(lines: u64, bytes: usize) -> Value {
    let line = "x".repeat(bytes);
    for _ in 0..lines {
        log::info!("{line}");
        eprintln!("{line}");
    }
    json!({ "lines": lines })
}

fn deeper(depth: u64) -> u64 {
    let room = std::hint::black_box([depth; 512]);
    if room[1] == u64::MAX {
        return 0;
    }
    std::hint::black_box(deeper(depth + 1)) + room[0]
}

fn sleep(milliseconds: u64) -> Value {
    let start = Instant::now();
    std::thread::sleep(Duration::from_millis(milliseconds));
    json!({"slept_milliseconds": start.elapsed().as_millis() as u64})
}

fn write_blobs(count: u32, bytes: usize) -> Value {
    let content = vec![b'x'; bytes];
    let mut blobs = Vec::new();
    for _ in 0..count {
        match Blob::from_bytes("text/plain", &content) {
            Ok(blob) => blobs.push(blob),
            Err(error) => return json!({"written": blobs.len(), "error": error.code}),
        }
    }
    json!({ "written": blobs.len() })
}

fn call(slot: &str, method: &str, input: &Value, then: Option<(String, Value)>) -> Value {
    let connection = match Connection::open(slot) {
        Ok(connection) => connection,
        Err(error) => return outcome(Err(error)),
    };
    let mut report = outcome(connection.call(method, input));
    if let Some((method, input)) = then {
        report["then"] = outcome(connection.call(&method, &input));
    }
    report
}

fn call_many(slot: &str, method: &str, input: &Value, count: usize) -> Result<Value> {
    let connection = Connection::open(slot)?;
    let calls: Vec<Call<'_, Value>> = (0..count).map(|_| connection.prepare(method, input)).collect();
    Ok(call_all(calls).into_iter().map(outcome).collect())
}

fn open_many(slot: &str, count: u32) -> Value {
    let mut handles = Vec::new();
    for _ in 0..count {
        match Connection::open(slot) {
            Ok(handle) => handles.push(handle),
            Err(error) => return json!({"opened": handles.len(), "error": error.code}),
        }
    }
    json!({ "opened": handles.len() })
}

#[cfg(test)]
mod tests {
    use headgate_sdk::testing::{Host, fire};

    use super::*;

    fn order(order: Value) -> Value {
        fire(hostile, Event::post(order.to_string())).unwrap().body.json().unwrap()
    }

    #[test]
    fn reports_what_it_came_to() {
        let host = Host::new();
        host.blob_limit(4);
        host.slot("crm").answers("get", json!(7));
        assert_eq!(order(json!({"do": "open", "slot": "x"}))["error"]["code"], "slot_unbound");
        assert_eq!(order(json!({"do": "call", "slot": "crm", "method": "get", "input": 1})), json!({"output": 7}));
        let many = order(json!({"do": "call_all", "slot": "crm", "method": "get", "input": 1, "count": 2}));
        assert_eq!(many, json!([{"output": 7}, {"output": 7}]));
        assert_eq!(order(json!({"do": "blobs", "count": 2, "bytes": 5}))["error"], "blob_too_large");
        assert_eq!(order(json!({"do": "handles", "slot": "crm", "count": 3})), json!({"opened": 3}));
        let relay = json!({"do": "relay", "slot": "crm", "method": "get", "input": 1});
        assert_eq!(order(relay), json!(7));
        let then = json!({"do": "call", "slot": "crm", "method": "get", "input": 1, "then": ["get", 1]});
        assert_eq!(order(then), json!({"output": 7, "then": {"output": 7}}));
        let id = order(json!({"do": "keep_blob", "text": "kept"}))["id"].clone();
        assert_eq!(order(json!({"do": "read_blob", "id": id})), json!({"output": "kept"}));
        // Natively there is one process for all calls; that is what a fresh instance is without.
        assert_eq!(order(json!({"do": "remember", "text": "a"})), json!({"before": null}));
        assert_eq!(order(json!({"do": "remember", "text": "b"})), json!({"before": "a"}));
        assert_eq!(order(json!({"do": "log", "lines": 2, "bytes": 1})), json!({"lines": 2}));
        assert_eq!(host.logs().len(), 2);
    }
}
