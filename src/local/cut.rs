//! The list is frozen and cut into batches, and what would go wrong for a pair of items is found before anything starts.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use rusqlite::params;
use tokio_util::sync::CancellationToken;

use super::record::{Record, set_fact};
use super::stop::Why;
use crate::error::{Error, Result};
use crate::expression::{Params, Scope};
use crate::job::AnyJob;
use crate::reader::{Judged, OpenInput, Position, Row, Selection};
use crate::workflow::BatchSettings;

/// Bytes of `{"Items":[]}` around the items of a batch.
const ENVELOPE: usize = 12;

/// Where one batch ends and the next begins: by number of items and by bytes, as Step Functions counts them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cutter {
    max_items: u32,
    max_bytes: usize,
    items: u32,
    bytes: usize,
}

impl Cutter {
    pub fn new(max_items: u32, max_bytes: u64) -> Self {
        Self { max_items, max_bytes: usize::try_from(max_bytes).unwrap_or(usize::MAX), items: 0, bytes: ENVELOPE }
    }

    /// As a workflow's `batch:` says.
    pub fn of(settings: &BatchSettings) -> Self {
        Self::new(settings.max_items.unwrap_or(u32::MAX), settings.max_bytes)
    }

    /// Whether an item of so many bytes begins a new batch; it is counted either way.
    pub fn begins_new(&mut self, item_bytes: usize) -> bool {
        let full = self.items == self.max_items || self.bytes.saturating_add(item_bytes).saturating_add(1) > self.max_bytes;
        let new = self.items > 0 && full;
        if new || self.items == 0 {
            self.items = 0;
            self.bytes = ENVELOPE;
        }
        self.items += 1;
        self.bytes = self.bytes.saturating_add(item_bytes).saturating_add(1);
        new
    }

    /// Whether an item of so many bytes fits into a batch of its own.
    pub fn fits(&self, item_bytes: usize) -> bool {
        item_bytes.saturating_add(ENVELOPE) <= self.max_bytes
    }

    pub fn max_bytes(&self) -> usize {
        self.max_bytes
    }
}

/// Reads the whole input once, writes the batches and finds pairs of items that must not be.
pub(super) struct Cut<'a> {
    pub input: &'a OpenInput,
    pub selection: &'a Selection,
    pub params: &'a Params,
    /// Asked for each item's destination, if it publishes.
    pub publisher: Option<&'a Arc<dyn AnyJob>>,
    pub stop: &'a CancellationToken,
}

impl Cut<'_> {
    /// # Errors
    /// The input cannot be read, two items have one key or one destination, or the record cannot be written.
    pub fn write(&self, record: &mut Record, cutter: Cutter) -> Result<(), Why> {
        let mut found = Ok(());
        let mut cut = cutter;
        record
            .write("be written", |db| {
                let mut insert = db.prepare("INSERT INTO batches (first, count, position) VALUES (?1, ?2, ?3)")?;
                let mut open: Option<(u64, u64, u32)> = None;
                let batches = self.each(|row| {
                    let new = cut.begins_new(row.json_len());
                    match &mut open {
                        Some((first, offset, count)) if new => {
                            insert.execute(params![*first as i64, *count, *offset as i64])?;
                            (*first, *offset, *count) = (row.index, row.offset, 1);
                        }
                        Some((_, _, count)) => *count += 1,
                        None => open = Some((row.index, row.offset, 1)),
                    }
                    Ok(())
                });
                match batches {
                    Ok(()) => {
                        if let Some((first, offset, count)) = open {
                            insert.execute(params![first as i64, count, offset as i64])?;
                        }
                        set_fact(db, "input", self.input.input())
                    }
                    Err(Trouble::Sql(error)) => Err(error),
                    Err(Trouble::Other(why)) => {
                        found = Err(why);
                        // Nothing of this listing stays.
                        Err(rusqlite::Error::QueryReturnedNoRows)
                    }
                }
            })
            .or_else(|error| if found.is_err() { Ok(()) } else { Err(Why::Trouble(error)) })?;
        found
    }

    /// Only finds pairs of items that must not be.
    ///
    /// # Errors
    /// As [`Cut::write`].
    pub fn claim_all(&self) -> Result<(), Why> {
        self.each(|_| Ok(())).map_err(|trouble| match trouble {
            Trouble::Other(why) => why,
            Trouble::Sql(error) => Why::Trouble(Error::bug(error.to_string())),
        })
    }

    fn each(&self, mut cut: impl FnMut(&Row<'_>) -> rusqlite::Result<()>) -> Result<(), Trouble> {
        let mut keys = self.selection.has_named_keys().then(|| Names::new("key"));
        let mut destinations = self.publisher.map(|_| Names::new("destination"));
        let mut rows = self.input.rows(Position::START).map_err(Why::Trouble)?;
        while let Some(row) = rows.next().map_err(Why::Trouble)? {
            if self.stop.is_cancelled() {
                return Err(Why::Asked.into());
            }
            cut(&row)?;
            if keys.is_some() || destinations.is_some() {
                self.claim(&row, &mut keys, &mut destinations)?;
            }
        }
        Ok(())
    }

    /// A damaged item has no key and no destination: it fails by itself when its turn comes.
    fn claim(&self, row: &Row<'_>, keys: &mut Option<Names>, destinations: &mut Option<Names>) -> Result<(), Trouble> {
        let Ok(value) = row.value() else { return Ok(()) };
        let scope = Scope::params(self.params).with_item(&value);
        let key = self.selection.key_of(&row, &value).ok().map(|key| key.to_string());
        if let (Some(keys), Some(key)) = (keys, &key) {
            keys.claim(key.clone(), row.index, key, self)?;
        }
        if let (Some(names), Some(job)) = (destinations, self.publisher)
            && matches!(self.selection.judge(&value), Ok(Judged::Selected))
            && let Ok(Some(destination)) = job.destination(&value, &scope)
        {
            let shown = key.unwrap_or_else(|| row.index.to_string());
            names.claim(destination, row.index, &shown, self)?;
        }
        Ok(())
    }

    /// How the item at `index` is called, for a message.
    fn name_of(&self, index: u64) -> Option<String> {
        let mut rows = self.input.rows(Position::START).ok()?;
        while let Some(row) = rows.next().ok()? {
            if row.index == index {
                let value = row.value().ok()?;
                return self.selection.key_of(&row, &value).ok().map(|key| key.to_string());
            }
        }
        None
    }
}

