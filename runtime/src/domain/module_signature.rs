//! Signatures of modules: who built them, for servers that take only those of builders they trust.
//!
//! A signature is a custom section `headgate:signature`, the last section of a component: the id of the key (the first
//! 8 bytes of the SHA-256 of the public key), and an Ed25519 signature (RFC 8032) over `DOMAIN` and the SHA-256 of
//! all bytes before the section. Tools that do not know it pass it over.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

/// What is signed begins with this, so that a signature made for something else is worth nothing here.
const DOMAIN: &[u8] = b"headgate module signature 1";
const NAME: &[u8] = b"headgate:signature";
/// The preamble of a WebAssembly binary: magic and version.
const PREAMBLE: usize = 8;
/// The number of custom sections.
const CUSTOM: u8 = 0;
const KEY_ID: usize = 8;
const SIGNATURE: usize = 64;
/// The section's contents: its name with the length in front, the key's id, the signature.
const CONTENTS: usize = 1 + NAME.len() + KEY_ID + SIGNATURE;
/// An Ed25519 public key as SubjectPublicKeyInfo (RFC 8410) is this and the key's 32 bytes.
const PUBLIC_DER: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Names a key in messages: the beginning of the SHA-256 of its public part.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyId([u8; KEY_ID]);

impl KeyId {
    fn of(public: &[u8]) -> Self {
        let digest = Sha256::digest(public);
        let mut id = [0; KEY_ID];
        id.copy_from_slice(&digest[..KEY_ID]);
        Self(id)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The public key of a builder whose modules are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey([u8; 32]);

impl TrustedKey {
    /// Its name.
    pub fn id(&self) -> KeyId {
        KeyId::of(&self.0)
    }
}

/// A text is no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a trusted key is an Ed25519 public key: PEM, or the base64 of its 32 bytes. `headgate build --new-key FILE` prints one; `openssl pkey -in FILE -pubout` prints that of a private key"
)]
pub struct NotATrustedKey;

impl FromStr for TrustedKey {
    type Err = NotATrustedKey;

    fn from_str(text: &str) -> Result<Self, NotATrustedKey> {
        let bytes = decoded(text, "PUBLIC KEY").ok_or(NotATrustedKey)?;
        let key = bytes.strip_prefix(&PUBLIC_DER).unwrap_or(&bytes);
        key.try_into().map(Self).map_err(|_| NotATrustedKey)
    }
}

impl fmt::Display for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(self.0))
    }
}

impl Serialize for TrustedKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TrustedKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A builder's private key. It cannot be printed.
pub struct BuilderKey(Ed25519KeyPair);

/// A text is no private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "it holds no Ed25519 private key in PEM (PKCS#8). Make one with `headgate build --new-key FILE`, or with `openssl genpkey -algorithm ed25519 -out FILE`"
)]
pub struct NotABuilderKey;

impl BuilderKey {
    /// A new one, from 32 random bytes.
    pub fn generate(fill: impl FnOnce(&mut [u8])) -> Result<Self, NotABuilderKey> {
        let mut seed = Zeroizing::new([0; 32]);
        fill(&mut *seed);
        Ed25519KeyPair::from_seed_unchecked(&*seed).map(Self).map_err(|_| NotABuilderKey)
    }

    /// Reads PEM: PKCS#8 (RFC 8410), as openssl writes it.
    pub fn parse(text: &str) -> Result<Self, NotABuilderKey> {
        let bytes = decoded(text, "PRIVATE KEY").map(Zeroizing::new).ok_or(NotABuilderKey)?;
        Ed25519KeyPair::from_pkcs8(&bytes).map(Self).map_err(|_| NotABuilderKey)
    }

