//! Payloads as bytes: commits and records. Numbers are little endian, texts and values have their length in front.

use bytes::Bytes;

use super::{Change, Commit, Sequence};

/// Takes numbers and pieces off the front of bytes; `None` when they end too early.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }

    /// A text of at most 64 KiB with its length in front.
    pub(super) fn text(&mut self) -> Option<&'a str> {
        let length = self.u16()?;
        std::str::from_utf8(self.take(length.into())?).ok()
    }

    fn value(&mut self) -> Option<Bytes> {
        let length = self.u32()? as usize;
        self.take(length).map(Bytes::copy_from_slice)
    }
}

/// Writes a text of at most 64 KiB with its length in front.
pub(super) fn put_text(buffer: &mut Vec<u8>, text: &str) {
    buffer.extend_from_slice(&(text.len() as u16).to_le_bytes());
    buffer.extend_from_slice(text.as_bytes());
}

fn put_value(buffer: &mut Vec<u8>, value: &[u8]) {
    buffer.extend_from_slice(&(value.len() as u32).to_le_bytes());
    buffer.extend_from_slice(value);
}

/// Writes the changes of a commit; its sequence is the frame's.
pub(super) fn put_changes(buffer: &mut Vec<u8>, changes: &[Change]) {
    for change in changes {
        buffer.push(change.value.is_some().into());
        put_text(buffer, &change.key);
        if let Some(value) = &change.value {
            put_value(buffer, value);
        }
    }
}

/// Reads what [`put_changes`] wrote.
pub(super) fn commit(sequence: Sequence, payload: &[u8]) -> Option<Commit> {
    let mut reader = Reader::new(payload);
    let mut changes = Vec::new();
    while !reader.is_empty() {
        let present = reader.u8()? == 1;
        let key = reader.text()?.to_owned();
        let value = if present { Some(reader.value()?) } else { None };
        changes.push(Change { key, value });
    }
    Some(Commit { sequence, changes })
}

/// A record with its key, as checkpoints hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyedRecord {
    pub(super) key: String,
    pub(super) version: Sequence,
    pub(super) value: Bytes,
}

/// Writes one record of a checkpoint.
pub(super) fn put_record(buffer: &mut Vec<u8>, record: &KeyedRecord) {
    buffer.extend_from_slice(&record.version.get().to_le_bytes());
    put_text(buffer, &record.key);
    put_value(buffer, &record.value);
}

/// Reads the records that [`put_record`] wrote one behind the other.
pub(super) fn records(payload: &[u8]) -> Option<Vec<KeyedRecord>> {
    let mut reader = Reader::new(payload);
    let mut records = Vec::new();
    while !reader.is_empty() {
        let version = Sequence::new(reader.u64()?);
        let key = reader.text()?.to_owned();
        records.push(KeyedRecord { key, version, value: reader.value()? });
    }
    Some(records)
}
