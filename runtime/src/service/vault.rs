//! Secrets at rest: XChaCha20-Poly1305 under a data key per group, wrapped by the server's key-encryption key.
//!
//! What a ciphertext belongs to is bound to it as associated data, so that it opens nowhere else.

mod examination;
mod kek;
mod key_file;
mod rotation;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::domain::sealed::Sealed;
use crate::domain::secret::{hex, unhex};
use crate::store::{Batch, Store, StoreError};
use kek::{Ring, Wrapped, parse_key};

pub use examination::examine;
pub use rotation::Replacement;

const KEY_LENGTH: usize = 32;
const NONCE_LENGTH: usize = 24;
const SERVER_SECRETS: &str = "server/secrets";
/// Where the groups' data keys lie.
const DATA_KEYS: &str = "data-key/";
/// The variable that may hold the key-encryption key.
const VARIABLE: &str = "HEADGATE_KEY";

/// Why secrets cannot be kept or opened.
#[derive(Debug, Error)]
pub enum VaultError {
    /// The key file of an existing store is gone.
    #[error(
        "the key file {} is missing, and this store's secrets were encrypted with it. Put the file back from your backup, or name its place with the setting key_file or the variable HEADGATE_KEY", .0.display()
    )]
    MissingKey(PathBuf),
    /// The key is not the one this store was made with.
    #[error(
        "the key-encryption key from {from} is not the one this store was made with, which has the id {kek}. A store from a backup of before a rotation needs the key of then: {remedy}"
    )]
    WrongKey {
        /// Where the key at hand comes from.
        from: String,
        /// The id of the store's key.
        kek: String,
        /// Where that one may be.
        remedy: String,
    },
    /// The key file cannot be read or is no key.
    #[error("the key file {} cannot be used: {reason}", .path.display())]
    BadKeyFile {
        /// Which file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A ciphertext does not open: it is damaged, or it was moved here from another place.
    #[error("a secret of {place} does not open: it is damaged, or was copied there from another place")]
    NotOpened {
        /// What it belongs to.
        place: String,
    },
    /// Some data keys were wrapped with a key that is not at hand.
    #[error(
        "some secrets were encrypted with the key-encryption key {0}, which is not here: replacing the key had begun. Put the file beside the key file back whose name ends in .next, or start with both keys in HEADGATE_KEY, the old one first and a comma between them"
    )]
    MissingNextKey(String),
    /// There is no key to replace the present one by.
    #[error(
        "the key-encryption key comes from HEADGATE_KEY, and only you can replace it there. Start the server with both keys in it, the old one first and a comma between them, and rotate then"
    )]
    NoNextKey,
    /// A task was stopped by the server's end.
    #[error("the server's end interrupted it")]
    Interrupted,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: {0}")]
    Random(getrandom::Error),
}

/// Fills a buffer from the operating system's random source.
///
/// # Panics
/// When the operating system has none: nothing safe can be done then.
pub fn random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system has a random source");
}

/// What a secret belongs to. All of it is associated data of the ciphertext.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The group.
    pub group: &'a str,
    /// The record, such as a connection's id.
    pub record: &'a str,
    /// The record's field.
    pub field: &'a str,
}

impl Place<'_> {
    fn associated_data(&self, version: u32) -> Vec<u8> {
        let mut data = Vec::new();
        for part in [self.group, self.record, self.field] {
            data.extend((part.len() as u32).to_be_bytes());
            data.extend(part.as_bytes());
        }
        data.extend(version.to_be_bytes());
        data
    }
}

/// Keys the server itself needs: for hashing API keys, then for authenticating compiled modules. They are sealed by
/// the key-encryption key, so that changing that one changes none of them.
type ServerSecrets = Zeroizing<[u8; 2 * KEY_LENGTH]>;

/// Where the key-encryption key comes from.
enum Source {
    /// A file, which is replaced with the key.
    File(PathBuf),
    /// The environment, which only an operator changes.
    Variable,
}

/// Opens and seals secrets.
pub struct Vault {
    store: Arc<dyn Store>,
    source: Source,
    ring: ArcSwap<Ring>,
    /// Held while a data key is made, so that none is wrapped with a key that is just being replaced.
    making: tokio::sync::Mutex<()>,
    server: ServerSecrets,
    data_keys: Mutex<HashMap<String, Arc<XChaCha20Poly1305>>>,
}

