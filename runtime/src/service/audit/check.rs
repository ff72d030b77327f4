//! Checking the audit log: that every entry is as it was written, and that none is missing.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::audit::AuditEntry;
use crate::domain::secret::Pepper;
use crate::service::audit::{AuditHead, ENTRIES, PAGE, entry_key, group_key};
use crate::service::error::ServiceError;
use crate::service::record::{decode, encode};
use crate::store::Store;

/// An entry and its hash, written `SEQUENCE:HASH`. The newest one, kept elsewhere, shows later that nothing was cut off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AuditPlace {
    /// The entry's number; 0 for the beginning of the log.
    pub sequence: u64,
    /// Its hash, hexadecimal; empty for the beginning of the log.
    pub hash: String,
}

impl FromStr for AuditPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(':').and_then(|(sequence, hash)| Some((sequence.parse().ok()?, hash)));
        let (sequence, hash) = parts.ok_or_else(|| {
            format!("\"{text}\" is no end of an audit log. Write SEQUENCE:HASH, as `headgate audit verify` shows it")
        })?;
        Ok(Self { sequence, hash: hash.to_owned() })
    }
}

impl TryFrom<String> for AuditPlace {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<AuditPlace> for String {
    fn from(place: AuditPlace) -> Self {
        place.to_string()
    }
}

impl fmt::Display for AuditPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sequence, self.hash)
    }
}

/// What checking the whole chain found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditCheck {
    /// The newest entry: how many there are, and its hash.
    pub head: AuditPlace,
    /// The first entry that is not as it was written, and what is wrong with it.
    pub broken: Option<(u64, &'static str)>,
}

/// Checks the whole log of a store.
pub(super) fn check(
    store: &dyn Store,
    pepper: &Pepper,
    expected: Option<&AuditPlace>,
) -> Result<AuditCheck, ServiceError> {
    let AuditHead { sequence, hash } = AuditHead::read(store)?;
    let head = AuditPlace { sequence, hash };
    let mut chain = Chain { store, pepper, expected, last: AuditPlace::default() };
    let broken = chain.broken(&head)?;
    Ok(AuditCheck { head, broken: broken.map(|reason| (chain.last.sequence + 1, reason)) })
}

/// The entries that are known to be good.
struct Chain<'a> {
    store: &'a dyn Store,
    pepper: &'a Pepper,
    expected: Option<&'a AuditPlace>,
    last: AuditPlace,
}

