//! What the caller of a trigger is answered.

use serde::Serialize;

use crate::{Body, Error, Pairs, Result};

/// A complete answer, for flows that set a status, headers or bytes of their own.
///
/// ```
/// # use headgate_sdk::prelude::*;
/// # fn answer() -> Result<Response> {
/// Response::new(201).header("location", "/orders/7").json(&serde_json::json!({"id": 7}))
/// # }
/// # assert_eq!(answer().unwrap().status, 201);
/// ```
#[derive(Debug, Default)]
pub struct Response {
    /// An HTTP status, 200 to 599.
    pub status: u16,
    /// Headers; those that belong to the connection (RFC 9110, 7.6.1) are dropped.
    pub headers: Pairs,
    /// The body.
    pub body: Body,
}

impl Response {
    /// An answer with a status and no body.
    pub fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// Sets the body: bytes, text or a blob. A blob brings its content type unless one is set.
    #[must_use]
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        if let Body::Blob(blob) = &self.body {
            let content_type = blob.content_type();
            return self.content_type(&content_type);
        }
        self
    }

    /// Sets the body to a text, with `content-type: text/plain` unless one is set.
    #[must_use]
    pub fn text(self, text: impl Into<String>) -> Self {
        self.content_type("text/plain; charset=utf-8").body(text.into())
    }

    /// Sets the body to JSON, with `content-type: application/json` unless one is set.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Result<Self> {
        let bytes = serde_json::to_vec(value)
            .map_err(|error| Error::new("invalid_answer", format!("The answer cannot be written as JSON: {error}.")))?;
        Ok(self.content_type("application/json").body(bytes))
    }

    fn content_type(self, value: &str) -> Self {
        if self.headers.get("content-type").is_some() { self } else { self.header("content-type", value) }
    }
}

/// What a flow can answer: a [`Response`], a [`Body`], or any type that derives `Serialize`, which becomes 200 with
/// JSON.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a flow's answer",
    label = "this type does not implement `serde::Serialize`",
    note = "add `#[derive(Serialize)]` to it, or answer a `Response`"
)]
pub trait IntoResponse {
    /// The complete answer. Fails with `invalid_answer` when the value cannot be written as JSON.
    fn into_response(self) -> Result<Response>;
}

impl<T: Serialize> IntoResponse for T {
    fn into_response(self) -> Result<Response> {
        Response::new(200).json(&self)
    }
}

impl IntoResponse for Response {
    fn into_response(self) -> Result<Response> {
        Ok(self)
    }
}

impl IntoResponse for Body {
    fn into_response(self) -> Result<Response> {
        Ok(Response::new(200).body(self))
    }
}
