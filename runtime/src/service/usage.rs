//! Usage of API keys, counted in memory.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;

use jiff::Timestamp;

use crate::domain::id::ApiKeyId;

/// When a key was used last, and from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastUsed {
    /// When.
    pub at: Timestamp,
    /// From where.
    pub address: Option<IpAddr>,
}

/// What keys were used for.
#[derive(Default)]
pub struct UsageBook {
    last: Mutex<HashMap<ApiKeyId, LastUsed>>,
}

impl UsageBook {
    /// When a key was used last.
    pub fn last_used(&self, key: &ApiKeyId) -> Option<LastUsed> {
        self.last.lock().expect("no holder panics").get(key).copied()
    }
}
