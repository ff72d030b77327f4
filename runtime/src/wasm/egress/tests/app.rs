//! An app that reflects what it was sent, and misbehaves.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::serve::ListenerExt;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::stream;
use http::header;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::net::TcpListener;

use super::SECRET;

/// A running app. It ends with the test's runtime.
pub(super) struct App {
    pub(super) address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    accepted: AtomicUsize,
    requests: AtomicUsize,
}

impl App {
    pub(super) async fn start() -> Self {
        let seen = Arc::<Seen>::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counter = seen.clone();
        let listener = listener.tap_io(move |_| {
            counter.accepted.fetch_add(1, Ordering::SeqCst);
        });
        tokio::spawn(axum::serve(listener, router(seen.clone())).into_future());
        Self { address, seen }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many connections were made to it.
    pub(super) fn accepted(&self) -> usize {
        self.seen.accepted.load(Ordering::SeqCst)
    }

    /// How many requests it was sent.
    pub(super) fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::SeqCst)
    }
}

fn router(seen: Arc<Seen>) -> Router {
    Router::new()
        .route("/reflect", any(reflect))
        .route("/needs/{token}", any(needs))
        .route("/forms", get(forms))
        .route("/pieces/{at}", get(pieces))
        .route("/headers", get(headers))
        .route("/redirect", get(redirect))
        .route("/gzip", get(|| async { ([(header::CONTENT_ENCODING, "gzip")], "not to be seen") }))
        .route("/gzip-empty", get(|| async { [(header::CONTENT_ENCODING, "gzip")] }))
        .route("/endless", get(|| async { endless(Duration::ZERO) }))
        .route("/trickle", get(|| async { endless(Duration::from_millis(5)) }))
        .route("/stall-head", get(|| async { std::future::pending::<()>().await }))
        .route("/stall-body", get(stall_body))
        .route("/many-headers", get(|| async { [("x-long", "x".repeat(8000)), ("x-longer", "x".repeat(8000))] }))
        .layer(axum::middleware::from_fn_with_state(seen.clone(), count))
        .with_state(seen)
}

async fn count(State(seen): State<Arc<Seen>>, request: Request, next: axum::middleware::Next) -> Response {
    seen.requests.fetch_add(1, Ordering::SeqCst);
    next.run(request).await
}

/// The request as it came, its body included.
async fn reflect(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut text = format!("{} {}\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    }
    match axum::body::to_bytes(body, usize::MAX).await {
        Ok(body) => text.push_str(&String::from_utf8_lossy(&body)),
        // The sender broke off, and so does this.
        Err(_) => return http::StatusCode::BAD_REQUEST.into_response(),
    }
    let authorization = parts.headers.get(header::AUTHORIZATION).cloned();
    let mut response = text.into_response();
    if let Some(authorization) = authorization {
        response.headers_mut().insert("x-reflected", authorization);
    }
    response
}

/// Reflects, with status 401 unless the bearer token is the one in the path.
async fn needs(axum::extract::Path(token): axum::extract::Path<String>, request: Request) -> Response {
    let bearer = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let known = bearer == Some(&format!("Bearer {token}"));
    let mut response = reflect(request).await;
    if !known {
        *response.status_mut() = http::StatusCode::UNAUTHORIZED;
    }
    response
}

async fn forms() -> String {
    let hex: String = SECRET.bytes().map(|b| format!("{b:02X}")).collect();
    let nested = STANDARD.encode(format!("{{\"Authorization\":\"Bearer {SECRET}\"}}"));
    let percent = utf8_percent_encode(SECRET, NON_ALPHANUMERIC);
    let json = serde_json::json!({ "token": SECRET }).to_string();
    format!("{SECRET} {} {nested} {percent} {hex} {json} {}", STANDARD.encode(SECRET), SECRET.to_uppercase())
}

/// The secret in two chunks, cut at `at`.
async fn pieces(axum::extract::Path(at): axum::extract::Path<usize>) -> Body {
    let text = format!("before {SECRET} after");
    let (one, two) = (Bytes::copy_from_slice(&text.as_bytes()[..at]), Bytes::copy_from_slice(&text.as_bytes()[at..]));
    Body::from_stream(stream::unfold(vec![two, one], |mut left| async move {
        // Lets the first chunk leave by itself.
        tokio::task::yield_now().await;
        Some((Ok::<_, Infallible>(left.pop()?), left))
    }))
}

async fn headers() -> impl IntoResponse {
    [
        ("set-cookie", "session=1"),
        ("authorization", "Bearer other"),
        ("x-api-key", "other"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("x-end", "1"),
    ]
}

async fn redirect() -> impl IntoResponse {
    let target = format!("http://127.0.0.1:1/elsewhere?token={}", utf8_percent_encode(SECRET, NON_ALPHANUMERIC));
    (http::StatusCode::FOUND, [(header::LOCATION, target)], "moved")
}

fn endless(pause: Duration) -> Body {
    Body::from_stream(stream::unfold((), move |()| async move {
        tokio::time::sleep(pause).await;
        Some((Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 1000])), ()))
    }))
}

async fn stall_body() -> Body {
    let first = stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b"first")) });
    Body::from_stream(futures::StreamExt::chain(first, stream::pending()))
}
