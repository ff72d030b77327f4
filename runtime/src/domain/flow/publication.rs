//! What was published in an environment, one after the other.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::audit::AuditActor;
use crate::domain::digest::ModuleDigest;
use crate::domain::id::Environment;

/// An entry of an environment's history: what was published from then on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicationEntry {
    /// Its number in the flow's history of this environment; 1 for the first.
    pub number: u32,
    /// Where.
    pub environment: Environment,
    /// Which version; nothing where it was unpublished.
    pub version: Option<u32>,
    /// Its module.
    pub digest: Option<ModuleDigest>,
    /// What was published until then.
    pub replaced: Option<u32>,
    /// How it came.
    pub reason: PublicationReason,
    /// When.
    pub at: Timestamp,
    /// Who did it.
    pub by: AuditActor,
}

/// How something came to be published, or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum PublicationReason {
    /// Somebody named the version.
    Publish,
    /// It was published in another environment.
    Promote {
        /// Which one.
        #[schema(value_type = String, example = "test")]
        from: Environment,
    },
    /// It had been published here before.
    Rollback,
    /// Nothing is published any more.
    Unpublish,
}

impl PublicationReason {
    /// In a word or two.
    pub fn words(&self) -> String {
        match self {
            Self::Publish => "publish".to_owned(),
            Self::Promote { from } => format!("promote from {from}"),
            Self::Rollback => "rollback".to_owned(),
            Self::Unpublish => "unpublish".to_owned(),
        }
    }
}

/// Which version a rollback brings back: the one wanted, or the newest that is not published now. `entries` are those of
/// one environment, newest first.
///
/// The rollback of a rollback therefore returns, as kubectl's does; to go further back one names the version.
pub fn version_before<'a>(
    entries: impl IntoIterator<Item = &'a PublicationEntry>,
    now: Option<u32>,
    wanted: Option<u32>,
) -> Option<u32> {
    let mut versions = entries.into_iter().filter_map(|entry| entry.version);
    match wanted {
        Some(wanted) => versions.find(|version| *version == wanted),
        None => versions.find(|version| Some(*version) != now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(versions: &[Option<u32>]) -> Vec<PublicationEntry> {
        let entry = |(number, version): (usize, &Option<u32>)| PublicationEntry {
            number: number as u32 + 1,
            environment: Environment::production(),
            version: *version,
            digest: None,
            replaced: None,
            reason: PublicationReason::Publish,
            at: Timestamp::UNIX_EPOCH,
            by: AuditActor { kind: "system".into(), id: String::new(), name: "headgate".into() },
        };
        versions.iter().enumerate().map(entry).rev().collect()
    }

    #[test]
    fn a_rollback_goes_to_the_version_before_and_returns() {
        for (history, now, wanted, version) in [
            (&[Some(1), Some(2)][..], Some(2), None, Some(1)),
            // Rolled back already: the newest other one is where it came from.
            (&[Some(1), Some(2), Some(1)], Some(1), None, Some(2)),
            // The same version published again is not one before.
            (&[Some(1), Some(2), Some(2)], Some(2), None, Some(1)),
            // What was unpublished comes back.
            (&[Some(1), Some(2), None], None, None, Some(2)),
            (&[Some(1), Some(2), Some(3)], Some(3), Some(1), Some(1)),
            (&[Some(1), Some(3)], Some(3), Some(2), None),
            (&[Some(1)], Some(1), None, None),
            (&[], None, None, None),
        ] {
            assert_eq!(version_before(&entries(history), now, wanted), version, "{history:?} {wanted:?}");
        }
    }
}
