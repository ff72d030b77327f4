//! Times as people say them: `90d`, `1y`, `2027-01-31T12:00:00Z`.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

/// A span of time from now on, such as `24h`, `30d` or `1y`: jiff's friendly format.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Lapse {
    text: Box<str>,
    span: Span,
}

impl Lapse {
    /// The end of the span, in UTC's calendar.
    pub fn after(&self, now: Timestamp) -> Result<Timestamp, String> {
        let end = now.to_zoned(TimeZone::UTC).checked_add(self.span);
        end.map(|end| end.timestamp()).map_err(|_| format!("{self} from now is beyond all calendars. Name less"))
    }
}

impl FromStr for Lapse {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span = text.parse::<Span>().ok().filter(|span| span.is_positive());
        let span = span.ok_or_else(|| format!("\"{text}\" is no span of time. Write one such as 24h, 90d or 1y"))?;
        Ok(Self { text: text.into(), span })
    }
}

impl fmt::Display for Lapse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// When a key is to expire.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Expiry {
    /// At a time.
    At(Timestamp),
    /// So long after it was said.
    In(Lapse),
}

impl Expiry {
    /// The time, for somebody who says it now.
    pub fn timestamp(&self, now: Timestamp) -> Result<Timestamp, String> {
        match self {
            Self::At(time) => Ok(*time),
            Self::In(lapse) => lapse.after(now),
        }
    }
}

impl FromStr for Expiry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self::At).or_else(|_| text.parse().map(Self::In)).map_err(|_| {
            format!("\"{text}\" is no time. Write one such as 2027-01-31T12:00:00Z, or a span such as 90d or 1y")
        })
    }
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(time) => time.fmt(f),
            Self::In(lapse) => lapse.fmt(f),
        }
    }
}

impl TryFrom<String> for Lapse {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Lapse> for String {
    fn from(lapse: Lapse) -> Self {
        lapse.to_string()
    }
}

impl TryFrom<String> for Expiry {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Expiry> for String {
    fn from(expiry: Expiry) -> Self {
        expiry.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_a_time_or_a_span() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for (text, at) in [
            ("2027-01-31T12:00:00Z", "2027-01-31T12:00:00Z"),
            ("30d", "2026-01-31T00:00:00Z"),
            ("90d", "2026-04-01T00:00:00Z"),
            ("1y", "2027-01-01T00:00:00Z"),
            ("12h", "2026-01-01T12:00:00Z"),
        ] {
            let expiry: Expiry = text.parse().unwrap();
            assert_eq!(expiry.timestamp(now).unwrap().to_string(), at);
            assert_eq!(expiry.to_string(), text);
        }
        for wrong in ["", "soon", "-1d", "0s", "90"] {
            assert!(wrong.parse::<Expiry>().is_err(), "{wrong}");
        }
        assert!("19000y".parse::<Expiry>().unwrap().timestamp(now).is_err());
    }
}
