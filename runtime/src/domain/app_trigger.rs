//! App triggers: a connector is asked for new records, and each record runs a flow.

use std::collections::{HashSet, VecDeque};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::domain::id::{ConnectionId, Environment, FlowId, GroupId, TriggerId};

/// How often an app is asked where nothing was said, in seconds: 5 minutes.
pub const EVERY: u32 = 5 * 60;
/// The shortest and the longest time between two polls, in seconds: 10 seconds, for the apps' sake, and a day.
pub const EVERY_BOUNDS: (u32, u32) = (10, 24 * 60 * 60);
/// The largest input of a trigger, in bytes of JSON: it lies in memory with all configuration.
pub const MAX_INPUT: usize = 64 << 10;
/// The largest cursor, in bytes of JSON: the SDK's window, which remembers hundreds of ids, fits in.
pub const MAX_CURSOR: usize = 64 << 10;
/// The most records of one answer.
pub const MAX_RECORDS: usize = 1_000;
/// How many record ids are remembered: many times the most that one answer has, so that answers that come again are
/// known, also where an app tells all the records of one time again.
pub const MAX_SEEN: usize = 10 * MAX_RECORDS;
/// A trigger whose polls failed so many times in a row is broken.
pub const BROKEN_AFTER: u32 = 5;

/// The longest wait after failures, where the app did not ask for a longer one.
const MAX_BACKOFF: SignedDuration = SignedDuration::from_hours(1);
/// The longest wait that an app can ask for.
const MAX_RETRY_AFTER: SignedDuration = SignedDuration::from_hours(24);
/// Bytes of a record's fingerprint: among some thousands, two that are alike do not happen.
const FINGERPRINT: usize = 12;

/// A flow's app trigger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppTrigger {
    /// Its id.
    pub id: TriggerId,
    /// Whose it is.
    pub group: GroupId,
    /// Which flow it runs.
    pub flow: FlowId,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Through which connection the app is asked.
    pub connection: ConnectionId,
    /// The connection's environment: the version that is published there runs.
    pub environment: Environment,
    /// Which of the connector's triggers.
    pub trigger: String,
    /// What to look for, as the trigger's schema says.
    pub input: Value,
    /// How often the app is asked, in seconds.
    pub every_s: u32,
    /// Whether the app is asked at all.
    pub enabled: bool,
    /// From when on records are new: when it was made, or told to look for something else.
    pub starts: Timestamp,
    /// When it was made.
    pub created: Timestamp,
}

/// How an app trigger stands. It lies beside the trigger, and is written in the commit that makes the runs of an answer
/// durable.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PollState {
    /// For which start of the trigger the rest counts.
    #[serde(default)]
    pub starts: Option<Timestamp>,
    /// From where the next poll goes on.
    #[serde(default)]
    pub cursor: Option<Value>,
    /// Whether the beginning is found: what comes from now on is new.
    #[serde(default)]
    pub begun: bool,
    /// Fingerprints of the newest records' ids, oldest first.
    #[serde(default)]
    pub seen: VecDeque<String>,
    /// How many records became runs.
    #[serde(default)]
    pub records: u64,
    /// How many records had come before.
    #[serde(default)]
    pub repeated: u64,
    /// How many records were left out because a flow cannot take them.
    #[serde(default)]
    pub left_out: u64,
    /// The newest run.
    #[serde(default)]
    pub last_run: Option<Uuid>,
    /// When the app answered last, as far as it was written.
    #[serde(default)]
    pub last_answer: Option<Timestamp>,
    /// How many polls in a row failed.
    #[serde(default)]
    pub failures: u32,
    /// Why the newest of them did.
    #[serde(default)]
    pub last_error: Option<PollError>,
}

/// Why a poll failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PollError {
    /// A stable word.
    #[schema(example = "http_429")]
    pub code: String,
    /// What happened, and what to do.
    #[schema(example = "The app answered 429 Too Many Requests")]
    pub message: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

