//! How long a call takes. Run with `--nocapture` to read the figures.

use std::time::{Duration, Instant};

use crate::guests;
use crate::stage::{Stage, event};

const CALLS: u32 = 20_000;

/// Far above what any machine needs for a fresh instance that is reset well; far below what one takes that is
/// compiled, linked or mapped anew for each call.
const MOST: Duration = Duration::from_micros(300);

#[tokio::test]
async fn a_fresh_instance_and_a_call_cost_microseconds() {
    let stage = Stage::new();
    let flow = stage.flow(&guests::echo()).await;
    let body = [b'x'; 500];
    let run = async |calls: u32| {
        let start = Instant::now();
        for _ in 0..calls {
            let scope = stage.scope();
            stage.host.run_flow(&flow, event(&body), &scope).await.unwrap();
        }
        start.elapsed() / calls
    };
    run(CALLS / 10).await;
    let each = run(CALLS).await;
    println!("fresh instance and call of echo, 500 bytes: {each:?}");
    assert!(each < MOST, "{each:?} per call");
}
