//! What the whole way of a webhook costs beside a bare echo, measured in turns in one run.
//!
//! ```sh
//! CARGO_PROFILE_DEV_OPT_LEVEL=3 cargo bench --profile dev -p headgate-tests --bench webhook
//! ```
//!
//! Both servers echo a body of 500 bytes on this machine, one after the other, several times: `raw` is an axum
//! handler; `headgate` authenticates a key, finds the trigger by its routing key, runs the flow `echo` in a fresh
//! instance and records the run. The load comes from one thread of the same process over 32 connections.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on has failed")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use headgate_tests::TestApp;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const CONNECTIONS: usize = 32;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(3);
const BODY: usize = 500;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let raw = raw_echo().await;
    let app = TestApp::with(|settings| {
        settings.wasm.flow_instances = 64;
        settings.log = "warn".to_owned();
    })
    .await;
    app.publish("echo", "echo").await;
    let (key, trigger) = (app.key("bench").await, app.trigger("echo", json!({})).await);
    let path = trigger.url.strip_prefix(&app.url()).unwrap().to_owned();
    let headgate = app.app().address();
    let webhook = request(&path, &format!("authorization: Bearer {}\r\n", key.secret));
    let echo = request("/", "");

    load(headgate, &webhook, Duration::from_secs(1)).await;
    let mut ratios = Vec::new();
    println!("round  raw rps  headgate rps  ratio");
    for round in 1..=ROUNDS {
        let (base, own) = (load(raw, &echo, ROUND).await, load(headgate, &webhook, ROUND).await);
        ratios.push(own / base);
        println!("{round:5} {base:8.0} {own:13.0}  {:.3}", own / base);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "throughput: median {:.3} of raw (min {:.3}, max {:.3})",
        ratios[ROUNDS / 2],
        ratios[0],
        ratios[ROUNDS - 1]
    );

    memory(headgate, &webhook).await;
    app.stop().await;
}

/// Resident memory after 20,000 and after 100,000 calls of a server that was loaded before.
async fn memory(address: SocketAddr, request: &[u8]) {
    calls(address, request, 20_000).await;
    let early = resident();
    calls(address, request, 80_000).await;
    let late = resident();
    println!(
        "resident: {early} KiB after 20,000 further calls, {late} KiB after 100,000 (x{:.3})",
        late as f64 / early as f64
    );
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn raw_echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/", post(|body: Bytes| async move { body }));
    tokio::spawn(headgate::http::server::serve(
        listener,
        router,
        headgate::http::client_address::TrustedProxies::default(),
        CancellationToken::new(),
    ));
    address
}

fn request(path: &str, headers: &str) -> Vec<u8> {
    let body = "x".repeat(BODY - 2);
    format!("POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n{headers}content-length: {BODY}\r\n\r\n\"{body}\"")
        .into_bytes()
}

/// Answered requests a second.
async fn load(address: SocketAddr, request: &[u8], time: Duration) -> f64 {
    let end = Instant::now() + time;
    let started = Instant::now();
    let answered = drive(address, request.to_vec(), move |_| Instant::now() < end).await;
    answered as f64 / started.elapsed().as_secs_f64()
}

async fn calls(address: SocketAddr, request: &[u8], count: usize) {
    drive(address, request.to_vec(), move |answered| answered < count / CONNECTIONS).await;
}

/// Calls over all connections while `go_on` of a connection's answers says so; answers how many were answered.
async fn drive(address: SocketAddr, request: Vec<u8>, go_on: impl Fn(usize) -> bool + Clone + Send + 'static) -> usize {
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let tasks: Vec<_> =
                (0..CONNECTIONS).map(|_| tokio::spawn(connection(address, request.clone(), go_on.clone()))).collect();
            let mut answered = 0;
            for task in tasks {
                answered += task.await.unwrap();
            }
            answered
        })
    });
    tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap()
}

async fn connection(address: SocketAddr, request: Vec<u8>, go_on: impl Fn(usize) -> bool) -> usize {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut buffer, mut answered) = (vec![0; 4096], 0);
    while go_on(answered) {
        stream.write_all(&request).await.unwrap();
        let mut filled = 0;
        loop {
            filled += stream.read(&mut buffer[filled..]).await.unwrap();
            if is_whole(&buffer[..filled]) {
                break;
            }
        }
        assert!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..filled]));
        answered += 1;
    }
    answered
}

/// Whether an answer with a body of [`BODY`] bytes has arrived.
fn is_whole(answer: &[u8]) -> bool {
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n");
    head.is_some_and(|head| answer.len() >= head + 4 + BODY)
}
