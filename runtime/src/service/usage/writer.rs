//! Moves counts from memory to the store.
//!
//! A key's day lies at `usage/{group}/{key}/{day}`, what is kept of it for good at `usage-total/{key}`.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::domain::id::{ApiKeyId, GroupId};
use crate::domain::usage::{Day, KeyDay, KeyTotal};
use crate::service::Service;
use crate::service::error::ServiceError;
use crate::service::record::{decode, encode};
use crate::service::usage::{Counted, UsageBook};
use crate::store::{Batch, Store};

/// How often counts are written: what a crash can lose of them.
pub const WRITE_EVERY: Duration = Duration::from_secs(10);
/// Keys written in one batch: their days and totals stay far below the largest batch.
const KEYS_AT_A_TIME: usize = 500;
/// Records looked at at a time.
const PAGE: usize = 1000;
/// Keys whose present day is remembered for the alerts.
const MAX_BUSY: usize = 100_000;

/// What keys were used for today, as far as it was written since the start: the alerts look at it.
#[derive(Default)]
pub(in crate::service) struct Busy {
    pub(in crate::service) day: Option<Day>,
    pub(in crate::service) keys: HashMap<ApiKeyId, BusyKey>,
}

/// A key that was used today.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::service) struct BusyKey {
    /// Requests today.
    pub(in crate::service) today: u64,
    /// Requests since the alerts looked last.
    pub(in crate::service) fresh: u64,
}

/// Where a day of a key lies.
pub(super) fn day_key(group: &GroupId, key: &ApiKeyId, day: Day) -> String {
    format!("usage/{group}/{key}/{day}")
}

/// Where a key's total lies.
pub(super) fn total_key(key: &ApiKeyId) -> String {
    format!("usage-total/{key}")
}

type Taken = Vec<(ApiKeyId, Counted)>;

impl UsageBook {
    /// Writes what was counted. What cannot be written stays counted.
    pub(super) async fn write(&self, today: Day) -> Result<(), ServiceError> {
        let _moving = self.moving.lock().await;
        let mut taken = self.take();
        while !taken.is_empty() {
            let rest = taken.split_off(taken.len().min(KEYS_AT_A_TIME));
            let (store, part) = (self.store.clone(), Arc::new(taken));
            let preparing = part.clone();
            let prepared = tokio::task::spawn_blocking(move || prepare(store.as_ref(), &preparing, today)).await;
            let written = match prepared.map_err(ServiceError::internal("adding up usage")) {
                Ok(Ok((batch, totals))) => {
                    let committed = self.store.commit(batch).await;
                    committed.map(|_| totals).map_err(ServiceError::internal("writing usage"))
                }
                Ok(Err(error)) | Err(error) => Err(error),
            };
            let part = Arc::try_unwrap(part).unwrap_or_else(|_| unreachable!("the task that shared it has ended"));
            match written {
                Ok(totals) => self.remember(today, totals),
                Err(error) => {
                    self.give_back(part.into_iter().chain(rest));
                    return Err(error);
                }
            }
            taken = rest;
        }
        Ok(())
    }