impl Vault {
    /// Opens the vault of a store with the key from `variable` (64 hexadecimal digits) or from the file, which is
    /// created at the first start. The variable may hold two keys with a comma between them, to replace the first by the second.
    pub async fn open(store: Arc<dyn Store>, file: &Path, variable: Option<SecretString>) -> Result<Self, VaultError> {
        let sealed = store.get(SERVER_SECRETS)?;
        let (ring, source) = match variable {
            Some(text) => (keys_of(&text)?, Source::Variable),
            None => {
                let present = key_file::read_or_create(file, sealed.is_some())?;
                let next = key_file::read(&key_file::next_of(file))?;
                (Ring::new([Some(present), next].into_iter().flatten()), Source::File(file.to_owned()))
            }
        };
        let (ring, server) = match sealed {
            Some(record) => {
                let wrapped = Wrapped::parse(&record.value, SERVER_SECRETS)?;
                let ring = ring.wrapping_with(&wrapped.kek).ok_or_else(|| source.is_wrong(&wrapped.kek))?;
                let plain = ring.unwrap(SERVER_SECRETS, &wrapped)?;
                let not_opened = |_| VaultError::NotOpened { place: SERVER_SECRETS.to_owned() };
                (ring, Zeroizing::new(plain.as_slice().try_into().map_err(not_opened)?))
            }
            None => {
                let mut server = Zeroizing::new([0; 2 * KEY_LENGTH]);
                random(server.as_mut());
                let record = ring.wrapping().wrap(SERVER_SECRETS, server.as_ref()).encode();
                store.commit(Batch::new().require_absent(SERVER_SECRETS).put(SERVER_SECRETS, record)).await?;
                (ring, server)
            }
        };
        let ring = settled(store.as_ref(), ring, &source)?;
        let (ring, making) = (ArcSwap::from_pointee(ring), tokio::sync::Mutex::default());
        Ok(Self { store, source, ring, making, server, data_keys: Mutex::default() })
    }

    /// The key under which API keys are hashed.
    pub fn pepper(&self) -> &[u8; KEY_LENGTH] {
        self.server.first_chunk().expect("it holds two keys")
    }

    /// The key that authenticates compiled modules on disk.
    pub fn module_cache_key(&self) -> &[u8; KEY_LENGTH] {
        self.server.last_chunk().expect("it holds two keys")
    }

    /// Seals a secret for a place. `version` is 1 for the first value and grows with each change.
    pub async fn seal(&self, place: Place<'_>, version: u32, secret: &str) -> Result<Sealed, VaultError> {
        let cipher = self.data_key(place.group).await?;
        let mut nonce = [0; NONCE_LENGTH];
        random(&mut nonce);
        let payload = Payload { msg: secret.as_bytes(), aad: &place.associated_data(version) };
        let ciphertext = cipher.encrypt(XNonce::from_slice(&nonce), payload).expect("memory holds what is sealed");
        Ok(Sealed { key: 1, version, nonce: hex(&nonce), ciphertext: hex(&ciphertext) })
    }

    /// Opens a secret of a place.
    pub async fn open_secret(&self, place: Place<'_>, sealed: &Sealed) -> Result<SecretString, VaultError> {
        let not_opened = || VaultError::NotOpened { place: format!("{} of {}", place.field, place.record) };
        let cipher = self.data_key(place.group).await?;
        let nonce = unhex(&sealed.nonce).filter(|nonce| nonce.len() == NONCE_LENGTH).ok_or_else(not_opened)?;
        let ciphertext = unhex(&sealed.ciphertext).ok_or_else(not_opened)?;
        let payload = Payload { msg: &ciphertext, aad: &place.associated_data(sealed.version) };
        let plain = cipher.decrypt(XNonce::from_slice(&nonce), payload).map_err(|_| not_opened())?;
        let plain = Zeroizing::new(plain);
        let text = std::str::from_utf8(&plain).map_err(|_| not_opened())?;
        Ok(SecretString::from(text))
    }

