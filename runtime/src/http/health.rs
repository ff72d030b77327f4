//! Whether the server lives, and whether it takes work.

use std::sync::atomic::Ordering;

use axum::extract::State;
use http::StatusCode;

use crate::http::ApiState;

/// `GET /healthz`: the process answers.
pub async fn live() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the server takes work; 503 while it stops.
pub async fn ready(State(api): State<ApiState>) -> (StatusCode, &'static str) {
    if api.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    }
}
