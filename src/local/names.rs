//! [`Names`]: finds two items that have one name where only one may have it, in bounded memory however many items there are.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::lanes::Sorter;
use crate::reader::Position;

/// Memory for the names of one kind, in bytes; sorting takes as many once more for a moment.
const MEMORY: usize = 32 << 20;

/// The names that only one item may have. 128 bits of a SHA-256 of each are kept: two different names are never taken for one.
pub(super) struct Names(Sorter<32>);

/// Two items of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    pub first: Position,
    pub second: Position,
}

impl Names {
    /// `folder` takes what does not fit into memory.
    pub fn new(folder: &Path, what: &str) -> Self {
        Self(Sorter::new(folder, what, MEMORY))
    }

    pub fn claim(&mut self, name: &str, at: Position) -> Result<()> {
        let mut record = [0; 32];
        record[..16].copy_from_slice(&Sha256::digest(name.as_bytes())[..16]);
        record[16..24].copy_from_slice(&at.index.to_be_bytes());
        record[24..].copy_from_slice(&at.offset.to_be_bytes());
        self.0.push(record)
    }

    /// The pair whose second item comes first in the input, if there is a pair.
    pub fn finish(self) -> Result<Option<Pair>> {
        let mut sorted = self.0.finish()?;
        let mut found: Option<Pair> = None;
        let mut last: Option<[u8; 32]> = None;
        while let Some(record) = sorted.next()? {
            if let Some(before) = last.filter(|before| before[..16] == record[..16]) {
                let pair = Pair { first: position(&before), second: position(&record) };
                if found.is_none_or(|found| pair.second < found.second) {
                    found = Some(pair);
                }
            }
            last = Some(record);
        }
        Ok(found)
    }
}

fn position(record: &[u8; 32]) -> Position {
    let number = |at: usize| record[at..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    Position { index: number(16), offset: number(24) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pair_that_is_complete_first_is_the_one_that_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let found = |names: &[&str]| {
            let mut claimed = Names::new(folder.path(), "keys");
            for (index, name) in names.iter().enumerate() {
                claimed.claim(name, Position { index: index as u64, offset: 7 * index as u64 }).unwrap();
            }
            claimed.finish().unwrap().map(|pair| (pair.first.index, pair.second.index, pair.second.offset))
        };
        assert_eq!(found(&["a", "b", "c"]), None);
        assert_eq!(found(&["a", "b", "c", "b", "a", "b"]), Some((1, 3, 21)));
        assert_eq!(found(&[]), None);
    }
}
