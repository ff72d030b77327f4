//! How often an API key may be used: requests in any minute, and requests in a day.
//!
//! What was used is counted in memory, a key under its own lock with few others. Only keys that have a limit are
//! counted, and those that rest are let go. The store is written in the background; a request waits for it only when
//! the reserved block of its quota is spent.

mod quota;
mod window;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::api_key::{ApiKey, KeyLimits};
use crate::domain::id::{ApiKeyId, Name};
use crate::service::Clock;
use crate::service::error::ServiceError;
use crate::service::limits::quota::{Coming, Day, Quota, Room};
use crate::service::limits::window::Window;
use crate::service::record::encode;
use crate::store::{Batch, Store};

/// Locks over all keys: so many that threads rarely want the same one.
const SHARDS: usize = 64;
/// How often keys that rest are let go: as often as a minute's requests are forgotten.
const TEND_EVERY: Duration = Duration::from_secs(60);
/// How long a request waits for its quota to be reserved; a commit takes milliseconds.
const RESERVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Records written or deleted in one batch, below the store's bound.
const BATCH: usize = 5000;

/// Bounds of API keys that have none of their own. All are settings under `limits`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSettings {
    /// Requests in any minute. No bound.
    pub rate_per_minute: Option<u32>,
    /// Requests in a day, which begins at midnight UTC. No bound.
    pub daily_quota: Option<u64>,
}

/// Where a key stands with a limit after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The limit.
    pub limit: u64,
    /// Requests left.
    pub remaining: u64,
    /// When there will be more, in seconds since 1970: the oldest counted request is a minute old, or the day over.
    pub reset: i64,
}

/// Which limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitKind {
    /// Requests in any minute.
    Rate,
    /// Requests in a day.
    Quota,
}

/// A request beyond a limit. It was not counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limited {
    /// The key's name.
    pub key: Name,
    /// Which limit.
    pub kind: LimitKind,
    /// Where the key stands with it.
    pub standing: Standing,
    /// When a request will be admitted again, in whole seconds.
    pub retry_after: Duration,
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self { key, standing: Standing { limit, .. }, .. }, seconds) = (self, self.retry_after.as_secs());
        match self.kind {
            LimitKind::Rate => write!(
                f,
                "Rate limit exceeded: the API key \"{key}\" may make {limit} requests a minute. Try again in {seconds} s, or raise the key's rate_per_minute"
            ),
            LimitKind::Quota => write!(
                f,
                "Daily quota exceeded: the API key \"{key}\" may make {limit} requests a day. The next day begins at midnight UTC, in {seconds} s. Wait for it, or raise the key's daily_quota"
            ),
        }
    }
}

/// What was used of all limits.
pub struct Limits {
    defaults: LimitSettings,
    store: Arc<dyn Store>,
    shards: Box<[Mutex<HashMap<ApiKeyId, Meter>>]>,
    reservations: TaskTracker,
}

/// What one key used.
#[derive(Debug, Default)]
struct Meter {
    window: Window,
    quota: Option<Quota>,
}

/// What comes of a request.
enum Charge {
    Counted(Option<Standing>),
    Refused(Limited),
    /// The quota has to be reserved first.
    Waits(Coming),
}

impl Limits {
    /// Reads what is used of today's quotas, and lets go what is left of earlier days.
    pub async fn load(defaults: LimitSettings, store: Arc<dyn Store>, now: Timestamp) -> Result<Self, ServiceError> {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        let limits = Self { defaults, store, shards, reservations: TaskTracker::new() };
        let today = Day::of(now);
        for (key, reserved) in limits.read_today(today).await? {
            limits.shard(&key).entry(key).or_default().quota = Some(Quota::new(today, reserved));
        }
        Ok(limits)
    }

