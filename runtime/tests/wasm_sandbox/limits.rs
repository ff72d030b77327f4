//! A runaway or hostile guest is stopped at its limits, and is told so.

use std::sync::Arc;
use std::time::Duration;

use headgate::wasm::{LogLevel, LogSource};

use crate::guests;
use crate::stage::{Slots, Stage, event, fault};

const SPIN: &str = "(loop $again (br $again)) unreachable";

#[tokio::test]
async fn a_trap_is_the_guests_fault_and_its_trace_is_in_the_log() {
    let stage = Stage::new();
    let flow = stage.flow(&guests::flow("", "unreachable")).await;
    let scope = stage.scope();
    let (code, message) = fault(stage.host.run_flow(&flow, event(b""), &scope).await);
    assert_eq!((code, &*message), ("trap", "the flow trapped: wasm `unreachable` instruction executed"));
    let log = scope.take_log();
    assert_eq!((log.lines[0].source, log.lines[0].level), (LogSource::Server, LogLevel::Error));
    assert!(log.lines[0].message.contains("wasm backtrace"), "{log:?}");
}

#[tokio::test]
async fn a_guest_that_never_ends_is_stopped_by_its_cpu_budget() {
    let stage = Stage::with(|settings| settings.cpu = Duration::from_millis(60));
    let flow = stage.flow(&guests::flow("", SPIN)).await;
    let (code, message) = stage.fault(&flow, b"").await;
    assert_eq!((code, &*message), ("cpu_limit", "the flow computed for more than 60ms"));
}

