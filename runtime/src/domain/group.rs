//! Groups, the tenants.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::id::{Environment, GroupId};

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
    /// When it was made.
    pub created: Timestamp,
}

impl Group {
    /// Whether an environment is one of this group's.
    pub fn has(&self, environment: &Environment) -> bool {
        self.environments.contains(environment)
    }
}