impl Chain<'_> {
    /// What is wrong with the first entry that is not as it was written.
    fn broken(&mut self, head: &AuditPlace) -> Result<Option<&'static str>, ServiceError> {
        let mut after: Option<String> = None;
        // What is written while this check is running is left to the next one.
        while self.last.sequence < head.sequence {
            let page = self.store.scan(ENTRIES, after.as_deref(), PAGE);
            let page = page.map_err(ServiceError::internal("reading the audit log"))?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            let left = usize::try_from(head.sequence - self.last.sequence).unwrap_or(usize::MAX);
            for (key, record) in page.iter().take(left) {
                if let Some(reason) = self.take(key, &record.value)? {
                    return Ok(Some(reason));
                }
            }
        }
        if self.last.sequence < head.sequence {
            return Ok(Some("it is missing"));
        }
        if self.last != *head {
            return Ok(Some("the entry before it is not the one that the log ended with"));
        }
        if self.expected.is_some_and(|expected| expected.sequence > head.sequence) {
            return Ok(Some("it is missing: the log was longer when its end was noted"));
        }
        // Nothing may lie beyond the end, unless it was written meanwhile.
        let beyond =
            self.store.get(&entry_key(head.sequence + 1)).map_err(ServiceError::internal("reading the audit log"))?;
        let moved = AuditHead::read(self.store)?.sequence > head.sequence;
        Ok((beyond.is_some() && !moved).then_some("it lies beyond the end of the log"))
    }

    /// Takes the next entry in, or says what is wrong with it.
    fn take(&mut self, key: &str, value: &[u8]) -> Result<Option<&'static str>, ServiceError> {
        let next = self.last.sequence + 1;
        if key != entry_key(next) {
            return Ok(Some("it is missing"));
        }
        let Ok(entry) = decode::<AuditEntry>(value) else { return Ok(Some("it cannot be read")) };
        if entry.sequence != next {
            return Ok(Some("another entry stands in its place"));
        }
        if entry.previous != self.last.hash {
            return Ok(Some("it does not follow the entry before it"));
        }
        // What the hash does not cover, such as the record's version, is as it was when all bytes are.
        if entry.hash != entry.expected_hash(self.pepper) || encode(&entry) != value {
            return Ok(Some("it was changed after it was written"));
        }
        if self.expected.is_some_and(|expected| expected.sequence == next && expected.hash != entry.hash) {
            return Ok(Some("it is not the one that the log ended with when its end was noted"));
        }
        if let Some(group) = &entry.group {
            let listed =
                self.store.get(&group_key(group, next)).map_err(ServiceError::internal("reading the audit log"))?;
            if listed.is_none() {
                return Ok(Some("the list of its group leaves it out"));
            }
        }
        self.last = AuditPlace { sequence: next, hash: entry.hash };
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::AuditActor;
    use crate::store::{Batch, MemoryStore};

    fn pepper() -> Pepper {
        Pepper::new(&[7; 32])
    }

    /// A log of some entries; answers the places of all of them as well.
    async fn log(entries: u64) -> (MemoryStore, Vec<AuditPlace>) {
        let store = MemoryStore::default();
        let mut head = AuditHead::default();
        let mut places = vec![AuditPlace::default()];
        for sequence in 1..=entries {
            let by = AuditActor { kind: "system".into(), id: String::new(), name: "headgate".into() };
            let entry = AuditEntry {
                sequence,
                at: jiff::Timestamp::from_second(sequence as i64).unwrap(),
                action: "api-key.create".into(),
                group: (sequence % 2 == 0).then(|| "acme".parse().unwrap()),
                by,
                address: None,
                changes: Vec::new(),
                previous: head.hash.clone(),
                hash: String::new(),
            };
            let (batch, next) = head.extend(Batch::new(), &entry.seal(&pepper()));
            store.commit(batch).await.unwrap();
            places.push(AuditPlace { sequence, hash: next.hash.clone() });
            head = next;
        }
        (store, places)
    }

    fn found(store: &MemoryStore, expected: Option<&AuditPlace>) -> Option<(u64, &'static str)> {
        check(store, &pepper(), expected).unwrap().broken
    }

    fn value(store: &MemoryStore, sequence: u64) -> Vec<u8> {
        store.get(&entry_key(sequence)).unwrap().unwrap().value.to_vec()
    }

    #[tokio::test]
    async fn an_untouched_log_is_whole() {
        for entries in [0, 1, 7, PAGE as u64 + 3] {
            let (store, places) = log(entries).await;
            let check = check(&store, &pepper(), places.last()).unwrap();
            assert_eq!(check, AuditCheck { head: places.last().unwrap().clone(), broken: None });
        }
    }

    #[tokio::test]
    async fn any_changed_byte_is_noticed() {
        let (store, _) = log(5).await;
        let whole = value(&store, 3);
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            store.commit(Batch::new().put(entry_key(3), changed)).await.unwrap();
            let found = found(&store, None).map(|(sequence, _)| sequence);
            assert_eq!(found, Some(3), "byte {at} of {}", String::from_utf8_lossy(&whole));
        }
        store.commit(Batch::new().put(entry_key(3), whole)).await.unwrap();
        assert_eq!(found(&store, None), None);
    }

    #[tokio::test]
    async fn a_missing_entry_is_named() {
        for missing in 1..=5 {
            let (store, _) = log(5).await;
            store.commit(Batch::new().delete(entry_key(missing))).await.unwrap();
            assert_eq!(found(&store, None), Some((missing, "it is missing")));
        }
    }

    #[tokio::test]
    async fn swapped_entries_are_named() {
        let (store, _) = log(5).await;
        let (two, four) = (value(&store, 2), value(&store, 4));
        store.commit(Batch::new().put(entry_key(2), four).put(entry_key(4), two)).await.unwrap();
        assert_eq!(found(&store, None), Some((2, "another entry stands in its place")));
    }

    #[tokio::test]
    async fn an_end_that_was_cut_off_is_noticed_by_whoever_noted_it() {
        let (store, places) = log(5).await;
        let cut = Batch::new().delete(entry_key(4)).delete(entry_key(5));
        store.commit(cut).await.unwrap();
        assert_eq!(found(&store, None), Some((4, "it is missing")));
        // Whoever cuts the log off can also put back its end; the noted one remains.
        let head = AuditHead { sequence: 3, hash: places[3].hash.clone() };
        store.commit(Batch::new().put(super::super::HEAD, encode(&head))).await.unwrap();
        assert_eq!((found(&store, None), found(&store, Some(&places[3]))), (None, None));
        assert_eq!(
            found(&store, Some(&places[5])),
            Some((4, "it is missing: the log was longer when its end was noted"))
        );
    }

    #[tokio::test]
    async fn an_end_that_was_moved_is_noticed() {
        let (store, places) = log(5).await;
        for (sequence, hash, broken) in [
            (3, &places[3].hash, (4, "it lies beyond the end of the log")),
            (5, &places[3].hash, (6, "the entry before it is not the one that the log ended with")),
        ] {
            let head = AuditHead { sequence, hash: hash.clone() };
            store.commit(Batch::new().put(super::super::HEAD, encode(&head))).await.unwrap();
            assert_eq!(found(&store, None), Some(broken));
        }
    }

    #[tokio::test]
    async fn another_history_and_an_entry_that_its_group_does_not_see_are_noticed() {
        let (store, places) = log(5).await;
        let other = AuditPlace { sequence: 2, hash: places[3].hash.clone() };
        assert_eq!(found(&store, Some(&other)).map(|(sequence, _)| sequence), Some(2));
        assert_eq!(check(&store, &Pepper::new(&[8; 32]), None).unwrap().broken.unwrap().0, 1);
        let group = "acme".parse().unwrap();
        store.commit(Batch::new().delete(group_key(&group, 4))).await.unwrap();
        assert_eq!(found(&store, None), Some((4, "the list of its group leaves it out")));
    }

    #[test]
    fn a_place_reads_back() {
        let place = AuditPlace { sequence: 12, hash: "ab".to_owned() };
        assert_eq!(place.to_string().parse::<AuditPlace>().unwrap(), place);
        for wrong in ["", "12", "x:ab"] {
            assert!(wrong.parse::<AuditPlace>().is_err(), "{wrong}");
        }
    }
}
