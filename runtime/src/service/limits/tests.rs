//! Limits under many threads, and across crashes and restarts.

use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::thread;

use super::*;
use crate::domain::api_key::{KeyLimits, KeyPermission};
use crate::store::{MemoryStore, StoreError};

/// 2026-11-22, noon.
const NOON: i64 = 1_795_348_800;

/// A clock that stands until it is moved.
struct Hands(Arc<AtomicI64>);

impl Hands {
    fn at(seconds: i64) -> Self {
        Self(Arc::new(AtomicI64::new(seconds)))
    }

    fn move_by(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::Relaxed)).unwrap()
    }

    fn clock(&self) -> Clock {
        let hands = self.0.clone();
        Arc::new(move || Timestamp::from_second(hands.load(Ordering::Relaxed)).unwrap())
    }
}

fn key(rate_per_minute: Option<u32>, daily_quota: Option<u64>) -> ApiKey {
    ApiKey {
        id: "abcdefghij12".parse().unwrap(),
        group: "acme".parse().unwrap(),
        environment: crate::domain::id::Environment::production(),
        name: "crm".parse().unwrap(),
        description: "".into(),
        class: None,
        secrets: Box::default(),
        created: Timestamp::UNIX_EPOCH,
        expires: None,
        disabled: false,
        revoked: None,
        permission: KeyPermission::AllFlows,
        scopes: KeyPermission::AllFlows.default_scopes(),
        limits: Some(Box::new(KeyLimits { rate_per_minute, daily_quota })),
        networks: Box::default(),
    }
}

async fn limits(store: &Arc<MemoryStore>, hands: &Hands) -> Arc<Limits> {
    let defaults = LimitSettings::default();
    Arc::new(Limits::load(defaults, store.clone(), hands.now()).await.unwrap())
}

async fn refused(limits: &Arc<Limits>, key: &ApiKey, hands: &Hands) -> Limited {
    match limits.charge(key, &hands.clock()).await {
        Err(ServiceError::Limited(limited)) => limited,
        other => panic!("{other:?}"),
    }
}

/// How many of a key's requests are admitted until one is refused.
async fn admitted(limits: &Arc<Limits>, key: &ApiKey, hands: &Hands) -> u64 {
    let mut admitted = 0;
    while limits.charge(key, &hands.clock()).await.is_ok() {
        admitted += 1;
    }
    admitted
}

#[tokio::test]
async fn a_rate_says_where_it_stands_and_when_it_is_free_again() {
    let (hands, store) = (Hands::at(NOON), Arc::default());
    let (limits, key) = (limits(&store, &hands).await, key(Some(2), None));
    for (remaining, reset) in [(1, NOON + 60), (0, NOON + 60)] {
        let standing = limits.charge(&key, &hands.clock()).await.unwrap();
        assert_eq!(standing, Some(Standing { limit: 2, remaining, reset }));
        hands.move_by(10);
    }
    let limited = refused(&limits, &key, &hands).await;
    assert_eq!((limited.kind, limited.retry_after.as_secs()), (LimitKind::Rate, 40));
    assert_eq!(limited.standing, Standing { limit: 2, remaining: 0, reset: NOON + 60 });
    // Having asked in vain costs nothing.
    hands.move_by(40);
    assert!(limits.charge(&key, &hands.clock()).await.is_ok());
    assert_eq!(refused(&limits, &key, &hands).await.retry_after.as_secs(), 10);
}

