//! Rows: where the entries of one segment are, in memory while the segment is written to.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::Entry;
use crate::store::codec::{Reader, put_text};

/// Where one entry is. Groups and flows are numbers of the segment's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) group: u32,
    pub(super) id: u128,
    pub(super) flow: u32,
    /// Where the entry's frame begins in the segment.
    pub(super) offset: u64,
}

/// The rows of a segment by group and id. Bounded, as a segment is.
#[derive(Debug, Default)]
pub(super) struct Rows {
    names: Vec<String>,
    numbers: HashMap<String, u32>,
    rows: BTreeMap<(u32, u128), (u32, u64)>,
    /// The smallest and the largest id.
    span: Option<(u128, u128)>,
}

impl Rows {
    /// Notes an entry; an earlier one of the same id is forgotten.
    pub(super) fn insert(&mut self, group: &str, id: Uuid, flow: &str, offset: u64) {
        let (group, flow, id) = (self.number(group), self.number(flow), id.as_u128());
        self.rows.insert((group, id), (flow, offset));
        self.span = Some(self.span.map_or((id, id), |(min, max)| (min.min(id), max.max(id))));
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn span(&self) -> Option<(u128, u128)> {
        self.span
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Every row, by group and id.
    pub(super) fn iter(&self) -> impl Iterator<Item = Row> {
        self.rows.iter().map(|(&(group, id), &(flow, offset))| Row { group, id, flow, offset })
    }

    pub(super) fn get(&self, group: &str, id: Uuid) -> Option<Row> {
        let (group, id) = (*self.numbers.get(group)?, id.as_u128());
        self.rows.get(&(group, id)).map(|&(flow, offset)| Row { group, id, flow, offset })
    }

    /// At most `limit` rows of a group with ids below `before`, the largest first.
    pub(super) fn newest(&self, group: &str, flow: Option<&str>, before: u128, limit: usize) -> Vec<Row> {
        let Some(&group) = self.numbers.get(group) else { return Vec::new() };
        let flow = match flow.map(|flow| self.numbers.get(flow)) {
            Some(None) => return Vec::new(),
            Some(Some(flow)) => Some(*flow),
            None => None,
        };
        let rows = self.rows.range((group, 0)..(group, before)).rev();
        rows.map(|(&(group, id), &(flow, offset))| Row { group, id, flow, offset })
            .filter(|row| flow.is_none_or(|flow| row.flow == flow))
            .take(limit)
            .collect()
    }

    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.names.len() as u32;
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }
}

/// Writes an entry as the payload of a frame.
pub(super) fn put_entry(buffer: &mut Vec<u8>, entry: &Entry) {
    buffer.extend_from_slice(&entry.id.as_u128().to_le_bytes());
    put_text(buffer, &entry.group);
    put_text(buffer, &entry.flow);
    buffer.extend_from_slice(&entry.body);
}

/// Reads id, group, flow and body of what [`put_entry`] wrote.
pub(super) fn entry(payload: &[u8]) -> Option<(Uuid, &str, &str, &[u8])> {
    let mut reader = Reader::new(payload);
    Some((Uuid::from_u128(reader.u128()?), reader.text()?, reader.text()?, reader.rest()))
}
