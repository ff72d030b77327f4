//! A stand-in for somebody else's app that answers nobody until it is told to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// An app that holds what it is asked.
pub struct Held {
    /// Where it listens.
    pub address: SocketAddr,
    desk: Arc<Desk>,
}

struct Desk {
    paths: watch::Sender<Vec<String>>,
    credentials: Mutex<Vec<String>>,
    open: watch::Sender<bool>,
}

impl Held {
    /// Starts an app that holds every request.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let desk = Arc::new(Desk {
            paths: watch::Sender::default(),
            credentials: Mutex::default(),
            open: watch::Sender::default(),
        });
        let router = Router::new().fallback(hold).with_state(desk.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, desk }
    }

    /// The paths it was asked for, in order.
    pub fn paths(&self) -> Vec<String> {
        self.desk.paths.borrow().clone()
    }

    /// The header `Authorization` of each request that it was asked, in order.
    pub fn credentials(&self) -> Vec<String> {
        self.desk.credentials.lock().unwrap().clone()
    }

    /// Waits until it was asked so many times.
    pub async fn asked(&self, times: usize) {
        let mut paths = self.desk.paths.subscribe();
        paths.wait_for(|paths| paths.len() >= times).await.unwrap();
    }

    /// Answers who waits, and everybody from now on.
    pub fn release(&self) {
        self.desk.open.send_replace(true);
    }

    /// Holds what it is asked from now on.
    pub fn hold(&self) {
        self.desk.open.send_replace(false);
    }
}

async fn hold(State(desk): State<Arc<Desk>>, uri: Uri, headers: HeaderMap) -> &'static str {
    let mut open = desk.open.subscribe();
    let credential = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    desk.credentials.lock().unwrap().push(credential.to_owned());
    desk.paths.send_modify(|paths| paths.push(uri.path().to_owned()));
    // The app lives as long as its sender: it always comes to an answer, or its caller goes away.
    let _ = open.wait_for(|open| *open).await;
    "done"
}