    /// The key as [`Self::parse`] reads it.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, NotABuilderKey> {
        let der = self.0.to_pkcs8v1().map_err(|_| NotABuilderKey)?;
        let body = Zeroizing::new(BASE64.encode(der.as_ref()));
        Ok(Zeroizing::new(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", *body)))
    }

    /// Its public part, for servers that trust it.
    pub fn public(&self) -> TrustedKey {
        let mut public = [0; 32];
        public.copy_from_slice(self.0.public_key().as_ref());
        TrustedKey(public)
    }

    /// The module with this key's signature at its end, in place of the one it had there.
    pub fn sign(&self, module: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let unsigned = match split(module) {
            Ok(signed) => signed.module,
            Err(SignatureError::Unsigned) => module,
            Err(error) => return Err(error),
        };
        let signature = self.0.sign(&message(unsigned));
        // Both lengths are below 128, and so one byte each.
        let head = [CUSTOM, CONTENTS as u8, NAME.len() as u8];
        Ok([unsigned, &head, NAME, &self.public().id().0, signature.as_ref()].concat())
    }
}

impl fmt::Debug for BuilderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BuilderKey")
    }
}

/// Why a module is not taken where only signed ones are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// It has no signature.
    #[error(
        "the module is not signed, and this server takes only modules that are signed with one of its trusted keys. Sign it: headgate build --sign KEYFILE"
    )]
    Unsigned,
    /// There is a signature where none may be.
    #[error(
        "the module's signature has to be its last section, and the only one. Sign the module again, after everything else that changes it: headgate build --sign KEYFILE"
    )]
    Misplaced,
    /// The bytes are no WebAssembly binary.
    #[error("the module's sections cannot be read, so that its signature cannot be found. Build and sign it again")]
    Unreadable,
    /// Nobody knows whose it is.
    #[error(
        "the module is signed with the key {0}, which this server does not trust. Sign it with a trusted key, or let an operator add this one to the setting modules.trusted_keys"
    )]
    Untrusted(KeyId),
    /// The signature belongs to other bytes.
    #[error(
        "the module's signature with the key {0} does not fit: it was changed after it was signed. Build and sign it again"
    )]
    Wrong(KeyId),
}

/// Checks that one of these keys signed the module; answers which.
pub fn verify(module: &[u8], trusted: &[TrustedKey]) -> Result<KeyId, SignatureError> {
    let Signed { module, key, signature } = split(module)?;
    let known = trusted.iter().find(|trusted| trusted.id() == key).ok_or(SignatureError::Untrusted(key))?;
    let checked = UnparsedPublicKey::new(&ED25519, &known.0).verify(&message(module), signature);
    checked.map(|()| key).map_err(|_| SignatureError::Wrong(key))
}

fn message(module: &[u8]) -> Vec<u8> {
    [DOMAIN, &Sha256::digest(module)].concat()
}

/// A module that ends in a signature.
struct Signed<'a> {
    /// All bytes before the signature.
    module: &'a [u8],
    key: KeyId,
    signature: &'a [u8],
}

/// Looks for signatures among the outermost sections.
fn split(bytes: &[u8]) -> Result<Signed<'_>, SignatureError> {
    let mut found = None;
    let mut at = PREAMBLE;
    while at < bytes.len() {
        let (contents, next) = section(bytes, at).ok_or(SignatureError::Unreadable)?;
        if found.is_some() {
            return Err(SignatureError::Misplaced);
        }
        if let Some(contents) = contents {
            found = Some((at, contents));
        }
        at = next;
    }
    let (begin, contents) = found.ok_or(SignatureError::Unsigned)?;
    let (key, signature) = contents.split_first_chunk::<KEY_ID>().ok_or(SignatureError::Unreadable)?;
    if signature.len() != SIGNATURE {
        return Err(SignatureError::Unreadable);
    }
    Ok(Signed { module: &bytes[..begin], key: KeyId(*key), signature })
}

/// The section at an offset: what a signature holds after its name, if it is one, and where the next section begins.
fn section(bytes: &[u8], at: usize) -> Option<(Option<&[u8]>, usize)> {
    let (id, rest) = bytes.get(at..)?.split_first()?;
    let (length, rest) = leb128(rest)?;
    let contents = rest.get(..length)?;
    let next = bytes.len() - rest.len() + length;
    if *id != CUSTOM {
        return Some((None, next));
    }
    let (length, named) = leb128(contents)?;
    let (name, data) = named.split_at_checked(length)?;
    Some(((name == NAME).then_some(data), next))
}

