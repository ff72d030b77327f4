//! Slack's answers, and its errors: most come with the status 200 and `"ok": false`.

use headgate_sdk::prelude::*;
use serde_json::json;

/// What every answer has.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Outcome {
    ok: bool,
    error: Option<String>,
    needed: Option<String>,
    provided: Option<String>,
    response_metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    messages: Vec<String>,
}

/// The data of an answer, or the error it tells.
pub(crate) fn read<T: serde::de::DeserializeOwned>(answer: http::Response) -> Result<T> {
    let outcome: Outcome = answer.json().unwrap_or_default();
    if answer.is_success() && outcome.ok { answer.json() } else { Err(error(&answer, outcome)) }
}

fn error(answer: &http::Response, outcome: Outcome) -> Error {
    let name = outcome.error.unwrap_or_default();
    let code = code(answer.status, &name);
    let mut details = json!({"status": answer.status});
    let mut message = match name.as_str() {
        "" => format!("Slack answered with status {}.", answer.status),
        name => format!("Slack answered with the error {name}."),
    };
    if let Some(needed) = outcome.needed {
        message = format!("The connection lacks the scope {needed}. Authorize it again with that scope.");
        details["needed"] = needed.into();
    }
    let texts = [("error", Some(name).filter(|name| !name.is_empty())), ("provided", outcome.provided)];
    for (member, text) in texts.into_iter().filter_map(|(member, text)| Some((member, text?))) {
        details[member] = text.into();
    }
    if !outcome.response_metadata.messages.is_empty() {
        details["messages"] = outcome.response_metadata.messages.into();
    }
    if let Some(seconds) = answer.header("retry-after").and_then(|text| text.parse::<u32>().ok()) {
        details["retry_after_seconds"] = seconds.into();
    }
    let error = Error::new(code, message).details(details);
    if matches!(code, "rate_limited" | "unavailable") { error.retryable() } else { error }
}

fn code(status: u16, name: &str) -> &'static str {
    match (status, name) {
        (429, _) | (_, "ratelimited" | "rate_limited" | "message_limit_exceeded") => "rate_limited",
        (500..=599, _) | (_, "internal_error" | "fatal_error" | "service_unavailable" | "request_timeout") => {
            "unavailable"
        }
        (401, _)
        | (
            _,
            "not_authed" | "invalid_auth" | "account_inactive" | "token_revoked" | "token_expired"
            | "org_login_required",
        ) => "unauthorized",
        (403, _)
        | (
            _,
            "missing_scope"
            | "no_permission"
            | "not_in_channel"
            | "restricted_action"
            | "access_denied"
            | "ekm_access_denied"
            | "is_archived"
            | "not_allowed_token_type",
        ) => "forbidden",
        (404, _) | (_, "channel_not_found" | "users_not_found" | "user_not_found" | "thread_not_found") => "not_found",
        (400, _) => "invalid_request",
        (_, name) if name.starts_with("invalid_") || name.starts_with("no_") || name.starts_with("msg_") => {
            "invalid_request"
        }
        _ => "slack_error",
    }
}
