//! Row files: the rows of a finished segment, on disk, sorted by group and id, in checksummed blocks.
//!
//! ```text
//! magic 8 | format u16 | base u64 | data bytes u64 | damaged u8 | min u128 | max u128 | rows u32 | names bytes u32
//! names: texts with their lengths | crc u32 over all before it
//! blocks: up to 128 rows of (group u32 | id u128 | flow u32 | offset u64) | crc u32      (little endian)
//! ```
//!
//! A row file can always be made anew from its segment.

use std::path::Path;

use super::rows::{Row, Rows};
use crate::store::StoreError;
use crate::store::codec::{Reader, put_text};
use crate::store::files::{Files, ReadFile};
use crate::store::segment::sync_parent;

const MAGIC: &[u8; 8] = b"HEADGIDX";
const FORMAT: u16 = 1;
const FIXED_BYTES: usize = 67;
const ROW_BYTES: usize = 32;
const BLOCK_ROWS: usize = 128;
const BLOCK_BYTES: usize = BLOCK_ROWS * ROW_BYTES + 4;
/// More names than a segment can hold: a length beyond it is damage.
const MAX_NAMES_BYTES: usize = 1 << 30;

/// What a row file says of its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Summary {
    /// The number of the segment's first entry.
    pub(super) base: u64,
    /// The length of the segment when it was finished, in bytes.
    pub(super) data_bytes: u64,
    /// Whether a part of the segment could not be read when the rows were made: entries may be missing.
    pub(super) damaged: bool,
    pub(super) rows: u32,
    /// The smallest and the largest id; `(0, 0)` without rows.
    pub(super) span: (u128, u128),
}

/// Why a row file cannot be used.
pub(super) struct Unusable(pub(super) String);

/// Writes a row file under its final name, durable when it returns.
pub(super) fn write(files: &dyn Files, path: &Path, summary: Summary, rows: &Rows) -> Result<(), StoreError> {
    let mut bytes = Vec::with_capacity(FIXED_BYTES + rows.len() * (ROW_BYTES + 1));
    let mut names = Vec::new();
    rows.names().iter().for_each(|name| put_text(&mut names, name));
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&summary.base.to_le_bytes());
    bytes.extend_from_slice(&summary.data_bytes.to_le_bytes());
    bytes.push(summary.damaged.into());
    bytes.extend_from_slice(&summary.span.0.to_le_bytes());
    bytes.extend_from_slice(&summary.span.1.to_le_bytes());
    bytes.extend_from_slice(&summary.rows.to_le_bytes());
    bytes.extend_from_slice(&(names.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&names);
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    let mut block = bytes.len();
    for (index, row) in rows.iter().enumerate() {
        bytes.extend_from_slice(&row.group.to_le_bytes());
        bytes.extend_from_slice(&row.id.to_le_bytes());
        bytes.extend_from_slice(&row.flow.to_le_bytes());
        bytes.extend_from_slice(&row.offset.to_le_bytes());
        if (index + 1).is_multiple_of(BLOCK_ROWS) || index + 1 == rows.len() {
            let crc = crc32fast::hash(&bytes[block..]);
            bytes.extend_from_slice(&crc.to_le_bytes());
            block = bytes.len();
        }
    }
    let temporary = path.with_extension("temporary");
    if files.read(&temporary).is_ok() {
        files.remove(&temporary).map_err(StoreError::io("remove", &temporary))?;
    }
    let mut file = files.append(&temporary).map_err(StoreError::io("create", &temporary))?;
    file.append(&bytes).map_err(StoreError::io("write to", &temporary))?;
    file.sync_data().map_err(StoreError::io("make durable", &temporary))?;
    files.rename(&temporary, path).map_err(StoreError::io("rename", &temporary))?;
    sync_parent(files, path)
}

/// A row file open for reading.
pub(super) struct RowFile {
    file: Box<dyn ReadFile>,
    pub(super) summary: Summary,
    names: Vec<String>,
    /// Where the first block begins.
    start: u64,
    /// The block that was read last, and its number.
    block: (usize, Vec<Row>),
}

impl RowFile {
    /// Opens a row file and verifies its head; blocks are verified as they are read.
    pub(super) fn open(files: &dyn Files, path: &Path) -> Result<Self, Unusable> {
        let file = files.read(path).map_err(|error| Unusable(error.to_string()))?;
        let mut fixed = vec![0; FIXED_BYTES];
        read(&*file, 0, &mut fixed)?;
        let (summary, names_bytes) = parse_fixed(&fixed).ok_or(Unusable("its head is damaged".to_owned()))?;
        let mut head = fixed;
        head.resize(FIXED_BYTES + names_bytes + 4, 0);
        read(&*file, FIXED_BYTES as u64, &mut head[FIXED_BYTES..])?;
        let (covered, crc) = head.split_at(head.len() - 4);
        if crc != crc32fast::hash(covered).to_le_bytes() {
            return Err(Unusable("its head is damaged".to_owned()));
        }
        let mut reader = Reader::new(&covered[FIXED_BYTES..]);
        let mut names = Vec::new();
        while let Some(name) = reader.text() {
            names.push(name.to_owned());
        }
        Ok(Self { file, summary, names, start: head.len() as u64, block: (usize::MAX, Vec::new()) })
    }

