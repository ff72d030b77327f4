//! Secrets at rest: XChaCha20-Poly1305 under a data key per group, wrapped by the server's key-encryption key.
//!
//! What a ciphertext belongs to is bound to it as associated data, so that it opens nowhere else.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::domain::sealed::Sealed;
use crate::domain::secret::{hex, unhex};
use crate::store::{Batch, Store, StoreError};

const KEY_LENGTH: usize = 32;
const NONCE_LENGTH: usize = 24;
const SERVER_SECRETS: &str = "server/secrets";

/// Why secrets cannot be kept or opened.
#[derive(Debug, Error)]
pub enum VaultError {
    /// The key file of an existing store is gone.
    #[error(
        "the key file {} is missing, and this store's secrets were encrypted with it. Put the file back from your backup, or name its place with the setting key_file or the variable HEADGATE_KEY", .0.display()
    )]
    MissingKey(PathBuf),
    /// The key is not the one this store was made with.
    #[error("the key-encryption key from {0} is not the one this store was made with. Start with the right key")]
    WrongKey(String),
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

#[derive(Serialize, Deserialize)]
struct Wrapped {
    /// Which key-encryption key.
    kek: String,
    nonce: String,
    ciphertext: String,
}

/// Opens and seals secrets.
pub struct Vault {
    store: Arc<dyn Store>,
    kek: XChaCha20Poly1305,
    kek_id: String,
    server: ServerSecrets,
    data_keys: Mutex<HashMap<String, Arc<XChaCha20Poly1305>>>,
}