#[tokio::test]
async fn a_guest_that_never_ends_is_stopped_by_its_deadline() {
    let stage = Stage::new();
    let flow = stage.flow(&guests::flow("", SPIN)).await;
    let scope = stage.scope_with(Some(Duration::from_millis(60)), Arc::new(Slots::default()));
    let (code, message) = fault(stage.host.run_flow(&flow, event(b""), &scope).await);
    assert_eq!((code, &*message), ("timeout", "the flow did not end within 60ms"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neighbours_of_runaway_guests_keep_their_latency() {
    let stage = Arc::new(Stage::with(|settings| {
        settings.cpu = Duration::from_millis(150);
        settings.busy_guests = 1;
    }));
    let spin = stage.flow(&guests::flow("", SPIN)).await;
    let echo = stage.flow(&guests::echo()).await;
    let runaways: Vec<_> = (0..8)
        .map(|_| {
            let (stage, spin) = (Arc::clone(&stage), Arc::clone(&spin));
            tokio::spawn(async move { stage.fault(&spin, b"").await.0 })
        })
        .collect();
    let mut latencies = Vec::new();
    while !runaways.iter().all(|runaway| runaway.is_finished()) {
        // Neighbours come one by one, at a time that does not depend on the one before: one that came on its heels
        // would find its thread still free. What counts is when they were due.
        let due = tokio::time::Instant::now() + Duration::from_millis(2);
        tokio::time::sleep_until(due).await;
        let (stage, echo) = (Arc::clone(&stage), Arc::clone(&echo));
        tokio::spawn(async move { stage.answer(&echo, b"x").await }).await.unwrap();
        latencies.push(due.elapsed());
    }
    for runaway in runaways {
        assert_eq!(runaway.await.unwrap(), "cpu_limit");
    }
    latencies.sort();
    let median = latencies[latencies.len() / 2];
    println!("beside 8 runaways: {} calls, median {median:?}, longest {:?}", latencies.len(), latencies.last());
    // Without turns, a call waits for every runaway's stretch: 8 times 10 ms on two threads.
    assert!(median < Duration::from_millis(10), "median of {} calls: {median:?}", latencies.len());
}

#[tokio::test]
async fn sleeping_ends_with_the_deadline_and_is_not_charged_as_computing() {
    let stage = Stage::with(|settings| settings.cpu = Duration::from_millis(20));
    let sleep = |nanoseconds: u64| {
        guests::flow(
            r#"(import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration" (func $after (param i64) (result i32)))
               (import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $block (param i32)))"#,
            &format!("(call $block (call $after (i64.const {nanoseconds}))) (call $ok (i32.const 0) (i32.const 0))"),
        )
    };
    let short = stage.flow(&sleep(100_000_000)).await;
    stage.answer(&short, b"").await;

    let long = stage.flow(&sleep(3_600_000_000_000)).await;
    let scope = stage.scope_with(Some(Duration::from_millis(50)), Arc::new(Slots::default()));
    assert_eq!(fault(stage.host.run_flow(&long, event(b""), &scope).await).0, "timeout");
    assert_eq!(stage.host.occupancy().0.running, 0);
}

#[tokio::test]
async fn a_memory_bomb_stops_at_the_limit_through_one_memory_or_several() {
    let stage = Stage::with(|settings| settings.memory_bytes = 4 << 20);
    let grow = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable";
    let several = r#"
        (loop $more (br_if $more (i32.ne (memory.grow $x (i32.const 1)) (i32.const -1))))
        (if (i32.gt_u (i32.add (memory.size $x) (memory.size $y)) (i32.const 63)) (then (return (i32.const 0))))
        (loop $more (br_if $more (i32.ne (memory.grow $y (i32.const 1)) (i32.const -1))))
        (if (i32.gt_u (i32.add (memory.size $x) (memory.size $y)) (i32.const 63)) (then (return (i32.const 0))))
        unreachable"#;
    for guest in [guests::flow("", grow), guests::flow_with("", "(memory $x 1) (memory $y 1)", several)] {
        let flow = stage.flow(&guest).await;
        let (code, message) = stage.fault(&flow, b"").await;
        assert_eq!(code, "memory_limit", "{message}");
        assert!(message.contains("4194304 bytes"), "{message}");
    }
}

#[tokio::test]
async fn a_table_bomb_stops_at_the_limit() {
    let stage = Stage::with(|settings| settings.table_elements = 1_000);
    let grow = "
        (loop $more (br_if $more (i32.ne (table.grow $x (ref.null func) (i32.const 100)) (i32.const -1))))
        (loop $more (br_if $more (i32.ne (table.grow $y (ref.null func) (i32.const 100)) (i32.const -1))))
        unreachable";
    let flow = stage.flow(&guests::flow("(table $x 1 funcref) (table $y 1 funcref)", grow)).await;
    let (code, message) = stage.fault(&flow, b"").await;
    assert_eq!(code, "memory_limit", "{message}");
}

#[tokio::test]
async fn all_guests_together_have_a_limit() {
    let stage = Stage::with(|settings| settings.total_memory_bytes = 65_536);
    let one_page = stage.flow(&guests::echo()).await;
    stage.answer(&one_page, b"x").await;
    let two_pages = stage.flow(&guests::flow_with("", "(memory $x 1)", "(call $ok (i32.const 0) (i32.const 0))")).await;
    let error = stage.run(&two_pages, b"").await.unwrap_err();
    assert!(matches!(error, headgate::wasm::CallError::Overloaded { .. }), "{error}");
    stage.answer(&one_page, b"x").await;
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused() {
    let stage = Stage::with(|settings| {
        settings.host_call_bytes = 1 << 20;
        settings.response_bytes = 1 << 19;
    });
    let answer = |len: u32| guests::flow("", &format!("(call $ok (call $alloc (i32.const {len})) (i32.const {len}))"));
    let allowed = stage.flow(&answer(1 << 19)).await;
    assert_eq!(stage.answer(&allowed, b"").await.len(), 1 << 19);
    for (len, said) in [
        ((1 << 19) + 1, "answered with 524289 bytes; 524288 are allowed"),
        (1 << 21, "more than 1048576 bytes at once"),
    ] {
        let flow = stage.flow(&answer(len)).await;
        let (code, message) = stage.fault(&flow, b"").await;
        assert_eq!(code, "output_too_large");
        assert!(message.contains(said), "{message}");
    }
}

#[tokio::test]
async fn a_log_keeps_what_fits_and_counts_the_rest() {
    let stage = Stage::with(|settings| settings.log_lines = 3);
    let log = r#"(import "headgate:runtime/run@0.1.0" "log" (func $log (param i32 i32 i32)))
                 (data (i32.const 16) "hello")"#;
    let write = "
        (loop $more
          (call $log (i32.const 2) (i32.const 16) (i32.const 5))
          (local.set $a (i32.add (local.get $a) (i32.const 1)))
          (br_if $more (i32.lt_u (local.get $a) (i32.const 10))))
        (call $ok (i32.const 0) (i32.const 0))";
    let flow = stage.flow(&guests::flow(log, write)).await;
    let scope = stage.scope();
    stage.host.run_flow(&flow, event(b""), &scope).await.unwrap();
    let log = scope.take_log();
    assert_eq!((log.lines.len(), log.dropped), (3, 7));
    let line = &log.lines[0];
    assert_eq!((line.source, line.level, &*line.message), (LogSource::Flow, LogLevel::Warn, "hello"));
}

#[tokio::test]
async fn a_handle_bomb_stops_at_the_limit() {
    let stage = Stage::with(|settings| settings.handles = 100);
    let blobs =
        r#"(import "headgate:runtime/blobs@0.1.0" "[constructor]blob" (func $blob (param i32 i32) (result i32)))"#;
    let bomb = "(loop $more (drop (call $blob (i32.const 0) (i32.const 0))) (br $more)) unreachable";
    let flow = stage.flow(&guests::flow(blobs, bomb)).await;
    let (code, message) = stage.fault(&flow, b"").await;
    assert_eq!(code, "trap", "{message}");
    assert!(message.contains("100"), "{message}");
}

#[tokio::test]
async fn blobs_of_a_run_have_a_limit_together() {
    let stage = Stage::with(|settings| settings.blob_bytes = 100_000);
    let blobs = r#"(import "headgate:runtime/blobs@0.1.0" "[constructor]blob" (func $blob (param i32 i32) (result i32)))
                   (import "headgate:runtime/blobs@0.1.0" "[method]blob.write" (func $write (param i32 i32 i32 i32)))"#;
    let bomb = "
        (local.set $a (call $blob (i32.const 0) (i32.const 0)))
        (loop $more
          (call $write (local.get $a) (i32.const 0) (i32.const 4096) (i32.const 512))
          (br_if $more (i32.eqz (i32.load8_u (i32.const 512)))))
        (call $pass (i32.const 516))";
    let flow = stage.flow(&guests::flow(blobs, bomb)).await;
    let error = stage.run(&flow, b"").await.unwrap_err();
    assert_eq!(error.to_string(), "blob_too_large: the blobs of one run may have 100000 bytes together");
}
