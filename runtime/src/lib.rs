//! Headgate: a self-hosted flow runtime. See ARCHITECTURE.md for the map.

pub mod app;
pub mod cli;
pub mod domain;
pub mod http;
pub mod service;
pub mod settings;
pub mod store;
pub mod wasm;