#[tokio::test]
async fn a_quota_says_where_it_stands_and_begins_again_at_midnight() {
    let (hands, store) = (Hands::at(NOON), Arc::default());
    let (limits, key) = (limits(&store, &hands).await, key(None, Some(100)));
    let midnight = NOON + 12 * 3600;
    let standing = limits.charge(&key, &hands.clock()).await.unwrap();
    assert_eq!(standing, Some(Standing { limit: 100, remaining: 99, reset: midnight }));
    assert_eq!(admitted(&limits, &key, &hands).await, 99);
    let limited = refused(&limits, &key, &hands).await;
    assert_eq!((limited.kind, limited.retry_after.as_secs()), (LimitKind::Quota, 12 * 3600));
    assert_eq!(limited.standing, Standing { limit: 100, remaining: 0, reset: midnight });
    // What was raised or lowered counts at once.
    assert_eq!(admitted(&limits, &self::key(None, Some(130)), &hands).await, 30);
    assert_eq!(admitted(&limits, &self::key(None, Some(10)), &hands).await, 0);
    hands.move_by(12 * 3600 - 1);
    assert_eq!(refused(&limits, &key, &hands).await.retry_after.as_secs(), 1);
    hands.move_by(1);
    assert_eq!(admitted(&limits, &key, &hands).await, 100);
    hands.move_by(-10);
    assert_eq!(admitted(&limits, &key, &hands).await, 0);
}

#[tokio::test]
async fn what_one_limit_refuses_costs_nothing_of_the_other() {
    let (hands, store) = (Hands::at(NOON), Arc::default());
    let limits = limits(&store, &hands).await;
    let both = key(Some(3), Some(5));
    assert_eq!(admitted(&limits, &both, &hands).await, 3);
    assert_eq!(refused(&limits, &both, &hands).await.kind, LimitKind::Rate);
    hands.move_by(60);
    assert_eq!(admitted(&limits, &both, &hands).await, 2);
    assert_eq!(refused(&limits, &both, &hands).await.kind, LimitKind::Quota);
    // Two of three were admitted in this minute.
    assert_eq!(admitted(&limits, &key(Some(3), None), &hands).await, 1);
}

#[tokio::test]
async fn defaults_hold_for_keys_without_limits_of_their_own() {
    let (hands, store) = (Hands::at(NOON), Arc::<MemoryStore>::default());
    let without = Arc::new(Limits::load(LimitSettings::default(), store.clone(), hands.now()).await.unwrap());
    assert_eq!(without.charge(&key(None, None), &hands.clock()).await.unwrap(), None);
    assert!(without.shards.iter().all(|shard| shard.lock().unwrap().is_empty()));
    let defaults = LimitSettings { rate_per_minute: Some(3), daily_quota: Some(1000) };
    let limits = Arc::new(Limits::load(defaults, store, hands.now()).await.unwrap());
    let bare = ApiKey { limits: None, ..key(None, None) };
    assert_eq!(admitted(&limits, &bare, &hands).await, 3);
    assert_eq!(admitted(&limits, &key(Some(5), None), &hands).await, 2);
}

