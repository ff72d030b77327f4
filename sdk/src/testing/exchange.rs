use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::host::{Host, State};
use crate::http::{Content, Outgoing, Response};
use crate::{Pairs, Result};

/// A request that the connector under test made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// The whole URL, without the query.
    pub url: String,
    /// The path, percent-encoded as it was sent, `.` and `..` resolved.
    pub path: String,
    /// The query parameters, decoded.
    pub query: Pairs,
    /// The headers that the connector set.
    pub headers: Pairs,
    /// The body.
    pub body: Vec<u8>,
    /// How long it may wait.
    pub timeout: Option<Duration>,
}

impl Request {
    /// Host and port.
    pub fn authority(&self) -> &str {
        let rest = self.url.split_once("://").map_or("", |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default()
    }

    /// The body read as JSON; `null` when it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl From<Outgoing> for Request {
    fn from(outgoing: Outgoing) -> Self {
        let Outgoing { method, scheme, authority, path_and_query, headers, content, timeout, .. } = outgoing;
        let (path, query) = path_and_query.split_once('?').unwrap_or((&path_and_query, ""));
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let query = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let query = query.map(|(name, value)| (decode(name), decode(value))).collect();
        let body = match content {
            Content::None => Vec::new(),
            Content::Bytes(bytes) => bytes,
            Content::Blob(blob) => blob.bytes(),
        };
        let path = resolve_dots(path);
        let url = format!("{scheme}://{authority}{path}");
        Self { method, url, path, query, headers, body, timeout }
    }
}

/// Takes `.` and `..` out of a path, as the host does before it looks where a request goes.
fn resolve_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let dots = segment.replace("%2e", ".").replace("%2E", ".");
        match dots.as_str() {
            "." => {}
            ".." => _ = kept.pop(),
            _ => {
                kept.push(segment);
                continue;
            }
        }
        if segments.peek().is_none() {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        let digits = [ahead.next(), ahead.next()].map(|digit| digit.and_then(|digit| char::from(digit).to_digit(16)));
        match (byte, digits) {
            (b'%', [Some(high), Some(low)]) => {
                // Two hexadecimal digits fit a byte.
                bytes.push((high * 16 + low) as u8);
                rest = ahead;
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A request that is expected once; say what it is answered to complete it.
#[must_use = "say what the request is answered: `.answer(200, &json)`"]
#[derive(Debug)]
pub struct Expect<'a> {
    host: &'a Host,
    request: Expected,
}

#[derive(Debug)]
struct Expected {
    method: String,
    path: String,
    query: Pairs,
    headers: Pairs,
    json: Option<Value>,
    body: Option<Vec<u8>>,
}

/// An expected request with its answer.
#[derive(Debug)]
pub(super) struct Exchange {
    request: Expected,
    answer: Result<Response>,
}

impl<'a> Expect<'a> {
    pub(super) fn new(host: &'a Host, method: &str, path: &str) -> Self {
        let (query, headers) = (Pairs::default(), Pairs::default());
        let request = Expected { method: method.into(), path: path.into(), query, headers, json: None, body: None };
        Self { host, request }
    }

    /// It has this query parameter.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.request.query.push(name, value);
        self
    }

    /// It has this header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request.headers.push(name, value);
        self
    }

    /// Its body is this JSON.
    ///
    /// # Panics
    /// When the value cannot be written as JSON.
    pub fn json(mut self, body: &(impl Serialize + ?Sized)) -> Self {
        self.request.json = Some(to_value(body));
        self
    }

    /// Its body is these bytes.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.request.body = Some(body.into());
        self
    }

    /// Answers with JSON.
    ///
    /// # Panics
    /// When the value cannot be written as JSON.
    pub fn answer(self, status: u16, body: &(impl Serialize + ?Sized)) {
        self.answer_bytes(status, "application/json", to_value(body).to_string());
    }

    /// Answers with bytes.
    pub fn answer_bytes(self, status: u16, content_type: &str, bytes: impl Into<Vec<u8>>) {
        let headers = [("content-type", content_type)].into_iter().collect();
        self.answer_with(Response { status, headers, bytes: bytes.into() });
    }

    /// Answers with a whole response.
    pub fn answer_with(self, response: Response) {
        self.finish(Ok(response));
    }

    /// Fails as if the app could not be reached: with `unreachable`, `timeout` or another error of [`crate::http`].
    pub fn fail(self, error: crate::Error) {
        self.finish(Err(error));
    }

    fn finish(self, answer: Result<Response>) {
        self.host.state.exchanges.borrow_mut().push(Exchange { request: self.request, answer });
    }
}

fn to_value(value: &(impl Serialize + ?Sized)) -> Value {
    serde_json::to_value(value).unwrap_or_else(|error| panic!("the mock's body cannot be written as JSON: {error}"))
}

impl Expected {
    fn fits(&self, request: &Request) -> bool {
        let place = if self.path.contains("://") { &request.url } else { &request.path };
        let has = |pairs: &Pairs, name: &str, value: &str| pairs.all(name).any(|other| other == value);
        self.method == request.method
            && self.path == *place
            && self.query.iter().all(|(name, value)| has(&request.query, name, value))
            && self.headers.iter().all(|(name, value)| has(&request.headers, name, value))
            && self.json.as_ref().is_none_or(|json| *json == request.json())
            && self.body.as_ref().is_none_or(|body| *body == request.body)
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Expected { method, path, query, json, .. } = &self.request;
        write!(f, "{method} {path}")?;
        for (name, value) in query.iter() {
            write!(f, " {name}={value}")?;
        }
        json.as_ref().map_or(Ok(()), |json| write!(f, " {json}"))
    }
}

/// The answer to a request, which has to be an expected one.
pub(super) fn answer(host: &State, request: &Request) -> Result<Response> {
    let mut exchanges = host.exchanges.borrow_mut();
    let Some(index) = exchanges.iter().position(|exchange| exchange.request.fits(request)) else {
        let expected: Vec<String> = exchanges.iter().map(ToString::to_string).collect();
        // The borrow would be in the way of the host's own drop.
        drop(exchanges);
        panic!("unexpected request {request:?}; expected are: {}", expected.join(", "));
    };
    exchanges.remove(index).answer
}
