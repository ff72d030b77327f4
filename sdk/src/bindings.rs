//! What wit-bindgen makes of `wit/runtime.wit`. Both worlds share one set of types.

#![allow(clippy::all, reason = "generated code; its documentation is the WIT")]

pub mod flow {
    wit_bindgen::generate!({
        path: "wit",
        world: "flow",
        pub_export_macro: true,
        export_macro_name: "export_flow",
        default_bindings_module: "headgate_sdk::rt::flow",
    });
}

pub mod connector {
    wit_bindgen::generate!({
        path: "wit",
        world: "connector",
        with: {
            "headgate:runtime/types@0.1.0": super::flow::headgate::runtime::types,
            "headgate:runtime/blobs@0.1.0": super::flow::headgate::runtime::blobs,
            "headgate:runtime/run@0.1.0": super::flow::headgate::runtime::run,
            "headgate:runtime/connection@0.1.0": generate,
            "wasi:http/outgoing-handler@0.2.12": wasip2::http::outgoing_handler,
            "wasi:http/types@0.2.12": wasip2::http::types,
            "wasi:io/error@0.2.12": wasip2::io::error,
            "wasi:io/poll@0.2.12": wasip2::io::poll,
            "wasi:io/streams@0.2.12": wasip2::io::streams,
            "wasi:clocks/monotonic-clock@0.2.12": wasip2::clocks::monotonic_clock,
        },
        pub_export_macro: true,
        export_macro_name: "export_connector",
        default_bindings_module: "headgate_sdk::rt::connector",
    });
}
