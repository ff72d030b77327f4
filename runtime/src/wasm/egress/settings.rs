use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::exemption::Exemption;

/// The settings `egress.*`. Durations are written like `10s` or `2m`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EgressSettings {
    /// Private hosts that connections may reach all the same: a host (`crm.internal`), a host with a port
    /// (`localhost:8080`), an address or a network (`10.1.0.0/16`). Default: none.
    ///
    /// A host opens whatever its name resolves to, except cloud metadata addresses, which only an address opens.
    pub allow_private: Vec<Exemption>,
    /// How long a request may wait for a free connection, and then for its own to be made. Default: 10 s.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub connect_timeout: Duration,
    /// How long the head of the answer may take once connected. Default: 30 s.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub first_byte_timeout: Duration,
    /// How long the answer's body may pause. Default: 30 s.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub between_bytes_timeout: Duration,
    /// How long a request may take altogether, its answer's body included. Default: 2 minutes.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub total_timeout: Duration,
    /// The largest body of a request, in bytes. Default: 32 MiB.
    pub max_request_body: u64,
    /// The largest body of an answer, in bytes. Default: 32 MiB.
    pub max_response_body: u64,
    /// The most bytes in the headers of a request or an answer. Default: 64 KiB.
    pub max_header_bytes: usize,
    /// The most connections of one group to one host and port. Default: 64.
    pub max_connections_per_host: usize,
    /// The most of those that are kept while idle. Default: 16.
    pub max_idle_per_host: usize,
    /// How long an idle connection is kept. Default: 60 s.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub idle_timeout: Duration,
    /// How many clients (each with connections of one group only) are kept; the one not used for longest goes first. Default: 256.
    pub max_clients: usize,
}

impl Default for EgressSettings {
    fn default() -> Self {
        Self {
            allow_private: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            first_byte_timeout: Duration::from_secs(30),
            between_bytes_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_secs(120),
            max_request_body: 32 << 20,
            max_response_body: 32 << 20,
            max_header_bytes: 64 << 10,
            max_connections_per_host: 64,
            max_idle_per_host: 16,
            idle_timeout: Duration::from_secs(60),
            max_clients: 256,
        }
    }
}

impl EgressSettings {
    pub(super) fn exempts(&self, host: &str, port: u16) -> bool {
        self.allow_private.iter().any(|exemption| exemption.names(host, port))
    }
}
