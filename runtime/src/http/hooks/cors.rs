//! CORS (WHATWG Fetch, "HTTP-CORS protocol"): what browsers ask beforehand, and what they are told with an answer.

use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::domain::cors::Cors;
use crate::http::hooks::REPLAYED;
use crate::http::problem::RUN_ID;

/// How long browsers keep the answer to what they asked beforehand, in seconds: a day, as it never changes.
const MAX_AGE: &str = "86400";
/// The server's own headers that scripts may read.
const EXPOSED: [&str; 6] =
    [RUN_ID, REPLAYED, "retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];

/// The answer to what a browser asks before it sends a request.
///
/// It carries no key, and without a key every path looks alike: so whatever is asked is allowed here, for every path
/// and every origin, and the request itself is decided about. No cookie is ever taken, so nothing is given away.
pub(super) fn preflight(parts: &Parts) -> Option<Response> {
    let method = parts.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
    if parts.method != Method::OPTIONS || !parts.headers.contains_key(header::ORIGIN) {
        return None;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method.clone());
    if let Some(asked) = parts.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    let vary = HeaderValue::from_static("access-control-request-method, access-control-request-headers");
    headers.insert(header::VARY, vary);
    Some(response)
}

/// Tells a browser whose scripts may read an answer, in place of what a flow may have said.
pub(super) fn write(headers: &mut HeaderMap, cors: &Cors, origin: Option<&HeaderValue>) {
    let said: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("access-control-")).cloned().collect();
    for name in said {
        headers.remove(name);
    }
    if !cors.is_open() {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    let Some(origin) = origin.filter(|origin| origin.to_str().is_ok_and(|origin| cors.allows(origin))) else { return };
    let allowed = if cors.is_open() { HeaderValue::from_static("*") } else { origin.clone() };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    let exposed: Vec<_> = EXPOSED.into_iter().chain(cors.expose.iter().map(String::as_str)).collect();
    let exposed = HeaderValue::from_str(&exposed.join(", ")).expect("names of headers");
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
}
