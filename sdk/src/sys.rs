//! The host's side: the real one in a component, the mock of [`crate::testing`] everywhere else.

#[cfg(target_arch = "wasm32")]
pub(crate) mod guest;
#[cfg(target_arch = "wasm32")]
mod guest_http;

#[cfg(target_arch = "wasm32")]
pub(crate) use guest::{Blob, Connection, call_all, config, log, run_info};
#[cfg(target_arch = "wasm32")]
pub(crate) use guest_http::send;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::imports::{Blob, Connection, call_all, config, log, run_info, send};
