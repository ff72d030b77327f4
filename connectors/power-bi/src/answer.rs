//! Power BI's answers, and its errors.

use headgate_sdk::prelude::*;
use serde_json::{Value, json};

use crate::types::Started;

/// The data of an answer, or the error it tells.
pub(crate) fn read<T: serde::de::DeserializeOwned>(answer: http::Response) -> Result<T> {
    if answer.is_success() { answer.json() } else { Err(error(&answer)) }
}

/// Which refresh was started: Power BI tells it in headers. An enhanced refresh has a place of its own.
pub(crate) fn started(answer: http::Response) -> Result<Started> {
    if !answer.is_success() {
        return Err(error(&answer));
    }
    let place = answer.header("location").and_then(|url| url.rsplit('/').next());
    let id = place.or(answer.header("requestid")).or(answer.header("x-ms-request-id"));
    Ok(Started { request_id: id.map(str::to_owned) })
}

fn error(answer: &http::Response) -> Error {
    let body: Value = answer.json().unwrap_or_default();
    let fault = &body["error"];
    let name = fault["code"].as_str().unwrap_or_default();
    let message = match (fault["message"].as_str(), name) {
        (Some(message), _) if !message.is_empty() => message.to_owned(),
        (_, "") => format!("Power BI answered with status {}.", answer.status),
        (_, name) => format!("Power BI answered {name} (status {}).", answer.status),
    };
    let mut details = json!({ "status": answer.status });
    if !name.is_empty() {
        details["power_bi_code"] = name.into();
    }
    if let Some(told) = fault["pbi.error"]["details"].as_array().filter(|told| !told.is_empty()) {
        details["power_bi_details"] = told.clone().into();
    }
    if let Some(id) = answer.header("requestid") {
        details["request_id"] = id.into();
    }
    if let Some(seconds) = answer.header("retry-after").and_then(|text| text.parse::<u32>().ok()) {
        details["retry_after_seconds"] = seconds.into();
    }
    let code = code(answer.status, name);
    let error = Error::new(code, message).details(details);
    // What runs now will have ended later.
    if answer.is_retryable() || code == "conflict" { error.retryable() } else { error }
}

fn code(status: u16, name: &str) -> &'static str {
    match (status, name) {
        (_, "RefreshInProgressException") | (409, _) => "conflict",
        (400 | 413 | 422, _) => "invalid_request",
        (401, _) => "unauthorized",
        (403, _) => "forbidden",
        (404, _) => "not_found",
        (429, _) => "rate_limited",
        (500..=599, _) => "unavailable",
        _ => "power_bi_error",
    }
}
