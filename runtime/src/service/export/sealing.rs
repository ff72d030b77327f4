//! Sealing the secrets of an archive with a passphrase: argon2id makes a key of it, XChaCha20-Poly1305 seals.

use argon2::{Algorithm, Argon2, Params, Version};
use bytes::Bytes;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::domain::archive::SecretsPart;
use crate::domain::secret::{hex, unhex};
use crate::service::error::ServiceError;
use crate::service::vault::random;

/// RFC 9106, section 4, second recommended option: 64 MiB, three passes. One lane, as nothing is computed in parallel.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
/// What a file may ask for at most: more is no archive of ours, and would take the server's memory.
const MOST_MEMORY_KIB: u32 = 256 * 1024;
const MOST_PASSES: u32 = 10;
const KEY: usize = 32;
const NONCE: usize = 24;
const SALT: usize = 16;
/// What the cipher adds, in bytes.
const TAG: u64 = 16;
/// The shortest passphrase, in characters: whoever has the file can try as many as they like.
const SHORTEST: usize = 12;

/// What an archive's secrets are sealed with.
pub(in crate::service) struct Sealing {
    key: Zeroizing<[u8; KEY]>,
    part: SecretsPart,
}

impl Sealing {
    /// A new key from a passphrase, with its own salt. It takes a second.
    pub(super) async fn new(passphrase: SecretString) -> Result<Self, ServiceError> {
        if passphrase.expose_secret().chars().count() < SHORTEST {
            let message = format!("The passphrase must have at least {SHORTEST} characters. Choose a longer one");
            return Err(ServiceError::Invalid(message));
        }
        let (mut salt, mut nonce) = ([0; SALT], [0; NONCE]);
        random(&mut salt);
        random(&mut nonce);
        let (salt, nonce) = (hex(&salt), hex(&nonce));
        let part = SecretsPart { length: 0, memory_kib: MEMORY_KIB, passes: PASSES, salt, nonce };
        Self::of(part, passphrase).await
    }

    /// The key of an archive.
    pub(in crate::service) async fn of(part: SecretsPart, passphrase: SecretString) -> Result<Self, ServiceError> {
        let salt = unhex(&part.salt).filter(|salt| salt.len() == SALT);
        let known = part.memory_kib <= MOST_MEMORY_KIB && part.passes <= MOST_PASSES;
        let params = Params::new(part.memory_kib, part.passes, 1, Some(KEY)).ok().filter(|_| known);
        let (Some(salt), Some(params)) = (salt, params) else {
            let message = "The archive's secrets are sealed in a way that this server does not know. Export anew";
            return Err(ServiceError::Invalid(message.to_owned()));
        };
        let derive = move || {
            let mut key = Zeroizing::new([0; KEY]);
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            let made = argon2.hash_password_into(passphrase.expose_secret().as_bytes(), &salt, key.as_mut());
            made.map(|()| key).map_err(|error| error.to_string())
        };
        let key = tokio::task::spawn_blocking(derive).await.map_err(ServiceError::internal("deriving a key"))?;
        Ok(Self { key: key.map_err(ServiceError::internal("deriving a key"))?, part })
    }

    /// How a text of this length will be described.
    pub(super) fn describe(&self, plain: &[u8]) -> SecretsPart {
        SecretsPart { length: plain.len() as u64 + TAG, ..self.part.clone() }
    }

    /// Seals the secrets of the archive that `header_line` describes.
    pub(super) fn seal(&self, header_line: &[u8], plain: &[u8]) -> Result<Bytes, ServiceError> {
        let sealed = self.cipher().encrypt(&self.nonce()?, Payload { msg: plain, aad: header_line });
        sealed.map(Bytes::from).map_err(|_| ServiceError::internal("sealing secrets")("there are too many"))
    }

    /// Opens them again.
    pub(in crate::service) fn open(
        &self,
        header_line: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, ServiceError> {
        let opened = self.cipher().decrypt(&self.nonce()?, Payload { msg: sealed, aad: header_line });
        opened.map(Zeroizing::new).map_err(|_| {
            ServiceError::Invalid(
                "The secrets of the archive do not open: the passphrase is another one, or the archive was changed. Nothing was imported".to_owned(),
            )
        })
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(Key::from_slice(self.key.as_ref()))
    }

    fn nonce(&self) -> Result<XNonce, ServiceError> {
        let nonce = unhex(&self.part.nonce).filter(|nonce| nonce.len() == NONCE);
        let nonce = nonce.ok_or_else(|| ServiceError::Invalid("The archive's nonce is not one. Export anew".into()))?;
        Ok(*XNonce::from_slice(&nonce))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_passphrase_and_the_whole_description_open_it() {
        let passphrase = || SecretString::from("a long passphrase");
        let mut sealing = Sealing::new(passphrase()).await.unwrap();
        sealing.part = sealing.describe(b"secret");
        let sealed = sealing.seal(b"header", b"secret").unwrap();
        assert_eq!(sealed.len() as u64, sealing.part.length);
        let again = Sealing::of(sealing.part.clone(), passphrase()).await.unwrap();
        assert_eq!(again.open(b"header", &sealed).unwrap().as_slice(), b"secret");
        assert!(again.open(b"Header", &sealed).is_err());
        let other = Sealing::of(sealing.part.clone(), SecretString::from("a long passphrasE")).await.unwrap();
        assert!(other.open(b"header", &sealed).unwrap_err().to_string().contains("passphrase"));
        assert!(Sealing::new(SecretString::from("too short")).await.is_err());
        for (memory_kib, passes) in [(MOST_MEMORY_KIB + 1, 1), (8, MOST_PASSES + 1), (0, 1)] {
            let part = SecretsPart { memory_kib, passes, ..sealing.part.clone() };
            assert!(Sealing::of(part, passphrase()).await.is_err());
        }
    }
}
