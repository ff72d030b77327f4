//! The run's log.
//!
//! ```
//! # use headgate_sdk::prelude::*;
//! # let _host = headgate_sdk::testing::Host::new();
//! log::info!("updated {} contacts", 3);
//! ```
//!
//! Lines and their number are capped; what is beyond the cap is counted, not kept.

pub use crate::{__log_debug as debug, __log_error as error, __log_info as info, __log_warn as warn};

/// How loud a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For whoever searches a fault.
    Debug,
    /// What happened.
    Info,
    /// What went not quite as it should.
    Warn,
    /// What failed.
    Error,
}

/// Adds a line to the run's log. Usually written as `log::info!(..)`.
pub fn write(level: Level, message: &str) {
    crate::sys::log(level, message);
}

/// Adds a line to the run's log at level debug.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_debug {
    ($($arg:tt)*) => { $crate::log::write($crate::log::Level::Debug, &::std::format!($($arg)*)) };
}

/// Adds a line to the run's log at level info.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_info {
    ($($arg:tt)*) => { $crate::log::write($crate::log::Level::Info, &::std::format!($($arg)*)) };
}

/// Adds a line to the run's log at level warn.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_warn {
    ($($arg:tt)*) => { $crate::log::write($crate::log::Level::Warn, &::std::format!($($arg)*)) };
}

/// Adds a line to the run's log at level error.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_error {
    ($($arg:tt)*) => { $crate::log::write($crate::log::Level::Error, &::std::format!($($arg)*)) };
}
