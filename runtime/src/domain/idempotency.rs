//! Idempotency: by what a trigger tells that a request is one it has had before.

mod pointer;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::domain::idempotency::pointer::Found;

/// The header that is read where a trigger names none (IETF draft "The Idempotency-Key HTTP Header Field").
pub const DEFAULT_HEADER: &str = "idempotency-key";
/// How long an answer is remembered where a trigger says nothing, in seconds: a day, as senders try again for hours.
pub const DEFAULT_WINDOW: u64 = 24 * 60 * 60;
/// The longest window, in seconds: 30 days. Senders give up far earlier.
pub const MAX_WINDOW: u64 = 30 * 24 * 60 * 60;
/// The longest key, in bytes. UUIDs and ids of events are far shorter.
pub const MAX_KEY: usize = 255;
/// The longest JSON pointer, in bytes.
const MAX_POINTER: usize = 256;
/// Headers that are credentials: they are taken out of a request before anything reads it.
const CREDENTIALS: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "x-api-key"];

/// Where a request's idempotency key stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// In a header of this name, in lower case.
    Header(String),
    /// In the JSON body, at this pointer (RFC 6901).
    Pointer(String),
}

/// How a trigger tells requests that it has had before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// Where the key stands.
    pub source: KeySource,
    /// How long an answer is remembered, in seconds.
    pub window: u64,
    /// Whether a request without a key is refused; otherwise it runs as it would without all this.
    #[serde(default)]
    pub required: bool,
}

/// What was asked for, or a request's key, breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdempotencyKeyError {
    /// A text is no header's name, or the header is a credential.
    #[error("\"{0}\" cannot carry an idempotency key. Name another header, such as Idempotency-Key or webhook-id")]
    Header(String),
    /// A text is no JSON pointer.
    #[error("\"{0}\" is no JSON pointer. Write one such as /event/id")]
    Pointer(String),
    /// Both places are named.
    #[error("The idempotency key stands in a header or in the body. Name one of the two")]
    Both,
    /// The window is too short or too long.
    #[error("The window of idempotency is between 1 and {MAX_WINDOW} seconds")]
    Window,
    /// A request has no key, and has to.
    #[error(
        "This trigger wants an idempotency key in {0}. Send one that is new for each event, and the same when you try again"
    )]
    Missing(String),
    /// A request's key cannot be used.
    #[error("The idempotency key in {0} must have 1 to {MAX_KEY} characters that can be seen")]
    Unusable(String),
}

impl KeySource {
    /// Checks where the key is to stand; in the usual header when nothing is named.
    pub fn new(header: Option<&str>, pointer: Option<&str>) -> Result<Self, IdempotencyKeyError> {
        match (header, pointer) {
            (Some(_), Some(_)) => Err(IdempotencyKeyError::Both),
            (None, Some(pointer)) if pointer.starts_with('/') && pointer.len() <= MAX_POINTER => {
                Ok(Self::Pointer(pointer.to_owned()))
            }
            (None, Some(pointer)) => Err(IdempotencyKeyError::Pointer(pointer.to_owned())),
            (header, None) => {
                let header = header.unwrap_or(DEFAULT_HEADER);
                match http::HeaderName::from_bytes(header.as_bytes()) {
                    Ok(name) if !CREDENTIALS.contains(&name.as_str()) => Ok(Self::Header(name.as_str().to_owned())),
                    _ => Err(IdempotencyKeyError::Header(header.to_owned())),
                }
            }
        }
    }

    /// Where it is, in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Header(name) => format!("the header {name}"),
            Self::Pointer(pointer) => format!("the body's field {pointer}"),
        }
    }
}

impl Idempotency {
    /// Checks what was asked for.
    pub fn new(source: KeySource, window: u64, required: bool) -> Result<Self, IdempotencyKeyError> {
        if !(1..=MAX_WINDOW).contains(&window) {
            return Err(IdempotencyKeyError::Window);
        }
        Ok(Self { source, window, required })
    }

