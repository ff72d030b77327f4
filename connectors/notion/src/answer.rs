//! Notion's answers, and its errors.

use headgate_sdk::prelude::*;
use serde_json::json;

/// The body of Notion's errors.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Fault {
    code: Option<String>,
    message: Option<String>,
    request_id: Option<String>,
    additional_data: More,
}

/// What Notion adds to some errors.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct More {
    error_type: Option<String>,
}

/// The data of an answer, or the error it tells.
pub(crate) fn read<T: serde::de::DeserializeOwned>(answer: http::Response) -> Result<T> {
    if answer.is_success() { answer.json() } else { Err(error(&answer)) }
}

fn error(answer: &http::Response) -> Error {
    let Fault { code: name, message, request_id, additional_data: More { error_type } } =
        answer.json().unwrap_or_default();
    let mut message = message.unwrap_or_else(|| format!("Notion answered with status {}.", answer.status));
    if error_type.as_deref() == Some("multiple_data_sources_for_database") {
        message.push_str(
            " This connector speaks version 2022-06-28: in Notion, move the other data sources into databases of their own.",
        );
    }
    let mut details = json!({"status": answer.status});
    for (member, text) in [("code", name), ("error_type", error_type), ("request_id", request_id)] {
        if let Some(text) = text {
            details[member] = text.into();
        }
    }
    if let Some(seconds) = answer.header("retry-after").and_then(|text| text.parse::<u32>().ok()) {
        details["retry_after_seconds"] = seconds.into();
    }
    let error = Error::new(code(answer.status), message).details(details);
    // Notion answers 409 when two writes met, and asks to try again.
    if answer.status == 409 || answer.is_retryable() { error.retryable() } else { error }
}

fn code(status: u16) -> &'static str {
    match status {
        400 => "invalid_request",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not_found",
        409 => "conflict",
        429 => "rate_limited",
        500..=599 => "unavailable",
        _ => "notion_error",
    }
}
