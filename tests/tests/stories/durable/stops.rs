//! A server that is asked to stop.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::{Stage, call};

/// Waits until nobody is let in any more.
async fn closed(url: &str) {
    let address = url.trim_start_matches("http://");
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(30), refused).await.expect("connections are still accepted");
}

#[tokio::test]
async fn running_flows_end_and_queued_ones_stay_for_the_next_start() {
    let stage = Stage::set().await;
    let server = stage.server().await;
    let caller = tokio::spawn(server.fire(&stage.sync, &stage.key, call("/sync")).send());
    stage.held.asked(1).await;
    let running = stage.queue_call(&server, "/running").await;
    stage.held.asked(2).await;
    let waiting = stage.queue_call(&server, "/waiting").await;

    server.signal("TERM").await;
    closed(server.url()).await;
    assert!(!caller.is_finished(), "the caller waits for a flow that has not ended");
    stage.held.release();
    let answer = caller.await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    let run = answer.headers()["headgate-run-id"].to_str().unwrap().to_owned();
    let ended = server.ended().await;
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.said.contains("a second signal stops at once"), "{ended:?}");
    assert_eq!(stage.held.paths(), ["/sync", "/running"], "what was queued did not begin any more");

    stage.held.hold();
    let server = stage.server().await;
    stage.held.asked(3).await;
    server.run_in(&waiting, "running").await;
    for run in [&run, &running] {
        server.run_in(run, "succeeded").await;
    }
    stage.held.release();
    server.run_in(&waiting, "succeeded").await;
    assert_eq!(stage.held.paths(), ["/sync", "/running", "/waiting"]);
    server.kill().await;
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let stage = Stage::set().await;
    let server = stage.server().await;
    let caller = tokio::spawn(server.fire(&stage.sync, &stage.key, call("/sync")).send());
    let run = stage.queue_call(&server, "/queued").await;
    stage.held.asked(2).await;

    server.signal("TERM").await;
    closed(server.url()).await;
    server.signal("TERM").await;
    let began = Instant::now();
    let ended = server.ended().await;
    assert_eq!(ended.status.code(), Some(130), "{ended:?}");
    assert!(ended.said.contains("error: stopped at once"), "{ended:?}");
    // The flows may wait for 30 seconds.
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    assert!(caller.await.unwrap().is_err());

    let server = stage.server().await;
    server.run_in(&run, "needs_attention").await;
    server.kill().await;
}
