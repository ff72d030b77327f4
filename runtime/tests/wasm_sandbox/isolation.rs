//! Calls succeed, and no call sees anything of another.

use crate::guests;
use crate::stage::Stage;

#[tokio::test]
async fn echo_answers_what_it_was_given() {
    let stage = Stage::new();
    let flow = stage.flow(&guests::echo()).await;
    for body in [&b""[..], b"{\"a\": 1}", &[0xff; 100_000]] {
        assert_eq!(stage.answer(&flow, body).await, body);
    }
}

#[tokio::test]
async fn nothing_of_one_call_is_in_the_next() {
    let stage = Stage::with(|settings| settings.flow_instances = 1);
    // Answers the 8 bytes at 512 KiB, after it has written there; and a global counts the calls.
    let remember = "
        (local.set $a (i32.const 524288))
        (drop (memory.grow (i32.const 16)))
        (local.set $b (call $alloc (i32.const 16)))
        (memory.copy (local.get $b) (local.get $a) (i32.const 8))
        (memory.copy (local.get $a) (local.get $body) (i32.const 8))
        (i32.store offset=8 (local.get $b) (global.get $calls))
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (call $ok (local.get $b) (i32.const 16))";
    let flow = stage.flow(&guests::flow("", remember)).await;
    for _ in 0..20 {
        assert_eq!(stage.answer(&flow, b"a secret").await, [0; 16][..]);
    }
}
