//! What the method takes and answers.

use std::collections::BTreeMap;

use headgate_sdk::prelude::*;
use serde_json::Value;

/// A request. At most one of `json`, `text`, `base64` and `blob` is its body.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The HTTP method; `GET` when left out.
    #[serde(default)]
    pub method: Verb,
    /// The path below the connection's base URL, percent-encoded.
    #[serde(default)]
    pub path: String,
    /// Query parameters, not encoded yet.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, String>,
    /// Headers. Those that carry credentials are the connection's to set, and refused here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// A body in JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
    /// A body of text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// A body of a few bytes, in base64 (RFC 4648, section 4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// A body of many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<Blob>,
}

impl Request {
    /// A request with a method and a path.
    pub fn new(method: Verb, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), ..Self::default() }
    }

    /// A `GET` request.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Verb::Get, path)
    }

    /// A `POST` request with a body in JSON.
    pub fn post(path: impl Into<String>, json: impl Into<Value>) -> Self {
        Self { json: Some(json.into()), ..Self::new(Verb::Post, path) }
    }

    /// A `PUT` request with a body in JSON.
    pub fn put(path: impl Into<String>, json: impl Into<Value>) -> Self {
        Self { json: Some(json.into()), ..Self::new(Verb::Put, path) }
    }

    /// A `PATCH` request with a body in JSON.
    pub fn patch(path: impl Into<String>, json: impl Into<Value>) -> Self {
        Self { json: Some(json.into()), ..Self::new(Verb::Patch, path) }
    }

    /// A `DELETE` request.
    pub fn delete(path: impl Into<String>) -> Self {
        Self::new(Verb::Delete, path)
    }

    /// Sets a query parameter.
    #[must_use]
    pub fn query(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.query.insert(name.into(), value.to_string());
        self
    }

    /// Sets a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }
}

/// An HTTP method.
#[expect(missing_docs, reason = "the names are those of RFC 9110 and RFC 5789")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verb {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

impl Verb {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }
}

/// An answer. One of `json`, `text` and `blob` is its body; none when it is empty.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers, names in lower case; of a repeated one the last.
    pub headers: BTreeMap<String, String>,
    /// The body, when it is JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
    /// The body, when it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The body, when it is binary, or a text of more than 1 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<Blob>,
}

impl Answer {
    /// The answer itself when its status is 200 to 299, otherwise an error `http_STATUS`, such as `http_404`, with the
    /// body in its details. 408, 425, 429 and 5xx are retryable.
    pub fn success(self) -> Result<Self> {
        let status = self.status;
        if (200..300).contains(&status) {
            return Ok(self);
        }
        let error = Error::new(format!("http_{status}"), format!("The app answered with status {status}."))
            .details(serde_json::json!({"status": status, "json": self.json, "text": self.text}));
        Err(if matches!(status, 408 | 425 | 429 | 500..=599) { error.retryable() } else { error })
    }
}
