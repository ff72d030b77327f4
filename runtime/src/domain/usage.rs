//! Usage: what API keys were used for, by hour and by day, and what a group may use in a month.

mod key_day;

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::domain::id::{Environment, GroupId, Name};

pub use key_day::KeyDay;

/// Flows that a key's day names; what was used beyond them is counted together.
pub const MAX_FLOWS: usize = 100;

/// Addresses that a key's day names; requests from further ones are counted without them.
pub const MAX_ADDRESSES: usize = 50;

const HOUR_SECONDS: i64 = 60 * 60;
const DAY_HOURS: i64 = 24;

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Tally {
    /// Requests that the key authenticated.
    #[schema(example = 1_204)]
    pub requests: u64,
    /// Those whose run succeeded or was accepted, and requests of management that were done.
    #[schema(example = 1_200)]
    pub succeeded: u64,
    /// All others: refused, over a limit, or their run failed.
    #[schema(example = 4)]
    pub failed: u64,
    /// Bytes of the requests' bodies.
    #[schema(example = 812_311)]
    pub bytes_in: u64,
    /// Bytes of the answers' bodies.
    #[schema(example = 90_120)]
    pub bytes_out: u64,
}

impl Tally {
    /// One request.
    pub fn one(succeeded: bool, bytes_in: u64, bytes_out: u64) -> Self {
        Self { requests: 1, succeeded: succeeded.into(), failed: (!succeeded).into(), bytes_in, bytes_out }
    }

    /// Counts more.
    pub fn add(&mut self, more: &Self) {
        self.requests += more.requests;
        self.succeeded += more.succeeded;
        self.failed += more.failed;
        self.bytes_in = self.bytes_in.saturating_add(more.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(more.bytes_out);
    }
}

/// An hour, counted from the beginning of 1970 (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(pub i64);

/// A day, counted from the beginning of 1970 (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i64);

impl Hour {
    /// The hour a point in time lies in.
    pub fn of(time: Timestamp) -> Self {
        Self(time.as_second().div_euclid(HOUR_SECONDS))
    }

    /// Its day.
    pub fn day(self) -> Day {
        Day(self.0.div_euclid(DAY_HOURS))
    }

    /// When it begins.
    pub fn begin(self) -> Timestamp {
        Timestamp::from_second(self.0.saturating_mul(HOUR_SECONDS)).unwrap_or(Timestamp::MAX)
    }

    fn in_day(self) -> u8 {
        self.0.rem_euclid(DAY_HOURS) as u8
    }
}

impl Day {
    /// The day a point in time lies in.
    pub fn of(time: Timestamp) -> Self {
        Hour::of(time).day()
    }

    /// Its first hour.
    pub fn first_hour(self) -> Hour {
        Hour(self.0 * DAY_HOURS)
    }

    /// The day of a date, in UTC.
    pub fn of_date(date: Date) -> Option<Self> {
        Some(Self::of(date.to_zoned(TimeZone::UTC).ok()?.timestamp()))
    }
}

/// As `2026-11-22`.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first_hour().begin().strftime("%F"))
    }
}

/// A month, in UTC: `2026-11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Month {
    year: i16,
    month: i8,
}

impl Month {
    /// The month a point in time lies in.
    pub fn of(time: Timestamp) -> Self {
        let date = time.to_zoned(TimeZone::UTC).date();
        Self { year: date.year(), month: date.month() }
    }

    /// When the next one begins.
    pub fn end(self) -> Timestamp {
        let (year, month) =
            if self.month == 12 { (self.year.saturating_add(1), 1) } else { (self.year, self.month + 1) };
        let first = Date::new(year, month, 1).ok().and_then(|date| date.to_zoned(TimeZone::UTC).ok());
        first.map_or(Timestamp::MAX, |first| first.timestamp())
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

/// What a group may use in a month.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Allowance {
    /// Runs in a month; as many as there are when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 100_000)]
    pub runs_per_month: Option<u64>,
    /// Seconds that runs may take together in a month; as many as there are when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 36_000)]
    pub run_seconds_per_month: Option<u64>,
}

/// What a group used in a month.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Runs that ended.
    pub runs: u64,
    /// How long they took together, in microseconds.
    pub run_us: u64,
}

