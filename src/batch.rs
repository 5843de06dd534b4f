//! [`Batch`]: the items handed to one child execution.

use std::collections::HashMap;
use std::sync::Arc;

use crate::item::Item;

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
