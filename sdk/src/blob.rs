//! Files and bodies that are too large or too binary for JSON.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Result, sys};

/// How much is read through the host at once: large enough that calls cost nothing, small enough to double in memory.
const CHUNK: u32 = 64 * 1024;

/// Bytes that the host keeps for the length of a run.
///
/// In JSON it is `{"$blob": "<id>"}`, so that a typed input or output can hold one:
///
/// ```
/// # use headgate_sdk::prelude::*;
/// #[derive(Serialize, Deserialize, JsonSchema)]
/// struct Attachment {
///     name: String,
///     content: Blob,
/// }
/// ```
///
/// Giving it to somebody else closes it for writing.
#[derive(Debug)]
pub struct Blob(pub(crate) sys::Blob);

impl Blob {
    /// An empty blob to be written. `content_type` is a media type (RFC 9110).
    pub fn new(content_type: &str) -> Self {
        Self(sys::Blob::new(content_type))
    }

    /// A blob that holds these bytes. Fails with `blob_too_large` beyond the run's limit.
    pub fn from_bytes(content_type: &str, bytes: &[u8]) -> Result<Self> {
        let blob = Self::new(content_type);
        for chunk in bytes.chunks(CHUNK as usize) {
            blob.write(chunk)?;
        }
        Ok(blob)
    }

    /// The blob behind an id found in JSON. Fails with `blob_not_found`.
    pub fn open(id: &str) -> Result<Self> {
        sys::Blob::open(id).map(Self)
    }

    /// Appends bytes. Fails with `blob_too_large` beyond the run's limit, and with `blob_closed` once it was given away.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        self.0.write(bytes)
    }

    /// Up to `len` bytes from `offset`; fewer at the end, none beyond it.
    pub fn read(&self, offset: u64, len: u32) -> Vec<u8> {
        self.0.read(offset, len)
    }

    /// All of it, in chunks.
    pub fn chunks(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        let mut offset = 0;
        std::iter::from_fn(move || {
            let chunk = self.read(offset, CHUNK);
            offset += chunk.len() as u64;
            (!chunk.is_empty()).then_some(chunk)
        })
    }

    /// All of it, in memory.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.size()).unwrap_or_default());
        self.chunks().for_each(|chunk| bytes.extend(chunk));
        bytes
    }

    /// The size so far, in bytes.
    pub fn size(&self) -> u64 {
        self.0.size()
    }

    /// The media type it was made with.
    pub fn content_type(&self) -> String {
        self.0.content_type()
    }

    /// The id by which JSON refers to it. Closes it for writing.
    pub fn id(&self) -> String {
        self.0.id()
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("$blob", &self.id())?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Reference {
            #[serde(rename = "$blob")]
            id: String,
        }
        let reference = Reference::deserialize(deserializer)?;
        Self::open(&reference.id).map_err(de::Error::custom)
    }
}

impl JsonSchema for Blob {
    fn schema_name() -> Cow<'static, str> {
        "Blob".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Bytes kept for the length of the run.",
            "type": "object",
            "properties": {"$blob": {"type": "string"}},
            "required": ["$blob"]
        })
    }
}
