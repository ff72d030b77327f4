//! The run this instance works for.

use crate::sys;

/// Facts about a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    /// The run's id, a UUID version 7.
    pub id: String,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The environment it runs in, e.g. `production`.
    pub environment: String,
    /// The flow's name.
    pub flow: String,
    /// Who called, e.g. `Key: erp-order-sync`. Never a credential.
    pub caller: String,
}

/// Facts about this run.
pub fn current() -> Info {
    sys::run_info()
}
