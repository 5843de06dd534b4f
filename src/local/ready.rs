//! [`Ready`]: what an item is called, and whether a worker is needed for it.

use serde_json::Value;

use super::cut::Cutter;
use crate::batch::too_large;
use crate::item::ItemKey;
use crate::outcome::{Failure, Outcome};
use crate::reader::{Row, Selection};

/// Looks at items before a worker does: some end here, left out by the workflow, damaged or too large.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    pub selection: Selection,
    pub cutter: Cutter,
}

/// An item as it was found.
#[derive(Debug)]
pub(super) struct Found {
    pub key: ItemKey,
    /// What it is; null if it is damaged.
    pub value: Value,
    /// How it ended, if it needs no worker.
    pub ended: Option<Outcome>,
}

impl Ready {
    pub fn look_at(&self, row: &Row<'_>) -> Found {
        let value = match row.value() {
            Ok(value) => value,
            Err(failure) => return self.invalid(row, Value::Null, failure),
        };
        let key = match self.selection.key_of(row, &value) {
            Ok(key) => key,
            Err(failure) => return self.invalid(row, value, failure),
        };
        let ended = self.selection.left_out(&value).or_else(|| self.too_large(row).map(Outcome::Failed));
        Found { key, value, ended }
    }

    fn invalid(&self, row: &Row<'_>, value: Value, failure: Failure) -> Found {
        Found { key: self.selection.key_of_invalid(row), value, ended: Some(Outcome::Failed(failure)) }
    }

    /// The failure of an item that no batch takes.
    pub fn too_large(&self, row: &Row<'_>) -> Option<Failure> {
        if self.cutter.fits(row.json_len_at_most()) {
            return None;
        }
        too_large(row.json_len(), self.cutter.max_bytes())
    }
}
