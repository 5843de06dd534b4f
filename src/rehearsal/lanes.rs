//! [`MemoryLanes`]: the lanes of a rehearsal, in memory.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use crate::worker::{LaneItem, LaneItems, LanePart};

/// Whole lanes, each handed out once.
pub(super) struct MemoryLanes(Mutex<Vec<Option<LanePart>>>);

impl MemoryLanes {
    /// The items, each with its lane, in input order. Lanes come in the order of their first items.
    pub fn of(items: impl IntoIterator<Item = (String, LaneItem)>) -> Self {
        let mut lanes: Vec<Option<LanePart>> = Vec::new();
        for (name, item) in items {
            match lanes.iter_mut().flatten().find(|lane| lane.name == name) {
                Some(lane) => lane.items.push(item),
                None => lanes.push(Some(LanePart { name, first: item.item.index, items: vec![item] })),
            }
        }
        Self(Mutex::new(lanes))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl LaneItems for MemoryLanes {
    fn next(&self, lane: usize) -> Pin<Box<dyn Future<Output = Option<LanePart>> + Send + '_>> {
        let part = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(lane).and_then(Option::take);
        Box::pin(ready(Some(part.unwrap_or_default())))
    }
}
