//! How a connection stands: what is remembered of its use, and what follows from it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Methods of a connector that are remembered as used through one connection.
const MAX_METHODS: usize = 200;
/// The longest message that is remembered, in characters.
const MAX_MESSAGE: usize = 500;

/// How a connection stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It works, as far as is known.
    Green,
    /// Somebody has to do something before it works.
    Red,
    /// It has no credentials, or nobody has used it yet.
    Grey,
}

/// What is remembered of a connection's use. It is bookkeeping, not a decision of anybody.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HealthRecord {
    /// When a method was called through it last.
    pub last_used: Option<Timestamp>,
    /// When a method or a test succeeded last.
    pub last_success: Option<Timestamp>,
    /// The last call that failed.
    pub last_error: Option<LastError>,
    /// The last test.
    pub last_test: Option<TestReport>,
    /// Whose account it is, as the app said at a test.
    pub account: Option<String>,
    /// The methods called through it.
    pub methods: BTreeSet<String>,
}

/// Something that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LastError {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What, without secrets.
    #[schema(example = "http_404: The app answered 404 Not Found")]
    pub message: String,
}

/// What a test found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TestResult {
    /// The app took the credentials.
    Valid,
    /// The authorization has ended.
    Expired,
    /// The authorization was taken back.
    Revoked,
    /// The credentials are taken, and may not do what was asked.
    MissingScope,
    /// The app refuses the credentials.
    Refused,
    /// There was no answer to judge by.
    Unreachable,
    /// The app answered something that the connector does not expect.
    Unexpected,
    /// There are no credentials to test.
    NotConnected,
    /// The connector names no request to test with.
    NotOffered,
}

/// A test of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TestReport {
    /// What it found.
    #[schema(example = "valid")]
    pub result: TestResult,
    /// The same for people, with what to do.
    #[schema(example = "The app took the credentials")]
    pub message: String,
    /// The status the app answered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 200)]
    pub status: Option<u16>,
    /// Whose account it is, where the app says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "ada@example.com")]
    pub account: Option<String>,
    /// How long it took, in milliseconds.
    #[schema(example = 184)]
    pub duration_ms: u64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// Whether a connection has what it authenticates with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// It has, or needs nothing.
    Present {
        /// When they were given or renewed last, where that is known: what was found before says nothing of them.
        since: Option<Timestamp>,
    },
    /// It has none: never had, or was disconnected. What to do.
    Absent(String),
    /// It had, and somebody has to authorize it again. Why, and what to do.
    Ended(String),
}

impl HealthRecord {
    /// Notes a call of a method, and how it ended. The method must be one that the connector has.
    pub fn note_call(&mut self, at: Timestamp, method: &str, error: Option<&str>) {
        self.last_used = Some(at);
        match error {
            None => self.last_success = Some(at),
            Some(message) => self.note_error(at, message),
        }
        if !self.methods.contains(method) && self.methods.len() < MAX_METHODS {
            self.methods.insert(method.to_owned());
        }
    }

    /// Notes a test.
    pub fn note_test(&mut self, report: TestReport) {
        if report.result == TestResult::Valid {
            self.last_success = Some(report.at);
            self.account = report.account.clone();
        }
        self.last_test = Some(report);
    }

    /// Forgets what was found with credentials that the connection has no more.
    pub fn forget_credentials(&mut self) {
        *self = Self { last_used: self.last_used, methods: std::mem::take(&mut self.methods), ..Self::default() };
    }

    /// Notes something that failed.
    pub fn note_error(&mut self, at: Timestamp, message: &str) {
        self.last_error = Some(LastError { at, message: message.chars().take(MAX_MESSAGE).collect() });
    }

