//! What every store does, whatever it is made of: one suite, run over memory and over log and index on disk.

use std::future::Future;
use std::sync::Arc;

use super::*;

/// Runs one case over both stores; the one on disk is closed and opened again before `then` looks at it.
async fn over_both<F, G>(case: impl Fn(Arc<dyn Store>) -> F, then: impl Fn(Arc<dyn Store>) -> G)
where
    F: Future<Output = ()>,
    G: Future<Output = ()>,
{
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::new());
    case(Arc::clone(&memory)).await;
    then(memory).await;

    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(dir.path(), &Options::default()).unwrap();
    case(Arc::clone(&database.records)).await;
    then(Arc::clone(&database.records)).await;
    database.close().await.unwrap();
    let database = Database::open(dir.path(), &Options::default()).unwrap();
    then(Arc::clone(&database.records)).await;
    database.close().await.unwrap();
}

async fn nothing(_: Arc<dyn Store>) {}

fn keys(page: Vec<(String, Record)>) -> Vec<String> {
    page.into_iter().map(|(key, _)| key).collect()
}

#[tokio::test]
async fn a_record_is_put_read_replaced_and_deleted() {
    let case = |store: Arc<dyn Store>| async move {
        assert_eq!(store.get("group/a").unwrap(), None);
        let first = store.commit(Batch::new().put("group/a", "1").put("group/b", "2")).await.unwrap();
        assert_eq!(first, Sequence::new(1));
        assert_eq!(store.get("group/a").unwrap(), Some(Record { value: "1".into(), version: first }));
        let second = store.commit(Batch::new().put("group/a", "3").delete("group/b").delete("group/c")).await.unwrap();
        assert_eq!(second, Sequence::new(2));
        assert_eq!(store.latest(), second);
    };
    let then = |store: Arc<dyn Store>| async move {
        let version = Sequence::new(2);
        assert_eq!(store.get("group/a").unwrap(), Some(Record { value: "3".into(), version }));
        assert_eq!(store.get("group/b").unwrap(), None);
        assert_eq!(store.latest(), version);
    };
    over_both(case, then).await;
}

#[tokio::test]
async fn operations_of_a_batch_work_in_their_order() {
    let case = |store: Arc<dyn Store>| async move {
        store.commit(Batch::new().put("k", "1").delete("k").put("k", "2").put("l", "1").delete("l")).await.unwrap();
    };
    let then = |store: Arc<dyn Store>| async move {
        assert_eq!(store.get("k").unwrap().unwrap().value, "2");
        assert_eq!(store.get("l").unwrap(), None);
    };
    over_both(case, then).await;
}

#[tokio::test]
async fn values_of_every_size_come_back() {
    let sizes = [0, 1, 48 << 10, (48 << 10) + 1, 64 << 10, 100_000, 1 << 20, 5 << 20];
    let value = |size: usize| (0..size).map(|i| (i * 31 % 251) as u8).collect::<Vec<_>>();
    let case = |store: Arc<dyn Store>| async move {
        for size in sizes {
            // A value that was larger leaves nothing behind.
            store.commit(Batch::new().put(format!("v/{size}"), value(size * 2))).await.unwrap();
            store.commit(Batch::new().put(format!("v/{size}"), value(size))).await.unwrap();
        }
    };
    let then = |store: Arc<dyn Store>| async move {
        for size in sizes {
            assert!(store.get(&format!("v/{size}")).unwrap().unwrap().value == value(size), "{size}");
        }
        assert_eq!(store.scan("v/", None, 100).unwrap().len(), sizes.len());
    };
    over_both(case, then).await;
}

