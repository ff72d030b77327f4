//! Schedules: a flow is run when its time comes.

mod backlog;
mod timetable;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::domain::id::{Environment, FlowId, GroupId, TriggerId};

pub use backlog::{Backlog, HORIZON, LATE, MAX_CAUGHT_UP, backlog};
pub use timetable::{Timetable, TimetableError};

/// The longest jitter, in seconds: an hour.
pub const MAX_JITTER: u32 = 60 * 60;
/// The largest event body of a schedule, in bytes of JSON: it lies in memory with all configuration.
pub const MAX_EVENT: usize = 64 << 10;

/// What happens when the time comes while the run before it is still under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// This time is left out, and counted.
    #[default]
    Skip,
    /// It waits for the end of the one before. At most one waits: a further one is left out, and counted.
    Queue,
    /// It runs beside the one before.
    Allow,
}

/// What happens with times that passed while the server was down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// They are left out, and counted.
    #[default]
    None,
    /// The newest of them runs.
    Last,
    /// All of the last seven days run, at most the newest hundred.
    All,
}

/// A flow's schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Its id.
    pub id: TriggerId,
    /// Whose it is.
    pub group: GroupId,
    /// Which flow it runs.
    pub flow: FlowId,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// When: five or six fields, or a word such as `@daily`.
    pub cron: String,
    /// In which time zone, by its IANA name.
    pub time_zone: String,
    /// Where: the version that is published there runs.
    pub environment: Environment,
    /// The event's body; when absent it tells the time it was scheduled for.
    #[serde(default)]
    pub event: Option<Value>,
    /// Each time is put off by up to so many seconds.
    #[serde(default)]
    pub jitter_s: u32,
    /// What happens when the run before it is still under way.
    #[serde(default)]
    pub overlap: Overlap,
    /// What happens with times that passed while the server was down.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// Whether it runs at all.
    pub enabled: bool,
    /// From when on its times count: when it was made, enabled, or given another timetable.
    pub starts: Timestamp,
    /// When it was made.
    pub created: Timestamp,
}

impl Schedule {
    /// When it runs, without jitter.
    pub fn timetable(&self) -> Result<Timetable, TimetableError> {
        Timetable::new(&self.cron, &self.time_zone)
    }

    /// When an occurrence is due. The jitter depends on nothing but the schedule and the occurrence, so that it is the
    /// same after a restart.
    pub fn due(&self, occurrence: Timestamp) -> Timestamp {
        if self.jitter_s == 0 {
            return occurrence;
        }
        let digest = Sha256::digest(format!("{} {}", self.id, occurrence.as_second()));
        let random = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let seconds = random % (u64::from(self.jitter_s) + 1);
        occurrence.checked_add(jiff::SignedDuration::from_secs(seconds as i64)).unwrap_or(occurrence)
    }
}

/// How a schedule stands. It lies beside the schedule and is written with each run that it begins.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ScheduleState {
    /// For which start of the schedule the rest counts.
    #[serde(default)]
    pub starts: Option<Timestamp>,
    /// The newest occurrence that was decided on: begun, waiting, left out or failed. It is never decided on again.
    #[serde(default)]
    pub decided: Option<Timestamp>,
    /// Occurrences that have come and wait to begin, oldest first.
    #[serde(default)]
    pub waiting: Vec<Timestamp>,
    /// The newest run.
    #[serde(default)]
    pub last_run: Option<Begun>,
    /// How many occurrences were left out because the run before was under way.
    #[serde(default)]
    pub skipped: u64,
    /// How many occurrences were left out because the server was down.
    #[serde(default)]
    pub missed: u64,
    /// How many occurrences in a row could not begin.
    #[serde(default)]
    pub failures: u32,
    /// Why the newest of them could not.
    #[serde(default)]
    pub last_error: Option<NotBegun>,
}

/// A run that a schedule began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Begun {
    /// Which run.
    pub run: Uuid,
    /// For which time.
    #[schema(value_type = String, format = DateTime, example = "2026-03-29T01:00:00Z")]
    pub scheduled_at: Timestamp,
    /// When it was begun.
    #[schema(value_type = String, format = DateTime, example = "2026-03-29T01:00:00Z")]
    pub at: Timestamp,
}

