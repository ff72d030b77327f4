//! Counts failed authentications, cheaply: whoever fails must not cost more than a request that succeeds.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::domain::id::ApiKeyId;

/// Parts of the counts that are locked apart.
const SHARDS: usize = 16;
/// Sources counted apart in each part; what comes beyond them is counted together.
const MAX_SOURCES: usize = 1_000;

/// Whose failures are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// Of a key that exists.
    Key(ApiKeyId),
    /// From an address; of version 6, from its network of 64 bits, which is what one client has.
    Address(IpAddr),
    /// From everywhere else.
    ManyAddresses,
}

/// Failures of a source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failed {
    /// When the first one was.
    pub(super) since: Timestamp,
    /// Since then.
    pub(super) count: u64,
    /// Since this was taken last.
    pub(super) fresh: u64,
    /// The last one.
    pub(super) last: Timestamp,
    /// Where that came from.
    pub(super) address: Option<IpAddr>,
}

/// Failures by source.
#[derive(Default)]
pub(super) struct Failures {
    hasher: RandomState,
    shards: [Mutex<HashMap<Source, Failed>>; SHARDS],
}

impl Source {
    /// The source of an address.
    pub(super) fn of(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            v4 => v4,
        })
    }
}

impl Failures {
    /// Counts one.
    pub(super) fn note(&self, source: Source, address: Option<IpAddr>, now: Timestamp, within: SignedDuration) {
        let shard = self.hasher.hash_one(source) as usize % SHARDS;
        let mut shard = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        // Keys are those that exist, so that they are bounded: addresses must not crowd them out.
        let is_key = matches!(source, Source::Key(_));
        let is_room = is_key || shard.len() < MAX_SOURCES || shard.contains_key(&source);
        let source = if is_room { source } else { Source::ManyAddresses };
        let failed = shard.entry(source).or_insert(Failed { since: now, count: 0, fresh: 0, last: now, address });
        if now.duration_since(failed.since) > within {
            (failed.since, failed.count) = (now, 0);
        }
        failed.count += 1;
        failed.fresh += 1;
        (failed.last, failed.address) = (now, address);
    }

    /// Failures of a source, as far back as they are counted together.
    pub(super) fn of(&self, source: Source) -> u64 {
        let shard = self.hasher.hash_one(source) as usize % SHARDS;
        let shard = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        shard.get(&source).map_or(0, |failed| failed.count)
    }

    /// The sources with enough failures to speak of; sources that are at rest are forgotten.
    pub(super) fn take(&self, least: u64, now: Timestamp, within: SignedDuration) -> Vec<(Source, Failed)> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|_, failed| now.duration_since(failed.last) <= within);
            for (source, failed) in shard.iter_mut().filter(|(_, failed)| failed.count >= least) {
                found.push((*source, *failed));
                failed.fresh = 0;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: SignedDuration = SignedDuration::from_mins(5);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn failures_are_counted_by_source_within_a_time() {
        let failures = Failures::default();
        let (one, other) = (Source::of("2001:db8::1".parse().unwrap()), Source::of("2001:db8::2".parse().unwrap()));
        assert_eq!(one, other);
        for second in 0..3 {
            failures.note(one, None, at(second), WITHIN);
        }
        assert!(failures.take(4, at(3), WITHIN).is_empty());
        failures.note(other, None, at(4), WITHIN);
        let found = failures.take(4, at(5), WITHIN);
        assert!(matches!(found[..], [(_, Failed { count: 4, fresh: 4, .. })]), "{found:?}");
        assert_eq!(failures.take(4, at(6), WITHIN)[0].1.fresh, 0);
        // A new stretch of time counts anew, and after a rest nothing is left.
        failures.note(one, None, at(302), WITHIN);
        assert!(failures.take(4, at(303), WITHIN).is_empty());
        assert!(failures.take(0, at(700), WITHIN).is_empty());
    }

    #[test]
    fn any_number_of_sources_takes_bounded_memory() {
        let failures = Failures::default();
        let many = 40_000_u32;
        for address in 0..many {
            failures.note(Source::of(std::net::Ipv4Addr::from(address).into()), None, at(0), WITHIN);
        }
        let found = failures.take(1, at(1), WITHIN);
        assert!(found.len() <= SHARDS * (MAX_SOURCES + 1), "{}", found.len());
        let counted: u64 = found.iter().map(|(_, failed)| failed.count).sum();
        assert_eq!(counted, u64::from(many));
    }
}
