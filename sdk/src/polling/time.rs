//! Times as apps write them, in milliseconds since 1970.

use std::time::{SystemTime, UNIX_EPOCH};

const DAY: i64 = 86_400_000;

/// The time now, in milliseconds since 1970, by the clock of the server.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A time as RFC 3339 has it, such as `2026-01-02T03:04:05.678Z`, in milliseconds since 1970; nothing where it is none.
///
/// ```
/// # use headgate_sdk::polling::millis;
/// assert_eq!(millis("1970-01-02T00:00:01.5Z"), Some(86_401_500));
/// assert_eq!(millis("1970-01-01T01:00:00+01:00"), Some(0));
/// assert_eq!(millis("yesterday"), None);
/// ```
pub fn millis(text: &str) -> Option<i64> {
    let (date, time) = text.split_at_checked(10)?;
    let time = time.strip_prefix(['T', 't', ' '])?;
    let zone = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone);
    let [year, month, day] = numbers(date, '-')?;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hours, minutes, seconds] = numbers(clock, ':')?;
    if hours > 23 || minutes > 59 || seconds > 60 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let away = match zone.split_at_checked(1)? {
        ("+", zone) => offset(zone)?,
        ("-", zone) => -offset(zone)?,
        (_, "") => 0,
        _ => return None,
    };
    Some(days(year, month, day) * DAY + ((hours * 60 + minutes - away) * 60 + seconds) * 1_000 + thousandths)
}

/// A time in milliseconds since 1970 as RFC 3339 has it, in UTC.
///
/// ```
/// # use headgate_sdk::polling::rfc3339;
/// assert_eq!(rfc3339(86_401_500), "1970-01-02T00:00:01.500Z");
/// ```
pub fn rfc3339(millis: i64) -> String {
    let (day, rest) = (millis.div_euclid(DAY), millis.rem_euclid(DAY));
    let (year, month, day) = date(day);
    let (seconds, thousandths) = (rest / 1_000, rest % 1_000);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{thousandths:03}Z")
}

/// Decimal numbers of at most four digits, so many as are wanted.
fn numbers<const N: usize>(text: &str, separator: char) -> Option<[i64; N]> {
    let number = |part: &str| {
        let digits = part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit());
        if digits { part.parse().ok() } else { None }
    };
    let parts: Vec<i64> = text.split(separator).map(number).collect::<Option<_>>()?;
    parts.try_into().ok()
}

/// The minutes of `01:00`.
fn offset(zone: &str) -> Option<i64> {
    let [hours, minutes] = numbers(zone, ':')?;
    Some(hours * 60 + minutes)
}

/// The days from 1970 to a date of the Gregorian calendar. Years begin in March, so that the leap day is their last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The date so many days after 1970: the way of [`days`] back.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, expected) in [
            ("1970-01-01T00:00:00.000Z", 0),
            ("2000-02-29T12:00:00.000Z", 951_825_600_000),
            ("2026-01-02T03:04:05.678Z", 1_767_323_045_678),
            ("2100-03-01T00:00:00.000Z", 4_107_542_400_000),
            ("1969-12-31T23:59:59.999Z", -1),
        ] {
            assert_eq!(millis(text), Some(expected), "{text}");
            assert_eq!(rfc3339(expected), text);
        }
        for (text, expected) in [
            ("2026-01-02T03:04:05Z", Some(1_767_323_045_000)),
            ("2026-01-02T03:04:05.6789Z", Some(1_767_323_045_678)),
            ("2026-01-02T05:04:05+02:00", Some(1_767_323_045_000)),
            ("2026-01-01T22:04:05-05:00", Some(1_767_323_045_000)),
            ("2026-01-02", None),
            ("2026-13-02T03:04:05Z", None),
            ("2026-01-02T03:04:05", None),
            ("2026-01-02T25:04:05Z", None),
            ("2026-01-02T03:04:05.-1Z", None),
            ("99999999999999999-1T03:04:05Z", None),
            ("éééééé", None),
        ] {
            assert_eq!(millis(text), expected, "{text}");
        }
    }
}
