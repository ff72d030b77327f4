//! The name of a module: the SHA-256 of its bytes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// The SHA-256 digest of a module's bytes, written `sha256:` and 64 lower-case hexadecimal digits.
///
/// ```
/// use headgate::domain::digest::ModuleDigest;
///
/// let digest = ModuleDigest::of(b"abc");
/// let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
/// assert_eq!(digest.to_string(), text);
/// assert_eq!(text.parse(), Ok(digest));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleDigest([u8; 32]);

/// Why a text is not a module digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a module digest is written `sha256:` and 64 lower-case hexadecimal digits")]
pub struct InvalidModuleDigest;

impl ModuleDigest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The 32 bytes of the digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hexadecimal digits without the `sha256:` in front, as used in file names.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reads 64 lower-case hexadecimal digits, the inverse of [`Self::hex`].
    pub fn from_hex(text: &str) -> Result<Self, InvalidModuleDigest> {
        let digits: &[u8; 64] = text.as_bytes().try_into().map_err(|_| InvalidModuleDigest)?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

fn nibble(digit: u8) -> Result<u8, InvalidModuleDigest> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(InvalidModuleDigest),
    }
}

impl fmt::Display for ModuleDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for ModuleDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ModuleDigest {
    type Err = InvalidModuleDigest;

    fn from_str(text: &str) -> Result<Self, InvalidModuleDigest> {
        Self::from_hex(text.strip_prefix("sha256:").ok_or(InvalidModuleDigest)?)
    }
}

impl Serialize for ModuleDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ModuleDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_json_come_back_as_the_same_digest() {
        let digest = ModuleDigest::of(b"a module");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(ModuleDigest::from_hex(&digest.hex()), Ok(digest));
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(json, format!("\"{digest}\""));
        assert_eq!(serde_json::from_str::<ModuleDigest>(&json).unwrap(), digest);
    }

    #[test]
    fn other_texts_are_refused() {
        let good = ModuleDigest::of(b"").to_string();
        for bad in
            ["", "sha256:", &good[7..], &good[..70], &format!("{good}0"), &good.to_uppercase(), &good.replace('b', "g")]
        {
            assert_eq!(bad.parse::<ModuleDigest>(), Err(InvalidModuleDigest), "{bad}");
        }
    }
}
