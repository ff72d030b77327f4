//! What is held of idempotency keys in memory: whose turn it is, and how much room each group's claims take.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use crate::domain::id::GroupId;
use crate::service::error::ServiceError;
use crate::service::idempotency::kept::{ENDS, Place};
use crate::store::Store;

/// Records read at a time.
const PAGE: usize = 1000;

/// Which keys are being worked on, and the room that claims take.
#[derive(Default)]
pub(in crate::service) struct IdempotencyBook {
    turns: Mutex<HashMap<String, watch::Receiver<()>>>,
    rooms: Mutex<HashMap<GroupId, Room>>,
}

/// What a group's claims take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) keys: u64,
    pub(super) bytes: u64,
}

/// The one turn for a key. Whoever waits for it goes on when it is dropped.
pub(super) struct Turn {
    book: Arc<IdempotencyBook>,
    key: String,
    _over: watch::Sender<()>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.book.turns).remove(&self.key);
    }
}

impl IdempotencyBook {
    /// Counts what earlier servers left.
    pub(in crate::service) fn read(store: &dyn Store) -> Result<Self, ServiceError> {
        let book = Self::default();
        let mut after: Option<String> = None;
        loop {
            let page = store.scan(ENDS, after.as_deref(), PAGE);
            let page = page.map_err(ServiceError::internal("reading what is kept of idempotency keys"))?;
            for (key, record) in &page {
                if let Some((_, place)) = Place::of_end_key(key) {
                    book.add(&place.group, 1, size(&record.value));
                }
            }
            match page.into_iter().last() {
                Some((key, _)) => after = Some(key),
                None => return Ok(book),
            }
        }
    }

    /// The turn for a key, or what to wait for when somebody else has it.
    pub(super) fn turn(self: &Arc<Self>, key: String) -> Result<Turn, watch::Receiver<()>> {
        let mut turns = lock(&self.turns);
        if let Some(running) = turns.get(&key) {
            return Err(running.clone());
        }
        let (over, running) = watch::channel(());
        turns.insert(key.clone(), running);
        Ok(Turn { book: self.clone(), key, _over: over })
    }

    /// What a group's claims take.
    pub(super) fn room(&self, group: &GroupId) -> Room {
        lock(&self.rooms).get(group).copied().unwrap_or_default()
    }

    /// Takes room for claims.
    pub(super) fn add(&self, group: &GroupId, keys: u64, bytes: u64) {
        let mut rooms = lock(&self.rooms);
        let room = rooms.entry(group.clone()).or_default();
        room.keys += keys;
        room.bytes += bytes;
    }

    /// Gives room back.
    pub(super) fn free(&self, group: &GroupId, keys: u64, bytes: u64) {
        let mut rooms = lock(&self.rooms);
        let Some(room) = rooms.get_mut(group) else { return };
        room.keys = room.keys.saturating_sub(keys);
        room.bytes = room.bytes.saturating_sub(bytes);
        if room.keys == 0 {
            rooms.remove(group);
        }
    }
}

/// How many bytes a claim takes, as the record by which its end is found says.
pub(super) fn size(value: &[u8]) -> u64 {
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder panics")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn there_is_one_turn_at_a_time() {
        let book = Arc::new(IdempotencyBook::default());
        let turn = book.turn("a".to_owned()).ok().unwrap();
        let mut running = book.turn("a".to_owned()).err().unwrap();
        assert!(book.turn("b".to_owned()).is_ok());
        drop(turn);
        // It is over: nobody will say anything more.
        assert!(running.changed().await.is_err());
        assert!(book.turn("a".to_owned()).is_ok());
    }

    #[test]
    fn room_is_taken_and_given_back() {
        let (book, group) = (IdempotencyBook::default(), "acme".parse().unwrap());
        book.add(&group, 1, 0);
        book.add(&group, 0, 70);
        assert_eq!(book.room(&group), Room { keys: 1, bytes: 70 });
        book.free(&group, 1, 90);
        assert_eq!(book.room(&group), Room::default());
    }
}
