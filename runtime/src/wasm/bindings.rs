//! What `sdk/wit` says, as Rust types.

/// The world of flows.
pub(super) mod flow {
    wasmtime::component::bindgen!({
        path: "../sdk/wit",
        world: "headgate:runtime/flow",
        imports: {
            "headgate:runtime/connections.[method]connection.call": async | trappable,
            "headgate:runtime/connections.call-all": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        with: {
            "headgate:runtime/blobs.blob": crate::wasm::blob::HostBlob,
            "headgate:runtime/connections.connection": crate::wasm::run::SlotHandle,
        },
        require_store_data_send: true,
    });
}

/// The world of connectors; what it shares with flows is the same types.
pub(super) mod connector {
    wasmtime::component::bindgen!({
        path: "../sdk/wit",
        world: "headgate:runtime/connector",
        imports: { default: trappable },
        exports: { default: async },
        with: {
            "headgate:runtime/types": super::flow::headgate::runtime::types,
            "headgate:runtime/blobs": super::flow::headgate::runtime::blobs,
            "headgate:runtime/run": super::flow::headgate::runtime::run,
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
            "wasi:http": wasmtime_wasi_http::p2::bindings::http,
        },
        require_store_data_send: true,
    });
}

pub(super) use connector::headgate::runtime::connection;
pub(super) use flow::headgate::runtime::{blobs, connections, run, types};
