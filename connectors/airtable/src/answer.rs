//! Airtable's answers, and its errors.

use headgate_sdk::prelude::*;
use serde_json::{Map, Value};

/// How long Airtable lets nobody in who was too fast, in seconds; it does not say so in a header.
const PENALTY: u32 = 30;

/// The body of Airtable's errors: `{"error": {"type", "message"}}`, `{"error": "NOT_FOUND"}`, or for the rate limit
/// `{"errors": [{"error", "message"}]}`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Fault {
    error: Option<Value>,
    errors: Vec<Value>,
}

/// The data of an answer, or the error it tells.
pub(crate) fn read<T: serde::de::DeserializeOwned>(answer: http::Response) -> Result<T> {
    if answer.is_success() { answer.json() } else { Err(error(&answer)) }
}

fn error(answer: &http::Response) -> Error {
    let fault: Fault = answer.json().unwrap_or_default();
    let cause = fault.error.as_ref().or(fault.errors.first()).cloned().unwrap_or_default();
    let text = |name: &str| cause[name].as_str().map(str::to_owned);
    let kind = text("type").or(text("error")).or(cause.as_str().map(str::to_owned));
    let message = text("message").unwrap_or_else(|| match &kind {
        Some(kind) => format!("Airtable answered {kind} (status {}).", answer.status),
        None => format!("Airtable answered with status {}.", answer.status),
    });
    let mut details = Map::new();
    details.insert("status".into(), answer.status.into());
    if let Some(kind) = kind {
        details.insert("type".into(), kind.into());
    }
    if answer.status == 429 {
        let told = answer.header("retry-after").and_then(|text| text.parse().ok());
        details.insert("retry_after_seconds".into(), told.unwrap_or(PENALTY).into());
    }
    let error = Error::new(code(answer.status), message).details(details);
    if answer.is_retryable() { error.retryable() } else { error }
}

fn code(status: u16) -> &'static str {
    match status {
        400 | 413 | 422 => "invalid_request",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not_found",
        429 => "rate_limited",
        500..=599 => "unavailable",
        _ => "airtable_error",
    }
}
