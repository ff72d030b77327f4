//! Groups, the tenants.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;

use crate::domain::id::{Environment, GroupId};
use crate::domain::sealed::Sealed;
use crate::domain::usage::Allowance;

/// A tenant: owns keys, connections, flows and runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Group {
    /// Its name, which is its id.
    pub id: GroupId,
    /// Notes of its owner.
    #[serde(default)]
    pub description: String,
    /// Its environments; `production` and `test` are always among them.
    pub environments: Vec<Environment>,
    /// Whether a request with a key that is not production's must name its environment: `?_profile=test`.
    #[serde(default)]
    pub profile_required: bool,
    /// Whether a connection is disconnected when whoever authorized it leaves; otherwise its owners are told.
    #[serde(default)]
    pub disconnect_when_authorizer_leaves: bool,
    /// When it was made.
    pub created: Timestamp,
    /// What it may use in a month; without bounds when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowance: Option<Allowance>,
    /// Where its alerts are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_endpoint: Option<AlertEndpoint>,
    /// At this host name the paths of its triggers begin at the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
}

/// The longest host name, in bytes (RFC 1035, section 2.3.4).
const MAX_HOST: usize = 253;
/// The longest label of a host name, in bytes.
const MAX_LABEL: usize = 63;

/// A host name, in lower case and without a dot at the end.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(Arc<str>);

/// A text is no host name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "\"{0}\" is no host name. Write one with a dot, such as hooks.acme.example, without a scheme or a port; other letters than a to z as in xn--caf-dma.example"
)]
pub struct HostNameError(String);

impl HostName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = HostNameError;

    fn from_str(text: &str) -> Result<Self, HostNameError> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let is_label = |label: &str| {
            let plain = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            plain && !label.is_empty() && label.len() <= MAX_LABEL && !label.starts_with('-') && !label.ends_with('-')
        };
        // The last label of an address is a number (RFC 3696, section 2).
        let has_top = name.rsplit_once('.').is_some_and(|(_, top)| !top.bytes().all(|b| b.is_ascii_digit()));
        if name.len() <= MAX_HOST && has_top && name.split('.').all(is_label) {
            Ok(Self(name.into()))
        } else {
            Err(HostNameError(text.chars().take(MAX_HOST).collect()))
        }
    }
}

impl TryFrom<String> for HostName {
    type Error = HostNameError;

    fn try_from(text: String) -> Result<Self, HostNameError> {
        text.parse()
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Where alerts are sent, and what they are signed with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AlertEndpoint {
    /// The URL.
    pub url: Url,
    /// The secret, and while it is being changed the one before: messages are signed with each.
    pub secrets: Vec<EndpointSecret>,
}

/// A signing secret of an endpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EndpointSecret {
    /// The secret.
    pub sealed: Sealed,
    /// When it is used no more; without end when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
}

impl Group {
    /// A new group.
    pub fn new(id: GroupId, environments: Vec<Environment>, created: Timestamp) -> Self {
        Self {
            id,
            description: String::new(),
            environments,
            created,
            profile_required: false,
            disconnect_when_authorizer_leaves: false,
            allowance: None,
            alert_endpoint: None,
            host: None,
        }
    }

    /// Whether an environment is one of this group's.
    pub fn has(&self, environment: &Environment) -> bool {
        self.environments.contains(environment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_name_can_be() {
        for (text, read) in [
            ("hooks.acme.example", Some("hooks.acme.example")),
            ("Hooks.ACME.Example.", Some("hooks.acme.example")),
            ("a-1.b2.xn--caf-dma", Some("a-1.b2.xn--caf-dma")),
            ("localhost", None),
            ("127.0.0.1", None),
            ("[::1]", None),
            ("hooks.acme.example:8080", None),
            ("https://hooks.acme.example", None),
            ("-a.example", None),
            ("a-.example", None),
            ("a..example", None),
            ("a_b.example", None),
            ("café.example", None),
            ("*.acme.example", None),
            (".", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<HostName>().ok().as_ref().map(HostName::as_str), read, "{text}");
        }
        assert!(format!("{}.example", "a".repeat(MAX_LABEL + 1)).parse::<HostName>().is_err());
        assert!(format!("{}example", "a.".repeat(124)).parse::<HostName>().is_err());
    }
}
