//! Random texts, keyed hashes and the checksum that keys carry.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// Digits, upper case, lower case: what keys and ids are written in.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Letters and digits of a 256-bit secret: 43 * log2(62) = 256.03 bits.
pub const SECRET_LENGTH: usize = 43;

/// `length` letters and digits, evenly distributed, from a source of random bytes.
///
/// ```
/// let text = headgate::domain::secret::random_text(20, |bytes| bytes.fill(7));
/// assert_eq!(text, "7".repeat(20));
/// ```
pub fn random_text(length: usize, mut fill: impl FnMut(&mut [u8])) -> String {
    let mut text = String::with_capacity(length);
    let mut bytes = [0u8; 64];
    while text.len() < length {
        fill(&mut bytes);
        // Bytes of 248 and above would favour the first letters: 248 is the largest multiple of 62.
        for byte in bytes.iter().filter(|byte| **byte < 248).take(length - text.len()) {
            text.push(ALPHABET[usize::from(*byte) % 62] as char);
        }
    }
    text
}

/// Six letters or digits that tell a mistyped text from a right one (CRC-32, base 62).
pub fn checksum(text: &str) -> [u8; 6] {
    let mut rest = crc32fast::hash(text.as_bytes()) as usize;
    let mut digits = [0; 6];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[rest % 62];
        rest /= 62;
    }
    digits
}

/// A keyed hash (HMAC-SHA-256) of a secret: what is stored in its place.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// Hashes a secret under the server's pepper.
    pub fn of(secret: &str, pepper: &Pepper) -> Self {
        let mut mac = pepper.0.clone();
        mac.update(secret.as_bytes());
        Self(mac.finalize().into_bytes().into())
    }

    /// Its bytes, as lower-case hexadecimal digits.
    pub fn to_hex(&self) -> String {
        hex(&self.0)
    }

    /// Compares without telling by its time how much agrees.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl std::fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretHash")
    }
}

impl serde::Serialize for SecretHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> serde::Deserialize<'de> for SecretHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        unhex(&text)
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("a secret's hash is 64 hexadecimal digits"))
    }
}

/// The server's key for hashing secrets, prepared once.
#[derive(Clone)]
pub struct Pepper(Hmac<Sha256>);

impl Pepper {
    /// Prepares the key.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes keys of any length"))
    }
}

impl std::fmt::Debug for Pepper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pepper")
    }
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)] as char, DIGITS[usize::from(b & 15)] as char]).collect()
}

/// The bytes that hexadecimal digits stand for.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
    text.as_bytes().chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_notices_a_changed_letter() {
        assert_ne!(checksum("hg_live_a"), checksum("hg_live_b"));
        assert_eq!(&checksum(""), b"000000");
    }

    #[test]
    fn a_hash_depends_on_secret_and_pepper_and_prints_neither() {
        let (one, two) = (Pepper::new(&[1; 32]), Pepper::new(&[2; 32]));
        let hash = SecretHash::of("secret", &one);
        assert!(hash.matches(&SecretHash::of("secret", &one)));
        assert!(!hash.matches(&SecretHash::of("Secret", &one)));
        assert!(!hash.matches(&SecretHash::of("secret", &two)));
        assert_eq!(format!("{hash:?} {one:?}"), "SecretHash Pepper");
        let json = serde_json::to_string(&hash).unwrap();
        assert_eq!(serde_json::from_str::<SecretHash>(&json).unwrap(), hash);
    }

    #[test]
    fn hexadecimal() {
        assert_eq!(hex(&[0, 0xab, 0xff]), "00abff");
        assert_eq!(unhex("00abFF").unwrap(), [0, 0xab, 0xff]);
        assert_eq!(unhex("0"), None);
        assert_eq!(unhex("zz"), None);
        assert_eq!(unhex("é"), None);
    }
}
