//! Occurrences that have come: which of them run, and which passed while the server was down.

use jiff::{SignedDuration, Timestamp};

use super::{CatchUp, Schedule, Timetable};

/// An occurrence that is found later than this after it was due has passed while the server was down.
pub const LATE: SignedDuration = SignedDuration::from_mins(1);
/// How far back occurrences are caught up with: a week.
pub const HORIZON: SignedDuration = SignedDuration::from_hours(7 * 24);
/// The most occurrences that are caught up with, and that wait to begin.
pub const MAX_CAUGHT_UP: usize = 100;
/// Left out occurrences are counted as far as this.
const MAX_COUNTED: usize = 1_000;

/// What has come since a schedule was looked at last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Occurrences to begin, oldest first.
    pub run: Vec<Timestamp>,
    /// How many were left out, as far as they were counted.
    pub missed: u64,
    /// The newest occurrence that was looked at; none when none has come.
    pub through: Option<Timestamp>,
}

/// What has come after one time and is due at another.
///
/// Occurrences come one after the other, whatever their jitter: one that is not due yet keeps those after it waiting.
/// One that waited so has not passed while the server was down.
pub fn backlog(schedule: &Schedule, timetable: &Timetable, after: Timestamp, now: Timestamp) -> Backlog {
    let mut found = Backlog::default();
    let on_time = now.checked_sub(LATE).unwrap_or(Timestamp::MIN);
    let Some(first) = timetable.next(after).filter(|first| schedule.due(*first) <= now) else { return found };
    // The newest that is late even with the longest jitter.
    let late = on_time.checked_sub(SignedDuration::from_secs(i64::from(schedule.jitter_s))).unwrap_or(Timestamp::MIN);
    let mut last = after;
    if first <= late
        && let Some(newest) = timetable.newest(after, late)
    {
        let caught_up = match schedule.catch_up {
            CatchUp::None => Vec::new(),
            CatchUp::Last => newest_of(timetable, horizon(after, now), newest, 1),
            CatchUp::All => newest_of(timetable, horizon(after, now), newest, MAX_CAUGHT_UP),
        };
        found.missed = (timetable_count(timetable, after, newest) - caught_up.len()) as u64;
        found.run = caught_up;
        (found.through, last) = (Some(newest), newest);
    }
    // When the newest so far could come: those before it had to be due, too.
    let mut comes = Timestamp::MIN;
    while let Some(next) = timetable.next(last).filter(|next| schedule.due(*next) <= now) {
        comes = comes.max(schedule.due(next));
        if comes <= on_time {
            found.catch_up(next, schedule.catch_up)
        } else if found.run.len() < MAX_CAUGHT_UP {
            found.run.push(next)
        } else {
            found.missed += 1
        }
        (found.through, last) = (Some(next), next);
    }
    found
}

impl Backlog {
    /// Takes in an occurrence that is late, and newer than those before it.
    fn catch_up(&mut self, occurrence: Timestamp, policy: CatchUp) {
        let most = match policy {
            CatchUp::None => 0,
            CatchUp::Last => 1,
            CatchUp::All => MAX_CAUGHT_UP,
        };
        self.run.push(occurrence);
        let beyond = self.run.len().saturating_sub(most);
        self.run.drain(..beyond);
        self.missed += beyond as u64;
    }
}

fn horizon(after: Timestamp, now: Timestamp) -> Timestamp {
    now.checked_sub(HORIZON).map_or(after, |horizon| horizon.max(after))
}

/// The newest occurrences after a time up to one of them, oldest first.
fn newest_of(timetable: &Timetable, after: Timestamp, newest: Timestamp, most: usize) -> Vec<Timestamp> {
    let before = |time: Timestamp| time.checked_sub(SignedDuration::from_nanos(1)).ok();
    let first = Some(newest).filter(|newest| *newest > after);
    let mut found: Vec<_> =
        std::iter::successors(first, |time| timetable.newest(after, before(*time)?)).take(most).collect();
    found.reverse();
    found
}

