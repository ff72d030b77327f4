//! Usage of API keys: counted in memory, written every ten seconds, so a crash loses at most that much of it.

mod report;
mod spending;
mod writer;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;

use crate::domain::api_key::ApiKey;
use crate::domain::id::{ApiKeyId, Environment, FlowId, GroupId, Name};
use crate::domain::usage::{Day, Hour, KeyDay, KeyTotal, MAX_ADDRESSES, MAX_FLOWS, Tally};
use crate::service::Service;
use crate::service::record::decode;
use crate::store::Store;

pub use crate::domain::usage::LastUsed;
pub use report::{FlowUsage, GroupUsage, KeyUsage, MAX_KEYS};
pub(super) use spending::{Running, Spending};
pub use writer::WRITE_EVERY;

/// Parts of the book that are locked apart, so that requests on many threads seldom meet.
const SHARDS: usize = 64;
/// Keys of one part that may wait to be written; with more of them the book is written at once.
const MAX_WAITING: usize = 2_000;

/// What one request did, filled in on its way by those who learn it.
#[derive(Debug, Default)]
pub struct Seen {
    key: OnceLock<Arc<ApiKey>>,
    flow: OnceLock<FlowId>,
    bytes_in: AtomicU64,
}

impl Seen {
    /// Which key it carries. From here on the request counts.
    pub fn key(&self, key: &Arc<ApiKey>) {
        self.key.get_or_init(|| key.clone());
    }

    /// Which flow it reached.
    pub fn flow(&self, flow: &FlowId) {
        self.flow.get_or_init(|| flow.clone());
    }

    /// The bytes of its body.
    pub fn received(&self, bytes: u64) {
        self.bytes_in.store(bytes, Ordering::Relaxed);
    }
}

/// What keys were used for.
pub struct UsageBook {
    store: Arc<dyn Store>,
    shards: [Mutex<HashMap<ApiKeyId, Counted>>; SHARDS],
    /// Held while counts move from memory to the store: whoever adds up both waits for it.
    moving: tokio::sync::Mutex<()>,
    full: Notify,
    is_full: AtomicBool,
    busy: Mutex<writer::Busy>,
}

/// What is counted of one key and not yet written.
struct Counted {
    group: GroupId,
    name: Name,
    environment: Environment,
    last: LastUsed,
    hours: Vec<(Hour, Tally)>,
    flows: Vec<(Day, Option<FlowId>, Tally)>,
    addresses: Vec<(Day, IpAddr, Tally)>,
}

impl Counted {
    fn new(key: &ApiKey, last: LastUsed) -> Self {
        let (group, name, environment) = (key.group.clone(), key.name.clone(), key.environment.clone());
        Self { group, name, environment, last, hours: Vec::new(), flows: Vec::new(), addresses: Vec::new() }
    }

    fn count(&mut self, hour: Hour, flow: Option<&FlowId>, tally: &Tally) {
        if let Some(address) = self.last.address {
            self.count_address(hour.day(), address, tally);
        }
        match self.hours.last_mut().filter(|(last, _)| *last == hour) {
            Some((_, sum)) => sum.add(tally),
            None => self.hours.push((hour, *tally)),
        }
        let day = hour.day();
        let flow = flow.filter(|flow| {
            self.flows.len() < MAX_FLOWS || self.flows.iter().any(|(_, known, _)| known.as_ref() == Some(flow))
        });
        let known = self.flows.iter_mut().find(|(on, known, _)| *on == day && known.as_ref() == flow);
        match known {
            Some((_, _, sum)) => sum.add(tally),
            None => self.flows.push((day, flow.cloned(), *tally)),
        }
    }

    fn count_address(&mut self, day: Day, address: IpAddr, tally: &Tally) {
        let is_room = self.addresses.len() < MAX_ADDRESSES;
        match self.addresses.iter_mut().find(|(on, known, _)| (*on, *known) == (day, address)) {
            Some((_, _, sum)) => sum.add(tally),
            None if is_room => self.addresses.push((day, address, *tally)),
            None => {}
        }
    }

