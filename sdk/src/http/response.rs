use serde::de::DeserializeOwned;

use crate::{Error, Pairs, Result, json};

/// How much of an answer's body an error repeats, in characters.
const EXCERPT: usize = 500;

/// An app's answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The headers; values that are not text are left out.
    pub headers: Pairs,
    /// The whole body.
    pub bytes: Vec<u8>,
}

impl Response {
    /// Whether the status is 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// The body read as JSON. Fails with `invalid_answer`, naming the place.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        json::read(&self.bytes).map_err(|mismatch| mismatch.error("invalid_answer", "app's answer"))
    }

    /// The body as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The answer itself when its status says success, otherwise an error `http_STATUS` (such as `http_404`) with the
    /// beginning of the body in its details. 408, 425, 429 and 5xx are retryable, after the seconds of `Retry-After`.
    pub fn error_for_status(self) -> Result<Self> {
        if self.is_success() {
            return Ok(self);
        }
        let status = self.status;
        let excerpt: String = self.text().chars().take(EXCERPT).collect();
        let error = Error::new(format!("http_{status}"), format!("The app answered with status {status}."))
            .details(serde_json::json!({ "status": status, "body": excerpt }));
        Err(match self.retry_after() {
            Some(seconds) if self.is_retryable() => error.retry_after(seconds),
            None if self.is_retryable() => error.retryable(),
            _ => error,
        })
    }

    /// The seconds of the header `Retry-After`; nothing where it is missing or a date.
    pub fn retry_after(&self) -> Option<u32> {
        self.header("retry-after")?.trim().parse().ok()
    }

    /// Whether the status says that the same request may succeed later: 408, 425, 429 and 5xx.
    pub fn is_retryable(&self) -> bool {
        matches!(self.status, 408 | 425 | 429 | 500..=599)
    }
}