/// A time at which a schedule could not begin its run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NotBegun {
    /// Why.
    #[schema(example = "The flow \"sync-contacts\" has no published version in production")]
    pub message: String,
    /// For which time.
    #[schema(value_type = String, format = DateTime)]
    pub scheduled_at: Timestamp,
    /// When it was tried.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

impl ScheduleState {
    /// After which time occurrences are to be decided on.
    pub fn after(&self, schedule: &Schedule) -> Timestamp {
        match self.decided {
            Some(decided) if self.starts == Some(schedule.starts) => decided.max(schedule.starts),
            _ => schedule.starts,
        }
    }

    /// Takes in an occurrence that has come. `is_busy` tells whether the run before it is under way, or another
    /// occurrence waits to begin.
    pub fn come(&mut self, occurrence: Timestamp, overlap: Overlap, is_busy: bool) {
        let places = match overlap {
            // What waits was let in when nothing was under way.
            Overlap::Skip => usize::from(!is_busy),
            Overlap::Queue => 1,
            Overlap::Allow => MAX_CAUGHT_UP,
        };
        if self.waiting.len() < places {
            self.waiting.push(occurrence);
        } else {
            self.skipped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn schedule(cron: &str, time_zone: &str) -> Schedule {
        Schedule {
            id: format!("trg_{}", "a".repeat(20)).parse().unwrap(),
            group: "acme".parse().unwrap(),
            flow: format!("flw_{}", "a".repeat(20)).parse().unwrap(),
            description: String::new(),
            cron: cron.to_owned(),
            time_zone: time_zone.to_owned(),
            environment: Environment::production(),
            event: None,
            jitter_s: 0,
            overlap: Overlap::Skip,
            catch_up: CatchUp::None,
            enabled: true,
            starts: Timestamp::UNIX_EPOCH,
            created: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn jitter_is_the_same_for_the_same_occurrence_and_spreads_over_its_range() {
        let schedule = Schedule { jitter_s: 9, ..schedule("@daily", "UTC") };
        let at = |day: i64| Timestamp::from_second(day * 86_400).unwrap();
        let late = |day| schedule.due(at(day)).as_second() - at(day).as_second();
        let delays: std::collections::BTreeSet<_> = (0..200).map(late).collect();
        assert_eq!(delays, (0..=9).collect());
        assert_eq!(late(7), late(7));
        assert_eq!(super::tests::schedule("@daily", "UTC").due(at(3)), at(3));
    }

    #[test]
    fn what_comes_while_a_run_is_under_way_goes_by_the_policy() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (overlap, is_busy, waiting, skipped) in [
            (Overlap::Skip, false, 1, 2),
            (Overlap::Skip, true, 0, 3),
            (Overlap::Queue, false, 1, 2),
            (Overlap::Queue, true, 1, 2),
            (Overlap::Allow, true, 3, 0),
        ] {
            let mut state = ScheduleState::default();
            (1..=3).for_each(|second| state.come(at(second), overlap, is_busy));
            assert_eq!((state.waiting.len(), state.skipped), (waiting, skipped), "{overlap:?} {is_busy}");
        }
        let mut state = ScheduleState::default();
        (0..1000).for_each(|second| state.come(at(second), Overlap::Allow, true));
        assert_eq!((state.waiting.len(), state.skipped), (MAX_CAUGHT_UP, 1000 - MAX_CAUGHT_UP as u64));
    }

    #[test]
    fn what_was_decided_counts_until_the_schedule_starts_anew() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let schedule = Schedule { starts: at(10), ..schedule("@daily", "UTC") };
        let mut state = ScheduleState::default();
        assert_eq!(state.after(&schedule), at(10));
        state = ScheduleState { starts: Some(at(10)), decided: Some(at(500)), ..state };
        assert_eq!(state.after(&schedule), at(500));
        let anew = Schedule { starts: at(20), ..schedule };
        assert_eq!(state.after(&anew), at(20), "also where the clock was far ahead meanwhile");
    }
}
