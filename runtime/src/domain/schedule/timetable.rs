//! Timetables: a cron expression in a time zone, and which times it names.
//!
//! Times that the clocks' change leaves out or repeats follow the rule of Vixie's cron. An expression whose second,
//! minute and hour name fixed values (`30 2 * * *`, `0,30 2-3 * * *`) runs once: at the first time after the gap when it
//! falls into one, and only the first time when its hour is repeated. One with a `*` among the three (`*/10 * * * *`,
//! `0 * * * *`) follows real time: it leaves out what does not exist, and runs in both of the repeated hours.

use std::fmt;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

/// The longest expression, in bytes.
const MAX_CRON: usize = 200;
/// The longest gap that a clock's change has made is a day (Samoa, 2011); a search that goes further has gone wrong.
const MAX_SEARCH: usize = 100_000;
/// Steps of halving after which two times are less than a second apart, whatever the years between them.
const MAX_HALVINGS: usize = 64;

/// A timetable cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TimetableError {
    /// The expression cannot be read.
    #[error(
        "\"{cron}\" is not a timetable: {reason}. Write five fields (minute hour day month weekday), six with seconds in front, or a word such as @hourly"
    )]
    Cron {
        /// The expression.
        cron: String,
        /// Why not.
        reason: String,
    },
    /// The time zone is not known.
    #[error("\"{0}\" is not a time zone. Write an IANA name such as Europe/Berlin, or UTC")]
    TimeZone(String),
    /// The expression names no time that ever comes.
    #[error("\"{0}\" never comes, as 30 February does not. Write a day and a month that go together")]
    Never(String),
}

/// When a schedule runs.
pub struct Timetable {
    cron: Cron,
    zone: TimeZone,
    /// Whether it names fixed times of the day.
    is_fixed: bool,
}

impl Timetable {
    /// Reads an expression, for a time zone.
    pub fn new(cron: &str, time_zone: &str) -> Result<Self, TimetableError> {
        let shown: String = cron.chars().take(MAX_CRON).collect();
        let refused = |reason: String| TimetableError::Cron { cron: shown.clone(), reason };
        if cron.len() > MAX_CRON {
            return Err(refused(format!("it is longer than {MAX_CRON} bytes")));
        }
        let zone = if time_zone.len() <= MAX_CRON { TimeZone::get(time_zone).ok() } else { None };
        let zone = zone.ok_or_else(|| TimetableError::TimeZone(time_zone.chars().take(MAX_CRON).collect()))?;
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let parsed = parser.parse(cron).map_err(|error| refused(error.to_string()))?;
        let timetable = Self { cron: parsed, zone, is_fixed: is_fixed(cron) };
        match timetable.cron.find_next_occurrence(&DateTime::constant(2000, 1, 1, 0, 0, 0, 0), true) {
            Ok(_) => Ok(timetable),
            Err(_) => Err(TimetableError::Never(shown)),
        }
    }

    /// The name of its time zone, as the IANA writes it.
    pub fn time_zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// The first time after a time; none before the years end that can be told.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        if !self.is_fixed {
            let after = after.to_zoned(self.zone.clone());
            return self.cron.find_next_occurrence(&after, false).ok().map(|next| next.timestamp());
        }
        let mut wall = self.zone.to_datetime(after);
        for _ in 0..MAX_SEARCH {
            wall = self.cron.find_next_occurrence(&wall, false).ok()?;
            let time = self.resolve(wall)?;
            // In the second half of a repeated hour the times of the first one are over.
            if time > after {
                return Some(time);
            }
        }
        None
    }

    /// The next times after a time.
    pub fn upcoming(&self, after: Timestamp, count: usize) -> Vec<Timestamp> {
        std::iter::successors(self.next(after), |last| self.next(*last)).take(count).collect()
    }

    /// The newest time that is after one time and not after another.
    pub fn newest(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let within = |after: Timestamp| self.next(after).filter(|next| *next <= until);
        let mut newest = within(after)?;
        let mut end = until;
        for _ in 0..MAX_HALVINGS {
            let gap = end.duration_since(newest);
            if gap < SignedDuration::from_secs(1) {
                break;
            }
            let middle = newest.checked_add(gap / 2).unwrap_or(end);
            match within(middle) {
                Some(later) => newest = later,
                None => end = middle,
            }
        }
        Some(newest)
    }

    /// When the clocks on the wall show a time: for the first time, or as soon as they have gone past it.
    fn resolve(&self, wall: DateTime) -> Option<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(wall);
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => ambiguous.earlier().ok(),
            AmbiguousOffset::Gap { .. } => {
                // Read with the offset from before the gap, the time lies after it.
                let beyond = ambiguous.later().ok()?;
                self.zone
                    .preceding(beyond.checked_add(SignedDuration::from_secs(1)).ok()?)
                    .next()
                    .map(|change| change.timestamp())
            }
        }
    }
}

