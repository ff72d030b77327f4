//! The sandbox: the only user of wasmtime, and the only one that makes outbound requests for guests.
//!
//! [`WasmHost`] loads components ([`FlowModule`], [`ConnectorModule`]) and calls each of their exports in a
//! **fresh instance**: no byte of one call is visible in the next. What a guest can reach is what its world
//! imports (`sdk/wit`), plus the inert standard-library interfaces of [`inspect`]; what it can use up is bounded by
//! [`WasmSettings`]. A call ends in its result or in a [`CallError`], which says whose fault it was.

mod admission;
mod bindings;
mod blob;
mod cache;
mod call;
mod compiler;
mod connector;
mod cpu;
pub mod egress;
mod engine;
mod error;
mod event;
mod flow;
mod guest;
mod host;
mod inspect;
mod limits;
mod log;
mod mismatch;
mod module;
mod permits;
mod run;
mod settings;
mod stdio;
mod trusted;

pub use admission::{Admitted, AdmittedConnector, AdmittedFlow};
pub use cache::{CacheState, ModuleCache, look_at_cache};
pub use compiler::{Compiled, Compiler, Program, SUBCOMMAND, compile_child};
pub use connector::Poll;
pub use error::{CallError, FaultCode, GuestError, LoadError, WasmError};
pub use event::{Event, Response};
pub use host::WasmHost;
pub use inspect::{Inspection, World, inspect};
pub use log::{LogLevel, LogLine, LogSource, RunLog};
pub use module::{ConnectorModule, FlowModule};
pub use permits::Occupancy;
pub use run::{Connections, NoConnections, RunInfo, RunScope, SlotHandle};
pub use settings::WasmSettings;
