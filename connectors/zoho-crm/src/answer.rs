//! Zoho's answers, and its errors.

use headgate_sdk::prelude::*;
use serde_json::{Map, Value, json};

use crate::types::Written;

/// What Zoho says of a request, or of one of several records.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Fault {
    code: String,
    message: String,
    details: Value,
    /// Where a request was about records, what it says of them.
    data: Vec<Fault>,
}

/// The data of an answer, or the error it tells. Nothing found is told with the status 204 and no body.
pub(crate) fn read<T: serde::de::DeserializeOwned + Default>(answer: http::Response) -> Result<T> {
    match answer.status {
        204 => Ok(T::default()),
        _ if answer.is_success() => answer.json(),
        _ => Err(error(&answer)),
    }
}

/// The outcomes of written records. Zoho tells that all of them failed with a status of success, too.
pub(crate) fn written(answer: http::Response) -> Result<Written> {
    if !answer.is_success() {
        return Err(error(&answer));
    }
    let written: Written = answer.json()?;
    if written.data.iter().any(|outcome| outcome.is_success()) { Ok(written) } else { Err(error(&answer)) }
}

fn error(answer: &http::Response) -> Error {
    let mut fault: Fault = answer.json().unwrap_or_default();
    let outcomes = std::mem::take(&mut fault.data);
    let all = json!(outcomes.iter().map(|one| json!({"code": one.code, "details": one.details})).collect::<Vec<_>>());
    let fault = outcomes.into_iter().next().unwrap_or(fault);
    let mut details = Map::new();
    details.insert("status".into(), answer.status.into());
    if !fault.code.is_empty() {
        details.insert("zoho_code".into(), fault.code.clone().into());
    }
    if fault.details.as_object().is_some_and(|details| !details.is_empty()) {
        details.insert("zoho_details".into(), fault.details.clone());
    }
    if let Some(id) = fault.details["duplicate_record"]["id"].as_str().or(fault.details["id"].as_str())
        && fault.code == "DUPLICATE_DATA"
    {
        details.insert("existing_id".into(), id.into());
    }
    if all.as_array().is_some_and(|all| all.len() > 1) {
        details.insert("records".into(), all);
    }
    if let Some(seconds) = answer.header("retry-after").and_then(|text| text.parse::<u32>().ok()) {
        details.insert("retry_after_seconds".into(), seconds.into());
    }
    let message = match (fault.message.as_str(), fault.code.as_str()) {
        ("", "") => format!("Zoho answered with status {}.", answer.status),
        ("", code) => format!("Zoho answered {code}."),
        (message, code) => format!("{code}: {message}"),
    };
    let error = Error::new(code(answer.status, &fault.code), message).details(details);
    if answer.is_retryable() { error.retryable() } else { error }
}

/// Zoho's own code says more than the status: a missing scope comes with 401, invalid data with 202.
fn code(status: u16, zoho: &str) -> &'static str {
    match (status, zoho) {
        (_, "DUPLICATE_DATA") => "conflict",
        (_, "OAUTH_SCOPE_MISMATCH" | "NO_PERMISSION") | (403, _) => "forbidden",
        (401, _) => "unauthorized",
        (404, _) => "not_found",
        (429, _) | (_, "TOO_MANY_REQUESTS") => "rate_limited",
        (500..=599, _) => "unavailable",
        (200..=299 | 400 | 405 | 413 | 415, _) => "invalid_request",
        _ => "zoho_error",
    }
}
