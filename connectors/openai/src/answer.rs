//! OpenAI's answers, and its errors.

use headgate_sdk::prelude::*;
use serde_json::{Map, Value};

use crate::types::Generated;

/// The body of OpenAI's errors.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    error: Fault,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Fault {
    message: Option<String>,
    /// Text at OpenAI; other servers that speak its API send numbers, too, and the message is not to be lost for that.
    #[serde(rename = "type")]
    kind: Value,
    param: Value,
    code: Value,
}

/// The data of an answer, or the error it tells.
pub(crate) fn read<T: serde::de::DeserializeOwned>(answer: http::Response) -> Result<T> {
    if answer.is_success() { answer.json() } else { Err(error(&answer)) }
}

/// A response with its texts put together, or the error it ended with: the model's failures come with the status 200.
pub(crate) fn generated(mut response: Generated) -> Result<Generated> {
    if response.status == "failed" {
        let fault = response.error.unwrap_or_default();
        let text = |name: &str| fault[name].as_str().unwrap_or_default().to_owned();
        let message = format!("The model failed: {} ({}).", text("message"), text("code"));
        let error = Error::new("model_failed", message);
        let details = serde_json::json!({"code": text("code"), "response_id": response.id});
        let again = matches!(text("code").as_str(), "server_error" | "rate_limit_exceeded");
        return Err(if again { error.details(details).retryable() } else { error.details(details) });
    }
    let messages = response.output.iter().filter(|item| item["type"] == "message");
    let parts = messages.filter_map(|item| item["content"].as_array()).flatten();
    response.output_text =
        parts.filter(|part| part["type"] == "output_text").filter_map(|p| p["text"].as_str()).collect();
    Ok(response)
}

fn error(answer: &http::Response) -> Error {
    let Fault { message, kind, param, code } = answer.json::<Body>().unwrap_or_default().error;
    let message = message.unwrap_or_else(|| format!("OpenAI answered with status {}.", answer.status));
    // More money is needed, not more time.
    let spent = code == "insufficient_quota";
    let mut details = Map::new();
    details.insert("status".into(), answer.status.into());
    let request = answer.header("x-request-id").map(str::to_owned);
    let told = [("type", kind), ("param", param), ("openai_code", code), ("request_id", request.into())];
    details
        .extend(told.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_owned(), value)));
    if let Some(seconds) = answer.header("retry-after").and_then(|text| text.parse::<f64>().ok()) {
        // A fraction counts as a whole second; what is no sensible number of them becomes the nearest one.
        details.insert("retry_after_seconds".into(), (seconds.ceil() as u32).into());
    }
    let name = if spent { "quota_exceeded" } else { self::code(answer.status) };
    let error = Error::new(name, message).details(details);
    if answer.is_retryable() && !spent { error.retryable() } else { error }
}

fn code(status: u16) -> &'static str {
    match status {
        400 | 413 | 422 => "invalid_request",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not_found",
        409 => "conflict",
        429 => "rate_limited",
        500..=599 => "unavailable",
        _ => "openai_error",
    }
}