#[tokio::test]
async fn a_scan_goes_through_a_prefix_in_pages() {
    let case = |store: Arc<dyn Store>| async move {
        let batch = ["flow/b", "flow/a", "flow", "flox", "flow/c/1", "flow/c", "flow/é", "a"];
        let batch = batch.into_iter().fold(Batch::new(), |batch, key| batch.put(key, key));
        store.commit(batch).await.unwrap();
    };
    let then = |store: Arc<dyn Store>| async move {
        let all = keys(store.scan("flow/", None, 100).unwrap());
        assert_eq!(all, ["flow/a", "flow/b", "flow/c", "flow/c/1", "flow/é"]);
        let mut paged = Vec::new();
        while let page @ [_, ..] = &store.scan("flow/", paged.last().map(String::as_str), 2).unwrap()[..] {
            paged.extend(keys(page.to_vec()));
        }
        assert_eq!(paged, all);
        assert_eq!(keys(store.scan("flow/", Some("a"), 1).unwrap()), ["flow/a"], "before the prefix");
        assert_eq!(keys(store.scan("flow/", Some("z"), 1).unwrap()), [""; 0], "behind the prefix");
        assert_eq!(keys(store.scan("", None, 100).unwrap()).len(), 8);
        assert_eq!(store.scan("flow/", None, 0).unwrap(), []);
    };
    over_both(case, then).await;
}

#[tokio::test]
async fn appends_get_keys_in_the_order_of_commits() {
    let case = |store: Arc<dyn Store>| async move {
        store.commit(Batch::new().append("audit/", "1").append("audit/", "2")).await.unwrap();
        for value in 3..13 {
            store.commit(Batch::new().append("audit/", value.to_string())).await.unwrap();
        }
    };
    let then = |store: Arc<dyn Store>| async move {
        let page = store.scan("audit/", None, 100).unwrap();
        assert_eq!(page[0].0, "audit/00000000000000000001");
        let values: Vec<_> = page.iter().map(|(_, record)| String::from_utf8_lossy(&record.value)).collect();
        assert_eq!(values, (1..13).map(|value| value.to_string()).collect::<Vec<_>>());
    };
    over_both(case, then).await;
}

#[tokio::test]
async fn a_precondition_that_does_not_hold_stops_the_whole_batch() {
    let case = |store: Arc<dyn Store>| async move {
        let version = store.commit(Batch::new().put("here", "1")).await.unwrap();
        let other = Sequence::new(version.get() + 7);
        let refused = [
            (Batch::new().require_absent("here"), "here"),
            (Batch::new().require_present("gone"), "gone"),
            (Batch::new().require_version("here", other), "here"),
            (Batch::new().require_version("gone", version), "gone"),
            (Batch::new().require_present("here").require_absent("here"), "here"),
        ];
        for (batch, culprit) in refused {
            let error = store.commit(batch.put("written", "")).await.unwrap_err();
            assert!(matches!(&error, StoreError::Conflict { key } if key == culprit), "{error}");
        }
        let taken = Batch::new().require_absent("gone").require_present("here").require_version("here", version);
        let next = store.commit(taken.put("here", "2")).await.unwrap();
        assert_eq!(next, version.next(), "a refused batch uses no sequence");
    };
    let then = |store: Arc<dyn Store>| async move {
        assert_eq!(store.get("written").unwrap(), None);
        assert_eq!(store.get("here").unwrap().unwrap().value, "2");
    };
    over_both(case, then).await;
}

#[tokio::test]
async fn of_racing_writers_one_wins_each_round() {
    let case = |store: Arc<dyn Store>| async move {
        let mut version = store.commit(Batch::new().put("counter", "0")).await.unwrap();
        for round in 1..20 {
            let swap = || Batch::new().require_version("counter", version).put("counter", round.to_string());
            let answers = futures::future::join_all((0..8).map(|_| store.commit(swap()))).await;
            let won: Vec<_> = answers.iter().flatten().collect();
            assert_eq!(won.len(), 1, "{answers:?}");
            version = *won[0];
        }
    };
    let then = |store: Arc<dyn Store>| async move {
        assert_eq!(store.get("counter").unwrap().unwrap().value, "19");
    };
    over_both(case, then).await;
}

