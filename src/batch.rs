//! [`Batch`]: the items handed to one child execution, and [`RowBatch`], the same as rows of a table.

use std::collections::HashMap;
use std::sync::Arc;

use crate::item::{Item, ItemKey};
use crate::outcome::{Failure, Outcome};
use crate::row_block::RowBlock;

/// Bytes of `{"Items":[]}` around the items of a batch.
pub(crate) const ENVELOPE: usize = 12;

/// The failure of an item of so many bytes of JSON, if no batch of at most `most` bytes takes it.
pub(crate) fn too_large(bytes: usize, most: usize) -> Option<Failure> {
    (bytes.saturating_add(ENVELOPE) > most).then(|| {
        let cause = format!("the item has {bytes} bytes of JSON, a batch takes at most {most} (`batch.max_bytes`)");
        Failure::new("Item.TooLarge", cause)
    })
}

/// Items handed to one child execution, in input order.
#[derive(Debug)]
pub struct Batch {
    /// The batch's number, from 0.
    pub id: u64,
    /// Its items.
    pub items: Vec<Item>,
    /// How often each redriven item was redriven; an item that is not here never was.
    pub(crate) redriven: Arc<HashMap<u64, u32>>,
}

impl Batch {
    pub(crate) fn redrive_of(&self, index: u64) -> u32 {
        self.redriven.get(&index).copied().unwrap_or(0)
    }
}

/// Rows of a table handed to one child execution, in input order: items that are no JSON as long as nobody asks.
pub(crate) struct RowBatch {
    pub block: RowBlock,
    /// Rows that need no worker, and how they ended.
    pub unworked: Vec<(Item, Outcome)>,
    /// What the item with this index is called.
    pub key_of: Box<dyn Fn(u64) -> ItemKey + Send + Sync>,
    /// How often each redriven item was redriven; an item that is not here never was.
    pub redriven: Arc<HashMap<u64, u32>>,
}

impl RowBatch {
    /// The item that a row is.
    pub fn item(&self, row: usize) -> Item {
        let index = self.block.index(row);
        Item { index, key: (self.key_of)(index), value: self.block.value(row) }
    }

    pub fn is_redriven(&self, row: usize) -> bool {
        !self.redriven.is_empty() && self.redriven.contains_key(&self.block.index(row))
    }
}

impl std::fmt::Debug for RowBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowBatch").field("rows", &self.block.len()).finish_non_exhaustive()
    }
}
