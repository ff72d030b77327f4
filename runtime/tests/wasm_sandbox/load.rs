//! What may be loaded, and that it is compiled once.

use std::fs;

use headgate::wasm::{LoadError, World, inspect};

use crate::guests;
use crate::stage::{Stage, host};

async fn refusal(stage: &Stage, bytes: &[u8]) -> String {
    match stage.host.load_flow(bytes).await {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it was loaded"),
    }
}

#[tokio::test]
async fn what_is_not_offered_is_refused_before_anything_is_compiled() {
    let stage = Stage::new();
    let with_import = |name: &str| {
        let text = format!(
            r#"(component (import "{name}" (instance)) (instance $i) (export "headgate:runtime/handler@0.1.0" (instance $i)))"#
        );
        wat::parse_str(text).unwrap()
    };
    for (bytes, said) in [
        (
            with_import("wasi:http/outgoing-handler@0.2.12"),
            "the flow wants wasi:http/outgoing-handler@0.2.12, which only a connector may use. Reach the app through a \
             connection: open its slot and call a method; the connector `http` calls any REST API",
        ),
        (
            with_import("headgate:runtime/state@0.1.0"),
            "the flow wants headgate:runtime/state@0.1.0, which this server does not offer. Take out the library that \
             needs it. A flow may import headgate:runtime/{types, blobs, run, connections}@0.1.0 and what the standard \
             library imports (wasi 0.2: io, clocks, random, cli, filesystem, sockets)",
        ),
        (
            with_import("headgate:runtime/connections@0.2.0"),
            "the flow wants headgate:runtime/connections@0.2.0, this server offers 0.1.0. Update the server, or build the \
             guest with the SDK for 0.1.0",
        ),
        (
            wat::parse_str(r#"(component (instance $i) (export "headgate:runtime/handler@0.2.0" (instance $i)))"#)
                .unwrap(),
            "a flow exports headgate:runtime/handler@0.1.0, and this component was built for 0.2.0. This server offers \
             0.1.0. Update the server, or build the guest with the SDK for 0.1.0",
        ),
        (
            guests::echo_connector(),
            "a flow exports headgate:runtime/handler@0.1.0, and this component is a connector. Push it as a connector",
        ),
        (
            wat::parse_str("(module)").unwrap(),
            "this is a core WebAssembly module, not a component. Build for the target wasm32-wasip2 (`headgate build` \
             does), or wrap it with `wasm-tools component new`",
        ),
        (
            b"#!/bin/sh".to_vec(),
            "this is not a WebAssembly component: it does not begin with \\0asm. Push the .wasm file that `headgate \
             build` makes",
        ),
    ] {
        assert_eq!(refusal(&stage, &bytes).await, said);
    }
    assert_eq!(stage.host.compilations(), 0);
}

#[tokio::test]
async fn a_file_that_is_cut_off_is_refused_wherever_it_was_cut() {
    let stage = Stage::new();
    let whole = guests::echo();
    for length in (0..whole.len()).step_by(97) {
        assert!(stage.host.load_flow(&whole[..length]).await.is_err(), "cut at {length}");
    }
    let error = refusal(&stage, &whole[..whole.len() - 1]).await;
    assert!(error.contains("cut off after"), "{error}");
}

#[tokio::test]
async fn an_interface_with_other_contents_is_refused() {
    let stage = Stage::new();
    let bytes = wat::parse_str(
        r#"(component
             (import "headgate:runtime/run@0.1.0" (instance (export "log" (func (param "message" string)))))
             (instance $i) (export "headgate:runtime/handler@0.1.0" (instance $i)))"#,
    )
    .unwrap();
    let error = refusal(&stage, &bytes).await;
    assert!(error.starts_with("the component was built against another form"), "{error}");
}

#[tokio::test]
async fn a_component_that_is_too_large_is_refused() {
    let stage = Stage::with(|settings| settings.component_bytes = 100);
    let error = stage.host.load_flow(&guests::echo()).await.err().unwrap();
    assert!(matches!(error, LoadError::TooLarge { limit: 100, .. }), "{error}");
}

#[tokio::test]
async fn a_restart_compiles_nothing_again() {
    let stage = Stage::new();
    let bytes = guests::echo();
    stage.flow(&bytes).await;
    stage.flow(&bytes).await;
    assert_eq!(stage.host.compilations(), 1);

    let restarted = Stage { host: host(&stage.folder, |_| {}), folder: stage.folder };
    let flow = restarted.flow(&bytes).await;
    assert_eq!(restarted.answer(&flow, b"again").await, "again");
    assert_eq!(restarted.host.compilations(), 0);
}

#[tokio::test]
async fn compiled_code_that_was_tampered_with_is_compiled_again() {
    let stage = Stage::new();
    let bytes = guests::echo();
    stage.flow(&bytes).await;
    let file = fs::read_dir(stage.folder.path()).unwrap().next().unwrap().unwrap().path();
    let mut code = fs::read(&file).unwrap();
    let middle = code.len() / 2;
    code[middle] ^= 1;
    fs::write(&file, &code).unwrap();

    let restarted = Stage { host: host(&stage.folder, |_| {}), folder: stage.folder };
    let flow = restarted.flow(&bytes).await;
    assert_eq!(restarted.answer(&flow, b"again").await, "again");
    assert_eq!(restarted.host.compilations(), 1);
    restarted.flow(&bytes).await;
    assert_eq!(restarted.host.compilations(), 1, "the good file took the bad one's place");
}

#[test]
fn an_inspection_says_what_a_component_is() {
    let flow = inspect(&guests::caller()).unwrap();
    assert_eq!(flow.world, Some(World::Flow));
    assert_eq!(flow.exports, ["headgate:runtime/handler@0.1.0"]);
    assert!(flow.imports.contains(&"headgate:runtime/connections@0.1.0".to_owned()), "{:?}", flow.imports);
    let connector = inspect(&guests::echo_connector()).unwrap();
    assert_eq!(connector.world, Some(World::Connector));
    connector.check(World::Connector).unwrap();
}
