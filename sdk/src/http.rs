//! A small blocking HTTP client for connectors.
//!
//! ```
//! use headgate_sdk::http;
//! # use headgate_sdk::testing::Host;
//! # let host = Host::new();
//! # host.http("GET", "https://api.example.com/contacts").query("limit", "10").answer(200, &serde_json::json!([]));
//! let answer = http::get("https://api.example.com/contacts").query("limit", 10).send()?;
//! let contacts: Vec<String> = answer.json()?;
//! # assert!(contacts.is_empty());
//! # Ok::<(), headgate_sdk::Error>(())
//! ```
//!
//! Credentials are put on each request by the host, after the connector let go of it. A connector that sets
//! `Authorization`, `Cookie` or a header its authentication uses gets the error `egress_denied`.
//!
//! Redirects are not followed: they come back as answers.

mod request;
mod response;

pub(crate) use request::{Content, Outgoing};
pub use request::{Request, encode};
pub use response::Response;

/// How large an answer may be, in bytes, where the request sets no limit of its own.
pub const DEFAULT_LIMIT: usize = 8 * 1024 * 1024;

/// A `GET` request.
pub fn get(url: impl Into<String>) -> Request {
    Request::new("GET", url)
}

/// A `HEAD` request.
pub fn head(url: impl Into<String>) -> Request {
    Request::new("HEAD", url)
}

/// A `POST` request.
pub fn post(url: impl Into<String>) -> Request {
    Request::new("POST", url)
}

/// A `PUT` request.
pub fn put(url: impl Into<String>) -> Request {
    Request::new("PUT", url)
}

/// A `PATCH` request.
pub fn patch(url: impl Into<String>) -> Request {
    Request::new("PATCH", url)
}

/// A `DELETE` request.
pub fn delete(url: impl Into<String>) -> Request {
    Request::new("DELETE", url)
}

/// An `OPTIONS` request.
pub fn options(url: impl Into<String>) -> Request {
    Request::new("OPTIONS", url)
}
