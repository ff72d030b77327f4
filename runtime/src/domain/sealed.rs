//! A secret that was encrypted. Only `service::vault` can open it.

use serde::{Deserialize, Serialize};

/// An encrypted secret: XChaCha20-Poly1305 under a group's data key, bound by its associated data to the place it belongs to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Which version of the group's data key.
    pub key: u32,
    /// The version of the secret, part of the associated data: an older value cannot be put back.
    pub version: u32,
    /// 24 bytes, hexadecimal.
    pub nonce: String,
    /// Ciphertext and tag, hexadecimal.
    pub ciphertext: String,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealed")
    }
}
