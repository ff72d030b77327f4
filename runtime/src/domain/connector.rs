//! Installed connectors.

use headgate_manifest::Manifest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::digest::ModuleDigest;
use crate::domain::id::{ConnectorName, GroupId};

/// A connector as it is installed in a group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Connector {
    /// Where it is installed.
    pub group: GroupId,
    /// Its name, from its manifest.
    pub name: ConnectorName,
    /// Its module.
    pub digest: ModuleDigest,
    /// The module's size in bytes.
    pub size: u64,
    /// What it says about itself.
    pub manifest: Manifest,
    /// When it was installed.
    pub installed: Timestamp,
}