    fn take(&self) -> Taken {
        self.is_full.store(false, std::sync::atomic::Ordering::Relaxed);
        let mut taken = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            // A key that rested since the last time makes room; its last use is in the store.
            shard.retain(|_, counted| !counted.hours.is_empty());
            taken.extend(shard.iter_mut().map(|(id, counted)| {
                let (group, name, environment) =
                    (counted.group.clone(), counted.name.clone(), counted.environment.clone());
                // Drained, so that the next request finds room where this one did.
                let (hours, flows) = (counted.hours.drain(..).collect(), counted.flows.drain(..).collect());
                let addresses = counted.addresses.drain(..).collect();
                (*id, Counted { group, name, environment, last: counted.last, hours, flows, addresses })
            }));
        }
        taken
    }

    fn give_back(&self, taken: impl Iterator<Item = (ApiKeyId, Counted)>) {
        for (id, mut old) in taken {
            let mut shard = self.shard(&id);
            match shard.remove(&id) {
                None => drop(shard.insert(id, old)),
                Some(new) => {
                    old.last = new.last;
                    old.hours.extend(new.hours);
                    old.flows.extend(new.flows);
                    old.addresses.extend(new.addresses);
                    shard.insert(id, old);
                }
            }
        }
    }

    fn remember(&self, today: Day, totals: Vec<(ApiKeyId, BusyKey)>) {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if busy.day != Some(today) {
            *busy = Busy { day: Some(today), keys: HashMap::new() };
        }
        for (id, more) in totals {
            if busy.keys.len() < MAX_BUSY || busy.keys.contains_key(&id) {
                let key = busy.keys.entry(id).or_default();
                *key = BusyKey { today: more.today, fresh: key.fresh + more.fresh };
            }
        }
    }

    /// Keys used today, with what is fresh since this was asked last.
    pub(in crate::service) fn take_busy(&self, today: Day) -> Vec<(ApiKeyId, BusyKey)> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if busy.day != Some(today) {
            return Vec::new();
        }
        let keys = busy.keys.iter_mut().map(|(id, key)| {
            let seen = *key;
            key.fresh = 0;
            (*id, seen)
        });
        keys.collect()
    }

    /// Requests of a key on each of the `days` days before a day, as far as they were written.
    pub(in crate::service) fn past(
        &self,
        group: &GroupId,
        key: &ApiKeyId,
        before: Day,
        days: i64,
    ) -> Result<Vec<u64>, ServiceError> {
        let day = |back: i64| read::<KeyDay>(self.store.as_ref(), &day_key(group, key, Day(before.0 - back)));
        (1..=days).map(|back| Ok(day(back)?.map_or(0, |day| day.total().requests))).collect()
    }

    /// Lets go of days before a day.
    async fn prune(&self, before: Day) -> Result<(), ServiceError> {
        let before = before.to_string();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.scan("usage/", after.as_deref(), PAGE);
            let page = page.map_err(ServiceError::internal("looking for old usage"))?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            let old = page.iter().filter(|(key, _)| key.rsplit('/').next().is_some_and(|day| day < before.as_str()));
            let batch = old.fold(Batch::new(), |batch, (key, _)| batch.delete(key.clone()));
            if !batch.is_empty() {
                self.store.commit(batch).await.map_err(ServiceError::internal("deleting old usage"))?;
            }
        }
    }
}

/// What the store will hold when these counts are added, and how much of it is today's.
fn prepare(
    store: &dyn Store,
    taken: &[(ApiKeyId, Counted)],
    today: Day,
) -> Result<(Batch, Vec<(ApiKeyId, BusyKey)>), ServiceError> {
    let mut batch = Batch::new();
    let mut busy = Vec::new();
    for (id, counted) in taken {
        for (day, more) in counted.days() {
            let key = day_key(&counted.group, id, day);
            let mut sum = read::<KeyDay>(store, &key)?.unwrap_or_default();
            sum.add(&more);
            if day == today {
                busy.push((*id, BusyKey { today: sum.total().requests, fresh: more.total().requests }));
            }
            batch = batch.put(key, encode(&sum));
        }
        let key = total_key(id);
        let before = read::<KeyTotal>(store, &key)?.map(|total| total.total);
        let mut total = KeyTotal {
            group: counted.group.clone(),
            name: counted.name.clone(),
            environment: counted.environment.clone(),
            total: before.unwrap_or_default(),
            last: counted.last,
        };
        total.total.add(&counted.total());
        batch = batch.put(key, encode(&total));
    }
    Ok((batch, busy))
}

pub(super) fn read<T: serde::de::DeserializeOwned>(store: &dyn Store, key: &str) -> Result<Option<T>, ServiceError> {
    let record = store.get(key).map_err(ServiceError::internal("reading usage"))?;
    record.map(|record| decode(&record.value)).transpose()
}

impl Service {
    /// Writes what was counted, what groups spent, and how connections stand. What cannot be written is kept, and tried again.
    pub async fn write_usage(&self) -> Result<(), ServiceError> {
        self.usage.write(Day::of(self.now())).await?;
        self.spending.write().await?;
        self.health.write(&self.catalog()).await
    }

    /// Keeps the written usage up to date until the server stops.
    pub(in crate::service) async fn keep_usage_written(self: Arc<Self>) {
        let mut pruned = None;
        while !self.stopping.is_cancelled() {
            tokio::select! {
                () = tokio::time::sleep(WRITE_EVERY) => {}
                () = self.usage.full.notified() => {}
                () = self.stopping.cancelled() => break,
            }
            if let Err(error) = self.write_usage().await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "usage could not be written; it is tried again"
                );
            }
            let today = Day::of(self.now());
            if pruned != Some(today) {
                pruned = Some(today);
                let oldest = Day(today.0 - i64::from(self.settings.usage_days));
                if let Err(error) = self.usage.prune(oldest).await {
                    tracing::error!(error = &error as &dyn std::error::Error, "old usage could not be deleted");
                }
            }
        }
    }
}
