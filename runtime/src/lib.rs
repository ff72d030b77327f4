//! Headgate: a self-hosted flow runtime. See ARCHITECTURE.md for the map.

pub mod domain;
pub mod http;
pub mod service;
pub mod store;
pub mod wasm;
