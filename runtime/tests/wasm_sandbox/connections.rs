//! Flows call connectors, and connectors reach what they were granted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;
use headgate::domain::grant::{Grant, UrlPrefix};
use headgate::domain::scrub::Scrubber;
use headgate::wasm::{CallError, Connections, ConnectorModule, GuestError, RunScope, SlotHandle, WasmHost};

use crate::guests;
use crate::stage::{Slots, Stage, event};

/// What the service layer does, without records: every slot is one connector under one grant.
pub(crate) struct Live {
    pub(crate) host: Arc<WasmHost>,
    pub(crate) connector: Arc<ConnectorModule>,
    pub(crate) grant: Arc<Grant>,
}

impl Connections for Live {
    fn open(&self, _slot: &str) -> Result<SlotHandle, GuestError> {
        Ok(SlotHandle(0))
    }

    fn call<'a>(
        &'a self,
        run: &'a Arc<RunScope>,
        _slot: SlotHandle,
        method: &'a str,
        input: String,
    ) -> BoxFuture<'a, Result<String, GuestError>> {
        Box::pin(async move {
            let output = self.host.invoke(&self.connector, method, input, Arc::clone(&self.grant), None, run).await;
            output.map_err(CallError::for_flow)
        })
    }
}

pub(crate) fn grant(base_url: &str) -> Arc<Grant> {
    Arc::new(Grant {
        group: "acme".parse().unwrap(),
        connection: "con_abcdefghij0123456789".parse().unwrap(),
        connection_name: "crm".into(),
        connector: "crm".into(),
        allow: vec![UrlPrefix::from_template(base_url, &BTreeMap::new()).unwrap()],
        credentials: Vec::new(),
        config: BTreeMap::from([("region".to_owned(), "eu1".to_owned())]),
        scrub: Scrubber::default(),
        generation: 0,
    })
}

async fn live(stage: &Stage, connector: &[u8]) -> Arc<Live> {
    let connector = stage.host.load_connector(connector).await.unwrap_or_else(|error| panic!("{error}"));
    Arc::new(Live { host: Arc::clone(&stage.host), connector, grant: grant("https://api.example.com/v1/") })
}