    /// The row of an entry.
    pub(super) fn get(&mut self, group: &str, id: u128) -> Result<Option<Row>, Unusable> {
        let Some(group) = self.number(group) else { return Ok(None) };
        let at = self.lower_bound(group, id)?;
        let row = if at < self.rows() { Some(self.row(at)?) } else { None };
        Ok(row.filter(|row| row.group == group && row.id == id))
    }

    /// At most `limit` rows of a group with ids below `before`, the largest first.
    pub(super) fn newest(
        &mut self,
        group: &str,
        flow: Option<&str>,
        before: u128,
        limit: usize,
    ) -> Result<Vec<Row>, Unusable> {
        let Some(group) = self.number(group) else { return Ok(Vec::new()) };
        let flow = match flow.map(|flow| self.number(flow)) {
            Some(None) => return Ok(Vec::new()),
            Some(number) => number,
            None => None,
        };
        let mut found = Vec::new();
        let mut at = self.lower_bound(group, before)?;
        while at > 0 && found.len() < limit {
            at -= 1;
            let row = self.row(at)?;
            if row.group != group {
                break;
            }
            if flow.is_none_or(|flow| row.flow == flow) {
                found.push(row);
            }
        }
        Ok(found)
    }

    fn rows(&self) -> usize {
        self.summary.rows as usize
    }

    fn number(&self, name: &str) -> Option<u32> {
        self.names.iter().position(|known| known == name).map(|number| number as u32)
    }

    /// The first row that is not before this group and id.
    fn lower_bound(&mut self, group: u32, id: u128) -> Result<usize, Unusable> {
        let (mut low, mut high) = (0, self.rows());
        while low < high {
            let middle = low + (high - low) / 2;
            let row = self.row(middle)?;
            if (row.group, row.id) < (group, id) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    fn row(&mut self, at: usize) -> Result<Row, Unusable> {
        let number = at / BLOCK_ROWS;
        if self.block.0 != number {
            self.block = (number, self.read_block(number)?);
        }
        self.block.1.get(at % BLOCK_ROWS).copied().ok_or(Unusable("a block is too short".to_owned()))
    }

    fn read_block(&self, number: usize) -> Result<Vec<Row>, Unusable> {
        let rows = (self.rows() - number * BLOCK_ROWS).min(BLOCK_ROWS);
        let mut bytes = vec![0; rows * ROW_BYTES + 4];
        read(&*self.file, self.start + (number * BLOCK_BYTES) as u64, &mut bytes)?;
        let (covered, crc) = bytes.split_at(rows * ROW_BYTES);
        if crc != crc32fast::hash(covered).to_le_bytes() {
            return Err(Unusable("a block is damaged".to_owned()));
        }
        let rows = covered.chunks_exact(ROW_BYTES).map(|bytes| {
            let mut reader = Reader::new(bytes);
            Some(Row { group: reader.u32()?, id: reader.u128()?, flow: reader.u32()?, offset: reader.u64()? })
        });
        rows.collect::<Option<_>>().ok_or(Unusable("a block is too short".to_owned()))
    }
}

fn parse_fixed(bytes: &[u8]) -> Option<(Summary, usize)> {
    let mut reader = Reader::new(bytes);
    if reader.take(8)? != MAGIC || reader.u16()? != FORMAT {
        return None;
    }
    let (base, data_bytes, damaged) = (reader.u64()?, reader.u64()?, reader.u8()? == 1);
    let (span, rows) = ((reader.u128()?, reader.u128()?), reader.u32()?);
    let names_bytes = reader.u32()? as usize;
    (names_bytes <= MAX_NAMES_BYTES).then_some((Summary { base, data_bytes, damaged, rows, span }, names_bytes))
}

fn read(file: &dyn ReadFile, offset: u64, buffer: &mut [u8]) -> Result<(), Unusable> {
    match file.read_at(offset, buffer) {
        Ok(count) if count == buffer.len() => Ok(()),
        Ok(_) => Err(Unusable("it ends too early".to_owned())),
        Err(error) => Err(Unusable(error.to_string())),
    }
}
