//! Tokens of connections as they are kept, and when they are renewed.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::domain::sealed::Sealed;

/// How long before its end a token is renewed at the latest: long enough for some attempts.
const EARLY: SignedDuration = SignedDuration::from_mins(5);
/// Tokens that were got at one moment are renewed within this time of each other, not at one moment again.
const SPREAD: SignedDuration = SignedDuration::from_mins(1);
/// How long before its end a token is used no more: a request takes time to arrive.
const MARGIN: SignedDuration = SignedDuration::from_secs(10);
/// The first pause after a failure.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(2);
/// The longest pause that follows from failures, or that an app may ask for.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(15);

/// A connection's token as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredToken {
    /// Counts the tokens of the connection, and what else changed what calls are given.
    pub generation: u64,
    /// The access token; absent after the connection was disconnected.
    pub access: Option<Sealed>,
    /// The refresh token.
    pub refresh: Option<Sealed>,
    /// When it was got.
    pub obtained: Timestamp,
    /// When the access token ends, where that is known.
    pub expires: Option<Timestamp>,
    /// From when on it is to be renewed.
    pub due: Option<Timestamp>,
    /// Which scopes were granted, where that is known.
    pub scopes: Option<Vec<String>>,
    /// Why only a person can help, where that is so.
    pub broken: Option<String>,
    /// Whether that is only because it ended and nothing renews it.
    #[serde(default)]
    pub expired: bool,
}

impl StoredToken {
    /// As long as there is none.
    pub fn none(now: Timestamp) -> Self {
        Self {
            generation: 0,
            access: None,
            refresh: None,
            obtained: now,
            expires: None,
            due: None,
            scopes: None,
            broken: None,
            expired: false,
        }
    }

    /// Sets when it ends. `chance` is a random number of 0 to 255.
    pub fn set_expiry(&mut self, expires: Option<Timestamp>, chance: u8) {
        self.expires = expires;
        self.due = expires.map(|expires| due(self.obtained, expires, chance));
    }

    /// Whether a request may still be sent with it.
    pub fn is_usable(&self, now: Timestamp) -> bool {
        let ended = |expires: Timestamp| {
            let life = expires.duration_since(self.obtained);
            now >= expires.saturating_sub(MARGIN.min(life / 10)).unwrap_or(expires)
        };
        self.access.is_some() && self.broken.is_none() && !self.expires.is_some_and(ended)
    }

    /// Whether it is to be renewed.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.due.is_some_and(|due| now >= due)
    }
}

/// After 80 to 90 % of its life, or five to six minutes before its end, whichever is later.
fn due(obtained: Timestamp, expires: Timestamp, chance: u8) -> Timestamp {
    let life = expires.duration_since(obtained).max(SignedDuration::ZERO);
    let share = |whole: SignedDuration| (whole / 256).checked_mul(chance.into()).unwrap_or(whole);
    let early = EARLY + share(SPREAD);
    // A tenth of a life is far from overflowing.
    let late = life / 10 + share(life / 10);
    expires.saturating_sub(early.min(late)).unwrap_or(expires)
}

/// How long to wait after so many failures in a row. `chance` is a random number of 0 to 255; `asked` is what the app asks for.
pub fn pause(failures: u32, asked: Option<SignedDuration>, chance: u8) -> SignedDuration {
    let doubled = FIRST_PAUSE.checked_mul(1 << failures.saturating_sub(1).min(20)).unwrap_or(LONGEST_PAUSE);
    let longest = doubled.min(LONGEST_PAUSE);
    // Half of it by chance, so that connections that failed together do not come back together.
    let pause = longest / 2 + (longest / 512).checked_mul(chance.into()).unwrap_or_default();
    pause.max(asked.unwrap_or_default().min(LONGEST_PAUSE))
}

/// Whether none of the needed scopes was granted; one of them is enough.
pub fn lacks_scopes(granted: &[String], needed: &[String]) -> bool {
    !needed.is_empty() && !needed.iter().any(|needed| granted.iter().any(|granted| is_scope(granted, needed)))
}

/// Whether two texts name one scope. Some apps answer with or without the address in front of its name.
fn is_scope(granted: &str, needed: &str) -> bool {
    let ends_with = |long: &str, short: &str| {
        let (long, short) = (long.to_ascii_lowercase(), short.to_ascii_lowercase());
        long.strip_suffix(&short).is_some_and(|front| front.ends_with('/'))
    };
    granted.eq_ignore_ascii_case(needed) || ends_with(granted, needed) || ends_with(needed, granted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(life: i64, chance: u8) -> StoredToken {
        let sealed = Sealed { key: 1, version: 1, nonce: String::new(), ciphertext: String::new() };
        let mut token = StoredToken { access: Some(sealed), ..StoredToken::none(Timestamp::UNIX_EPOCH) };
        token.set_expiry(Some(Timestamp::from_second(life).unwrap()), chance);
        token
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_token_is_renewed_before_its_end() {
        for (life, chance, due) in
            [(3600, 0, 3300), (3600, 255, 3240), (100, 0, 90), (100, 255, 80), (1, 0, 1), (86400, 0, 86100)]
        {
            let token = token(life, chance);
            let found = token.due.unwrap().duration_since(at(due)).as_secs_f64();
            assert!((-0.5..=0.5).contains(&found), "{life} {chance}: {:?}", token.due);
            assert!(!token.is_due(at(due - 1)) && token.is_due(at(due + 1)));
        }
    }

    #[test]
    fn a_token_is_used_until_shortly_before_its_end() {
        let long = token(3600, 0);
        assert!(long.is_usable(at(3589)) && !long.is_usable(at(3590)));
        let short = token(20, 0);
        assert!(short.is_usable(at(17)) && !short.is_usable(at(18)));
        let broken = StoredToken { broken: Some("revoked".into()), ..long.clone() };
        assert!(!broken.is_usable(at(0)));
        assert!(!StoredToken { access: None, ..long.clone() }.is_usable(at(0)));
        let endless = StoredToken { expires: None, due: None, ..long };
        assert!(endless.is_usable(at(1 << 33)) && !endless.is_due(at(1 << 33)));
    }

    #[test]
    fn pauses_grow_and_end() {
        let seconds = |failures, asked: Option<i64>, chance| {
            pause(failures, asked.map(SignedDuration::from_secs), chance).as_secs_f64().round() as i64
        };
        assert_eq!([1, 2, 3, 4].map(|failures| seconds(failures, None, 0)), [1, 2, 4, 8]);
        assert_eq!([1, 2, 3, 4].map(|failures| seconds(failures, None, 255)), [2, 4, 8, 16]);
        assert_eq!([seconds(1000, None, 0), seconds(1000, None, 255)], [450, 898]);
        assert_eq!([seconds(1, Some(30), 0), seconds(1, Some(1 << 40), 0)], [30, 900]);
    }

    #[test]
    fn one_of_the_needed_scopes_is_enough() {
        for (granted, needed, lacks) in [
            (&["read"][..], &["read"][..], false),
            (&["read"], &[], false),
            (&[], &["read"], true),
            (&["read"], &["write", "READ"], false),
            (&["read"], &["write"], true),
            (&["mail.read"], &["read"], true),
            (&["Mail.Send"], &["https://graph.example/mail.send"], false),
            (&["https://graph.example/Mail.Send"], &["Mail.Send"], false),
        ] {
            let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
            assert_eq!(lacks_scopes(&own(granted), &own(needed)), lacks, "{granted:?} {needed:?}");
        }
    }
}