/// What the flow that calls the connector with `body` is told.
async fn told(stage: &Stage, connector: &[u8], body: &[u8]) -> Result<String, GuestError> {
    let caller = stage.flow(&guests::caller()).await;
    let scope = stage.scope_with(None, live(stage, connector).await);
    match stage.host.run_flow(&caller, event(body), &scope).await {
        Ok(response) => Ok(String::from_utf8(response.body.to_vec()).unwrap()),
        Err(CallError::Guest(error)) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_flow_calls_a_method_and_gets_its_output() {
    let stage = Stage::new();
    assert_eq!(told(&stage, &guests::echo_connector(), br#"{"a":1}"#).await.unwrap(), r#"{"a":1}"#);
}

#[tokio::test]
async fn a_slot_that_is_not_bound_is_the_flows_error() {
    let stage = Stage::new();
    let caller = stage.flow(&guests::caller()).await;
    let error = stage.run(&caller, b"{}").await.unwrap_err();
    assert_eq!(error.to_string(), "slot_unbound: no slot crm");
}

#[tokio::test]
async fn a_connectors_faults_reach_the_flow_as_errors() {
    let stage = Stage::with(|settings| settings.output_bytes = 100);
    for (invoke, body, code, said) in [
        ("unreachable", &b"{}"[..], "connector_fault", "the connector trapped: wasm `unreachable`"),
        ("(call $json (local.get $input) (local.get $len))", b"{oops", "connector_fault", "output is not JSON"),
        (
            "(call $json (local.get $input) (local.get $len))",
            &[b'1'; 101],
            "connector_fault",
            "101 bytes; 100 are allowed",
        ),
    ] {
        let error = told(&stage, &guests::connector("", "unreachable", invoke), body).await.unwrap_err();
        assert_eq!(error.code, code);
        assert!(error.message.contains(said), "{error}");
    }
}

#[tokio::test]
async fn a_connector_reads_the_settings_of_its_connection_only() {
    let stage = Stage::new();
    let import = r#"(import "headgate:runtime/connection@0.1.0" "config" (func $config (param i32 i32 i32)))
                    (data (i32.const 16) "\"region\"")"#;
    // The name is the input without its quotes; an absent value leaves a zero, which is JSON, too.
    let read = r"
        (call $config (i32.add (local.get $input) (i32.const 1)) (i32.sub (local.get $len) (i32.const 2)) (i32.const 512))
        (if (i32.eqz (i32.load8_u (i32.const 512)))
          (then (i32.store8 (i32.const 600) (i32.const 48)) (return (call $json (i32.const 600) (i32.const 1)))))
        (local.set $a (i32.load (i32.const 516)))
        (local.set $b (i32.load (i32.const 520)))
        (i32.store8 (i32.const 600) (i32.const 34))
        (memory.copy (i32.const 601) (local.get $a) (local.get $b))
        (i32.store8 (i32.add (i32.const 601) (local.get $b)) (i32.const 34))
        (call $json (i32.const 600) (i32.add (local.get $b) (i32.const 2)))";
    let connector = guests::connector(import, "unreachable", read);
    assert_eq!(told(&stage, &connector, br#""region""#).await.unwrap(), r#""eu1""#);
    assert_eq!(told(&stage, &connector, br#""token""#).await.unwrap(), "0");
}

/// Sends `GET https://denied.example/` and fails, whatever comes of it.
fn reaches_out() -> Vec<u8> {
    let imports = r#"
        (import "wasi:http/types@0.2.12" "[constructor]fields" (func $fields (result i32)))
        (import "wasi:http/types@0.2.12" "[constructor]outgoing-request" (func $request (param i32) (result i32)))
        (import "wasi:http/types@0.2.12" "[method]outgoing-request.set-authority"
          (func $authority (param i32 i32 i32 i32) (result i32)))
        (import "wasi:http/types@0.2.12" "[method]outgoing-request.set-path-with-query"
          (func $path (param i32 i32 i32 i32) (result i32)))
        (import "wasi:http/outgoing-handler@0.2.12" "handle" (func $handle (param i32 i32 i32 i32)))
        (import "wasi:http/types@0.2.12" "[method]future-incoming-response.subscribe" (func $subscribe (param i32) (result i32)))
        (import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $block (param i32)))
        (data (i32.const 16) "denied.example")
        (data (i32.const 32) "/")
        (data (i32.const 40) "unreachable_appthe app did not answer")"#;
    let invoke = "
        (local.set $a (call $request (call $fields)))
        (drop (call $authority (local.get $a) (i32.const 1) (i32.const 16) (i32.const 14)))
        (drop (call $path (local.get $a) (i32.const 1) (i32.const 32) (i32.const 1)))
        (call $handle (local.get $a) (i32.const 0) (i32.const 0) (i32.const 512))
        (if (i32.eqz (i32.load8_u (i32.const 512)))
          (then (call $block (call $subscribe (i32.load offset=8 (i32.const 512))))))
        (call $err (i32.const 40) (i32.const 15) (i32.const 55) (i32.const 22))";
    guests::connector(imports, "unreachable", invoke)
}

#[tokio::test]
async fn a_request_that_was_not_granted_is_named_with_what_would_allow_it() {
    let stage = Stage::new();
    let live = live(&stage, &reaches_out()).await;
    let error = stage
        .host
        .invoke(&live.connector, "get", "{}".into(), Arc::clone(&live.grant), None, &stage.scope())
        .await
        .unwrap_err();
    match &error {
        CallError::EgressDenied { denials, cause } => {
            assert_eq!(denials[0].host, "denied.example");
            assert_eq!(cause.to_string(), "unreachable_app: the app did not answer");
        }
        other => panic!("{other:?}"),
    }
    let told = error.for_flow();
    assert_eq!(told.code, "egress_denied");
    assert!(told.message.contains("denied.example") && told.message.contains("https://api.example.com"), "{told}");
    assert!(told.details.unwrap().contains(r#""host":"denied.example""#));
}

#[tokio::test]
async fn a_connector_describes_itself() {
    let stage = Stage::new();
    let manifest = r#"{"name":"crm","title":"CRM","version":"1.0.0","base_urls":["https://api.example.com/"],"auth":[],"methods":[]}"#;
    let describe = |text: &str| {
        let data = format!(r#"(data (i32.const 64) "{}")"#, text.replace('"', "\\\""));
        let code = format!(
            "(i32.store (i32.const 16) (i32.const 64)) (i32.store (i32.const 20) (i32.const {})) (i32.const 16)",
            text.len()
        );
        guests::connector(&data, &code, "unreachable")
    };
    let connector = stage.host.load_connector(&describe(manifest)).await.unwrap();
    assert_eq!(stage.host.describe(&connector).await.unwrap().name, "crm");

    let broken = stage.host.load_connector(&describe("{}")).await.unwrap();
    let error = stage.host.describe(&broken).await.unwrap_err().to_string();
    assert!(error.contains("manifest") && error.contains("name"), "{error}");
}

#[tokio::test]
async fn call_all_runs_a_bounded_number_at_once_and_keeps_their_order() {
    let stage = Stage::with(|settings| settings.call_all_concurrency = 3);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let slots = {
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        Slots::default().bind("crm", move |_, input| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            Box::pin(async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                // Later calls end sooner.
                for _ in 0..10 * (b'9' - input.as_bytes()[0]) {
                    tokio::task::yield_now().await;
                }
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(input)
            })
        })
    };
    // One request per byte of the body; the answer is the outputs' first bytes.
    let code = "
        (call $open (i32.const 16) (i32.const 3) (i32.const 512))
        (local.set $b (call $alloc (i32.mul (local.get $len) (i32.const 20))))
        (loop $next
          (local.set $c (i32.add (local.get $b) (i32.mul (local.get $a) (i32.const 20))))
          (i32.store (local.get $c) (i32.load (i32.const 516)))
          (i32.store offset=4 (local.get $c) (i32.const 16))
          (i32.store offset=8 (local.get $c) (i32.const 3))
          (i32.store offset=12 (local.get $c) (i32.add (local.get $body) (local.get $a)))
          (i32.store offset=16 (local.get $c) (i32.const 1))
          (local.set $a (i32.add (local.get $a) (i32.const 1)))
          (br_if $next (i32.lt_u (local.get $a) (local.get $len))))
        (call $call_all (local.get $b) (local.get $len) (i32.const 512))
        (local.set $b (i32.load (i32.const 512)))
        (local.set $a (i32.const 0))
        (local.set $c (call $alloc (local.get $len)))
        (loop $next
          (if (i32.load8_u (i32.add (local.get $b) (i32.mul (local.get $a) (i32.const 36)))) (then (unreachable)))
          (i32.store8 (i32.add (local.get $c) (local.get $a))
            (i32.load8_u (i32.load offset=4 (i32.add (local.get $b) (i32.mul (local.get $a) (i32.const 36))))))
          (local.set $a (i32.add (local.get $a) (i32.const 1)))
          (br_if $next (i32.lt_u (local.get $a) (local.get $len))))
        (call $ok (local.get $c) (local.get $len))";
    let imports = format!(r#"{} (data (i32.const 16) "crm")"#, guests::CONNECTIONS);
    let flow = stage.flow(&guests::flow(&imports, code)).await;
    let scope = stage.scope_with(None, Arc::new(slots));
    let answer = stage.host.run_flow(&flow, event(b"123456789"), &scope).await.unwrap();
    assert_eq!(answer.body, "123456789");
    assert_eq!(most.load(Ordering::SeqCst), 3);
}