    /// Counts a request of a key, where the key has a limit, and says where it stands then. A request that is refused
    /// is not counted.
    pub async fn charge(self: &Arc<Self>, key: &ApiKey, clock: &Clock) -> Result<Option<Standing>, ServiceError> {
        loop {
            let mut coming = match self.try_charge(key, clock) {
                Charge::Counted(standing) => return Ok(standing),
                Charge::Refused(limited) => return Err(ServiceError::Limited(limited)),
                Charge::Waits(coming) => coming,
            };
            let reserved = tokio::time::timeout(RESERVE_TIMEOUT, coming.wait_for(Option::is_some)).await;
            if !matches!(reserved, Ok(Ok(told)) if *told == Some(true)) {
                let what = "The API key's daily quota cannot be reserved at the moment";
                return Err(ServiceError::Overloaded { what, retry_after: RESERVE_TIMEOUT });
            }
        }
    }

    /// Lets go of keys that rest, until `stopping`.
    pub async fn tend(self: Arc<Self>, clock: Clock, stopping: CancellationToken) {
        let mut day = Day::of(clock());
        while stopping.run_until_cancelled(tokio::time::sleep(TEND_EVERY)).await.is_some() {
            let now = clock();
            self.let_go(now);
            if Day::of(now) > day {
                day = Day::of(now);
                if let Err(error) = self.read_today(day).await {
                    tracing::warn!(%error, source = std::error::Error::source(&error), "quotas of earlier days stay");
                }
            }
        }
    }

    /// Writes what was really used, so that the next start goes on from there. No request comes any more.
    pub async fn settle(&self) {
        self.reservations.close();
        self.reservations.wait().await;
        let mut exact = Vec::new();
        for shard in &self.shards {
            for (key, meter) in shard.lock().expect("no holder panics").iter_mut() {
                let Some(quota) = &mut meter.quota else { continue };
                if quota.reserved != quota.used {
                    quota.reserved = quota.used;
                    exact.push((quota::record_key(*key, quota.day), encode(&quota.used)));
                }
            }
        }
        for part in exact.chunks(BATCH) {
            let batch = part.iter().cloned().fold(Batch::new(), |batch, (key, used)| batch.put(key, used));
            if let Err(error) = self.store.commit(batch).await {
                tracing::warn!(%error, "quotas could not be settled; what was reserved of them counts as used");
                return;
            }
        }
    }

