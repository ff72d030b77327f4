//! A stand-in for somebody else's app: it records what it is asked, and answers as the story says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A request the app has received.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub uri: Uri,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// The address that the connection came from; requests over one connection have the same.
    pub peer: SocketAddr,
}

type Answer = Arc<dyn Fn(&Received) -> Response + Send + Sync>;

/// An app on a port of this machine.
pub struct StandIn {
    /// Where it listens.
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl StandIn {
    /// Starts an app that answers as told.
    pub async fn start(answer: impl Fn(&Received) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let state: (Arc<Mutex<Vec<Received>>>, Answer) = (received.clone(), Arc::new(answer));
        let service = Router::new().fallback(receive).with_state(state);
        let service = service.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        Self { address, received }
    }

    /// A CRM with one lead, `ada@example.com`, that lets in who has the token.
    pub async fn crm(token: &str) -> Self {
        let bearer = format!("Bearer {token}");
        Self::start(move |request| {
            if request.headers.get("authorization").is_none_or(|value| value != bearer.as_str()) {
                let body = json!({"status": "error", "message": "no such token", "category": "INVALID_AUTHENTICATION"});
                return (StatusCode::UNAUTHORIZED, axum::Json(body)).into_response();
            }
            axum::Json(contact(request)).into_response()
        })
        .await
    }

    /// Its URL, without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it has received so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

fn contact(request: &Received) -> Value {
    let lead = json!({"id": "51", "properties": {"email": "ada@example.com", "hs_lead_status": "NEW"}});
    let asks_for_ada = String::from_utf8_lossy(&request.body).contains("ada@example.com");
    match (request.uri.path().ends_with("/search"), asks_for_ada) {
        (true, true) => json!({"total": 1, "results": [lead]}),
        (true, false) => json!({"total": 0, "results": []}),
        (false, _) => lead,
    }
}

async fn receive(
    State((received, answer)): State<(Arc<Mutex<Vec<Received>>>, Answer)>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request = Received { method, uri, headers, body, peer };
    let response = answer(&request);
    received.lock().unwrap().push(request);
    response
}
