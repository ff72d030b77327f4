//! How often somebody may try to log in: counted per address and account together, and per address alone.
//!
//! An account is never closed to everybody: whoever tries passwords somewhere else does not lock out its owner.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Mutex;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::service::error::ServiceError;

/// Counters kept at most, some 5 MB. When there are more, the oldest goes.
const MOST_COUNTERS: usize = 50_000;

/// An account as it was named, hashed: names of any length take the same room.
type Account = u64;

/// Counts attempts that failed.
pub(super) struct LoginLimits {
    per_account: u32,
    per_address: u32,
    window: SignedDuration,
    hasher: RandomState,
    counters: Mutex<HashMap<(IpAddr, Option<Account>), Counter>>,
}

#[derive(Clone, Copy)]
struct Counter {
    since: Timestamp,
    failed: u32,
}

/// An attempt that was let through; it counts as failed until it is said to have succeeded.
pub(super) struct Attempt {
    network: IpAddr,
    account: Option<Account>,
}

impl LoginLimits {
    /// So many attempts from an address, for one account and for all, in a window of time.
    pub(super) fn new(per_account: u32, per_address: u32, window: Duration) -> Self {
        let window = SignedDuration::try_from(window).unwrap_or(SignedDuration::MAX);
        Self { per_account, per_address, window, hasher: RandomState::new(), counters: Mutex::default() }
    }

    /// Takes an attempt in, or says when there may be another one.
    pub(super) fn attempt(
        &self,
        address: Option<IpAddr>,
        account: Option<&str>,
        now: Timestamp,
    ) -> Result<Attempt, ServiceError> {
        let network = network(address);
        let account = account.map(|account| self.hasher.hash_one(account));
        let mut counters = self.counters.lock().expect("no holder panics");
        let bounds = [(None, self.per_address), (account, self.per_account)];
        let bounds = if account.is_some() { &bounds[..] } else { &bounds[..1] };
        for (account, most) in bounds {
            let counter = counters.get(&(network, *account)).filter(|counter| !self.is_over(counter, now));
            if let Some(counter) = counter.filter(|counter| counter.failed >= *most) {
                let left = self.window.saturating_sub(now.duration_since(counter.since));
                return Err(ServiceError::TooManyAttempts { retry_after: left.unsigned_abs() });
            }
        }
        for (account, _) in bounds {
            self.make_room(&mut counters, now);
            let counter = counters.entry((network, *account)).or_insert(Counter { since: now, failed: 0 });
            if self.is_over(counter, now) {
                *counter = Counter { since: now, failed: 0 };
            }
            counter.failed += 1;
        }
        Ok(Attempt { network, account })
    }

    /// An attempt was right after all: it does not count, nor do the account's earlier ones from there.
    pub(super) fn succeeded(&self, attempt: &Attempt) {
        let mut counters = self.counters.lock().expect("no holder panics");
        if let Some(counter) = counters.get_mut(&(attempt.network, None)) {
            counter.failed = counter.failed.saturating_sub(1);
        }
        if attempt.account.is_some() {
            counters.remove(&(attempt.network, attempt.account));
        }
    }

    fn is_over(&self, counter: &Counter, now: Timestamp) -> bool {
        now.duration_since(counter.since) >= self.window
    }

    fn make_room(&self, counters: &mut HashMap<(IpAddr, Option<Account>), Counter>, now: Timestamp) {
        if counters.len() < MOST_COUNTERS {
            return;
        }
        counters.retain(|_, counter| !self.is_over(counter, now));
        if counters.len() >= MOST_COUNTERS {
            let oldest = counters.iter().min_by_key(|(_, counter)| counter.since).map(|(key, _)| *key);
            oldest.map(|key| counters.remove(&key));
        }
    }
}

/// What counts as one address: with IPv6 a customer has a whole /64.
fn network(address: Option<IpAddr>) -> IpAddr {
    match address {
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        Some(address) => address,
        None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(900);

    fn limits() -> LoginLimits {
        LoginLimits::new(2, 3, WINDOW)
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn tries(limits: &LoginLimits, address: &str, account: &str, second: i64) -> Option<u64> {
        match limits.attempt(Some(address.parse().unwrap()), Some(account), at(second)) {
            Ok(_) => None,
            Err(ServiceError::TooManyAttempts { retry_after }) => Some(retry_after.as_secs()),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn an_account_is_closed_to_the_address_that_tries_and_to_no_other() {
        let limits = limits();
        assert_eq!(tries(&limits, "192.0.2.1", "ada", 0), None);
        assert_eq!(tries(&limits, "192.0.2.1", "ada", 1), None);
        assert_eq!(tries(&limits, "192.0.2.1", "ada", 100), Some(800));
        assert_eq!(tries(&limits, "192.0.2.2", "ada", 100), None);
        assert_eq!(tries(&limits, "192.0.2.1", "ada", 899), Some(1));
        assert_eq!(tries(&limits, "192.0.2.1", "ada", 900), None);
    }

    #[test]
    fn an_address_is_stopped_whatever_accounts_it_tries() {
        let limits = limits();
        for (account, stopped) in [("a", None), ("b", None), ("c", None), ("d", Some(900))] {
            assert_eq!(tries(&limits, "2001:db8::1", account, 0), stopped, "{account}");
        }
        assert_eq!(tries(&limits, "2001:db8::2", "e", 0), Some(900), "the same /64");
        assert_eq!(tries(&limits, "2001:db8:0:1::1", "e", 0), None);
    }

    #[test]
    fn what_succeeds_does_not_count() {
        let limits = limits();
        for _ in 0..10 {
            let attempt = limits.attempt(None, Some("ada"), at(0)).unwrap();
            limits.succeeded(&attempt);
        }
        assert!(limits.attempt(None, Some("ada"), at(0)).is_ok());
    }

    #[test]
    fn memory_is_bounded() {
        let limits = LoginLimits::new(1, 1, WINDOW);
        for number in 0..MOST_COUNTERS as u32 + 10 {
            limits.attempt(Some(Ipv4Addr::from(number).into()), None, at(i64::from(number / 100))).unwrap();
        }
        assert_eq!(limits.counters.lock().unwrap().len(), MOST_COUNTERS);
    }
}
