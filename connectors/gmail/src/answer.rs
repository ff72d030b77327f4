//! Google's answers, and its errors.

use headgate_sdk::prelude::*;
use serde_json::{Value, json};

/// The body of Google's errors.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    error: Fault,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Fault {
    message: Option<String>,
    status: Option<String>,
    errors: Vec<Cause>,
    details: Vec<Cause>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: Option<String>,
}

/// The data of an answer, or the error it tells.
pub(crate) fn read<T: serde::de::DeserializeOwned>(answer: http::Response) -> Result<T> {
    if answer.is_success() { answer.json() } else { Err(error(&answer)) }
}

fn error(answer: &http::Response) -> Error {
    let Body { error: Fault { message, status, errors, details } } = answer.json().unwrap_or_default();
    let message = message.unwrap_or_else(|| format!("Google answered with status {}.", answer.status));
    let reasons: Vec<String> = details.into_iter().chain(errors).filter_map(|cause| cause.reason).collect();
    let code = code(answer.status, &reasons);
    let mut facts = json!({"status": answer.status});
    if let Some(reason) = reasons.into_iter().next().or(status) {
        facts["reason"] = reason.into();
    }
    if let Some(seconds) = answer.header("retry-after").and_then(|text| text.parse::<u32>().ok()) {
        facts["retry_after_seconds"] = Value::from(seconds);
    }
    let error = Error::new(code, message).details(facts);
    if code == "rate_limited" || answer.is_retryable() { error.retryable() } else { error }
}

/// Google tells rates, quotas and missing scopes alike with 403, and only the reason apart.
fn code(status: u16, reasons: &[String]) -> &'static str {
    let is = |names: &[&str]| reasons.iter().any(|reason| names.contains(&reason.as_str()));
    match status {
        400 | 413 => "invalid_request",
        401 => "unauthorized",
        403 if is(&["rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED"]) => "rate_limited",
        403 if is(&["dailyLimitExceeded", "quotaExceeded"]) => "quota_exceeded",
        403 => "forbidden",
        404 => "not_found",
        429 => "rate_limited",
        500..=599 => "unavailable",
        _ => "google_error",
    }
}
