//! The body of an event or a response.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

use crate::{Blob, Error, Result, json};

/// Bytes, in memory or behind a handle when they are many.
#[derive(Debug)]
pub enum Body {
    /// In memory.
    Inline(Vec<u8>),
    /// Kept by the host.
    Blob(Blob),
}

impl Body {
    /// Its size in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Blob(blob) => blob.size(),
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of it, in memory.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Inline(bytes) => Cow::Borrowed(bytes),
            Self::Blob(blob) => Cow::Owned(blob.bytes()),
        }
    }

    /// All of it as text. Fails with `invalid_text` when it is not UTF-8.
    pub fn text(&self) -> Result<String> {
        String::from_utf8(self.bytes().into_owned())
            .map_err(|error| Error::new("invalid_text", format!("The body is not UTF-8: {error}.")))
    }

    /// All of it, read as JSON. Fails with `invalid_json`, naming the place.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        json::read(&self.bytes()).map_err(|mismatch| mismatch.error("invalid_json", "body"))
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::Inline(Vec::new())
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Inline(bytes)
    }
}

impl From<&[u8]> for Body {
    fn from(bytes: &[u8]) -> Self {
        Self::Inline(bytes.to_vec())
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Inline(text.into_bytes())
    }
}

impl From<&str> for Body {
    fn from(text: &str) -> Self {
        Self::Inline(text.as_bytes().to_vec())
    }
}

impl From<Blob> for Body {
    fn from(blob: Blob) -> Self {
        Self::Blob(blob)
    }
}
