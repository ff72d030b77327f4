//! Hand-written guests: core modules in the text format, made into components of the WIT's worlds.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The WIT's worlds, plus what a standard library imports.
const WORLDS: &str = r"
package test:guests;

world standard {
    import wasi:io/poll@0.2.12;
    import wasi:io/streams@0.2.12;
    import wasi:clocks/monotonic-clock@0.2.12;
    import wasi:cli/environment@0.2.12;
    import wasi:cli/exit@0.2.12;
    import wasi:cli/stdin@0.2.12;
    import wasi:cli/stdout@0.2.12;
    import wasi:cli/stderr@0.2.12;
    import wasi:random/random@0.2.12;
    import wasi:filesystem/preopens@0.2.12;
    import wasi:sockets/tcp-create-socket@0.2.12;
}

world flow {
    include headgate:runtime/flow@0.1.0;
    include standard;
}

world connector {
    include headgate:runtime/connector@0.1.0;
    include standard;
}
";

/// Memory, an allocator that grows it, and what a guest says: a flow's `$ok` answers 200 with bytes, a
/// connector's `$json` with JSON; `$err` is an error, `$pass` hands on one that was received.
const PRELUDE: &str = r#"
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 4096))
  (global $calls (mut i32) (i32.const 0))
  (func $alloc (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
    (global.set $top (i32.add (local.get $at) (local.get $size)))
    (loop $more
      (if (i32.gt_u (global.get $top) (i32.shl (memory.size) (i32.const 16)))
        (then
          (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (unreachable)))
          (br $more))))
    (local.get $at))
  (func (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (call $alloc (local.get $size)))
    (memory.copy (local.get $at) (local.get $old) (local.get $old_size))
    (local.get $at))
  (func $ok (param $bytes i32) (param $len i32) (result i32)
    (local $at i32)
    (local.set $at (call $alloc (i32.const 36)))
    (i32.store16 offset=4 (local.get $at) (i32.const 200))
    (i32.store offset=20 (local.get $at) (local.get $bytes))
    (i32.store offset=24 (local.get $at) (local.get $len))
    (local.get $at))
  (func $err (param $code i32) (param $code_len i32) (param $message i32) (param $message_len i32) (result i32)
    (local $at i32)
    (local.set $at (call $alloc (i32.const 36)))
    (i32.store8 (local.get $at) (i32.const 1))
    (i32.store offset=4 (local.get $at) (local.get $code))
    (i32.store offset=8 (local.get $at) (local.get $code_len))
    (i32.store offset=12 (local.get $at) (local.get $message))
    (i32.store offset=16 (local.get $at) (local.get $message_len))
    (local.get $at))
  (func $pass (param $error i32) (result i32)
    (call $err (i32.load (local.get $error)) (i32.load offset=4 (local.get $error))
      (i32.load offset=8 (local.get $error)) (i32.load offset=12 (local.get $error))))
  (func $json (param $bytes i32) (param $len i32) (result i32)
    (local $at i32)
    (local.set $at (call $alloc (i32.const 36)))
    (i32.store offset=4 (local.get $at) (local.get $bytes))
    (i32.store offset=8 (local.get $at) (local.get $len))
    (local.get $at))
"#;

/// A flow. `imports` are the core module's; `code` is the body of `handle`, which is given the event's inline body as
/// `$body` and `$len` (or in `$body` the handle of a blob, when `$kind` is 1) and leaves the address of the result.
pub(crate) fn flow(imports: &str, code: &str) -> Vec<u8> {
    flow_with(imports, "", code)
}

/// A flow with further definitions, such as memories.
pub(crate) fn flow_with(imports: &str, definitions: &str, code: &str) -> Vec<u8> {
    let handle = format!(
        r#"(func (export "headgate:runtime/handler@0.1.0#handle") 
             (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (param $kind i32) (param $body i32) (param $len i32)
             (result i32)
             (local $a i32) (local $b i32) (local $c i32) {code})
           (func (export "headgate:runtime/handler@0.1.0#describe") (result i32) (local $at i32)
             (local.set $at (call $alloc (i32.const 12)))
             (i32.store16 offset=8 (local.get $at) (i32.const 0x7d7b))
             (i32.store (local.get $at) (i32.add (local.get $at) (i32.const 8)))
             (i32.store offset=4 (local.get $at) (i32.const 2))
             (local.get $at))"#
    );
    component("flow", &format!("(module {imports} {PRELUDE} {definitions} {handle})"))
}

/// A flow that answers with what it was given.
pub(crate) fn echo() -> Vec<u8> {
    flow("", "(call $ok (local.get $body) (local.get $len))")
}

/// A connector. `imports` are the core module's; `describe` leaves the address of a string's address and length,
/// `invoke` is given the input's JSON as `$input` and `$len` and leaves the address of the result.
pub(crate) fn connector(imports: &str, describe: &str, invoke: &str) -> Vec<u8> {
    let exports = format!(
        r#"(func (export "headgate:runtime/methods@0.1.0#describe") (result i32) {describe})
           (func (export "headgate:runtime/methods@0.1.0#invoke")
             (param $method i32) (param $method_len i32) (param $input i32) (param $len i32) (result i32)
             (local $a i32) (local $b i32) {invoke})
           (func (export "headgate:runtime/methods@0.1.0#poll") (param i32 i32 i32 i32 i32 i32 i32) (result i32) unreachable)"#
    );
    component("connector", &format!("(module {imports} {PRELUDE} {exports})"))
}

/// A connector whose methods answer with their input.
pub(crate) fn echo_connector() -> Vec<u8> {
    connector("", "unreachable", "(call $json (local.get $input) (local.get $len))")
}

/// A flow that opens the slot `crm`, calls `echo` with its body and answers with the output, or with the error.
pub(crate) fn caller() -> Vec<u8> {
    flow(
        &format!(r#"{CONNECTIONS} (data (i32.const 16) "crm") (data (i32.const 32) "echo")"#),
        "(call $open (i32.const 16) (i32.const 3) (i32.const 512))
         (if (i32.load8_u (i32.const 512)) (then (return (call $pass (i32.const 516)))))
         (call $call (i32.load (i32.const 516)) (i32.const 32) (i32.const 4)
           (local.get $body) (local.get $len) (i32.const 512))
         (if (i32.load8_u (i32.const 512)) (then (return (call $pass (i32.const 516)))))
         (call $ok (i32.load (i32.const 516)) (i32.load (i32.const 520)))",
    )
}

/// What a flow imports to call connections.
pub(crate) const CONNECTIONS: &str = r#"
  (import "headgate:runtime/connections@0.1.0" "open" (func $open (param i32 i32 i32)))
  (import "headgate:runtime/connections@0.1.0" "[method]connection.call"
    (func $call (param i32 i32 i32 i32 i32 i32)))
  (import "headgate:runtime/connections@0.1.0" "call-all" (func $call_all (param i32 i32 i32)))"#;

/// A component of one of [`WORLDS`] from a core module.
pub(crate) fn component(world: &str, module: &str) -> Vec<u8> {
    let mut core = wat::parse_str(module).unwrap_or_else(|error| panic!("{error}"));
    let mut resolve = Resolve::default();
    resolve.push_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk/wit")).unwrap();
    let package = resolve.push_str("guests.wit", WORLDS).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).unwrap();
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).module(&core).unwrap().encode().unwrap_or_else(|error| panic!("{error:#}"))
}
