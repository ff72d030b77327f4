//! The only place that turns stored machine code back into a component.
#![expect(unsafe_code, reason = "Component::deserialize runs what it is given; see `component`")]

use wasmtime::Engine;
use wasmtime::component::Component;

/// Machine code that this server wrote: [`crate::wasm::cache`] makes one only after it has checked the MAC that
/// the server's key gave the file, [`crate::wasm::module`] of what the compiler has just answered. Uploads never
/// become one.
pub(super) struct Authentic<'a>(pub(super) &'a [u8]);

/// Loads machine code without compiling. wasmtime refuses code of another version or configuration.
pub(super) fn component(engine: &Engine, code: &Authentic<'_>) -> wasmtime::Result<Component> {
    // SAFETY: the bytes came out of `Engine::precompile_component`, here or in the process that the server started for
    // it, and have not been changed since: that is what their MAC says, and what the type stands for.
    unsafe { Component::deserialize(engine, code.0) }
}
