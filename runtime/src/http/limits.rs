//! The headers that tell a caller how it stands with its limits: `X-RateLimit-Limit`, `-Remaining` and `-Reset`.

use std::sync::{Arc, OnceLock};

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;

use crate::service::limits::Standing;

/// Where the extractor of the caller leaves how it stands, for the answer: an extension of the request.
#[derive(Clone, Default)]
pub struct StandingNote(Arc<OnceLock<Standing>>);

impl StandingNote {
    /// Leaves how the caller stands.
    pub fn leave(&self, standing: Standing) {
        // A request has one caller; whoever extracts it again finds the same.
        let _ = self.0.set(standing);
    }
}

/// Tells callers of management how they stand.
pub async fn tell(mut request: Request, next: Next) -> Response {
    let note = StandingNote::default();
    request.extensions_mut().insert(note.clone());
    let mut response = next.run(request).await;
    if let Some(standing) = note.0.get() {
        write(response.headers_mut(), standing);
    }
    response
}

/// Writes the headers, in place of what a flow may have written there.
pub fn write(headers: &mut HeaderMap, standing: &Standing) {
    headers.insert("x-ratelimit-limit", standing.limit.into());
    headers.insert("x-ratelimit-remaining", standing.remaining.into());
    headers.insert("x-ratelimit-reset", standing.reset.into());
}