/// The names that only one item may have. 128 bits of each are kept: two different names are never taken for one.
struct Names {
    what: &'static str,
    hashers: [RandomState; 2],
    seen: HashMap<(u64, u64), u64>,
}

impl Names {
    fn new(what: &'static str) -> Self {
        Self { what, hashers: [RandomState::new(), RandomState::new()], seen: HashMap::new() }
    }

    fn claim(&mut self, name: String, index: u64, item: &str, cut: &Cut<'_>) -> Result<(), Why> {
        let hash = (self.hashers[0].hash_one(&name), self.hashers[1].hash_one(&name));
        let Some(first) = self.seen.insert(hash, index) else { return Ok(()) };
        let error = if self.what == "key" {
            let (a, b) = (first + 1, index + 1);
            Error::refused(format!("items {a} and {b} of the input have one key, `{name}`"))
                .hint("`items.key` must name each item differently; add what tells them apart")
        } else {
            let other = cut.name_of(first).unwrap_or_else(|| format!("item {}", first + 1));
            Error::refused(format!("`{other}` and `{item}` have one destination, `{name}`"))
                .hint("let the job's `name` say what tells them apart, such as `{{ item.Key }}.jpg`, or leave one out by `items.exclude`")
        };
        Err(Why::Trouble(error))
    }
}

enum Trouble {
    Sql(rusqlite::Error),
    Other(Why),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Why> for Trouble {
    fn from(why: Why) -> Self {
        Self::Other(why)
    }
}

#[cfg(test)]
mod tests {
    use super::Cutter;

    fn cut(mut cutter: Cutter, sizes: &[usize]) -> Vec<usize> {
        let mut batches = vec![0];
        for size in sizes {
            if cutter.begins_new(*size) {
                batches.push(0);
            }
            *batches.last_mut().unwrap() += 1;
        }
        batches
    }

    #[test]
    fn batches_are_full_by_items_or_by_bytes() {
        assert_eq!(cut(Cutter::new(100, 262_144), &[10; 1130]).len(), 12);
        assert_eq!(cut(Cutter::new(1, 262_144), &[10; 3]), [1, 1, 1]);
        // 12 around, each item with a comma: 12 + 2 * 44 = 100.
        assert_eq!(cut(Cutter::new(100, 100), &[43; 5]), [2, 2, 1]);
        // One that is too large has a batch of its own.
        assert_eq!(cut(Cutter::new(100, 100), &[10, 500, 10]), [1, 1, 1]);
        assert!(!Cutter::new(100, 100).fits(89) && Cutter::new(100, 100).fits(88));
    }
}
