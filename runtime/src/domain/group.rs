//! Groups, the tenants.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
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
        }
    }

    /// Whether an environment is one of this group's.
    pub fn has(&self, environment: &Environment) -> bool {
        self.environments.contains(environment)
    }
}
