//! [`Memory`]: a ledger that lives as long as the process, for rehearsals and trials.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{CallRow, Ledger, Written};

/// One call's place: owner, step, call.
type Place = (u64, Arc<str>, u32);

/// Keeps calls in memory.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<BTreeMap<Place, CallRow>>);

impl Memory {
    fn put(&self, row: CallRow) {
        // Nothing panics while it holds the lock; were it so, the map would still be whole.
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rows.insert((row.owner, Arc::clone(&row.step), row.call), row);
    }
}

impl Ledger for Memory {
    fn rows(&self, owner: u64) -> Written<'_, Vec<CallRow>> {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = (owner, Arc::from(""), 0);
        let found = rows.range(first..).take_while(|((of, ..), _)| *of == owner).map(|(_, row)| row.clone()).collect();
        Box::pin(std::future::ready(Ok(found)))
    }

    fn start(&self, row: CallRow) -> Written<'_, ()> {
        self.put(row);
        Box::pin(std::future::ready(Ok(())))
    }

    fn note(&self, row: CallRow) -> Written<'_, ()> {
        self.put(row);
        Box::pin(std::future::ready(Ok(())))
    }
}