impl Allowance {
    /// What of the allowance is spent, when `running` further runs are under way; `None` while something is left of all.
    pub fn exhausted(&self, spent: &Spent, running: u64) -> Option<String> {
        if let Some(most) = self.runs_per_month.filter(|most| spent.runs + running >= *most) {
            return Some(format!("{most} runs"));
        }
        let most = self.run_seconds_per_month.filter(|most| spent.run_us / 1_000_000 >= *most)?;
        Some(format!("{most} run-seconds"))
    }

    /// The larger of the parts that are spent, in percent.
    pub fn percent(&self, spent: &Spent) -> u64 {
        let part = |used: u64, of: Option<u64>| of.map_or(0, |of| used.saturating_mul(100) / of.max(1));
        part(spent.runs, self.runs_per_month).max(part(spent.run_us / 1_000_000, self.run_seconds_per_month))
    }
}

/// When a key was used last, and from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastUsed {
    /// When.
    pub at: Timestamp,
    /// From where.
    pub address: Option<IpAddr>,
}

/// What is kept of a key beside its days; it outlives the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyTotal {
    /// Whose key it is or was.
    pub group: GroupId,
    /// Its name.
    pub name: Name,
    /// Where it works.
    pub environment: Environment,
    /// Everything it was ever used for.
    pub total: Tally,
    /// Its last use.
    pub last: LastUsed,
}

/// How usage is broken down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// By hour.
    Hour,
    /// By day.
    Day,
}

impl Period {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// The first hour of the period an hour lies in.
    pub fn begin(self, hour: Hour) -> Hour {
        match self {
            Self::Hour => hour,
            Self::Day => hour.day().first_hour(),
        }
    }

    /// The longest range that can be asked for, in days.
    pub fn most_days(self) -> i64 {
        match self {
            Self::Hour => 31,
            Self::Day => 400,
        }
    }
}

/// A range of whole periods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRange {
    /// Its hours; the end does not belong to it.
    pub hours: Range<Hour>,
    /// How it is broken down.
    pub by: Period,
}

impl UsageRange {
    /// The range between two texts, each a date or a time of RFC 3339, rounded out to whole periods. A date as the
    /// end includes that day. Without a beginning it is the last 30 days, or by hour the last 24 hours.
    pub fn parse(from: Option<&str>, to: Option<&str>, by: Period, now: Timestamp) -> Result<Self, String> {
        let step = if by == Period::Hour { 1 } else { DAY_HOURS };
        let after = |hour: Hour| Hour(by.begin(hour).0 + step);
        let end = match to.map(moment).transpose()? {
            None => after(Hour::of(now)),
            Some(Moment::Date(day)) => Day(day.0 + 1).first_hour(),
            Some(Moment::Time(time)) => {
                after(Hour::of(time.saturating_sub(jiff::SignedDuration::from_nanos(1)).unwrap_or(time)))
            }
        };
        let begin = match from.map(moment).transpose()? {
            None if by == Period::Hour => Hour(end.0 - DAY_HOURS),
            None => Hour(end.0 - 30 * DAY_HOURS),
            Some(Moment::Date(day)) => day.first_hour(),
            Some(Moment::Time(time)) => by.begin(Hour::of(time)),
        };
        if begin >= end {
            return Err("The range is empty: `from` has to lie before `to`".to_owned());
        }
        let most = by.most_days();
        if end.0 - begin.0 > most * DAY_HOURS {
            let by = by.as_str();
            return Err(format!(
                "The range is longer than the {most} days that can be asked for by {by}. Ask for a shorter one"
            ));
        }
        Ok(Self { hours: begin..end, by })
    }

    /// The days it touches.
    pub fn days(&self) -> impl Iterator<Item = Day> {
        (self.hours.start.day().0..=Hour(self.hours.end.0 - 1).day().0).map(Day)
    }
}

enum Moment {
    Date(Day),
    Time(Timestamp),
}

