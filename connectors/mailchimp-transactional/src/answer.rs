//! Mailchimp's answers, and its errors.

use headgate_sdk::prelude::*;
use serde_json::json;

/// The body of Mailchimp's errors.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Fault {
    name: String,
    message: String,
    code: Option<i64>,
}

/// The data of an answer, or the error it tells.
pub(crate) fn read<T: serde::de::DeserializeOwned>(answer: http::Response) -> Result<T> {
    if answer.is_success() { answer.json() } else { Err(error(&answer)) }
}

fn error(answer: &http::Response) -> Error {
    let fault: Fault = answer.json().unwrap_or_default();
    let message = match fault.message.as_str() {
        "" => format!("Mailchimp answered with status {}.", answer.status),
        message => message.to_owned(),
    };
    let mut details = json!({ "status": answer.status });
    if !fault.name.is_empty() {
        details["name"] = fault.name.clone().into();
        details["mailchimp_code"] = fault.code.into();
    }
    if let Some(seconds) = answer.header("retry-after").and_then(|text| text.parse::<u32>().ok()) {
        details["retry_after_seconds"] = seconds.into();
    }
    let code = code(answer.status, &fault.name);
    let error = Error::new(code, message).details(details);
    if matches!(code, "rate_limited" | "unavailable") { error.retryable() } else { error }
}

/// Mailchimp's own name says more than the status, which is 500 for most errors, whoever is to blame.
fn code(status: u16, name: &str) -> &'static str {
    match name {
        "Invalid_Key" => "unauthorized",
        "ValidationError" | "Invalid_Template" | "Invalid_Tag_Name" => "invalid_request",
        "PaymentRequired" => "payment_required",
        "PoorReputation" => "forbidden",
        name if name.starts_with("Unknown_") => "not_found",
        _ => match status {
            400 | 413 | 422 => "invalid_request",
            401 => "unauthorized",
            402 => "payment_required",
            403 => "forbidden",
            404 => "not_found",
            429 => "rate_limited",
            500..=599 => "unavailable",
            _ => "mailchimp_error",
        },
    }
}
