//! What a standard library imports is there, and does nothing.

use headgate::wasm::{CallError, LogLevel, LogSource};

use crate::guests;
use crate::stage::{Stage, event};

#[tokio::test]
async fn environment_arguments_and_folders_are_empty() {
    let stage = Stage::new();
    let imports = r#"
        (import "wasi:cli/environment@0.2.12" "get-environment" (func $environment (param i32)))
        (import "wasi:cli/environment@0.2.12" "get-arguments" (func $arguments (param i32)))
        (import "wasi:filesystem/preopens@0.2.12" "get-directories" (func $folders (param i32)))"#;
    // Each leaves an address and a length.
    let count = "
        (memory.fill (i32.const 512) (i32.const 255) (i32.const 24))
        (call $environment (i32.const 512))
        (call $arguments (i32.const 520))
        (call $folders (i32.const 528))
        (i32.store (i32.const 512) (i32.const 0))
        (i32.store (i32.const 520) (i32.const 0))
        (i32.store (i32.const 528) (i32.const 0))
        (call $ok (i32.const 512) (i32.const 24))";
    let flow = stage.flow(&guests::flow(imports, count)).await;
    assert_eq!(stage.answer(&flow, b"").await, [0; 24][..]);
}

#[tokio::test]
async fn sockets_are_denied() {
    let stage = Stage::new();
    let import =
        r#"(import "wasi:sockets/tcp-create-socket@0.2.12" "create-tcp-socket" (func $socket (param i32 i32)))"#;
    let code = "(call $socket (i32.const 0) (i32.const 512)) (call $ok (i32.const 512) (i32.const 5))";
    let flow = stage.flow(&guests::flow(import, code)).await;
    let answer = stage.answer(&flow, b"").await;
    // An error, and of its codes the second: access-denied.
    assert_eq!((answer[0], answer[4]), (1, 1));
}

#[tokio::test]
async fn stdin_is_closed() {
    let stage = Stage::new();
    let imports = r#"
        (import "wasi:cli/stdin@0.2.12" "get-stdin" (func $stdin (result i32)))
        (import "wasi:io/streams@0.2.12" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))"#;
    let code = "(call $read (call $stdin) (i64.const 10) (i32.const 512)) (call $ok (i32.const 512) (i32.const 5))";
    let flow = stage.flow(&guests::flow(imports, code)).await;
    let answer = stage.answer(&flow, b"").await;
    // An error, and of its variants the second: closed.
    assert_eq!((answer[0], answer[4]), (1, 1));
}

#[tokio::test]
async fn output_goes_to_the_log_line_by_line() {
    let stage = Stage::new();
    let imports = r#"
        (import "wasi:cli/stdout@0.2.12" "get-stdout" (func $stdout (result i32)))
        (import "wasi:cli/stderr@0.2.12" "get-stderr" (func $stderr (result i32)))
        (import "wasi:io/streams@0.2.12" "[method]output-stream.blocking-write-and-flush"
          (func $write (param i32 i32 i32 i32)))
        (data (i32.const 16) "one\ntwo\nthree")"#;
    let code = "
        (call $write (call $stdout) (i32.const 16) (i32.const 6) (i32.const 512))
        (call $write (call $stdout) (i32.const 22) (i32.const 7) (i32.const 512))
        (call $write (call $stderr) (i32.const 16) (i32.const 4) (i32.const 512))
        (call $ok (i32.const 0) (i32.const 0))";
    let flow = stage.flow(&guests::flow(imports, code)).await;
    let scope = stage.scope();
    stage.host.run_flow(&flow, event(b""), &scope).await.unwrap();
    let lines: Vec<_> =
        scope.take_log().lines.into_iter().map(|line| (line.source, line.level, line.message)).collect();
    let said = |level, message: &str| (LogSource::Flow, level, message.to_owned());
    // The last line has no end; it is kept when the instance goes.
    let expected = [
        said(LogLevel::Info, "one"),
        said(LogLevel::Info, "two"),
        said(LogLevel::Warn, "one"),
        said(LogLevel::Info, "three"),
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn exit_is_a_fault() {
    let stage = Stage::new();
    let import = r#"(import "wasi:cli/exit@0.2.12" "exit" (func $exit (param i32)))"#;
    let flow = stage.flow(&guests::flow(import, "(call $exit (i32.const 0)) unreachable")).await;
    assert_eq!(stage.fault(&flow, b"").await, ("exit", "the flow called exit(0); it has to return instead".into()));
}

#[tokio::test]
async fn a_guests_error_is_its_own() {
    let stage = Stage::new();
    let data = r#"(data (i32.const 16) "not_foundno such lead")"#;
    let code = "(call $err (i32.const 16) (i32.const 9) (i32.const 25) (i32.const 12))";
    let flow = stage.flow(&guests::flow(data, code)).await;
    match stage.run(&flow, b"").await {
        Err(CallError::Guest(error)) => {
            assert_eq!((&*error.code, &*error.message, error.retryable), ("not_found", "no such lead", false));
        }
        other => panic!("{other:?}"),
    }
}
