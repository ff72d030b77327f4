use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Host;

/// A private place that the operator opened for connections: `crm.internal`, `localhost:8080`, `10.1.2.3`, `10.1.0.0/16`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Exemption {
    /// URLs with exactly this host, and this port if it is said, whatever the name resolves to.
    Host {
        /// A name in lower case, or an address (version 6 in brackets).
        host: String,
        /// Any port, if not said.
        port: Option<u16>,
    },
    /// Every address of this network, whichever name led there.
    Net(IpNet),
}

/// A text is not an exemption.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "\"{0}\" cannot stand in egress.allow_private: write a host (crm.internal), a host and a port (localhost:8080), an address or a network (10.1.0.0/16)"
)]
pub struct ExemptionError(String);

impl Exemption {
    /// Whether it names this host of a URL.
    pub(super) fn names(&self, host: &str, port: u16) -> bool {
        match self {
            Self::Host { host: name, port: only } => name == host && only.is_none_or(|only| only == port),
            Self::Net(_) => false,
        }
    }

    /// Whether it covers this address.
    pub(super) fn covers(&self, address: IpAddr) -> bool {
        match self {
            Self::Net(net) => net.contains(&address) || net.contains(&address.to_canonical()),
            Self::Host { .. } => false,
        }
    }
}

impl FromStr for Exemption {
    type Err = ExemptionError;

    fn from_str(text: &str) -> Result<Self, ExemptionError> {
        let error = || ExemptionError(text.to_owned());
        if let Ok(net) = text.parse::<IpNet>() {
            return Ok(Self::Net(net.trunc()));
        }
        if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return Ok(Self::Net(address.into()));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| error())?)),
            None => (text, None),
        };
        let host = Host::parse(host).map_err(|_| error())?.to_string();
        if host.contains('*') || host.ends_with('.') {
            return Err(error());
        }
        Ok(Self::Host { host, port })
    }
}

impl TryFrom<String> for Exemption {
    type Error = ExemptionError;

    fn try_from(text: String) -> Result<Self, ExemptionError> {
        text.parse()
    }
}

impl From<Exemption> for String {
    fn from(exemption: Exemption) -> Self {
        exemption.to_string()
    }
}

impl fmt::Display for Exemption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { host, port: Some(port) } => write!(f, "{host}:{port}"),
            Self::Host { host, port: None } => f.write_str(host),
            Self::Net(net) => write!(f, "{net}"),
        }
    }
}