fn moment(text: &str) -> Result<Moment, String> {
    let wrong = || format!("\"{text}\" is neither a date (2026-11-22) nor a time (2026-11-22T10:00:00Z)");
    // In a query an unencoded `+` of an offset arrives as a blank.
    let text = text.replace(' ', "+");
    match text.parse::<Timestamp>() {
        Ok(time) => Ok(Moment::Time(time)),
        Err(_) => Ok(Moment::Date(text.parse().ok().and_then(Day::of_date).ok_or_else(wrong)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn hours_days_and_months_are_those_of_utc() {
        let at = time("2026-12-31T23:59:59Z");
        assert_eq!(Day::of(at).to_string(), "2026-12-31");
        assert_eq!(Hour::of(at).begin(), time("2026-12-31T23:00:00Z"));
        assert_eq!(Month::of(at).to_string(), "2026-12");
        assert_eq!(Month::of(at).end(), time("2027-01-01T00:00:00Z"));
        assert_eq!(Month::of(time("2026-02-28T00:00:00Z")).end(), time("2026-03-01T00:00:00Z"));
        assert_eq!(Day::of(time("1969-12-31T23:00:00Z")).to_string(), "1969-12-31");
    }

    #[test]
    fn ranges_are_whole_periods_and_bounded() {
        let now = time("2026-11-22T10:30:00Z");
        for (from, to, by, begin, end) in [
            (None, None, Period::Day, "2026-10-24T00:00:00Z", "2026-11-23T00:00:00Z"),
            (None, None, Period::Hour, "2026-11-21T11:00:00Z", "2026-11-22T11:00:00Z"),
            (Some("2026-11-20"), Some("2026-11-20"), Period::Day, "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"),
            (Some("2026-11-20"), Some("2026-11-20"), Period::Hour, "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"),
            (
                Some("2026-11-20T08:10:00+02:00"),
                Some("2026-11-20T09:00:00Z"),
                Period::Hour,
                "2026-11-20T06:00:00Z",
                "2026-11-20T09:00:00Z",
            ),
            (Some("2026-11-20T08:10:00 02:00"), None, Period::Day, "2026-11-20T00:00:00Z", "2026-11-23T00:00:00Z"),
        ] {
            let range = UsageRange::parse(from, to, by, now).unwrap();
            assert_eq!(
                (range.hours.start.begin(), range.hours.end.begin()),
                (time(begin), time(end)),
                "{from:?} {to:?}"
            );
        }
        for (from, to, by, wanted) in [
            (Some("yesterday"), None, Period::Day, "neither a date"),
            (Some("2026-11-23"), Some("2026-11-22"), Period::Day, "empty"),
            (Some("2020-01-01"), None, Period::Day, "400 days"),
            (Some("2026-10-01"), None, Period::Hour, "31 days"),
        ] {
            let error = UsageRange::parse(from, to, by, now).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn a_day_names_a_bounded_number_of_flows() {
        let mut day = KeyDay::default();
        let tally = Tally::one(true, 3, 4);
        for n in 0..=MAX_FLOWS {
            let flow = format!("flw_{n:020}").parse().unwrap();
            day.add_flow(Some(&flow), &tally);
            day.add_hour(Hour(5), &tally);
        }
        day.add_flow(None, &tally);
        assert_eq!((day.flows.len(), day.elsewhere.requests), (MAX_FLOWS, 2));
        assert_eq!(day.total().requests, MAX_FLOWS as u64 + 1);
        let mut twice = day.clone();
        twice.add(&day);
        assert_eq!((twice.flows.len(), twice.elsewhere.requests), (MAX_FLOWS, 4));
        let json = serde_json::to_string(&twice).unwrap();
        assert_eq!(serde_json::from_str::<KeyDay>(&json).unwrap(), twice);
    }

    #[test]
    fn an_allowance_counts_what_is_under_way() {
        let allowance = |runs, seconds| Allowance { runs_per_month: runs, run_seconds_per_month: seconds };
        let spent = Spent { runs: 8, run_us: 59_999_999 };
        for (allowance, running, exhausted, percent) in [
            (allowance(None, None), 1_000, None, 0),
            (allowance(Some(10), None), 1, None, 80),
            (allowance(Some(10), None), 2, Some("10 runs"), 80),
            (allowance(None, Some(60)), 5, None, 98),
            (allowance(None, Some(59)), 0, Some("59 run-seconds"), 100),
            (allowance(Some(0), None), 0, Some("0 runs"), 800),
        ] {
            assert_eq!(allowance.exhausted(&spent, running).as_deref(), exhausted, "{allowance:?}");
            assert_eq!(allowance.percent(&spent), percent, "{allowance:?}");
        }
    }
}