#[test]
fn sixty_four_threads_never_get_more_than_the_rate() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (hands, store) = (Hands::at(NOON), Arc::default());
    let limits = runtime.block_on(limits(&store, &hands));
    let (key, clock, count) = (key(Some(500), None), hands.clock(), AtomicU32::new(0));
    let minute = |expected: u32| {
        thread::scope(|scope| {
            for _ in 0..64 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        if matches!(limits.try_charge(&key, &clock), Charge::Counted(_)) {
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(count.swap(0, Ordering::Relaxed), expected);
    };
    minute(500);
    hands.move_by(59);
    minute(0);
    hands.move_by(1);
    minute(500);
}

#[test]
fn sixty_four_threads_never_get_more_than_the_rate_while_time_passes() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let store = Arc::default();
    let limits = runtime.block_on(limits(&store, &Hands::at(NOON)));
    // Every look at the clock is 37 ms after the one before, and each thread knows what it was told.
    thread_local!(static TOLD: Cell<i64> = const { Cell::new(0) });
    let millis = AtomicI64::new(NOON * 1000);
    let clock: Clock = Arc::new(move || {
        TOLD.set(millis.fetch_add(37, Ordering::Relaxed));
        Timestamp::from_millisecond(TOLD.get()).unwrap()
    });
    let (key, admitted) = (key(Some(50), None), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                for _ in 0..300 {
                    if matches!(limits.try_charge(&key, &clock), Charge::Counted(_)) {
                        admitted.lock().unwrap().push(TOLD.get());
                    }
                }
            });
        }
    });
    let mut admitted = admitted.into_inner().unwrap();
    admitted.sort_unstable();
    // 19,200 requests in 710 s: eleven full minutes and a little.
    assert!((50 * 11..=50 * 12).contains(&admitted.len()), "{}", admitted.len());
    for (first, from) in admitted.iter().enumerate() {
        let within = admitted[first..].iter().filter(|at| **at < from + 60_000).count();
        assert!(within <= 50, "{within} within a minute");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_holds_for_callers_who_wait_for_it_together() {
    let (hands, store) = (Hands::at(NOON), Arc::default());
    let limits = limits(&store, &hands).await;
    let callers = (0..300).map(|_| {
        let (limits, clock) = (limits.clone(), hands.clock());
        tokio::spawn(async move { limits.charge(&key(None, Some(120)), &clock).await.is_ok() })
    });
    let admitted = futures::future::join_all(callers).await.into_iter().filter(|admitted| *admitted.as_ref().unwrap());
    assert_eq!(admitted.count(), 120);
}

#[tokio::test]
async fn a_crash_never_admits_more_and_an_orderly_stop_loses_nothing() {
    for (used, orderly) in [(0, false), (1, false), (7, false), (100, false), (7, true), (42, true)] {
        let (hands, store, key) = (Hands::at(NOON), Arc::default(), key(None, Some(100)));
        let mut before = limits(&store, &hands).await;
        for _ in 0..used {
            before.charge(&key, &hands.clock()).await.unwrap();
        }
        if orderly {
            before.settle().await;
        }
        before = limits(&store, &hands).await;
        let after = admitted(&before, &key, &hands).await;
        if orderly {
            assert_eq!(used + after, 100);
        } else {
            assert!(used + after <= 100 && used + after >= 100 - 10, "{used} before and {after} after the crash");
        }
    }
}

#[tokio::test]
async fn keys_that_rest_are_let_go_and_so_are_earlier_days() {
    let (hands, store) = (Hands::at(NOON), Arc::default());
    let before = limits(&store, &hands).await;
    before.charge(&key(Some(5), Some(100)), &hands.clock()).await.unwrap();
    before.settle().await;
    let held = |limits: &Limits| limits.shards.iter().map(|shard| shard.lock().unwrap().len()).sum::<usize>();
    hands.move_by(60);
    before.let_go(hands.now());
    assert_eq!(held(&before), 1, "a day's quota is kept for the day");
    hands.move_by(12 * 3600);
    before.let_go(hands.now());
    assert_eq!(held(&before), 0);
    assert_eq!(store.scan("quota/", None, 10).unwrap().len(), 1);
    let after = limits(&store, &hands).await;
    assert_eq!((held(&after), store.scan("quota/", None, 10).unwrap().len()), (0, 0));
}

/// A store that takes nothing.
struct Full(MemoryStore);

impl Store for Full {
    fn get(&self, key: &str) -> Result<Option<crate::store::Record>, StoreError> {
        self.0.get(key)
    }

    fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, crate::store::Record)>, StoreError> {
        self.0.scan(prefix, after, limit)
    }

    fn commit(&self, _: Batch) -> futures::future::BoxFuture<'_, Result<crate::store::Sequence, StoreError>> {
        Box::pin(async { Err(StoreError::InvalidKey { key: String::new(), reason: "the disk is full" }) })
    }

    fn feed(&self, after: crate::store::Sequence) -> Result<crate::store::Feed, StoreError> {
        self.0.feed(after)
    }

    fn latest(&self) -> crate::store::Sequence {
        self.0.latest()
    }
}

#[tokio::test]
async fn what_cannot_be_reserved_is_not_admitted() {
    let hands = Hands::at(NOON);
    let store = Arc::new(Full(MemoryStore::default()));
    let limits = Arc::new(Limits::load(LimitSettings::default(), store, hands.now()).await.unwrap());
    for _ in 0..2 {
        let charged = limits.charge(&key(None, Some(100)), &hands.clock()).await;
        assert!(matches!(charged, Err(ServiceError::Overloaded { .. })), "{charged:?}");
    }
    assert!(limits.charge(&key(Some(1), None), &hands.clock()).await.is_ok());
}
