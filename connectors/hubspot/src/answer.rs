//! HubSpot's answers, and its errors.

use headgate_sdk::prelude::*;
use serde_json::{Map, Value};

/// The body of HubSpot's errors.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Fault {
    message: Option<String>,
    category: Option<String>,
    correlation_id: Option<String>,
    errors: Vec<Value>,
}

/// The data of an answer, or the error it tells.
pub(crate) fn read<T: serde::de::DeserializeOwned>(answer: http::Response) -> Result<T> {
    if answer.is_success() { answer.json() } else { Err(error(&answer)) }
}

fn error(answer: &http::Response) -> Error {
    let Fault { message, category, correlation_id, errors } = answer.json().unwrap_or_default();
    let message = message.unwrap_or_else(|| format!("HubSpot answered with status {}.", answer.status));
    let mut details = Map::new();
    details.insert("status".into(), answer.status.into());
    if let Some(id) = existing_id(answer.status, &message) {
        details.insert("existing_id".into(), id.into());
    }
    let texts = [("category", category), ("correlation_id", correlation_id)];
    details.extend(texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into()))));
    if let Some(seconds) = answer.header("retry-after").and_then(|text| text.parse::<u32>().ok()) {
        details.insert("retry_after_seconds".into(), seconds.into());
    }
    if !errors.is_empty() {
        details.insert("errors".into(), errors.into());
    }
    let error = Error::new(code(answer.status), message).details(details);
    if answer.is_retryable() { error.retryable() } else { error }
}

fn code(status: u16) -> &'static str {
    match status {
        400 | 422 => "invalid_request",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not_found",
        409 => "conflict",
        429 => "rate_limited",
        500..=599 => "unavailable",
        _ => "hubspot_error",
    }
}

/// HubSpot names the contact that is there already only in its message: `Contact already exists. Existing ID: 51`.
fn existing_id(status: u16, message: &str) -> Option<&str> {
    let (_, id) = message.rsplit_once("Existing ID: ").filter(|_| status == 409)?;
    let id = id.trim().trim_end_matches('.');
    (!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())).then_some(id)
}
