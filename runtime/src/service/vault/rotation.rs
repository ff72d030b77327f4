//! Replacing the key-encryption key while the server works. What it wraps is wrapped anew, record by record; each record
//! says which key opens it, and both keys are at hand until the last one is done. The secrets themselves do not change.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::kek::{Ring, Wrapped};
use super::{DATA_KEYS, SERVER_SECRETS, Source, Vault, VaultError, key_file};
use crate::store::{Batch, StoreError};

/// Records read at a time.
const PAGE: usize = 500;
/// How often a record is read again that somebody changed meanwhile; only making it for the first time does.
const MOST_TRIES: usize = 8;

/// The ids of the key that is replaced and of the one that replaces it. An id tells nothing of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// The old one's.
    pub from: String,
    /// The new one's.
    pub to: String,
}

impl Vault {
    /// The id of the key that wraps what is new.
    pub fn key_id(&self) -> String {
        self.ring.load().wrapping().id.clone()
    }

    /// The replacement that the keys at hand allow. In a key file it was begun; two keys in a variable only offer it.
    pub fn replacement(&self) -> Option<Replacement> {
        let ring = self.ring.load();
        let (from, to) = match ring.replaced() {
            // One that failed: what is new is wrapped by the new key already, and the rest has still to be.
            Some(old) => (old, ring.wrapping()),
            None => (ring.wrapping(), ring.next()?),
        };
        Some(Replacement { from: from.id.clone(), to: to.id.clone() })
    }

    /// Whether a replacement was begun, as the key file's folder says.
    pub fn is_begun(&self) -> bool {
        matches!(self.source, Source::File(_)) && self.replacement().is_some()
    }

    /// The files of keys that were replaced.
    pub fn retired_files(&self) -> Vec<PathBuf> {
        match &self.source {
            Source::File(path) => key_file::retired(path),
            Source::Variable => Vec::new(),
        }
    }

    /// The file of the key; nothing where it comes from the environment.
    pub fn key_file(&self) -> Option<&Path> {
        match &self.source {
            Source::File(path) => Some(path),
            Source::Variable => None,
        }
    }

    /// Sees to it that there is a key to replace the present one, and that it can take its place. A new one is durable
    /// when this returns.
    pub async fn prepare_replacement(&self) -> Result<Replacement, VaultError> {
        let present = self.replacement();
        let path = match (&self.source, present) {
            (Source::Variable, present) => return present.ok_or(VaultError::NoNextKey),
            (Source::File(path), Some(present)) => {
                let path = path.clone();
                let checked = spawn_blocking(move || key_file::check_replaceable(&path));
                checked.await.map_err(|_| VaultError::Interrupted)??;
                return Ok(present);
            }
            (Source::File(path), None) => path.clone(),
        };
        let made = spawn_blocking(move || {
            key_file::check_replaceable(&path)?;
            key_file::read_or_create_next(&path)
        });
        let key = made.await.map_err(|_| VaultError::Interrupted)??;
        let ring = self.ring.load().with_next(&key);
        self.ring.store(Arc::new(ring));
        self.replacement().ok_or(VaultError::NoNextKey)
    }

    /// Wraps everything anew, then puts the new key in the place of the old one. `goes_on` is told how many records are
    /// done and how many there are, and says whether to go on. Answers whether it is finished; what is left is done by
    /// calling this again.
    pub async fn replace_key(&self, mut goes_on: impl FnMut(u64, u64) -> bool + Send) -> Result<bool, VaultError> {
        let Some(Replacement { from, to }) = self.replacement() else { return Ok(true) };
        let ring = {
            // From now on nothing is wrapped with the old key: whoever makes a data key holds this meanwhile.
            let _nobody_makes_one = self.making.lock().await;
            let ring = self.ring.load().wrapping_with(&to).ok_or(VaultError::NoNextKey)?;
            self.ring.store(Arc::new(ring.clone()));
            ring
        };
        let total = self.count()? + 1;
        let mut done = 0;
        let mut after: Option<String> = None;
        loop {
            let page = self.store.scan(DATA_KEYS, after.as_deref(), PAGE)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (key, _) in page {
                if !goes_on(done, total) {
                    return Ok(false);
                }
                self.wrap_anew(&ring, &key).await?;
                done += 1;
            }
        }
        // The last one: at a start it says which key is the present one.
        self.wrap_anew(&ring, SERVER_SECRETS).await?;
        if let Source::File(path) = &self.source {
            let path = path.clone();
            let replaced = spawn_blocking(move || key_file::replace(&path, &from));
            replaced.await.map_err(|_| VaultError::Interrupted)??;
        }
        self.ring.store(Arc::new(ring.without_old()));
        goes_on(total, total);
        Ok(true)
    }

    fn count(&self) -> Result<u64, VaultError> {
        let mut count = 0;
        let mut after: Option<String> = None;
        loop {
            let page = self.store.scan(DATA_KEYS, after.as_deref(), PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(count) };
            after = Some(last.clone());
            count += page.len() as u64;
        }
    }

    /// Wraps what one record holds with the present key.
    async fn wrap_anew(&self, ring: &Ring, key: &str) -> Result<(), VaultError> {
        for _ in 0..MOST_TRIES {
            // A group that was deleted meanwhile needs no key.
            let Some(record) = self.store.get(key)? else { return Ok(()) };
            let wrapped = Wrapped::parse(&record.value, key)?;
            if wrapped.kek == ring.wrapping().id {
                return Ok(());
            }
            let plain = ring.unwrap(key, &wrapped)?;
            let anew = ring.wrapping().wrap(key, &plain);
            // Nothing is let go of before what replaces it was seen to open.
            if *ring.unwrap(key, &anew)? != *plain {
                return Err(VaultError::NotOpened { place: key.to_owned() });
            }
            let batch = Batch::new().require_version(key, record.version).put(key, anew.encode());
            match self.store.commit(batch).await {
                Err(StoreError::Conflict { .. }) => {}
                committed => return committed.map(drop).map_err(VaultError::from),
            }
        }
        Err(VaultError::NotOpened { place: key.to_owned() })
    }
}
