//! The index: sled as it answers reads. It is never trusted: every record has a checksum, and the whole has a
//! fingerprint, because a flipped bit in sled's file may hide records and a power cut may take older ones.
//!
//! Rows: `r<key>` is a record's head, with the value when that is small; `c<key>\0<number>` is a piece of a large
//! value, because sled never gives back the space of values over about 64 KiB; `m` is the marker.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError, RwLock};

use bytes::Bytes;

use super::codec::Reader;
use super::{Record, Sequence, StoreError, lock};

/// The largest value kept in one row, in bytes.
const PIECE_BYTES: usize = 48 << 10;
const HEAD_BYTES: usize = 16;
const MARKER: &[u8] = b"m";

/// The index of one data folder.
pub(super) struct Index {
    db: sled::Db,
    marker: Mutex<Marker>,
    /// Readers see all of a commit or nothing: sled's iterators alone do not promise that.
    gate: RwLock<()>,
}

/// How far the index has come, and a fingerprint of all its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Marker {
    applied: Sequence,
    count: u64,
    sum: u64,
}

/// A write to the index: a key, the commit it comes from, and the value if the record is not deleted.
pub(super) type Write<'a> = (&'a str, Sequence, Option<&'a Bytes>);

impl Index {
    /// Opens the index and verifies all of it. The error says what is damaged: it is to be rebuilt then.
    pub(super) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        guarded("its files", || {
            let db = sled::Config::new().path(dir).cache_capacity(cache_bytes).open()?;
            let index = Self { db, marker: Mutex::default(), gate: RwLock::default() };
            index.verify()?;
            Ok(index)
        })
    }

    /// The newest commit that the index has.
    pub(super) fn applied(&self) -> Sequence {
        lock(&self.marker).applied
    }

    /// The record of a key.
    pub(super) fn get(&self, key: &str) -> Result<Option<Record>, StoreError> {
        guarded(key, || {
            let _gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
            match self.db.get(record_row(key))? {
                Some(row) => self.record(key, &row).map(Some),
                None => Ok(None),
            }
        })
    }

    /// By which commit the record of a key was written.
    pub(super) fn version(&self, key: &str) -> Result<Option<Sequence>, StoreError> {
        guarded(key, || match self.db.get(record_row(key))? {
            Some(row) => Ok(Some(Head::read(&row)?.0.version)),
            None => Ok(None),
        })
    }

    /// A page of records, see [`super::Store::scan`].
    pub(super) fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Record)>, StoreError> {
        guarded(prefix, || {
            let _gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
            let start = match after {
                Some(after) if after >= prefix => Bound::Excluded(record_row(after)),
                _ => Bound::Included(record_row(prefix)),
            };
            let mut page = Vec::new();
            let beginning = record_row(prefix);
            for row in self.db.range((start, Bound::Unbounded)).take(limit) {
                let (name, row) = row?;
                if !name.starts_with(&beginning) {
                    break;
                }
                let key = std::str::from_utf8(&name[1..]).map_err(|_| Failure::Damage("a key is not a text"))?;
                page.push((key.to_owned(), self.record(key, &row)?));
            }
            Ok(page)
        })
    }

    /// Applies writes at once; the index is at `applied` afterwards. The last of several writes to a key counts.
    pub(super) fn apply<'a>(
        &self,
        writes: impl IntoIterator<Item = Write<'a>>,
        applied: Sequence,
    ) -> Result<(), StoreError> {
        let latest: BTreeMap<_, _> = writes.into_iter().map(|(key, version, value)| (key, (version, value))).collect();
        guarded("the newest commits", || {
            let mut marker = *lock(&self.marker);
            let mut batch = sled::Batch::default();
            for (key, (version, value)) in latest {
                let name = record_row(key);
                if let Some(old) = self.db.get(&name)? {
                    let (head, _) = Head::read(&old)?;
                    marker.remove(head);
                    (0..head.pieces()).for_each(|number| batch.remove(piece_row(key, number)));
                    batch.remove(&name[..]);
                }
                let Some(value) = value else { continue };
                let head = Head { version, crc: checksum(key, version, value), length: value.len() };
                marker.add(head);
                batch.insert(name, head.row(value));
                for (number, piece) in value.chunks(PIECE_BYTES).enumerate().take(head.pieces()) {
                    batch.insert(piece_row(key, number), piece);
                }
            }
            marker.applied = applied;
            batch.insert(MARKER, marker.row());
            let _gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
            self.db.apply_batch(batch)?;
            *lock(&self.marker) = marker;
            Ok(())
        })
    }

    /// Hands everything to the system, so that the next start finds the index up to date.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        guarded("its files", || {
            self.db.flush()?;
            Ok(())
        })
    }

    /// Reads every record and compares the whole with the marker.
    fn verify(&self) -> Result<(), Failure> {
        let Some(row) = self.db.get(MARKER)? else {
            let empty = self.db.is_empty();
            return if empty { Ok(()) } else { Err(Failure::Damage("the marker is missing")) };
        };
        let marker = Marker::read(&row)?;
        let mut seen = Marker { applied: marker.applied, ..Marker::default() };
        for row in self.db.scan_prefix(b"r") {
            let (name, row) = row?;
            let key = std::str::from_utf8(&name[1..]).map_err(|_| Failure::Damage("a key is not a text"))?;
            self.record(key, &row)?;
            seen.add(Head::read(&row)?.0);
        }
        if seen != marker {
            return Err(Failure::Damage("records are missing or too many"));
        }
        *lock(&self.marker) = marker;
        Ok(())
    }

    /// The record of a row, with its pieces, verified.
    fn record(&self, key: &str, row: &[u8]) -> Result<Record, Failure> {
        let (head, inline) = Head::read(row)?;
        let mut value = Vec::with_capacity(head.length.min(1 << 20));
        value.extend_from_slice(inline);
        for number in 0..head.pieces() {
            let piece = self.db.get(piece_row(key, number))?;
            value.extend_from_slice(&piece.ok_or(Failure::Damage("a piece of the value is missing"))?);
        }
        if value.len() != head.length || checksum(key, head.version, &value) != head.crc {
            return Err(Failure::Damage("the checksum does not match"));
        }
        Ok(Record { value: value.into(), version: head.version })
    }
}