impl Vault {
    /// Opens the vault of a store with the key from `variable` (64 hexadecimal digits) or from the file, which is
    /// created at the first start.
    pub async fn open(store: Arc<dyn Store>, file: &Path, variable: Option<SecretString>) -> Result<Self, VaultError> {
        let sealed = store.get(SERVER_SECRETS)?;
        let (key, origin) = match variable {
            Some(text) => (parse_key(text.expose_secret(), Path::new("HEADGATE_KEY"))?, "HEADGATE_KEY".to_owned()),
            None => (read_or_create(file, sealed.is_some())?, file.display().to_string()),
        };
        let kek = XChaCha20Poly1305::new(Key::from_slice(key.as_ref()));
        let kek_id = hex(&Sha256::digest(Sha256::digest(key.as_ref()))[..8]);
        let server = match sealed {
            Some(record) => {
                let wrapped: Wrapped = parse(&record.value, SERVER_SECRETS)?;
                let plain = unwrap(&kek, SERVER_SECRETS, &wrapped).map_err(|_| VaultError::WrongKey(origin))?;
                let not_opened = |_| VaultError::NotOpened { place: SERVER_SECRETS.to_owned() };
                Zeroizing::new(plain.as_slice().try_into().map_err(not_opened)?)
            }
            None => {
                let mut server = Zeroizing::new([0; 2 * KEY_LENGTH]);
                random(server.as_mut());
                let wrapped = wrap(&kek, &kek_id, SERVER_SECRETS, server.as_ref());
                let record = serde_json::to_vec(&wrapped).expect("texts serialise");
                store.commit(Batch::new().require_absent(SERVER_SECRETS).put(SERVER_SECRETS, record)).await?;
                server
            }
        };
        Ok(Self { store, kek, kek_id, server, data_keys: Mutex::default() })
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
        let key = format!("data-key/{group}");
        let plain = match self.store.get(&key)? {
            Some(record) => self.unwrap_data_key(&key, &record.value)?,
            None => {
                let mut plain = Zeroizing::new(vec![0; KEY_LENGTH]);
                random(&mut plain);
                let wrapped = wrap(&self.kek, &self.kek_id, &key, &plain);
                let record = serde_json::to_vec(&wrapped).expect("texts serialise");
                match self.store.commit(Batch::new().require_absent(&key).put(&key, record)).await {
                    Ok(_) => plain,
                    // Somebody else was faster; theirs is the key.
                    Err(StoreError::Conflict { .. }) => {
                        let record = self.store.get(&key)?;
                        let record = record.ok_or_else(|| VaultError::NotOpened { place: key.clone() })?;
                        self.unwrap_data_key(&key, &record.value)?
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        };
        let cipher = Arc::new(XChaCha20Poly1305::new(Key::from_slice(&plain)));
        self.data_keys.lock().expect("no holder panics").insert(group.to_owned(), cipher.clone());
        Ok(cipher)
    }

    fn unwrap_data_key(&self, place: &str, record: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let wrapped: Wrapped = parse(record, place)?;
        let plain = unwrap(&self.kek, place, &wrapped)?;
        if plain.len() == KEY_LENGTH { Ok(plain) } else { Err(VaultError::NotOpened { place: place.to_owned() }) }
    }
}

fn parse<T: serde::de::DeserializeOwned>(record: &[u8], place: &str) -> Result<T, VaultError> {
    serde_json::from_slice(record).map_err(|_| VaultError::NotOpened { place: place.to_owned() })
}

fn wrap(kek: &XChaCha20Poly1305, kek_id: &str, place: &str, plain: &[u8]) -> Wrapped {
    let mut nonce = [0; NONCE_LENGTH];
    random(&mut nonce);
    let payload = Payload { msg: plain, aad: place.as_bytes() };
    let ciphertext = kek.encrypt(XNonce::from_slice(&nonce), payload).expect("memory holds a key");
    Wrapped { kek: kek_id.to_owned(), nonce: hex(&nonce), ciphertext: hex(&ciphertext) }
}

fn unwrap(kek: &XChaCha20Poly1305, place: &str, wrapped: &Wrapped) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let not_opened = || VaultError::NotOpened { place: place.to_owned() };
    let nonce = unhex(&wrapped.nonce).filter(|nonce| nonce.len() == NONCE_LENGTH).ok_or_else(not_opened)?;
    let ciphertext = unhex(&wrapped.ciphertext).ok_or_else(not_opened)?;
    let payload = Payload { msg: &ciphertext, aad: place.as_bytes() };
    kek.decrypt(XNonce::from_slice(&nonce), payload).map(Zeroizing::new).map_err(|_| not_opened())
}

fn parse_key(text: &str, path: &Path) -> Result<Zeroizing<[u8; KEY_LENGTH]>, VaultError> {
    let bytes = unhex(text.trim()).map(Zeroizing::new);
    let key = bytes.and_then(|bytes| <[u8; KEY_LENGTH]>::try_from(bytes.as_slice()).ok());
    key.map(Zeroizing::new).ok_or_else(|| VaultError::BadKeyFile {
        path: path.to_owned(),
        reason: "it should hold 64 hexadecimal digits".to_owned(),
    })
}

fn read_or_create(path: &Path, store_exists: bool) -> Result<Zeroizing<[u8; KEY_LENGTH]>, VaultError> {
    let bad = |reason: String| VaultError::BadKeyFile { path: path.to_owned(), reason };
    match fs::read_to_string(path).map(Zeroizing::new) {
        Ok(text) => {
            let mode = fs::metadata(path).map_err(|error| bad(error.to_string()))?.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(bad(format!(
                    "others may read it (mode {:o}). Run: chmod 600 {}",
                    mode & 0o777,
                    path.display()
                )));
            }
            parse_key(&text, path)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && store_exists => {
            Err(VaultError::MissingKey(path.to_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut key = Zeroizing::new([0; KEY_LENGTH]);
            random(key.as_mut());
            create(path, &Zeroizing::new(hex(key.as_ref()) + "\n")).map_err(|error| bad(error.to_string()))?;
            Ok(key)
        }
        Err(error) => Err(bad(error.to_string())),
    }
}

/// Writes the key where a power cut cannot lose it after the first secret was sealed with it.
fn create(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Written whole before it has its name: a process that ends in between leaves no half key behind.
    let unfinished = path.with_extension("new");
    fs::remove_file(&unfinished).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    // The file's folder may be as new as the file.
    let folders = path.ancestors().skip(1).take(2).filter(|folder| !folder.as_os_str().is_empty());
    folders.map(fs::File::open).try_for_each(|folder| folder?.sync_all())
}

#[cfg(test)]
mod tests;
