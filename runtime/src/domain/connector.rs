//! Installed connectors, and their versions.

pub mod upgrade;

use headgate_manifest::Manifest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::digest::ModuleDigest;
use crate::domain::id::{ConnectorName, GroupId};

/// A connector as it is installed: in a group, or on the server for all groups that have none of its name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Connector {
    /// Where it is installed; absent for the server's.
    #[serde(default)]
    pub group: Option<GroupId>,
    /// Its name, from its manifest.
    pub name: ConnectorName,
    /// Which of its versions is in use: 1 for the first that was installed here.
    #[serde(default = "first")]
    pub version: u32,
    /// The number of the newest version that was ever installed here.
    #[serde(default = "first")]
    pub latest: u32,
    /// Its module.
    pub digest: ModuleDigest,
    /// The module's size in bytes.
    pub size: u64,
    /// What it says about itself.
    pub manifest: Manifest,
    /// When this version was installed first.
    pub installed: Timestamp,
    /// By whom, such as `ada@example.com`.
    #[serde(default)]
    pub installed_by: String,
}

/// One version of a connector as it was installed. It never changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectorVersion {
    /// 1 for the first.
    pub version: u32,
    /// Its module.
    pub digest: ModuleDigest,
    /// The module's size in bytes.
    pub size: u64,
    /// What it says about itself.
    pub manifest: Manifest,
    /// When it was installed first.
    pub installed: Timestamp,
    /// By whom.
    pub installed_by: String,
}

/// Connectors that were installed before there were versions are their first one.
fn first() -> u32 {
    1
}

impl Connector {
    /// The name under which the records of its place lie. No group has the server's name.
    pub fn place(&self) -> &str {
        place(self.group.as_ref())
    }

    /// The version that is in use.
    pub fn in_use(&self) -> ConnectorVersion {
        ConnectorVersion {
            version: self.version,
            digest: self.digest,
            size: self.size,
            manifest: self.manifest.clone(),
            installed: self.installed,
            installed_by: self.installed_by.clone(),
        }
    }

    /// This connector with another of its versions in use.
    pub fn with(&self, version: ConnectorVersion) -> Self {
        Self {
            group: self.group.clone(),
            name: self.name.clone(),
            version: version.version,
            latest: self.latest.max(version.version),
            digest: version.digest,
            size: version.size,
            manifest: version.manifest,
            installed: version.installed,
            installed_by: version.installed_by,
        }
    }
}

/// The name under which the connectors of a group lie in the store, or those of the server.
pub fn place(group: Option<&GroupId>) -> &str {
    group.map_or("(server)", GroupId::as_str)
}