    /// The data key of a group, made when it is needed for the first time.
    async fn data_key(&self, group: &str) -> Result<Arc<XChaCha20Poly1305>, VaultError> {
        if let Some(cipher) = self.data_keys.lock().expect("no holder panics").get(group) {
            return Ok(cipher.clone());
        }
        let key = format!("{DATA_KEYS}{group}");
        let plain = match self.find_data_key(&key)? {
            Some(plain) => plain,
            None => self.make_data_key(&key).await?,
        };
        let cipher = Arc::new(XChaCha20Poly1305::new(Key::from_slice(&plain)));
        self.data_keys.lock().expect("no holder panics").insert(group.to_owned(), cipher.clone());
        Ok(cipher)
    }

    async fn make_data_key(&self, key: &str) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let _making = self.making.lock().await;
        let mut plain = Zeroizing::new(vec![0; KEY_LENGTH]);
        random(&mut plain);
        let record = self.ring.load().wrapping().wrap(key, &plain).encode();
        match self.store.commit(Batch::new().require_absent(key).put(key, record)).await {
            Ok(_) => Ok(plain),
            // Somebody else was faster; theirs is the key.
            Err(StoreError::Conflict { .. }) => {
                self.find_data_key(key)?.ok_or_else(|| VaultError::NotOpened { place: key.to_owned() })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn find_data_key(&self, place: &str) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        /// While keys are replaced, the record may be of one moment and the keys at hand of another.
        const MOMENTS: usize = 3;
        for _ in 0..MOMENTS {
            let ring = self.ring.load_full();
            let Some(record) = self.store.get(place)? else { return Ok(None) };
            let wrapped = Wrapped::parse(&record.value, place)?;
            if ring.has(&wrapped.kek) {
                let plain = ring.unwrap(place, &wrapped)?;
                return match plain.len() {
                    KEY_LENGTH => Ok(Some(plain)),
                    _ => Err(VaultError::NotOpened { place: place.to_owned() }),
                };
            }
        }
        Err(VaultError::NotOpened { place: place.to_owned() })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Variable => f.write_str(VARIABLE),
        }
    }
}

impl Source {
    /// The error that the store's key, which has this id, did not come from here.
    fn is_wrong(&self, kek: &str) -> VaultError {
        let remedy = match self {
            Self::File(path) => {
                let retired = key_file::retired_of(path, kek);
                format!("it may be in {}. Start with that file as key_file", retired.display())
            }
            Self::Variable => format!("start with that one in {VARIABLE}"),
        };
        VaultError::WrongKey { from: self.to_string(), kek: kek.to_owned(), remedy }
    }
}

/// The keys in the variable.
fn keys_of(text: &SecretString) -> Result<Ring, VaultError> {
    let keys: Vec<_> = text.expose_secret().split(',').map(|key| parse_key(key, Path::new(VARIABLE))).collect();
    if keys.len() > 2 {
        let reason = "it may hold two keys at most, the old one and the new one".to_owned();
        return Err(VaultError::BadKeyFile { path: VARIABLE.into(), reason });
    }
    Ok(Ring::new(keys.into_iter().collect::<Result<Vec<_>, _>>()?))
}

/// The keys at hand, checked. Where a replacement was interrupted after everything had been wrapped anew, it is finished.
fn settled(store: &dyn Store, ring: Ring, source: &Source) -> Result<Ring, VaultError> {
    let present = ring.without_old();
    if let Some(old) = ring.replaced()
        && check_keys(store, &present).is_ok()
    {
        if let Source::File(path) = source {
            key_file::replace(path, &old.id)?;
        }
        return Ok(present);
    }
    check_keys(store, &ring)?;
    Ok(ring)
}

/// Finds out at the start, and not at the first use, that a key is missing which some groups' keys were wrapped with.
fn check_keys(store: &dyn Store, ring: &Ring) -> Result<(), VaultError> {
    /// Records read at a time.
    const PAGE: usize = 500;
    let mut after: Option<String> = None;
    loop {
        let page = store.scan(DATA_KEYS, after.as_deref(), PAGE)?;
        for (key, record) in &page {
            let wrapped = Wrapped::parse(&record.value, key)?;
            if !ring.has(&wrapped.kek) {
                return Err(VaultError::MissingNextKey(wrapped.kek));
            }
        }
        match page.into_iter().last() {
            Some((key, _)) => after = Some(key),
            None => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