    /// What is counted, by day.
    fn days(&self) -> Vec<(Day, KeyDay)> {
        let mut days: Vec<(Day, KeyDay)> = Vec::new();
        let mut at = |day: Day| {
            let index = days.iter().position(|(known, _)| *known == day).unwrap_or(days.len());
            if index == days.len() {
                days.push((day, KeyDay::default()));
            }
            index
        };
        let hours: Vec<_> = self.hours.iter().map(|(hour, tally)| (at(hour.day()), hour, tally)).collect();
        let flows: Vec<_> = self.flows.iter().map(|(day, flow, tally)| (at(*day), flow, tally)).collect();
        let addresses: Vec<_> = self.addresses.iter().map(|(day, from, tally)| (at(*day), from, tally)).collect();
        for (index, hour, tally) in hours {
            days[index].1.add_hour(*hour, tally);
        }
        for (index, flow, tally) in flows {
            days[index].1.add_flow(flow.as_ref(), tally);
        }
        for (index, address, tally) in addresses {
            days[index].1.add_address(*address, tally);
        }
        days
    }

    fn total(&self) -> Tally {
        self.hours.iter().fold(Tally::default(), |mut sum, (_, tally)| {
            sum.add(tally);
            sum
        })
    }
}

impl UsageBook {
    /// A book whose written pages lie in a store.
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            shards: std::array::from_fn(|_| Mutex::default()),
            moving: tokio::sync::Mutex::default(),
            full: Notify::new(),
            is_full: AtomicBool::new(false),
            busy: Mutex::default(),
        }
    }

    fn shard(&self, key: &ApiKeyId) -> MutexGuard<'_, HashMap<ApiKeyId, Counted>> {
        // Ids are random, so that any of their letters spread them.
        let sum = key.as_str().bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        // A panic under the lock leaves counts that are whole.
        self.shards[sum % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request. It takes no memory but at a key's first request of ten seconds, or of an hour.
    pub fn count(&self, key: &ApiKey, flow: Option<&FlowId>, tally: &Tally, last: LastUsed) {
        let mut shard = self.shard(&key.id);
        let counted = shard.entry(key.id).or_insert_with(|| Counted::new(key, last));
        counted.last = last;
        counted.count(Hour::of(last.at), flow, tally);
        if shard.len() > MAX_WAITING && !self.is_full.swap(true, Ordering::Relaxed) {
            self.full.notify_one();
        }
    }

    /// When a key was used last.
    pub fn last_used(&self, key: &ApiKeyId) -> Option<LastUsed> {
        let in_memory = self.shard(key).get(key).map(|counted| counted.last);
        in_memory.or_else(|| self.written_total(key).map(|total| total.last))
    }

    /// What was written of a key, if it can be read.
    fn written_total(&self, key: &ApiKeyId) -> Option<KeyTotal> {
        let read =
            self.store.get(&writer::total_key(key)).map_err(crate::service::ServiceError::internal("reading usage"));
        let total = read.and_then(|record| record.map(|record| decode(&record.value)).transpose());
        total.unwrap_or_else(|error| {
            tracing::error!(%key, error = &error as &dyn std::error::Error, "the usage of a key cannot be read");
            None
        })
    }
}

impl Service {
    /// Counts a request that was answered, if a key was authenticated by it.
    pub fn count(&self, seen: &Seen, succeeded: bool, bytes_out: u64, address: Option<IpAddr>) {
        let Some(key) = seen.key.get() else { return };
        let tally = Tally::one(succeeded, seen.bytes_in.load(Ordering::Relaxed), bytes_out);
        self.usage.count(key, seen.flow.get(), &tally, LastUsed { at: self.now(), address });
    }

    /// When a key was used last, and from where.
    pub fn last_used(&self, key: &ApiKeyId) -> Option<LastUsed> {
        self.usage.last_used(key)
    }
}

#[cfg(test)]
mod tests;
