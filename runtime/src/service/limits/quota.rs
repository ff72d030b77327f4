//! How much of a day's quota is used, and how it is kept.
//!
//! A quota is used in blocks. A block is in the store before the first request of it is admitted, so that after a
//! crash the whole block counts as used: requests may be lost to the caller, and are never admitted twice.

use std::fmt;

use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};
use tokio::sync::watch;

use crate::domain::id::ApiKeyId;
use crate::service::error::ServiceError;
use crate::service::record::decode;
use crate::store::Store;

/// Before the keys of all quotas' records: `quota/{key}/{day}`, and in it what is reserved of the day so far.
const PREFIX: &str = "quota/";
/// Records read at a time.
const PAGE: usize = 1000;
/// The most requests reserved at once. A crash may cost a key one and a half times as many.
const LARGEST_BLOCK: u64 = 1000;
/// How many blocks a quota has at least, so that a crash costs a small one little.
const BLOCKS: u64 = 20;
const SECONDS: i64 = 24 * 60 * 60;

/// A day by UTC, counted from 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day(i64);

impl Day {
    pub(super) fn of(time: Timestamp) -> Self {
        Self(time.as_second().div_euclid(SECONDS))
    }

    /// When it is over.
    pub(super) fn end(self) -> Timestamp {
        Timestamp::from_second((self.0 + 1) * SECONDS).unwrap_or(Timestamp::MAX)
    }

    fn parse(text: &str) -> Option<Self> {
        let date: Date = text.parse().ok()?;
        Some(Self::of(date.to_zoned(TimeZone::UTC).ok()?.timestamp()))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begin = Timestamp::from_second(self.0 * SECONDS).unwrap_or(Timestamp::MAX);
        begin.to_zoned(TimeZone::UTC).date().fmt(f)
    }
}

/// Whether a reservation has ended, and with success.
pub(super) type Coming = watch::Receiver<Option<bool>>;

/// A day's quota of one key.
#[derive(Debug)]
pub(super) struct Quota {
    pub(super) day: Day,
    /// Requests admitted, or lost in a crash.
    pub(super) used: u64,
    /// What the store knows to be used at most.
    pub(super) reserved: u64,
    /// The reservation that is under way.
    pub(super) coming: Option<Coming>,
}

/// What a quota says to one more request.
pub(super) enum Room {
    /// It is reserved.
    Reserved,
    /// It has to be reserved first.
    Unreserved,
    /// The day's requests are used up.
    Spent,
}

impl Quota {
    pub(super) fn new(day: Day, used: u64) -> Self {
        Self { day, used, reserved: used, coming: None }
    }

    pub(super) fn room(&self, limit: u64) -> Room {
        match self.used {
            used if used >= limit => Room::Spent,
            used if used >= self.reserved => Room::Unreserved,
            _ => Room::Reserved,
        }
    }

    /// Whether it is time to reserve the next block.
    pub(super) fn runs_short(&self, limit: u64) -> bool {
        self.coming.is_none() && self.reserved < limit && self.reserved.saturating_sub(self.used) <= block(limit) / 2
    }

    /// What is reserved when the next block is.
    pub(super) fn next(&self, limit: u64) -> u64 {
        self.reserved.saturating_add(block(limit)).min(limit)
    }
}

fn block(limit: u64) -> u64 {
    (limit / BLOCKS).clamp(1, LARGEST_BLOCK)
}

/// The key of a quota's record.
pub(super) fn record_key(key: ApiKeyId, day: Day) -> String {
    format!("{PREFIX}{key}/{day}")
}

/// What the store knows.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// What is reserved today.
    pub(super) today: Vec<(ApiKeyId, u64)>,
    /// The keys of records of earlier days.
    pub(super) earlier: Vec<String>,
}

/// Reads what the store knows.
pub(super) fn read(store: &dyn Store, today: Day) -> Result<Kept, ServiceError> {
    let mut kept = Kept::default();
    let mut after: Option<String> = None;
    loop {
        let page = store.scan(PREFIX, after.as_deref(), PAGE).map_err(ServiceError::internal("reading quotas"))?;
        let Some((last, _)) = page.last() else { return Ok(kept) };
        after = Some(last.clone());
        for (key, record) in page {
            match parse(&key) {
                Some((_, day)) if day < today => kept.earlier.push(key),
                Some((id, day)) if day == today => kept.today.push((id, decode(&record.value)?)),
                Some(_) => {}
                None => return Err(ServiceError::internal("reading quotas")(format!("unknown key {key}"))),
            }
        }
    }
}

fn parse(key: &str) -> Option<(ApiKeyId, Day)> {
    let (id, day) = key.strip_prefix(PREFIX)?.split_once('/')?;
    Some((id.parse().ok()?, Day::parse(day)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_and_read_and_ends_at_midnight() {
        let noon: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let day = Day::of(noon);
        assert_eq!((day.to_string().as_str(), Day::parse("2026-11-22")), ("2026-11-22", Some(day)));
        assert_eq!(day.end().to_string(), "2026-11-23T00:00:00Z");
        assert!(Day::of(day.end()) > day);
        let id: ApiKeyId = "abcdefghij12".parse().unwrap();
        assert_eq!(parse(&record_key(id, day)), Some((id, day)));
        for wrong in ["quota/abcdefghij12", "quota/x/2026-11-22", "quota/abcdefghij12/today"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn blocks_are_small_beside_the_quota_and_bounded() {
        for (limit, expected) in [(0, 1), (1, 1), (39, 1), (40, 2), (1000, 50), (20_000, 1000), (u64::MAX, 1000)] {
            assert_eq!(block(limit), expected, "{limit}");
        }
        let day = Day::of(Timestamp::UNIX_EPOCH);
        let quota = |used, reserved| Quota { reserved, ..Quota::new(day, used) };
        assert_eq!(quota(0, 0).next(100), 5);
        assert_eq!(quota(98, 98).next(100), 100);
        assert!(!quota(2, 5).runs_short(100) && quota(3, 5).runs_short(100));
        assert!(!quota(100, 100).runs_short(100));
        assert!(matches!(quota(5, 5).room(100), Room::Unreserved));
        assert!(matches!(quota(4, 5).room(100), Room::Reserved));
        assert!(matches!(quota(4, 5).room(4), Room::Spent));
    }
}
