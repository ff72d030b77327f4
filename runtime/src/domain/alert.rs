//! Alerts: something a person should look at. There is one open alert per cause, however often it is seen.

use core::net::IpAddr;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::id::{AlertId, ApiKeyId, ConnectionId, Environment, GroupId, TriggerId};

/// What kind of thing happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// Somebody was not let in, again and again.
    FailedAuthentication,
    /// A key is used much more than in its own recent past.
    UnusualVolume,
    /// Most of a quota, a rate or an allowance is used.
    ApproachingLimit,
    /// A key ends soon.
    KeyExpiring,
    /// An app refuses a connection's credentials.
    ConnectionBroken,
    /// Whoever authorized a connection is no member of the group any more.
    AuthorizerLeft,
    /// A file of the watched folder was refused.
    ModuleRefused,
    /// A schedule cannot begin its runs.
    ScheduleFailing,
    /// An app trigger cannot be polled.
    AppTriggerBroken,
}

impl AlertKind {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FailedAuthentication => "failed_authentication",
            Self::UnusualVolume => "unusual_volume",
            Self::ApproachingLimit => "approaching_limit",
            Self::KeyExpiring => "key_expiring",
            Self::ConnectionBroken => "connection_broken",
            Self::AuthorizerLeft => "authorizer_left",
            Self::ModuleRefused => "module_refused",
            Self::ScheduleFailing => "schedule_failing",
            Self::AppTriggerBroken => "app_trigger_broken",
        }
    }
}

/// What an alert is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A key.
    Key(ApiKeyId),
    /// A key's daily quota.
    Quota(ApiKeyId),
    /// A key's minute rate.
    Rate(ApiKeyId),
    /// A client's address.
    Address(IpAddr),
    /// Clients at more addresses than can be told apart.
    ManyAddresses,
    /// A group's monthly allowance.
    Allowance,
    /// A connection.
    Connection(ConnectionId),
    /// A file of the watched folder.
    Module(String),
    /// A schedule or an app trigger.
    Trigger(TriggerId),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "api-key:{}", key.as_str()),
            Self::Quota(key) => write!(f, "daily-quota:{}", key.as_str()),
            Self::Rate(key) => write!(f, "minute-rate:{}", key.as_str()),
            Self::Address(address) => write!(f, "address:{address}"),
            Self::ManyAddresses => f.write_str("addresses"),
            Self::Allowance => f.write_str("allowance"),
            Self::Connection(connection) => write!(f, "connection:{connection}"),
            Self::Module(file) => write!(f, "module:{file}"),
            Self::Trigger(trigger) => write!(f, "trigger:{trigger}"),
        }
    }
}

/// Why there is an alert. While one is open, the same cause opens no other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cause {
    /// In which group; absent for what concerns the server.
    pub group: Option<GroupId>,
    /// What happens.
    pub kind: AlertKind,
    /// To what.
    pub subject: Subject,
}

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// Nobody has looked at it.
    Open,
    /// Somebody has, and its cause is still there.
    Acknowledged,
    /// Its cause is gone.
    Closed,
}

impl AlertState {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Closed => "closed",
        }
    }
}

/// That somebody looked at an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Acknowledgement {
    /// Who.
    #[schema(example = "ada@example.com")]
    pub by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What they say about it.
    #[schema(example = "The shop's nightly import; its key is replaced tomorrow.")]
    pub note: Option<String>,
}

/// What became of the newest message about an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Delivery {
    /// Where it stands.
    pub state: DeliveryState,
    /// How often it was sent.
    pub attempts: u32,
    /// When it was sent last.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Timestamp>,
    /// Why it did not arrive the last time.
    #[schema(example = "the endpoint answered 503")]
    pub error: Option<String>,
}

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It will be sent, or sent again.
    Pending,
    /// The endpoint took it.
    Delivered,
    /// The endpoint did not take it, and it is not sent again.
    Undeliverable,
}

impl DeliveryState {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Undeliverable => "undeliverable",
        }
    }
}

/// An alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Its id.
    pub id: AlertId,
    /// Why it exists.
    pub cause: Cause,
    /// Where; absent for what is not of one environment.
    pub environment: Option<Environment>,
    /// What happens and what to do, for people.
    pub message: String,
    /// The same for programs.
    pub details: Value,
    /// When it was opened.
    pub opened: Timestamp,
    /// When its cause was seen last.
    pub last_seen: Timestamp,
    /// How often its cause was seen.
    pub count: u64,
    /// Who looked at it.
    pub acknowledged: Option<Acknowledgement>,
    /// When its cause was gone.
    pub closed: Option<Timestamp>,
    /// What became of the newest message about it; absent where there is no endpoint.
    pub delivery: Option<Delivery>,
}

impl Alert {
    /// Where it stands.
    pub fn state(&self) -> AlertState {
        match (&self.closed, &self.acknowledged) {
            (Some(_), _) => AlertState::Closed,
            (None, Some(_)) => AlertState::Acknowledged,
            (None, None) => AlertState::Open,
        }
    }
}

/// Whether a day's requests are unusual beside those of the days before it.
///
/// The key needs a past of its own: at least `least_days` days with use. The day is unusual when it has at least
/// `minimum` requests and more than `factor` times as many as the busiest of those days. The busiest day, and not the
/// mean: a key that is used once a week is not unusual on that day.
pub fn is_unusual(today: u64, past: &[u64], least_days: usize, factor: u64, minimum: u64) -> bool {
    let busiest = past.iter().copied().max().unwrap_or_default();
    let used = past.iter().filter(|requests| **requests > 0).count();
    used >= least_days && today >= minimum && today > busiest.saturating_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_judged_by_the_keys_own_past() {
        for (today, past, unusual) in [
            (5_001, &[1_000, 900, 800][..], true),
            (5_000, &[1_000, 900, 800], false),
            (50_000, &[0, 0, 0], false),
            (50_000, &[1_000, 900, 0], false),
            (999, &[1, 1, 1], false),
            (1_000, &[1, 1, 1], true),
            (10_000, &[0, 0, 9_000, 0, 1, 0, 2], false),
        ] {
            assert_eq!(is_unusual(today, past, 3, 5, 1_000), unusual, "{today} {past:?}");
        }
    }
}
