//! Key-encryption keys: which there are, and what they wrap.

use std::path::Path;
use std::sync::Arc;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{KEY_LENGTH, NONCE_LENGTH, VaultError, random};
use crate::domain::secret::{hex, unhex};

/// The bytes of a key-encryption key.
pub(super) type RawKey = Zeroizing<[u8; KEY_LENGTH]>;

/// A key-encryption key, and by what it is named in what it wrapped.
pub(super) struct Kek {
    pub(super) id: String,
    cipher: XChaCha20Poly1305,
}

/// A key that was encrypted with a key-encryption key.
#[derive(Serialize, Deserialize)]
pub(super) struct Wrapped {
    /// Which key-encryption key.
    pub(super) kek: String,
    nonce: String,
    ciphertext: String,
}

/// The key-encryption keys at hand: one, and while it is replaced two, the old one first.
#[derive(Clone)]
pub(super) struct Ring {
    keys: Vec<Arc<Kek>>,
    /// Which of them wraps what is new.
    wrapping: usize,
}

impl Kek {
    pub(super) fn new(key: &RawKey) -> Self {
        let id = hex(&Sha256::digest(Sha256::digest(key.as_ref()))[..8]);
        Self { id, cipher: XChaCha20Poly1305::new(Key::from_slice(key.as_ref())) }
    }

    /// Encrypts a key for the record it stands in.
    pub(super) fn wrap(&self, place: &str, plain: &[u8]) -> Wrapped {
        let mut nonce = [0; NONCE_LENGTH];
        random(&mut nonce);
        let payload = Payload { msg: plain, aad: place.as_bytes() };
        let ciphertext = self.cipher.encrypt(XNonce::from_slice(&nonce), payload).expect("memory holds a key");
        Wrapped { kek: self.id.clone(), nonce: hex(&nonce), ciphertext: hex(&ciphertext) }
    }

    fn unwrap(&self, place: &str, wrapped: &Wrapped) -> Option<Zeroizing<Vec<u8>>> {
        let nonce = unhex(&wrapped.nonce).filter(|nonce| nonce.len() == NONCE_LENGTH)?;
        let ciphertext = unhex(&wrapped.ciphertext)?;
        let payload = Payload { msg: &ciphertext, aad: place.as_bytes() };
        self.cipher.decrypt(XNonce::from_slice(&nonce), payload).map(Zeroizing::new).ok()
    }
}

impl Wrapped {
    pub(super) fn parse(record: &[u8], place: &str) -> Result<Self, VaultError> {
        serde_json::from_slice(record).map_err(|_| VaultError::NotOpened { place: place.to_owned() })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts serialise")
    }
}

impl Ring {
    /// Of these keys, of which the first wraps.
    pub(super) fn new(keys: impl IntoIterator<Item = RawKey>) -> Self {
        Self { keys: keys.into_iter().map(|key| Arc::new(Kek::new(&key))).collect(), wrapping: 0 }
    }

    /// The key that wraps what is new.
    pub(super) fn wrapping(&self) -> &Arc<Kek> {
        &self.keys[self.wrapping]
    }

    /// The key that is to replace it.
    pub(super) fn next(&self) -> Option<&Arc<Kek>> {
        self.keys.get(self.wrapping + 1)
    }

    /// The key that the one that wraps replaced.
    pub(super) fn replaced(&self) -> Option<&Arc<Kek>> {
        self.keys[..self.wrapping].last()
    }

    /// Whether a key is at hand.
    pub(super) fn has(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id == id)
    }

    /// The same keys, of which this one wraps; nothing if it is not among them.
    pub(super) fn wrapping_with(&self, id: &str) -> Option<Self> {
        let wrapping = self.keys.iter().position(|key| key.id == id)?;
        Some(Self { keys: self.keys.clone(), wrapping })
    }

    /// With a key that is to replace the one that wraps.
    pub(super) fn with_next(&self, key: &RawKey) -> Self {
        let mut keys = self.keys[..=self.wrapping].to_vec();
        keys.push(Arc::new(Kek::new(key)));
        Self { keys, wrapping: self.wrapping }
    }

    /// Without the keys that were replaced.
    pub(super) fn without_old(&self) -> Self {
        Self { keys: self.keys[self.wrapping..].to_vec(), wrapping: 0 }
    }

    /// Opens what one of the keys wrapped for a record.
    pub(super) fn unwrap(&self, place: &str, wrapped: &Wrapped) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let key = self.keys.iter().find(|key| key.id == wrapped.kek);
        let plain = key.and_then(|key| key.unwrap(place, wrapped));
        plain.ok_or_else(|| VaultError::NotOpened { place: place.to_owned() })
    }
}

/// A key as it is written: 64 hexadecimal digits.
pub(super) fn parse_key(text: &str, path: &Path) -> Result<RawKey, VaultError> {
    let bytes = unhex(text.trim()).map(Zeroizing::new);
    let key = bytes.and_then(|bytes| <[u8; KEY_LENGTH]>::try_from(bytes.as_slice()).ok());
    key.map(Zeroizing::new).ok_or_else(|| VaultError::BadKeyFile {
        path: path.to_owned(),
        reason: "it should hold 64 hexadecimal digits".to_owned(),
    })
}
