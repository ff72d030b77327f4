//! Everything that is loaded goes the same way, and what is bad is refused with its own words, within its bounds.

mod compiling;
mod corpus;
mod folder;
mod signatures;

use headgate_tests::compiler;

/// The process that compiles for the other stories, which run this test in a process of its own.
#[test]
fn compiling_process() {
    compiler::compile();
}

/// A component that takes long to compile: many functions with large bodies.
fn bomb(functions: usize) -> Vec<u8> {
    // local.get 0, i32.const 7, i32.mul, local.get 0, i32.add, local.set 0
    let body = [&[0], &[0x20, 0, 0x41, 7, 0x6c, 0x20, 0, 0x6a, 0x21, 0].repeat(300)[..], &[0x20, 0, 0x0b]].concat();
    let body = [leb128(body.len()), body].concat();
    let section = |id: u8, contents: Vec<u8>| [vec![id], leb128(contents.len()), contents].concat();
    // One type, i32 -> i32, which every function has.
    let types = section(1, vec![1, 0x60, 1, 0x7f, 1, 0x7f]);
    let declared = section(3, [leb128(functions), vec![0; functions]].concat());
    let code = section(10, [leb128(functions), body.repeat(functions)].concat());
    let module = [b"\0asm\x01\0\0\0".to_vec(), types, declared, code].concat();
    let flow = wat::parse_str(r#"(component (instance $i) (export "headgate:runtime/handler@0.1.0" (instance $i)))"#);
    [flow.unwrap(), section(1, module)].concat()
}

/// A number as WebAssembly writes it.
fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}