    /// A request's key, from its headers (names in lower case) or its body; `None` for one without a key.
    pub fn key_of(&self, headers: &[(String, String)], body: &[u8]) -> Result<Option<String>, IdempotencyKeyError> {
        let unusable = || IdempotencyKeyError::Unusable(self.source.describe());
        let key = match &self.source {
            KeySource::Header(wanted) => {
                let mut found = headers.iter().filter(|(name, _)| name == wanted);
                match (found.next(), found.next()) {
                    // Two of them: whichever was meant, the sender's side is at odds with itself.
                    (Some(_), Some(_)) => return Err(unusable()),
                    (first, _) => first.map(|(_, value)| value.trim().to_owned()),
                }
            }
            KeySource::Pointer(pointer) => match pointer::read(body, pointer) {
                Found::Nothing => None,
                Found::Text(text) => Some(text),
                Found::Other => return Err(unusable()),
            },
        };
        match key {
            None if self.required => Err(IdempotencyKeyError::Missing(self.source.describe())),
            None => Ok(None),
            Some(key) if key.is_empty() || key.len() > MAX_KEY || key.chars().any(char::is_control) => Err(unusable()),
            Some(key) => Ok(Some(key)),
        }
    }
}

/// What tells requests apart that come under one key: SHA-256 over the parts, each with its length in front.
pub fn fingerprint<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(header: Option<&str>, pointer: Option<&str>, required: bool) -> Idempotency {
        Idempotency::new(KeySource::new(header, pointer).unwrap(), 60, required).unwrap()
    }

    #[test]
    fn where_a_key_is_found() {
        let headers = |value: &str| vec![("webhook-id".to_owned(), value.to_owned())];
        let header = by(Some("Webhook-Id"), None, false);
        assert_eq!(header.key_of(&headers(" msg_1 "), b""), Ok(Some("msg_1".to_owned())));
        assert_eq!(header.key_of(&[], b""), Ok(None));
        for unusable in ["", " ", &"x".repeat(MAX_KEY + 1), "a\u{7}"] {
            assert!(matches!(header.key_of(&headers(unusable), b""), Err(IdempotencyKeyError::Unusable(_))));
        }
        let twice = [headers("a"), headers("a")].concat();
        assert!(matches!(header.key_of(&twice, b""), Err(IdempotencyKeyError::Unusable(_))));

        let pointer = by(None, Some("/event/id"), false);
        for (body, key) in [
            (r#"{"event": {"id": "e-1"}}"#, Ok(Some("e-1".to_owned()))),
            (r#"{"event": {"id": 17}}"#, Ok(Some("17".to_owned()))),
            (r#"{"event": {"id": null}}"#, Ok(None)),
            (r#"{"event": {}}"#, Ok(None)),
            ("no JSON", Ok(None)),
            (r#"{"event": {"id": [1]}}"#, Err(IdempotencyKeyError::Unusable("the body's field /event/id".to_owned()))),
        ] {
            assert_eq!(pointer.key_of(&[], body.as_bytes()), key, "{body}");
        }
        let error = by(None, None, true).key_of(&[], b"").unwrap_err();
        assert!(error.to_string().contains("the header idempotency-key"), "{error}");
    }

    #[test]
    fn what_can_be_asked_for() {
        for (header, pointer, fits) in [
            (None, None, true),
            (Some("X-Event-Id"), None, true),
            (None, Some("/id"), true),
            (Some("x"), Some("/id"), false),
            (None, Some("id"), false),
            (None, Some(""), false),
            (Some("a b"), None, false),
            (Some("Authorization"), None, false),
        ] {
            assert_eq!(KeySource::new(header, pointer).is_ok(), fits, "{header:?} {pointer:?}");
        }
        let source = KeySource::new(None, None).unwrap();
        for (window, fits) in [(0, false), (1, true), (MAX_WINDOW, true), (MAX_WINDOW + 1, false)] {
            assert_eq!(Idempotency::new(source.clone(), window, false).is_ok(), fits, "{window}");
        }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let parts = |parts: &[&'static str]| fingerprint(parts.iter().map(|part| part.as_bytes()));
        assert_eq!(parts(&["a", "b"]), parts(&["a", "b"]));
        for other in [&["ab", ""][..], &["", "ab"], &["a"], &["a", "b", ""]] {
            assert_ne!(parts(&["a", "b"]), parts(other), "{other:?}");
        }
    }
}