/// The fixed part of a record's row: version u64, checksum u32, length u32.
#[derive(Clone, Copy)]
struct Head {
    version: Sequence,
    crc: u32,
    length: usize,
}

impl Head {
    fn read(row: &[u8]) -> Result<(Self, &[u8]), Failure> {
        let mut reader = Reader::new(row);
        let fields = (reader.u64(), reader.u32(), reader.u32());
        let (Some(version), Some(crc), Some(length)) = fields else {
            return Err(Failure::Damage("a row is too short"));
        };
        Ok((Self { version: Sequence::new(version), crc, length: length as usize }, reader.rest()))
    }

    fn row(self, value: &[u8]) -> Vec<u8> {
        let inline = if self.pieces() == 0 { value } else { &[] };
        let mut row = Vec::with_capacity(HEAD_BYTES + inline.len());
        row.extend_from_slice(&self.version.get().to_le_bytes());
        row.extend_from_slice(&self.crc.to_le_bytes());
        row.extend_from_slice(&(self.length as u32).to_le_bytes());
        row.extend_from_slice(inline);
        row
    }

    /// In how many rows of its own the value is kept; 0 when it is in the head's row.
    fn pieces(self) -> usize {
        if self.length <= PIECE_BYTES { 0 } else { self.length.div_ceil(PIECE_BYTES) }
    }

    /// A number that differs for any two records with a chance of 1 in 2^64; sums of it tell sets apart.
    fn print(self) -> u64 {
        let mut z = (u64::from(self.crc) << 32 ^ self.version.get()).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Marker {
    fn add(&mut self, head: Head) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(head.print());
    }

    fn remove(&mut self, head: Head) {
        self.count = self.count.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(head.print());
    }

    fn row(self) -> Vec<u8> {
        let mut row = Vec::with_capacity(28);
        for number in [self.applied.get(), self.count, self.sum] {
            row.extend_from_slice(&number.to_le_bytes());
        }
        row.extend_from_slice(&crc32fast::hash(&row).to_le_bytes());
        row
    }

    fn read(row: &[u8]) -> Result<Self, Failure> {
        let mut reader = Reader::new(row);
        let fields = (reader.u64(), reader.u64(), reader.u64(), reader.u32());
        let (Some(applied), Some(count), Some(sum), Some(crc)) = fields else {
            return Err(Failure::Damage("the marker is too short"));
        };
        if crc != crc32fast::hash(&row[..24]) {
            return Err(Failure::Damage("the marker is not as it was written"));
        }
        Ok(Self { applied: Sequence::new(applied), count, sum })
    }
}

/// What goes wrong inside [`guarded`].
enum Failure {
    Damage(&'static str),
    Sled(sled::Error),
}

impl From<sled::Error> for Failure {
    fn from(error: sled::Error) -> Self {
        Self::Sled(error)
    }
}

/// Runs `work` and turns sled's errors and panics into [`StoreError::IndexDamaged`].
fn guarded<T>(key: &str, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, StoreError> {
    // After a panic the caller gets an error and nothing of the index is trusted before it was verified anew.
    let reason = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(Failure::Damage(reason))) => reason.to_owned(),
        Ok(Err(Failure::Sled(error))) => error.to_string(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            format!("sled stopped: {}", text.unwrap_or("it did not say why"))
        }
    };
    Err(StoreError::IndexDamaged { key: key.to_owned(), reason })
}

fn checksum(key: &str, version: Sequence, value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key.as_bytes());
    hasher.update(&version.get().to_le_bytes());
    hasher.update(value);
    hasher.finalize()
}

fn record_row(key: &str) -> Vec<u8> {
    [b"r", key.as_bytes()].concat()
}

fn piece_row(key: &str, number: usize) -> Vec<u8> {
    [b"c", key.as_bytes(), b"\0", &(number as u32).to_be_bytes()].concat()
}