impl fmt::Debug for Timetable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timetable({} {})", self.cron.as_str(), self.time_zone())
    }
}

/// Whether second, minute and hour have fixed values. Of the words only `@hourly` has not.
fn is_fixed(cron: &str) -> bool {
    let fields: Vec<_> = cron.split_whitespace().collect();
    match fields.as_slice() {
        [word] => !word.eq_ignore_ascii_case("@hourly"),
        fields => fields.iter().take(fields.len().saturating_sub(3)).all(|field| !field.contains('*')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The times after a time, as the clocks on the wall show them, with their offsets.
    fn times(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let timetable = Timetable::new(cron, zone).unwrap();
        let shown = |time: Timestamp| time.to_zoned(timetable.zone.clone()).strftime("%d %H:%M:%S %:z").to_string();
        timetable.upcoming(after.parse().unwrap(), count).into_iter().map(shown).collect()
    }

    #[test]
    fn expressions_that_can_be_read() {
        for (cron, first) in [
            ("30 8 * * *", "2026-01-01T08:30:00Z"),
            ("30 8 * * MON-FRI", "2026-01-01T08:30:00Z"),
            ("15 30 8 * * *", "2026-01-01T08:30:15Z"),
            ("*/10 * * * * *", "2026-01-01T00:00:10Z"),
            ("0 0 L * *", "2026-01-31T00:00:00Z"),
            ("0 0 * * MON#2", "2026-01-12T00:00:00Z"),
            ("0 0 * * FRI#L", "2026-01-30T00:00:00Z"),
            ("0 0 29 2 *", "2028-02-29T00:00:00Z"),
            ("0 12 1 JAN,jul *", "2026-01-01T12:00:00Z"),
            ("0 0 * * 7", "2026-01-04T00:00:00Z"),
            ("@hourly", "2026-01-01T01:00:00Z"),
            ("@daily", "2026-01-02T00:00:00Z"),
            ("@weekly", "2026-01-04T00:00:00Z"),
            ("@monthly", "2026-02-01T00:00:00Z"),
            ("@yearly", "2027-01-01T00:00:00Z"),
        ] {
            let timetable = Timetable::new(cron, "UTC").unwrap();
            let next = timetable.next("2026-01-01T00:00:00Z".parse().unwrap()).unwrap();
            assert_eq!(next.to_string(), first, "{cron}");
        }
    }

    #[test]
    fn expressions_that_cannot() {
        for cron in [
            "",
            "*",
            "* * *",
            "* * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * 32 * *",
            "* * * 13 *",
            "* * * * 8",
            "*/0 * * * *",
            "5-1 * * * *",
            "a * * * *",
            "@sometimes",
            "@reboot",
            "* * * * * * 2030",
            "* * * * * * *",
            "0 0 * * MON#6",
            "0 0 -1 * *",
            "\u{0} * * * *",
            &"1,".repeat(200),
        ] {
            let error = Timetable::new(cron, "UTC").unwrap_err();
            assert!(matches!(error, TimetableError::Cron { .. }), "{cron}: {error}");
        }
        for cron in ["0 0 30 2 *", "0 0 31 4,6,9,11 *"] {
            assert_eq!(Timetable::new(cron, "UTC").unwrap_err(), TimetableError::Never(cron.to_owned()));
        }
        for zone in ["", "Berlin", "Europe/Nowhere", "../etc/passwd", "+01:00", &"a".repeat(10_000)] {
            let error = Timetable::new("@daily", zone).unwrap_err();
            assert!(matches!(error, TimetableError::TimeZone(_)), "{zone}");
        }
        assert_eq!(Timetable::new("@daily", "europe/berlin").unwrap().time_zone(), "Europe/Berlin");
    }

    #[test]
    fn fixed_times_run_once_when_the_clocks_change() {
        // In Berlin 2026-03-29 02:00 +01:00 becomes 03:00 +02:00, and 2026-10-25 03:00 +02:00 becomes 02:00 +01:00.
        for (cron, zone, after, expected) in [
            (
                "30 2 * * *",
                "Europe/Berlin",
                "2026-03-28T00:00:00Z",
                &["28 02:30:00 +01:00", "29 03:00:00 +02:00", "30 02:30:00 +02:00"][..],
            ),
            (
                "0,30 2,3 * * *",
                "Europe/Berlin",
                "2026-03-28T12:00:00Z",
                &["29 03:00:00 +02:00", "29 03:30:00 +02:00", "30 02:00:00 +02:00"],
            ),
            ("0 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", &["29 03:00:00 +02:00", "30 02:00:00 +02:00"]),
            ("0 3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", &["29 03:00:00 +02:00", "30 03:00:00 +02:00"]),
            ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", &["25 02:30:00 +02:00", "26 02:30:00 +01:00"]),
            (
                "0,30 2 * * *",
                "Europe/Berlin",
                "2026-10-24T12:00:00Z",
                &["25 02:00:00 +02:00", "25 02:30:00 +02:00", "26 02:00:00 +01:00"],
            ),
            // From within the repeated hour.
            ("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", &["26 02:30:00 +01:00"]),
            ("0 3 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", &["25 03:00:00 +01:00", "26 03:00:00 +01:00"]),
            ("30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", &["08 03:00:00 -04:00", "09 02:30:00 -04:00"]),
            ("30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", &["01 01:30:00 -04:00", "02 01:30:00 -05:00"]),
            // Half an hour, and in the other half of the year: 2026-10-04 02:00 +10:30 becomes 02:30 +11:00, and
            // 2026-04-05 02:00 +11:00 becomes 01:30 +10:30.
            (
                "15 2 * * *",
                "Australia/Lord_Howe",
                "2026-10-02T20:00:00Z",
                &["04 02:30:00 +11:00", "05 02:15:00 +11:00"],
            ),
            (
                "45 1 * * *",
                "Australia/Lord_Howe",
                "2026-04-04T04:00:00Z",
                &["05 01:45:00 +11:00", "06 01:45:00 +10:30"],
            ),
            // A day that Samoa left out.
            ("0 12 * * *", "Pacific/Apia", "2011-12-29T22:30:00Z", &["31 00:00:00 +14:00", "31 12:00:00 +14:00"]),
        ] {
            assert_eq!(times(cron, zone, after, expected.len()), expected, "{cron} {zone}");
        }
    }

    #[test]
    fn intervals_follow_real_time_when_the_clocks_change() {
        for (cron, zone, after, expected) in [
            (
                "*/30 * * * *",
                "Europe/Berlin",
                "2026-03-29T00:15:00Z",
                &["29 01:30:00 +01:00", "29 03:00:00 +02:00", "29 03:30:00 +02:00"][..],
            ),
            ("*/30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", &["30 02:00:00 +02:00"]),
            (
                "*/30 * * * *",
                "Europe/Berlin",
                "2026-10-24T23:45:00Z",
                &[
                    "25 02:00:00 +02:00",
                    "25 02:30:00 +02:00",
                    "25 02:00:00 +01:00",
                    "25 02:30:00 +01:00",
                    "25 03:00:00 +01:00",
                ],
            ),
            (
                "@hourly",
                "America/New_York",
                "2026-11-01T04:30:00Z",
                &["01 01:00:00 -04:00", "01 01:00:00 -05:00", "01 02:00:00 -05:00"],
            ),
            (
                "*/15 * * * *",
                "Australia/Lord_Howe",
                "2026-10-03T15:20:00Z",
                &["04 02:30:00 +11:00", "04 02:45:00 +11:00"],
            ),
            (
                "*/15 * * * *",
                "Australia/Lord_Howe",
                "2026-04-04T14:25:00Z",
                &[
                    "05 01:30:00 +11:00",
                    "05 01:45:00 +11:00",
                    "05 01:30:00 +10:30",
                    "05 01:45:00 +10:30",
                    "05 02:00:00 +10:30",
                ],
            ),
        ] {
            assert_eq!(times(cron, zone, after, expected.len()), expected, "{cron} {zone}");
        }
    }

    #[test]
    fn times_only_go_forward_through_a_year_of_changes() {
        for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"] {
            for cron in ["30 2 * * *", "0,30 1-3 * * *", "*/30 * * * *", "0 * * * *", "45 1 * * SUN"] {
                let timetable = Timetable::new(cron, zone).unwrap();
                let mut last: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
                let end: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
                while last < end {
                    let next = timetable.next(last).unwrap();
                    assert!(next > last, "{cron} {zone} {last}");
                    assert_eq!(timetable.newest(last, next), Some(next), "{cron} {zone} {last}");
                    last = next;
                }
            }
        }
    }

    #[test]
    fn the_newest_time_of_a_span_is_found_without_counting_through_it() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        for (cron, after, until, newest) in [
            ("* * * * * *", "2020-01-01T00:00:00Z", "2026-07-01T12:00:00.5Z", Some("2026-07-01T12:00:00Z")),
            ("@yearly", "2020-01-01T00:00:00Z", "2026-07-01T12:00:00Z", Some("2026-01-01T00:00:00Z")),
            ("* 0-30 * * * *", "2026-01-01T00:00:00Z", "2026-07-01T12:45:00Z", Some("2026-07-01T12:30:59Z")),
            ("@yearly", "2026-01-01T00:00:00Z", "2026-07-01T12:00:00Z", None),
            ("@daily", "2026-07-01T00:00:00Z", "2026-07-02T00:00:00Z", Some("2026-07-02T00:00:00Z")),
        ] {
            let timetable = Timetable::new(cron, "UTC").unwrap();
            assert_eq!(timetable.newest(at(after), at(until)), newest.map(at), "{cron}");
        }
    }
}
