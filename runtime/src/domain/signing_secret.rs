//! The secret of an endpoint, and the signatures made with it, after Standard Webhooks.
//!
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroizing;

const PREFIX: &str = "whsec_";
/// What the specification asks for, in bytes.
const SHORTEST: usize = 24;
const LONGEST: usize = 64;
/// The length of a generated one, in bytes.
const LENGTH: usize = 32;

/// A secret that messages are signed with. It cannot be printed.
#[derive(Clone)]
pub struct SigningSecret(Zeroizing<Vec<u8>>);

/// A text is no signing secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a signing secret is whsec_ and the base64 of 24 to 64 bytes")]
pub struct NotASigningSecret;

impl SigningSecret {
    /// A new one.
    pub fn generate(fill: impl FnOnce(&mut [u8])) -> Self {
        let mut bytes = Zeroizing::new(vec![0; LENGTH]);
        fill(&mut bytes);
        Self(bytes)
    }

    /// Reads `whsec_` and base64.
    pub fn parse(text: &str) -> Result<Self, NotASigningSecret> {
        let bytes = text.trim().strip_prefix(PREFIX).and_then(|rest| BASE64.decode(rest).ok()).map(Zeroizing::new);
        let bytes = bytes.filter(|bytes| (SHORTEST..=LONGEST).contains(&bytes.len()));
        bytes.map(Self).ok_or(NotASigningSecret)
    }

    /// The secret in clear, to be shown once or to be sealed.
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{PREFIX}{}", BASE64.encode(&*self.0)))
    }

    /// What messages are signed with.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The signature of a message: `v1,` and the base64 of the HMAC-SHA-256 of `id.timestamp.body`.
    pub fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()))
    }
}

impl std::fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification() {
        let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = r#"{"test": 2432232314}"#;
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_reads_back_and_is_not_printed() {
        let secret = SigningSecret::generate(|bytes| bytes.fill(7));
        let text = secret.reveal();
        assert_eq!(SigningSecret::parse(&text).unwrap().reveal(), text);
        assert_eq!(format!("{secret:?}"), "SigningSecret");
        for wrong in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_***"] {
            assert!(SigningSecret::parse(wrong).is_err(), "{wrong}");
        }
    }
}
