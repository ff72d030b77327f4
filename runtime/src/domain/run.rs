//! Runs: one execution of a flow version for one event, with its steps and its log.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::digest::ModuleDigest;
use crate::domain::id::{ConnectorName, Environment, FlowId, GroupId, Name, TriggerId};
use crate::domain::trigger::Respond;

/// The most steps a run records; what comes after is performed and counted.
pub const MAX_STEPS: usize = 500;
/// The most bytes recorded of an input, an output or an event's body.
pub const MAX_RECORDED: usize = 16 * 1024;
/// The most bytes recorded of an event's headers. Senders have a few hundred; more are mostly proxies' own.
pub const MAX_RECORDED_HEADERS: usize = 8 * 1024;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Durable and waiting to be executed.
    Queued,
    /// Being executed.
    Running,
    /// Ended with a response.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Interrupted after a step had begun: a person decides.
    NeedsAttention,
}

impl RunState {
    /// What becomes of a run that the server finds after it was stopped without notice.
    ///
    /// A run whose steps had not begun has had no effect and is executed again.
    pub fn after_restart(self, step_begun: bool) -> Self {
        match (self, step_begun) {
            (Self::Running, true) => Self::NeedsAttention,
            (Self::Running, false) => Self::Queued,
            (other, _) => other,
        }
    }
}

/// One execution.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// Its id, a UUID version 7: later runs sort after earlier ones.
    pub id: Uuid,
    /// Whose it is.
    pub group: GroupId,
    /// Of which flow.
    pub flow: FlowId,
    /// The flow's name at that time.
    pub flow_name: Name,
    /// Of which version.
    pub version: u32,
    /// The version's module.
    pub digest: ModuleDigest,
    /// Where.
    pub environment: Environment,
    /// What fired it.
    pub trigger: TriggerId,
    /// Who called, e.g. `Key: crm`.
    pub caller: Arc<str>,
    /// How the caller was answered.
    pub respond: Respond,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// Where it stands.
    pub state: RunState,
    /// Whether it was only tried: its calls reached no app.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mocked: bool,
    /// What came in.
    pub event: EventRecord,
    /// The method calls it made.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// How many steps were performed and not recorded.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub steps_dropped: u64,
    /// What it said.
    #[serde(default)]
    pub log: Vec<LogLine>,
    /// How many lines were said and not kept.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub log_dropped: u64,
    /// How it ended.
    #[serde(default)]
    pub outcome: Option<Outcome>,
    /// When the event was accepted.
    pub accepted: Timestamp,
    /// When execution began.
    #[serde(default)]
    pub started: Option<Timestamp>,
    /// How long it took, in microseconds.
    #[serde(default)]
    pub duration_us: Option<u64>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What is recorded of an event.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EventRecord {
    /// The request's method.
    pub method: String,
    /// Its path below the trigger's URL.
    pub path: String,
    /// Parameters of the trigger's path template.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<(String, String)>,
    /// Decoded query parameters, without credentials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<(String, String)>,
    /// The headers, names in lower case, without those that may hold a secret; absent where they were not recorded, as they
    /// were too large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<Vec<(String, String)>>,
    /// The names of headers whose values were not recorded, as they may be secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers_hidden: Vec<String>,
    /// The body's media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The body's size in bytes.
    pub size: u64,
    /// The body, up to a cap.
    pub body: Recorded,
}

/// Words in the names of headers that hold secrets of their senders, such as `x-gitlab-token`.
const SECRET_HEADERS: [&str; 9] =
    ["api-key", "api_key", "apikey", "auth", "cookie", "credential", "password", "secret", "token"];

impl EventRecord {
    /// Records headers: of those that may hold secrets only the names, and none where they are too large.
    pub fn set_headers(&mut self, headers: &[(String, String)]) {
        let size: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if size > MAX_RECORDED_HEADERS {
            return;
        }
        let is_secret = |(name, _): &&(String, String)| SECRET_HEADERS.iter().any(|word| name.contains(word));
        self.headers_hidden = headers.iter().filter(is_secret).map(|(name, _)| name.clone()).collect();
        self.headers = Some(headers.iter().filter(|header| !is_secret(header)).cloned().collect());
    }
}

/// A text or bytes as recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Recorded {
    /// The text; base64 when the bytes are not UTF-8.
    pub text: String,
    /// Whether `text` is base64.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub base64: bool,
    /// Whether something was left off at the cap.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

impl Recorded {
    /// Records bytes, up to the cap.
    pub fn bytes(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::text(text),
            Err(_) => {
                let kept = &bytes[..bytes.len().min(MAX_RECORDED)];
                Self { text: BASE64.encode(kept), base64: true, truncated: kept.len() < bytes.len() }
            }
        }
    }

    /// Records a text, up to the cap.
    pub fn text(text: &str) -> Self {
        let end = text.floor_char_boundary(MAX_RECORDED);
        Self { text: text[..end].to_owned(), base64: false, truncated: end < text.len() }
    }
}

/// One recorded method call.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Step {
    /// The slot the flow called through.
    pub slot: String,
    /// The connection's name.
    #[schema(value_type = String)]
    pub connection: Name,
    /// The connector.
    #[schema(value_type = String)]
    pub connector: ConnectorName,
    /// The method.
    pub method: String,
    /// Its input, secrets redacted.
    pub input: Recorded,
    /// Its output, secrets redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Recorded>,
    /// Its error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Whether the app was left out of it, and a sample answered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mocked: bool,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub started: Timestamp,
    /// How long it took, in microseconds.
    pub duration_us: u64,
}

/// Why a run or a step failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Failure {
    /// A stable word, `lower_snake_case`.
    pub code: String,
    /// One sentence for a person.
    pub message: String,
    /// Whether the same may succeed later.
    #[serde(default)]
    pub retryable: bool,
    /// Further facts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub details: Option<serde_json::Value>,
}

/// A line of a run's log.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LogLine {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
    /// `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// Who said it: `flow`, `connector` or `server`.
    pub source: String,
    /// What was said.
    pub message: String,
}

/// How a run ended.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// With a response.
    Response {
        /// Its status.
        status: u16,
        /// The body's media type.
        content_type: Option<String>,
        /// The body's size in bytes.
        size: u64,
        /// The body, up to a cap.
        body: Recorded,
    },
    /// With an error.
    Failure(Failure),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_restart_makes_of_a_run() {
        assert_eq!(RunState::Queued.after_restart(false), RunState::Queued);
        assert_eq!(RunState::Running.after_restart(false), RunState::Queued);
        assert_eq!(RunState::Running.after_restart(true), RunState::NeedsAttention);
        assert_eq!(RunState::NeedsAttention.after_restart(true), RunState::NeedsAttention);
    }

    #[test]
    fn recording_is_capped_between_characters() {
        let text = "é".repeat(MAX_RECORDED);
        let recorded = Recorded::text(&text);
        assert!(recorded.truncated && recorded.text.len() <= MAX_RECORDED);
        let bytes = Recorded::bytes(&[0xff, 0xfe]);
        assert_eq!((bytes.text.as_str(), bytes.base64, bytes.truncated), ("//4=", true, false));
    }
}