    /// How the connection stands, and why.
    ///
    /// `refused` says that the app refused its credentials in the last calls, `orphaned` that whoever authorized it
    /// left and the group wants such connections ended.
    pub fn judge(&self, credentials: &Credentials, refused: bool, orphaned: bool) -> (Health, String) {
        let since = match credentials {
            Credentials::Absent(remedy) => return (Health::Grey, remedy.clone()),
            Credentials::Ended(remedy) => return (Health::Red, remedy.clone()),
            Credentials::Present { since } => *since,
        };
        if orphaned {
            return (Health::Red, "Whoever authorized it has left the group. Authorize it again".to_owned());
        }
        if refused {
            return (Health::Red, "The app refused its credentials in the last calls. Renew them".to_owned());
        }
        let test = self.last_test.as_ref().filter(|test| since.is_none_or(|since| test.at >= since));
        let bad = test.filter(|test| test.result.is_refusal() && self.last_success.is_none_or(|at| at < test.at));
        if let Some(test) = bad {
            return (Health::Red, test.message.clone());
        }
        let proven = since.is_some() || self.last_used.is_some() || self.last_success.is_some();
        if proven {
            return (Health::Green, "It works, as far as is known".to_owned());
        }
        (Health::Grey, "Nobody has used or tested it yet".to_owned())
    }
}

impl TestResult {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::MissingScope => "missing scope",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Unexpected => "unexpected",
            Self::NotConnected => "not connected",
            Self::NotOffered => "not offered",
        }
    }

    /// Whether the app said no to the credentials.
    fn is_refusal(self) -> bool {
        matches!(self, Self::Expired | Self::Revoked | Self::MissingScope | Self::Refused)
    }
}

impl Health {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::Red => "red",
            Self::Grey => "grey",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn test(second: i64, result: TestResult) -> TestReport {
        TestReport { result, message: "tested".into(), status: None, account: None, duration_ms: 1, at: at(second) }
    }

    #[test]
    fn health_follows_from_what_is_known() {
        let present = |since: Option<i64>| Credentials::Present { since: since.map(at) };
        let (absent, ended) = (Credentials::Absent("enter it".into()), Credentials::Ended("again".into()));
        let used = |error: Option<&str>| {
            let mut record = HealthRecord::default();
            record.note_call(at(20), "get", error);
            record
        };
        let tested = |second, result| HealthRecord { last_test: Some(test(second, result)), ..used(Some("no")) };
        let succeeded_since = HealthRecord { last_success: Some(at(15)), ..tested(10, TestResult::Revoked) };
        for (record, credentials, refused, orphaned, health) in [
            (HealthRecord::default(), present(None), false, false, Health::Grey),
            (HealthRecord::default(), present(Some(1)), false, false, Health::Green),
            (used(None), present(None), false, false, Health::Green),
            (used(Some("no")), present(None), false, false, Health::Green),
            (used(None), absent, false, false, Health::Grey),
            (used(None), ended, false, false, Health::Red),
            (used(None), present(None), true, false, Health::Red),
            (used(None), present(None), false, true, Health::Red),
            (tested(10, TestResult::Refused), present(None), false, false, Health::Red),
            (tested(10, TestResult::Unreachable), present(None), false, false, Health::Green),
            (tested(10, TestResult::Revoked), present(Some(11)), false, false, Health::Green),
            (succeeded_since, present(None), false, false, Health::Green),
        ] {
            assert_eq!(record.judge(&credentials, refused, orphaned).0, health, "{record:?} {credentials:?}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_and_ends_with_the_credentials() {
        let mut record = HealthRecord::default();
        for n in 0..=MAX_METHODS {
            record.note_call(at(1), &format!("method_{n}"), Some(&"é".repeat(MAX_MESSAGE + 1)));
        }
        assert_eq!(record.methods.len(), MAX_METHODS);
        assert_eq!(record.last_error.as_ref().unwrap().message.chars().count(), MAX_MESSAGE);
        record.note_test(TestReport { account: Some("ada".into()), ..test(2, TestResult::Valid) });
        assert_eq!(record.account.as_deref(), Some("ada"));
        record.forget_credentials();
        assert_eq!((record.last_used, record.methods.len()), (Some(at(1)), MAX_METHODS));
        assert_eq!((record.last_error, record.last_test, record.account), (None, None, None));
    }
}
