//! [`Rows`]: rows as their database takes them, one behind the other.

use std::ops::Range;

/// Rows as their database takes them, each with the index of its item.
#[derive(Debug, Default, Clone)]
pub(super) struct Rows {
    items: Vec<u64>,
    /// Where each row ends.
    ends: Vec<usize>,
    bytes: Vec<u8>,
}

impl Rows {
    /// Room for so many rows of so many bytes.
    pub fn with_capacity(rows: usize, bytes: usize) -> Self {
        Self { items: Vec::with_capacity(rows), ends: Vec::with_capacity(rows), bytes: Vec::with_capacity(bytes) }
    }

    /// Adds the row that `write` appends. If it fails, nothing is added.
    pub fn push<E>(&mut self, item: u64, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let before = self.bytes.len();
        if let Err(error) = write(&mut self.bytes) {
            self.bytes.truncate(before);
            return Err(error);
        }
        self.items.push(item);
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// Adds the other's rows.
    pub fn append(&mut self, other: &Rows) {
        let before = self.bytes.len();
        self.items.extend_from_slice(&other.items);
        self.ends.extend(other.ends.iter().map(|end| before + end));
        self.bytes.extend_from_slice(&other.bytes);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The indexes of their items.
    pub fn items(&self) -> &[u64] {
        &self.items
    }

    /// How many bytes they are.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes of several rows.
    pub fn bytes(&self, rows: Range<usize>) -> &[u8] {
        let end = |row: usize| if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[end(rows.start)..end(rows.end)]
    }

    /// Some of them.
    pub fn only(&self, keep: impl Fn(usize) -> bool) -> Self {
        let mut kept = Self::default();
        for row in (0..self.len()).filter(|row| keep(*row)) {
            kept.items.push(self.items[row]);
            kept.bytes.extend_from_slice(self.bytes(row..row + 1));
            kept.ends.push(kept.bytes.len());
        }
        kept
    }
}
