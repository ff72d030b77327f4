//! The bounds of the sandbox.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::wasm::error::WasmError;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const GIB: usize = 1024 * MIB;

/// Linear memories one component may have; stock toolchains make one.
pub(crate) const MEMORIES_PER_INSTANCE: u32 = 4;
/// Tables one component may have; stock toolchains make two.
pub(crate) const TABLES_PER_INSTANCE: u32 = 8;
/// Core modules one component may consist of; componentize-py links about thirty.
pub(crate) const CORE_INSTANCES_PER_INSTANCE: u32 = 64;

/// Every bound of the sandbox, with its default. Sizes are in bytes; durations are written like `10s` or `2m`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WasmSettings {
    /// Flow calls that run at the same time; further ones queue. Default 256.
    pub flow_instances: u32,
    /// Connector calls that run at the same time, counted apart from flows: a flow keeps its place while the
    /// connectors it called wait for theirs, so one count for both could deadlock. Default 256.
    pub connector_instances: u32,
    /// How long a call queues for a place before it is told to come back later. Default 5 s.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub queue_wait: Duration,
    /// How many calls may queue, of flows and of connectors each. Default 4,096.
    pub queue_length: usize,
    /// Linear memory of one instance, all of its memories together. Default 128 MiB.
    pub memory_bytes: usize,
    /// Linear memory of all instances together, so that many greedy guests cannot exhaust the machine. Default 2 GiB.
    pub total_memory_bytes: usize,
    /// Table elements of one instance, all of its tables together. JavaScript guests need 200,000. Default 200,000.
    pub table_elements: usize,
    /// Memory a place keeps for its next instance instead of giving it back to the system. Default 1 MiB.
    pub keep_resident_bytes: usize,
    /// Time one call may spend computing; waiting does not count. Default 10 s.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub cpu: Duration,
    /// How many guests that have computed for longer than a tick (10 ms) may compute at once, so that short calls
    /// always find a free core. 0 means one less than there are cores, but at least one. Default 0.
    pub busy_guests: usize,
    /// How long a run may take, waiting included, where its trigger does not say. Default 30 s.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub timeout: Duration,
    /// The longest a trigger may ask for. Default 5 minutes.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub max_timeout: Duration,
    /// What a guest may hand to the host in one call, and an export may return. Default 4 MiB.
    pub host_call_bytes: usize,
    /// Handles (blobs, connections, streams, requests) one instance may hold. Default 4,096.
    pub handles: usize,
    /// Random bytes a guest may ask for at once. Default 64 KiB.
    pub random_bytes: u64,
    /// A request body up to this size is handed to a flow inline, a larger one as a blob. Default 256 KiB.
    pub inline_body_bytes: usize,
    /// The largest body a flow may answer with. Default 8 MiB.
    pub response_bytes: usize,
    /// Headers a flow may answer with, names and values together. Default 16 KiB.
    pub response_header_bytes: usize,
    /// The largest JSON output of a connector's method, and of a manifest. Default 2 MiB.
    pub output_bytes: usize,
    /// All blobs of one run together. Default 64 MiB.
    pub blob_bytes: usize,
    /// Lines a run's log keeps. Default 1,000.
    pub log_lines: usize,
    /// The longest line a run's log keeps whole. Default 8 KiB.
    pub log_line_bytes: usize,
    /// All lines of a run's log together. Default 256 KiB.
    pub log_bytes: usize,
    /// Calls of one `call-all` that are under way at once. Default 8.
    pub call_all_concurrency: usize,
    /// Calls one `call-all` may hold. Default 256.
    pub call_all_requests: usize,
    /// The largest component that is accepted. Default 64 MiB.
    pub component_bytes: usize,
    /// How long compiling a component may take. Default 2 minutes.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub compile: Duration,
    /// Memory the process may use that compiles a component; two may be at work. 13 MiB of JavaScript take 360 MiB, and
    /// the largest component is five times as large. Default 2 GiB.
    pub compile_memory_bytes: usize,
}

impl Default for WasmSettings {
    fn default() -> Self {
        Self {
            flow_instances: 256,
            connector_instances: 256,
            queue_wait: Duration::from_secs(5),
            queue_length: 4_096,
            memory_bytes: 128 * MIB,
            total_memory_bytes: 2 * GIB,
            table_elements: 200_000,
            keep_resident_bytes: MIB,
            cpu: Duration::from_secs(10),
            busy_guests: 0,
            timeout: Duration::from_secs(30),
            max_timeout: Duration::from_secs(300),
            host_call_bytes: 4 * MIB,
            handles: 4_096,
            random_bytes: 64 * KIB as u64,
            inline_body_bytes: 256 * KIB,
            response_bytes: 8 * MIB,
            response_header_bytes: 16 * KIB,
            output_bytes: 2 * MIB,
            blob_bytes: 64 * MIB,
            log_lines: 1_000,
            log_line_bytes: 8 * KIB,
            log_bytes: 256 * KIB,
            call_all_concurrency: 8,
            call_all_requests: 256,
            component_bytes: 64 * MIB,
            compile: Duration::from_secs(120),
            compile_memory_bytes: 2 * GIB,
        }
    }
}

impl WasmSettings {
    /// Refuses settings no call could succeed under, naming the first such setting.
    pub(crate) fn validate(&self) -> Result<(), WasmError> {
        let at_least_one = [
            ("flow_instances", self.flow_instances as usize),
            ("connector_instances", self.connector_instances as usize),
            ("call_all_concurrency", self.call_all_concurrency),
            ("call_all_requests", self.call_all_requests),
            ("timeout", self.timeout.as_nanos() as usize),
            ("cpu", self.cpu.as_nanos() as usize),
        ];
        for (name, value) in at_least_one {
            if value == 0 {
                return Err(WasmError::Setting { name, rule: "must be more than nothing" });
            }
        }
        if self.memory_bytes < 64 * KIB {
            return Err(WasmError::Setting { name: "memory_bytes", rule: "must be at least 65536, one page" });
        }
        if self.max_timeout < self.timeout {
            return Err(WasmError::Setting { name: "max_timeout", rule: "must not be less than timeout" });
        }
        Ok(())
    }

    /// All instances that can exist at once.
    pub(crate) fn instances(&self) -> u32 {
        self.flow_instances.saturating_add(self.connector_instances)
    }

    /// The time a run gets that asks for `wanted`.
    pub(crate) fn timeout(&self, wanted: Option<Duration>) -> Duration {
        wanted.unwrap_or(self.timeout).min(self.max_timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_a_zero_is_named() {
        WasmSettings::default().validate().unwrap();
        let error = WasmSettings { flow_instances: 0, ..WasmSettings::default() }.validate().unwrap_err();
        assert!(error.to_string().contains("flow_instances"), "{error}");
    }

    #[test]
    fn a_trigger_cannot_ask_for_more_than_the_most() {
        let settings = WasmSettings {
            timeout: Duration::from_millis(10),
            max_timeout: Duration::from_millis(20),
            ..WasmSettings::default()
        };
        assert_eq!(settings.timeout(None), Duration::from_millis(10));
        assert_eq!(settings.timeout(Some(Duration::from_secs(9))), Duration::from_millis(20));
    }
}