/// How many occurrences there are after a time up to one of them, as far as they are counted.
fn timetable_count(timetable: &Timetable, after: Timestamp, newest: Timestamp) -> usize {
    let times = std::iter::successors(timetable.next(after), |last| timetable.next(*last));
    times.take_while(|time| *time <= newest).take(MAX_COUNTED).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::schedule::tests::schedule;

    fn found(cron: &str, catch_up: CatchUp, after: &str, now: &str) -> (Vec<String>, u64, Option<String>) {
        found_with_jitter(cron, 0, catch_up, after, now)
    }

    fn found_with_jitter(
        cron: &str,
        jitter_s: u32,
        catch_up: CatchUp,
        after: &str,
        now: &str,
    ) -> (Vec<String>, u64, Option<String>) {
        let schedule = Schedule { catch_up, jitter_s, ..schedule(cron, "UTC") };
        let timetable = schedule.timetable().unwrap();
        let found = backlog(&schedule, &timetable, after.parse().unwrap(), now.parse().unwrap());
        let shown = |time: &Timestamp| time.to_string();
        (found.run.iter().map(shown).collect(), found.missed, found.through.as_ref().map(shown))
    }

    #[test]
    fn what_is_due_runs_and_what_was_missed_goes_by_the_policy() {
        let texts = |times: &[&str]| times.iter().map(|time| (*time).to_owned()).collect::<Vec<_>>();
        for (cron, catch_up, after, now, run, missed, through) in [
            ("@hourly", CatchUp::None, "2026-01-01T00:00:00Z", "2026-01-01T00:59:59Z", &[][..], 0, None),
            (
                "@hourly",
                CatchUp::None,
                "2026-01-01T00:00:00Z",
                "2026-01-01T01:00:00Z",
                &["2026-01-01T01:00:00Z"],
                0,
                Some("2026-01-01T01:00:00Z"),
            ),
            (
                "@hourly",
                CatchUp::None,
                "2026-01-01T00:00:00Z",
                "2026-01-01T01:00:59Z",
                &["2026-01-01T01:00:00Z"],
                0,
                Some("2026-01-01T01:00:00Z"),
            ),
            (
                "@hourly",
                CatchUp::None,
                "2026-01-01T00:00:00Z",
                "2026-01-01T04:30:00Z",
                &[],
                4,
                Some("2026-01-01T04:00:00Z"),
            ),
            (
                "@hourly",
                CatchUp::None,
                "2026-01-01T00:00:00Z",
                "2026-01-01T04:00:01Z",
                &["2026-01-01T04:00:00Z"],
                3,
                Some("2026-01-01T04:00:00Z"),
            ),
            (
                "@hourly",
                CatchUp::Last,
                "2026-01-01T00:00:00Z",
                "2026-01-01T04:30:00Z",
                &["2026-01-01T04:00:00Z"],
                3,
                Some("2026-01-01T04:00:00Z"),
            ),
            (
                "@hourly",
                CatchUp::All,
                "2026-01-01T00:00:00Z",
                "2026-01-01T03:30:00Z",
                &["2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z", "2026-01-01T03:00:00Z"],
                0,
                Some("2026-01-01T03:00:00Z"),
            ),
        ] {
            let expected = (texts(run), missed, through.map(str::to_owned));
            assert_eq!(found(cron, catch_up, after, now), expected, "{cron} {catch_up:?} {now}");
        }
    }

    /// The schedule's jitter puts 02:00 off to 02:04:36, and the first minutes of the day to 00:41:35, 00:39:02,
    /// 00:41:38, 00:44:33, 00:18:47 and 00:52:32.
    #[test]
    fn what_is_late_with_its_jitter_goes_by_the_policy() {
        let texts = |times: &[&str]| times.iter().map(|time| format!("2026-01-01T{time}Z")).collect::<Vec<_>>();
        let all = ["00:01:00", "00:02:00", "00:03:00", "00:04:00", "00:05:00"];
        for (cron, catch_up, after, now, run, missed, through) in [
            ("0 2 * * *", CatchUp::None, "00:00:00", "02:04:35", &[][..], 0, &[][..]),
            ("0 2 * * *", CatchUp::None, "00:00:00", "02:05:00", &["02:00:00"], 0, &["02:00:00"]),
            ("0 2 * * *", CatchUp::None, "00:00:00", "02:50:00", &[], 1, &["02:00:00"]),
            ("0 2 * * *", CatchUp::Last, "00:00:00", "02:50:00", &["02:00:00"], 0, &["02:00:00"]),
            ("* * * * *", CatchUp::None, "00:00:00", "00:50:00", &[], 5, &["00:05:00"]),
            ("* * * * *", CatchUp::Last, "00:00:00", "00:50:00", &["00:05:00"], 4, &["00:05:00"]),
            ("* * * * *", CatchUp::All, "00:00:00", "00:50:00", &all, 0, &["00:05:00"]),
            // The fifth waited for the fourth: it is not late.
            ("* * * * *", CatchUp::None, "00:03:00", "00:44:40", &["00:04:00", "00:05:00"], 0, &["00:05:00"]),
        ] {
            let [after, now] = [after, now].map(|time| format!("2026-01-01T{time}Z"));
            let expected = (texts(run), missed, texts(through).pop());
            assert_eq!(found_with_jitter(cron, 3_600, catch_up, &after, &now), expected, "{cron} {catch_up:?} {now}");
        }
    }

    #[test]
    fn nothing_is_caught_up_with_beyond_the_horizon_or_by_a_clock_that_was_put_back() {
        let (after, now) = ("2026-01-01T00:00:00Z", "2026-02-20T00:00:00Z");
        let through = Some("2026-02-01T00:00:00Z".to_owned());
        assert_eq!(found("@monthly", CatchUp::Last, after, now), (Vec::new(), 1, through));
        let back = found("@hourly", CatchUp::All, "2026-01-01T05:00:00Z", "2026-01-01T03:30:00Z");
        assert_eq!(back, (Vec::new(), 0, None));
    }

    #[test]
    fn a_long_downtime_of_a_frequent_schedule_is_bounded() {
        let (run, missed, through) = found("* * * * * *", CatchUp::All, "2020-01-01T00:00:00Z", "2026-01-01T00:00:00Z");
        assert_eq!((run.len(), through.as_deref()), (MAX_CAUGHT_UP, Some("2026-01-01T00:00:00Z")));
        assert_eq!(run.last().unwrap(), "2025-12-31T23:59:00Z");
        assert!(missed >= 60, "{missed}");
    }
}