impl PollState {
    /// The state for a trigger as it is now: one that was told to look for something else begins anew.
    pub fn of(self, trigger: &AppTrigger) -> Self {
        if self.starts == Some(trigger.starts) {
            return self;
        }
        Self { starts: Some(trigger.starts), records: self.records, last_run: self.last_run, ..Self::default() }
    }

    /// Remembers a record; tells whether it is new.
    pub fn see(&mut self, known: &mut HashSet<String>, id: &str) -> bool {
        let fingerprint = fingerprint(id);
        if !known.insert(fingerprint.clone()) {
            return false;
        }
        self.seen.push_back(fingerprint);
        if self.seen.len() > MAX_SEEN
            && let Some(oldest) = self.seen.pop_front()
        {
            known.remove(&oldest);
        }
        true
    }

    /// What is remembered, to look things up in.
    pub fn known(&self) -> HashSet<String> {
        self.seen.iter().cloned().collect()
    }
}

/// A record's id, short and of the same length whatever the app calls its records.
pub fn fingerprint(id: &str) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(id)[..FINGERPRINT])
}

/// How long to wait after so many failures in a row: twice as long each time, up to an hour, or as long as the app asked
/// for. `random` is from 0 to 1 and spreads the wait by a quarter, so that not all come back at once.
pub fn backoff(every_s: u32, failures: u32, retry_after_s: Option<u64>, random: f64) -> SignedDuration {
    let every = i64::from(every_s);
    let factor = 1_i64 << failures.saturating_sub(1).min(20);
    let doubled = SignedDuration::from_secs(every.saturating_mul(factor));
    let wait = doubled.min(MAX_BACKOFF.max(SignedDuration::from_secs(every)));
    let asked = retry_after_s.map(|seconds| SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)));
    let least = asked.unwrap_or_default().min(MAX_RETRY_AFTER);
    let spread = SignedDuration::from_millis((wait.as_millis() as f64 * random / 4.0) as i64);
    wait.max(least) + spread
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_heed_what_the_app_asks_for() {
        for (every, failures, retry_after, expected) in [
            (60, 1, None, 60),
            (60, 2, None, 120),
            (60, 4, None, 480),
            (60, 7, None, 3_600),
            (60, u32::MAX, None, 3_600),
            (86_400, 3, None, 86_400),
            (60, 1, Some(30), 60),
            (60, 1, Some(900), 900),
            (60, 1, Some(u64::MAX), 86_400),
        ] {
            assert_eq!(backoff(every, failures, retry_after, 0.0).as_secs(), expected, "{every} {failures}");
        }
        let (least, most) = (backoff(60, 2, None, 0.0), backoff(60, 2, None, 1.0));
        assert_eq!((least.as_secs(), most.as_secs()), (120, 150));
    }

    #[test]
    fn a_record_is_new_once_as_long_as_it_is_remembered() {
        let mut state = PollState::default();
        let mut known = state.known();
        assert!(state.see(&mut known, "a") && !state.see(&mut known, "a"));
        for n in 0..MAX_SEEN {
            assert!(state.see(&mut known, &n.to_string()));
        }
        assert_eq!((state.seen.len(), known.len()), (MAX_SEEN, MAX_SEEN));
        assert_eq!(state.known(), known);
        assert!(!state.see(&mut known, "0") && state.see(&mut known, "a"), "the oldest one is forgotten");
    }

    #[test]
    fn the_state_stays_far_below_what_a_record_of_the_store_should_have() {
        let mut state = PollState { cursor: Some(Value::String("c".repeat(MAX_CURSOR))), ..PollState::default() };
        let mut known = state.known();
        (0..MAX_SEEN).for_each(|n| assert!(state.see(&mut known, &n.to_string())));
        assert!(serde_json::to_vec(&state).unwrap().len() < 272 << 10);
    }
}
