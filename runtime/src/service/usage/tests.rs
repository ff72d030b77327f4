use std::sync::Arc;

use jiff::Timestamp;

use super::*;
use crate::domain::api_key::{KeyPermission, KeySecret};
use crate::domain::usage::Tally;
use crate::store::MemoryStore;

fn key(id: &str) -> ApiKey {
    ApiKey {
        id: id.parse().unwrap(),
        group: "acme".parse().unwrap(),
        environment: Environment::production(),
        name: "erp".parse().unwrap(),
        description: "".into(),
        class: None,
        secrets: Box::<[KeySecret]>::default(),
        created: Timestamp::UNIX_EPOCH,
        expires: None,
        disabled: false,
        revoked: None,
        permission: KeyPermission::AllFlows,
        scopes: KeyPermission::AllFlows.default_scopes(),
        limits: None,
        networks: Box::default(),
    }
}

fn used(at: &str) -> LastUsed {
    LastUsed { at: at.parse().unwrap(), address: Some("198.51.100.4".parse().unwrap()) }
}

#[tokio::test]
async fn counts_survive_in_the_store_hour_by_hour() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let book = UsageBook::new(store.clone());
    let (key, flow) = (key("aaaaaaaaaaaa"), "flw_00000000000000000001".parse().unwrap());
    for (at, succeeded) in
        [("2026-11-21T23:59:59Z", true), ("2026-11-22T00:00:00Z", true), ("2026-11-22T00:30:00Z", false)]
    {
        book.count(&key, Some(&flow), &Tally::one(succeeded, 10, 1), used(at));
    }
    let (last_day, today) = (Day::of(used("2026-11-21T00:00:00Z").at), Day::of(used("2026-11-22T01:00:00Z").at));
    book.write(today).await.unwrap();
    book.count(&key, None, &Tally::one(true, 10, 1), used("2026-11-22T02:00:00Z"));
    // Written on top of what is there, and nothing twice.
    book.write(today).await.unwrap();
    book.write(today).await.unwrap();
    assert_eq!(book.past(&key.group, &key.id, Day(today.0 + 1), 3).unwrap(), [3, 1, 0]);
    assert_eq!(book.past(&key.group, &key.id, today, 1).unwrap(), [1]);
    assert_eq!(last_day.0 + 1, today.0);
    let busy = book.take_busy(today);
    assert_eq!((busy[0].1.today, busy[0].1.fresh), (3, 3));
    assert_eq!(book.take_busy(today)[0].1.fresh, 0);

    let day: KeyDay = writer::read(store.as_ref(), &writer::day_key(&key.group, &key.id, today)).unwrap().unwrap();
    let hours: Vec<_> = day.hours(today).map(|(hour, tally)| (hour.begin().to_string(), *tally)).collect();
    let tally = |requests, succeeded, failed| Tally {
        requests,
        succeeded,
        failed,
        bytes_in: requests * 10,
        bytes_out: requests,
    };
    let wanted =
        [("2026-11-22T00:00:00Z".to_owned(), tally(2, 1, 1)), ("2026-11-22T02:00:00Z".to_owned(), tally(1, 1, 0))];
    assert_eq!(hours, wanted);
    assert_eq!((day.flows[&flow], day.elsewhere), (tally(2, 1, 1), tally(1, 1, 0)));

    let again = UsageBook::new(store);
    assert_eq!(again.last_used(&key.id), Some(used("2026-11-22T02:00:00Z")));
    assert_eq!(again.written_total(&key.id).unwrap().total, tally(4, 3, 1));
    assert_eq!(again.last_used(&"bbbbbbbbbbbb".parse().unwrap()), None);
}

#[test]
fn many_threads_lose_no_count() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let book = Arc::new(UsageBook::new(Arc::new(MemoryStore::new())));
    let keys: Vec<_> = (0..50).map(|n| key(&format!("key{n:09}"))).collect();
    let last = used("2026-11-22T10:00:00Z");
    let today = Day::of(last.at);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for n in 0..10_000 {
                    book.count(&keys[n % keys.len()], None, &Tally::one(n % 2 == 0, 1, 2), last);
                }
            });
        }
        // Writing meanwhile takes nothing away.
        for _ in 0..20 {
            runtime.block_on(book.write(today)).unwrap();
        }
    });
    runtime.block_on(book.write(today)).unwrap();
    let totals = keys.iter().map(|key| book.written_total(&key.id).unwrap().total);
    let sum = totals.fold(Tally::default(), |mut sum, total| {
        sum.add(&total);
        sum
    });
    assert_eq!(
        sum,
        Tally { requests: 80_000, succeeded: 40_000, failed: 40_000, bytes_in: 80_000, bytes_out: 160_000 }
    );
}

#[test]
fn counting_is_cheap() {
    let book = UsageBook::new(Arc::new(MemoryStore::new()));
    let keys: Vec<_> = (0..1_000).map(|n| key(&format!("key{n:09}"))).collect();
    let flow = "flw_00000000000000000001".parse().unwrap();
    let (tally, last) = (Tally::one(true, 100, 100), used("2026-11-22T10:00:00Z"));
    let rounds = 200_000;
    let began = std::time::Instant::now();
    for n in 0..rounds {
        book.count(&keys[n % keys.len()], Some(&flow), &tally, last);
    }
    let each = began.elapsed() / rounds as u32;
    // Far above what it takes even unoptimised on a busy machine, and far below what a write or a scan would take.
    assert!(each < std::time::Duration::from_micros(20), "{each:?}");
}