/// An unsigned number of at most 32 bits (WebAssembly, 5.2.2), and what follows it.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0u64;
    for (count, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * count);
        if byte & 0x80 == 0 {
            return Some((u32::try_from(value).ok()? as usize, &bytes[count + 1..]));
        }
    }
    None
}

/// The bytes of PEM with this label, or of plain base64.
fn decoded(text: &str, label: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    let body = match text.strip_prefix(&format!("-----BEGIN {label}-----")) {
        Some(rest) => rest.split_once(&format!("-----END {label}-----"))?.0,
        None => text,
    };
    let body: String = body.split_whitespace().collect();
    BASE64.decode(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &[u8] = b"\0asm\x0d\0\x01\0\0\x05\x04name";

    fn key(seed: u8) -> BuilderKey {
        BuilderKey::generate(|bytes| bytes.fill(seed)).unwrap()
    }

    #[test]
    fn a_signature_is_good_for_these_bytes_and_this_key() {
        let (ours, theirs) = (key(1), key(2));
        let signed = ours.sign(MODULE).unwrap();
        assert_eq!(verify(&signed, &[theirs.public(), ours.public()]), Ok(ours.public().id()));
        assert_eq!(verify(&signed, &[theirs.public()]), Err(SignatureError::Untrusted(ours.public().id())));
        assert_eq!(verify(&signed, &[]), Err(SignatureError::Untrusted(ours.public().id())));
        assert_eq!(verify(MODULE, &[ours.public()]), Err(SignatureError::Unsigned));
        assert_eq!(ours.sign(&signed).unwrap(), signed, "a signature takes the place of the one before");
        assert_eq!(verify(&theirs.sign(&signed).unwrap(), &[theirs.public()]), Ok(theirs.public().id()));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let key = key(1);
        let signed = key.sign(MODULE).unwrap();
        for at in 0..signed.len() {
            for bit in 0..8 {
                let mut changed = signed.clone();
                changed[at] ^= 1 << bit;
                assert!(verify(&changed, &[key.public()]).is_err(), "bit {bit} of byte {at}");
            }
            assert!(verify(&signed[..at], &[key.public()]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_signature_stands_at_the_end_and_once() {
        let key = key(1);
        let signed = key.sign(MODULE).unwrap();
        let section = &signed[MODULE.len()..];
        let misplaced = Err(SignatureError::Misplaced);
        let after = [&signed[..], b"\0\x05\x04name"].concat();
        assert_eq!(verify(&after, &[key.public()]), misplaced, "a section after it");
        assert_eq!(verify(&[&signed[..], section].concat(), &[key.public()]), misplaced, "two");
        let before = [&MODULE[..8], section, &MODULE[8..]].concat();
        assert_eq!(verify(&before, &[key.public()]), misplaced, "in another place");
        assert_eq!(
            verify(&[&signed[..], b"x"].concat(), &[key.public()]),
            Err(SignatureError::Unreadable),
            "bytes after it"
        );
        assert!(matches!(key.sign(&after), Err(SignatureError::Misplaced)), "nor is such a module signed");
    }

    #[test]
    fn keys_are_read_as_openssl_writes_them() {
        // `openssl genpkey -algorithm ed25519`, and `openssl pkey -pubout` of it: the first test vector of RFC 8032.
        let private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
        let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
        let read = BuilderKey::parse(private).unwrap();
        let trusted: TrustedKey = public.parse().unwrap();
        assert_eq!(read.public(), trusted);
        assert_eq!(trusted.to_string().parse(), Ok(trusted.clone()), "base64 of the bytes alone");
        let again = BuilderKey::parse(&key(3).to_pem().unwrap()).unwrap();
        assert_eq!(again.public(), key(3).public());
        assert_eq!(verify(&read.sign(MODULE).unwrap(), std::slice::from_ref(&trusted)), Ok(trusted.id()));
        for wrong in ["", "abc", private, "AAAA"] {
            assert_eq!(wrong.parse::<TrustedKey>(), Err(NotATrustedKey), "{wrong}");
        }
        for wrong in ["", "abc", public] {
            assert_eq!(BuilderKey::parse(wrong).unwrap_err(), NotABuilderKey, "{wrong}");
        }
        assert_eq!(format!("{read:?}"), "BuilderKey");
    }
}