#[tokio::test]
async fn a_page_never_shows_half_a_commit() {
    let case = |store: Arc<dyn Store>| async move {
        let keys: Vec<_> = (0..50).map(|n| format!("set/{n:02}")).collect();
        let write = |round: u32| {
            let value = round.to_string().repeat(if round.is_multiple_of(2) { 1 } else { 30_000 });
            keys.iter().fold(Batch::new(), |batch, key| batch.put(key, value.clone()))
        };
        store.commit(write(0)).await.unwrap();
        let reader = {
            let (store, count) = (Arc::clone(&store), keys.len());
            tokio::task::spawn_blocking(move || {
                while store.latest() < Sequence::new(20) {
                    let page = store.scan("set/", None, 100).unwrap();
                    assert_eq!(page.len(), count);
                    assert!(page.iter().all(|(_, record)| record.version == page[0].1.version));
                }
            })
        };
        for round in 1..20 {
            store.commit(write(round)).await.unwrap();
        }
        reader.await.unwrap();
    };
    over_both(case, nothing).await;
}

#[tokio::test]
async fn the_feed_tells_every_commit_in_order() {
    let case = |store: Arc<dyn Store>| async move {
        let mut early = store.feed(Sequence::ZERO).unwrap();
        store.commit(Batch::new().put("a", "1").delete("b")).await.unwrap();
        store.commit(Batch::new().append("log/", "x")).await.unwrap();
        let refused = store.commit(Batch::new().require_present("none").put("c", "1")).await;
        assert!(refused.is_err());
        assert_eq!(early.next().await.unwrap().sequence, Sequence::new(1));
        assert_eq!(early.next().await.unwrap().sequence, Sequence::new(2));
        assert_eq!(early.try_next().unwrap(), None);
        let (told, committed) = tokio::join!(early.next(), store.commit(Batch::new().put("d", "1")));
        assert_eq!(told.unwrap().sequence, committed.unwrap());
    };
    let then = |store: Arc<dyn Store>| async move {
        let mut feed = store.feed(Sequence::ZERO).unwrap();
        let change = |key: &str, value: Option<&'static str>| Change { key: key.into(), value: value.map(Into::into) };
        assert_eq!(feed.next().await.unwrap().changes, [change("a", Some("1")), change("b", None)]);
        assert_eq!(feed.next().await.unwrap().changes, [change("log/00000000000000000002", Some("x"))]);
        assert_eq!(feed.next().await.unwrap().changes, [change("d", Some("1"))]);
        assert!(matches!(store.feed(Sequence::new(4)), Err(StoreError::FeedGone { .. })));
    };
    over_both(case, then).await;
}

#[tokio::test]
async fn a_feed_that_fell_behind_is_told_so() {
    let case = |store: Arc<dyn Store>| async move {
        let mut feed = store.feed(Sequence::ZERO).unwrap();
        let value = Bytes::from(vec![0; 1 << 20]);
        for _ in 0..20 {
            store.commit(Batch::new().put("large", value.clone())).await.unwrap();
        }
        let error = feed.next().await.unwrap_err();
        let StoreError::FeedGone { floor, latest, .. } = error else { panic!("{error}") };
        assert_eq!(latest, store.latest());
        assert_eq!(store.feed(floor).unwrap().next().await.unwrap().sequence, floor.next());
    };
    over_both(case, nothing).await;
}

#[tokio::test]
async fn what_is_not_a_key_or_too_large_is_refused() {
    let case = |store: Arc<dyn Store>| async move {
        for bad in ["", "a\0b", "a\nb", &"k".repeat(MAX_KEY_BYTES + 1)] {
            let error = store.commit(Batch::new().put(bad, "")).await.unwrap_err();
            assert!(matches!(error, StoreError::InvalidKey { .. }), "{error}");
        }
        let large = Bytes::from(vec![0; MAX_BATCH_BYTES / 2]);
        let batch = Batch::new().put("a", large.clone()).put("b", large);
        assert!(matches!(store.commit(batch).await, Err(StoreError::TooLarge { .. })));
        let many = (0..=MAX_BATCH_OPERATIONS).fold(Batch::new(), |batch, _| batch.delete("k"));
        assert!(matches!(store.commit(many).await, Err(StoreError::TooLarge { .. })));
        store.commit(Batch::new().put("k".repeat(MAX_KEY_BYTES), "")).await.unwrap();
    };
    over_both(case, nothing).await;
}
