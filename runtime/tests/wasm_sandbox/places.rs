//! When every place is taken, calls wait for a bounded time, and never fail for want of room.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use headgate::wasm::CallError;
use tokio::sync::Semaphore;

use crate::connections::{Live, grant};
use crate::guests;
use crate::stage::{Slots, Stage, event};

/// Connections whose calls wait until the test lets them go.
fn gated(gate: &Arc<Semaphore>) -> Arc<Slots> {
    let gate = Arc::clone(gate);
    Arc::new(Slots::default().bind("crm", move |_, input| {
        let gate = Arc::clone(&gate);
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            Ok(input)
        })
    }))
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_call_without_a_place_is_told_to_come_back_after_a_bounded_wait() {
    let stage = Arc::new(Stage::with(|settings| {
        settings.flow_instances = 1;
        settings.queue_wait = Duration::from_millis(30);
    }));
    let caller = stage.flow(&guests::caller()).await;
    let gate = Arc::new(Semaphore::new(0));
    let scope = stage.scope_with(None, gated(&gate));
    let first = tokio::spawn({
        let (stage, caller) = (Arc::clone(&stage), Arc::clone(&caller));
        async move { stage.host.run_flow(&caller, event(b"1"), &scope).await }
    });
    until(|| stage.host.occupancy().0.running == 1).await;

    match stage.run(&caller, b"2").await {
        Err(CallError::Overloaded { retry_after }) => assert!(retry_after >= Duration::from_secs(1)),
        other => panic!("{other:?}"),
    }
    gate.add_permits(1);
    assert_eq!(first.await.unwrap().unwrap().body, "1");
    let after = stage.scope_with(None, gated(&gate));
    gate.add_permits(1);
    assert_eq!(stage.host.run_flow(&caller, event(b"3"), &after).await.unwrap().body, "3");
}

#[tokio::test]
async fn a_queue_that_is_full_answers_at_once() {
    let stage = Arc::new(Stage::with(|settings| {
        settings.flow_instances = 1;
        settings.queue_length = 1;
        settings.queue_wait = Duration::from_secs(60);
    }));
    let caller = stage.flow(&guests::caller()).await;
    let gate = Arc::new(Semaphore::new(0));
    let spawn = |body: &'static [u8]| {
        let (stage, caller) = (Arc::clone(&stage), Arc::clone(&caller));
        let scope = stage.scope_with(None, gated(&gate));
        tokio::spawn(async move { stage.host.run_flow(&caller, event(body), &scope).await })
    };
    let running = spawn(b"1");
    until(|| stage.host.occupancy().0.running == 1).await;
    let queued = spawn(b"2");
    until(|| stage.host.occupancy().0.queued == 1).await;
    assert!(matches!(stage.run(&caller, b"3").await, Err(CallError::Overloaded { .. })));
    gate.add_permits(2);
    assert!(running.await.unwrap().is_ok());
    assert!(queued.await.unwrap().is_ok());
    let (flows, _) = stage.host.occupancy();
    assert_eq!((flows.running, flows.queued), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn far_more_calls_than_places_all_succeed() {
    let stage = Arc::new(Stage::with(|settings| {
        settings.flow_instances = 3;
        settings.connector_instances = 1;
    }));
    // As many memories and tables as a component may have.
    let greedy = "(memory 1) (memory 1) (memory 1) (table 1 funcref) (table 1 funcref) (table 1 funcref)";
    let echo = "(call $ok (local.get $body) (local.get $len))";
    let flow = stage.flow(&guests::flow_with("", greedy, echo)).await;
    let calls = (0..400).map(|_| {
        let (stage, flow) = (Arc::clone(&stage), Arc::clone(&flow));
        tokio::spawn(async move { stage.answer(&flow, b"x").await })
    });
    for call in join_all(calls).await {
        assert_eq!(call.unwrap(), "x");
    }
}

#[tokio::test]
async fn flows_that_hold_every_place_still_get_their_connectors_run() {
    let stage = Arc::new(Stage::with(|settings| {
        settings.flow_instances = 4;
        settings.connector_instances = 1;
    }));
    let caller = stage.flow(&guests::caller()).await;
    let connector = stage.host.load_connector(&guests::echo_connector()).await.unwrap();
    let live = Arc::new(Live { host: Arc::clone(&stage.host), connector, grant: grant("https://api.example.com/") });
    let calls = (0..40).map(|_| {
        let (stage, caller) = (Arc::clone(&stage), Arc::clone(&caller));
        let scope = stage.scope_with(None, Arc::clone(&live) as _);
        tokio::spawn(async move { stage.host.run_flow(&caller, event(b"{}"), &scope).await })
    });
    for call in join_all(calls).await {
        assert_eq!(call.unwrap().unwrap().body, "{}");
    }
}
