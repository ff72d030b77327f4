use std::fmt::{Display, Write};
use std::time::Duration;

use serde::Serialize;

use super::{DEFAULT_LIMIT, Response};
use crate::{Blob, Error, Pairs, Result, sys};

/// A request that was not sent yet. What is wrong with it is said when it is sent.
#[must_use = "a request does nothing until it is sent"]
#[derive(Debug)]
pub struct Request {
    method: String,
    url: String,
    query: Pairs,
    headers: Pairs,
    content: Content,
    timeout: Option<Duration>,
    limit: usize,
    fault: Option<Error>,
}

/// A request's body.
#[derive(Debug)]
pub(crate) enum Content {
    None,
    Bytes(Vec<u8>),
    Blob(Blob),
}

/// A request as it is handed to the host.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) method: String,
    /// `http` or `https`.
    pub(crate) scheme: String,
    /// Host and port, as the URL has them.
    pub(crate) authority: String,
    /// Starts with `/`; has the query.
    pub(crate) path_and_query: String,
    pub(crate) headers: Pairs,
    pub(crate) content: Content,
    pub(crate) timeout: Option<Duration>,
    pub(crate) limit: usize,
}

impl Request {
    /// A request with any method.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            query: Pairs::default(),
            headers: Pairs::default(),
            content: Content::None,
            timeout: None,
            limit: DEFAULT_LIMIT,
            fault: None,
        }
    }

    /// Adds a query parameter, percent-encoded.
    pub fn query(mut self, name: impl Into<String>, value: impl Display) -> Self {
        self.query.push(name, value.to_string());
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// Sets the body to JSON.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => self.bytes("application/json", bytes),
            Err(error) => {
                let message = format!("The request's body cannot be written as JSON: {error}.");
                self.fault = Some(Error::new("invalid_request", message));
                self
            }
        }
    }

    /// Sets the body to a form (`application/x-www-form-urlencoded`).
    pub fn form<'a>(self, fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let fields: Pairs = fields.into_iter().collect();
        let text = query_string(&fields);
        self.bytes("application/x-www-form-urlencoded", text)
    }

    /// Sets the body to bytes, with their media type unless one is set.
    pub fn bytes(mut self, content_type: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.content = Content::Bytes(bytes.into());
        self.content_type(content_type)
    }

    /// Sets the body to a blob, sent in chunks, with its media type unless one is set.
    pub fn blob(mut self, blob: Blob) -> Self {
        let content_type = blob.content_type();
        self.content = Content::Blob(blob);
        self.content_type(&content_type)
    }

    /// How long the host waits to connect, and then for the answer to begin. The host has a limit of its own.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How large the answer may be, in bytes; [`DEFAULT_LIMIT`] otherwise.
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Sends it and waits for the answer. Any status is an answer; see [`Response::error_for_status`].
    ///
    /// Fails with `egress_denied` when the connection does not allow the request, with `unreachable`, `timeout`,
    /// `tls` or `http_protocol` when the app cannot be reached or does not answer properly, with
    /// `response_too_large`, and with `invalid_request`.
    pub fn send(self) -> Result<Response> {
        sys::send(self.outgoing()?)
    }

    fn content_type(self, value: &str) -> Self {
        if self.headers.get("content-type").is_some() { self } else { self.header("content-type", value) }
    }

    fn outgoing(self) -> Result<Outgoing> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let (scheme, rest) = self.url.split_once("://").ok_or_else(|| invalid_url(&self.url))?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if !matches!(scheme, "http" | "https") || authority.is_empty() {
            return Err(invalid_url(&self.url));
        }
        let mut path_and_query = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        if !self.query.0.is_empty() {
            path_and_query.push(if path.contains('?') { '&' } else { '?' });
            path_and_query.push_str(&query_string(&self.query));
        }
        Ok(Outgoing {
            scheme: scheme.to_owned(),
            authority: authority.to_owned(),
            path_and_query,
            method: self.method,
            headers: self.headers,
            content: self.content,
            timeout: self.timeout,
            limit: self.limit,
        })
    }
}

/// Percent-encodes a text (RFC 3986, all but unreserved characters), so that it is one segment of a path.
///
/// ```
/// assert_eq!(headgate_sdk::http::encode("a/b c.txt"), "a%2Fb%20c.txt");
/// ```
///
/// `.` and `..` stay as they are, as URLs know no way to write them as names: the host resolves them, and refuses what
/// leaves the base URL. Refuse them where they would name another thing than you mean.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            // Writing to a String cannot fail.
            _ => _ = write!(encoded, "%{byte:02X}"),
        }
    }
    encoded
}

fn query_string(pairs: &Pairs) -> String {
    let parts: Vec<String> = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    parts.join("&")
}

fn invalid_url(url: &str) -> Error {
    // A query may hold what should not be repeated.
    let url = url.split('?').next().unwrap_or_default();
    Error::new("invalid_request", format!("\"{url}\" is not an absolute http or https URL."))
}

#[cfg(test)]
mod tests {
    use crate::http::get;

    #[test]
    fn takes_urls_apart() {
        let cases = [
            ("https://a.example", "https", "a.example", "/?x=1%262"),
            ("http://a.example:8080/b/?y=0#frag", "http", "a.example:8080", "/b/?y=0&x=1%262"),
            ("https://a.example?y=0", "https", "a.example", "/?y=0&x=1%262"),
            ("https://user:pw@a.example/../b", "https", "user:pw@a.example", "/../b?x=1%262"),
        ];
        for (url, scheme, authority, path_and_query) in cases {
            let out = get(url).query("x", "1&2").outgoing().unwrap();
            assert_eq!(
                (out.scheme.as_str(), out.authority.as_str(), out.path_and_query.as_str()),
                (scheme, authority, path_and_query)
            );
        }
        for url in ["a.example/b", "ftp://a.example/", "https:///b?token=x"] {
            let error = get(url).outgoing().unwrap_err();
            assert_eq!(error.code, "invalid_request");
            assert!(!error.message.contains("token"), "{error}");
        }
    }
}