    fn shard(&self, key: &ApiKeyId) -> MutexGuard<'_, HashMap<ApiKeyId, Meter>> {
        self.shards[key.part(SHARDS)].lock().expect("no holder panics")
    }

    /// The limits of a key: its own, and the server's where it has none.
    pub fn of(&self, key: &ApiKey) -> KeyLimits {
        let own = key.limits.as_deref().copied().unwrap_or_default();
        KeyLimits {
            rate_per_minute: own.rate_per_minute.or(self.defaults.rate_per_minute),
            daily_quota: own.daily_quota.or(self.defaults.daily_quota),
        }
    }

    /// How much of a day's quota a key has used.
    pub fn used_today(&self, key: &ApiKeyId, now: Timestamp) -> u64 {
        let shard = self.shard(key);
        let quota = shard.get(key).and_then(|meter| meter.quota.as_ref());
        quota.filter(|quota| quota.day == Day::of(now)).map_or(0, |quota| quota.used)
    }

    fn try_charge(self: &Arc<Self>, key: &ApiKey, clock: &Clock) -> Charge {
        let KeyLimits { rate_per_minute: rate, daily_quota: daily } = self.of(key);
        if rate.is_none() && daily.is_none() {
            return Charge::Counted(None);
        }
        let mut shard = self.shard(&key.id);
        // Told under the lock, so that a key's requests are counted in the order of their times.
        let now = clock();
        let Meter { window, quota } = shard.entry(key.id).or_default();
        let refused = |kind, limit: u64, wait| {
            let retry_after = whole_seconds(wait);
            let standing = Standing { limit, remaining: 0, reset: after(now, retry_after) };
            Charge::Refused(Limited { key: key.name.clone(), kind, standing, retry_after })
        };
        if let Some(limit) = rate
            && window.remaining(limit, now) == 0
        {
            return refused(LimitKind::Rate, limit.into(), window.wait(limit, now));
        }
        let mut standing = None;
        if let Some(limit) = daily {
            let quota = today(quota, now);
            match quota.room(limit) {
                Room::Spent => return refused(LimitKind::Quota, limit, until(now, quota.day.end())),
                Room::Unreserved => {
                    let coming = quota.coming.clone();
                    return Charge::Waits(coming.unwrap_or_else(|| self.reserve(key.id, quota, limit)));
                }
                Room::Reserved => quota.used += 1,
            }
            if quota.runs_short(limit) {
                self.reserve(key.id, quota, limit);
            }
            let reset = quota.day.end().as_second();
            standing = Some(Standing { limit, remaining: limit - quota.used, reset });
        }
        if let Some(limit) = rate {
            window.admit(now);
            let (remaining, reset) = (window.remaining(limit, now), after(now, window.until_growth(now)));
            standing = Some(Standing { limit: limit.into(), remaining: remaining.into(), reset });
        }
        Charge::Counted(standing)
    }

    /// Reserves the next block in the background.
    fn reserve(self: &Arc<Self>, key: ApiKeyId, quota: &mut Quota, limit: u64) -> Coming {
        let (tell, coming) = tokio::sync::watch::channel(None);
        quota.coming = Some(coming.clone());
        let (limits, day, next) = (self.clone(), quota.day, quota.next(limit));
        self.reservations.spawn(async move {
            let saved = limits.store.commit(Batch::new().put(quota::record_key(key, day), encode(&next))).await;
            if let Err(error) = &saved {
                tracing::error!(%error, api_key = %key, "a quota could not be reserved");
            }
            if let Some(Meter { quota: Some(quota), .. }) = limits.shard(&key).get_mut(&key)
                && quota.day == day
            {
                quota.coming = None;
                quota.reserved = if saved.is_ok() { next } else { quota.reserved };
            }
            tell.send_replace(Some(saved.is_ok()));
        });
        coming
    }

    fn let_go(&self, now: Timestamp) {
        let today = Day::of(now);
        for shard in &self.shards {
            shard.lock().expect("no holder panics").retain(|_, meter| {
                let counts_today = meter.quota.as_ref().is_some_and(|quota| quota.day >= today);
                counts_today || !meter.window.is_idle(now)
            });
        }
    }

    /// What is reserved of today's quotas. Records of earlier days are deleted.
    async fn read_today(&self, today: Day) -> Result<Vec<(ApiKeyId, u64)>, ServiceError> {
        let store = self.store.clone();
        let reading = tokio::task::spawn_blocking(move || quota::read(store.as_ref(), today));
        let kept = reading.await.map_err(ServiceError::internal("reading quotas"))??;
        for part in kept.earlier.chunks(BATCH) {
            let batch = part.iter().fold(Batch::new(), |batch, key| batch.delete(key));
            self.store.commit(batch).await.map_err(ServiceError::internal("deleting quotas of earlier days"))?;
        }
        Ok(kept.today)
    }
}

/// The quota of the present day. A clock that is set back goes on with the day it had come to.
fn today(quota: &mut Option<Quota>, now: Timestamp) -> &mut Quota {
    let today = Day::of(now);
    if quota.as_ref().is_none_or(|quota| quota.day < today) {
        *quota = None;
    }
    quota.get_or_insert_with(|| Quota::new(today, 0))
}

fn until(now: Timestamp, end: Timestamp) -> Duration {
    Duration::try_from(end.duration_since(now)).unwrap_or_default()
}

/// Rounded up, and never none: who comes back then is admitted.
fn whole_seconds(wait: Duration) -> Duration {
    Duration::from_secs((wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1))
}

/// A later time in seconds since 1970, rounded up.
fn after(now: Timestamp, wait: Duration) -> i64 {
    let later = now.checked_add(wait).unwrap_or(Timestamp::MAX);
    later.as_second() + i64::from(later.subsec_nanosecond() > 0)
}

#[cfg(test)]
mod tests;
