//! Flows, their versions, and what is published where.

pub mod diff;
pub mod publication;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::audit::AuditActor;
use crate::domain::digest::ModuleDigest;
use crate::domain::id::{ConnectionId, Environment, FlowId, GroupId, Name, Slot, TriggerId};
use crate::domain::trigger::{HttpSettings, HttpTrigger};

/// A named unit of work.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Flow {
    /// Its id, unique on the server: `POST /flows/{flow_id}/execute`.
    pub id: FlowId,
    /// Whose it is.
    pub group: GroupId,
    /// Its name, unique in the group.
    pub name: Name,
    /// Notes of its owner.
    #[serde(default)]
    pub description: String,
    /// The number of the newest version; 0 before the first push.
    pub latest: u32,
    /// What is published in which environment.
    #[serde(default)]
    pub published: BTreeMap<Environment, Publication>,
    /// The number of the newest entry of each environment's history of publications.
    #[serde(default)]
    pub history: BTreeMap<Environment, u32>,
    /// Which connection each slot is bound to, by environment.
    #[serde(default)]
    pub slots: BTreeMap<Environment, BTreeMap<Slot, ConnectionId>>,
    /// The built-in execute trigger.
    pub execute: ExecuteTrigger,
    /// When it was made.
    pub created: Timestamp,
}

/// The trigger behind `POST /flows/{flow_id}/execute`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExecuteTrigger {
    /// Its id, as flows and runs name it.
    pub id: TriggerId,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// The same settings any HTTP trigger has.
    pub settings: Arc<HttpSettings>,
}

/// A version that runs in an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// Its number.
    pub version: u32,
    /// Its module.
    pub digest: ModuleDigest,
}

/// One pushed version. It never changes, except that a draft gives its number to the next push until it is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowVersion {
    /// Of which flow.
    pub flow: FlowId,
    /// 1 for the first push.
    pub version: u32,
    /// Its module.
    pub digest: ModuleDigest,
    /// The module's size in bytes.
    pub size: u64,
    /// What its author said of it.
    #[serde(default)]
    pub note: String,
    /// When it was pushed.
    pub created: Timestamp,
    /// Who pushed it; absent for versions of earlier servers.
    #[serde(default)]
    pub author: Option<AuditActor>,
    /// What it was built from, if its author said.
    #[serde(default)]
    pub source: Option<SourceRevision>,
    /// The interfaces it imports, with versions; empty for versions of earlier servers.
    #[serde(default)]
    pub imports: Vec<String>,
    /// Whether it is a draft: the newest version, in whose place the next push comes unless it is published before.
    #[serde(default)]
    pub draft: bool,
}

/// The state of the source that a version was built from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SourceRevision {
    /// The revision, such as a commit's hash.
    #[schema(example = "4f1c2a9d0b7e4c55a1e2f3a4b5c6d7e8f9a0b1c2")]
    pub revision: String,
    /// Whether there were changes that the revision does not have.
    pub dirty: bool,
}

/// Letters and digits of a revision at most: two SHA-256 hashes.
const MAX_REVISION: usize = 128;

impl SourceRevision {
    /// Says what a revision is like, where this is none.
    pub fn check(&self) -> Result<(), String> {
        let is_good = |c: char| c.is_ascii_graphic();
        if (1..=MAX_REVISION).contains(&self.revision.len()) && self.revision.chars().all(is_good) {
            return Ok(());
        }
        Err(format!("A source revision has 1 to {MAX_REVISION} letters, digits and signs, without spaces"))
    }
}

impl Flow {
    /// The built-in trigger, in the form all HTTP triggers have.
    pub fn execute_trigger(&self) -> HttpTrigger {
        HttpTrigger {
            id: self.execute.id.clone(),
            flow: self.id.clone(),
            description: self.execute.description.clone(),
            routing_key: None,
            path: None,
            settings: self.execute.settings.clone(),
            created: self.created,
        }
    }

    /// The connection a slot is bound to in an environment.
    pub fn bound(&self, environment: &Environment, slot: &str) -> Option<&ConnectionId> {
        self.slots.get(environment)?.get(slot)
    }

    /// Where a connection is bound: environment and slot.
    pub fn bindings_of<'a>(
        &'a self,
        connection: &'a ConnectionId,
    ) -> impl Iterator<Item = (&'a Environment, &'a Slot)> {
        self.slots.iter().flat_map(move |(environment, slots)| {
            slots.iter().filter(move |(_, bound)| *bound == connection).map(move |(slot, _)| (environment, slot))
        })
    }
}
