//! The list is frozen and cut into batches, and what would go wrong for a pair of items is found before anything starts.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Transaction, params};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::names::{Names, Pair};
use super::record::{Record, set_fact};
use super::stop::Why;
use crate::batch::ENVELOPE;
use crate::error::{Error, Result};
use crate::expression::{Params, Scope};
use crate::job::AnyJob;
use crate::lanes::{LaneKey, Planner};
use crate::reader::{Input, Judged, OpenInput, Position, Row, Selection};
use crate::redact::Redact;
use crate::workflow::{BatchSettings, Bound};

/// Items of a range in the record of a run with lanes, whose batches are no ranges of the input: few enough that writing the bits of
/// one again costs nothing, enough that there are few.
const RANGE: u32 = 1024;

/// The fact that says how the items lie in lanes. It is there if the run is in order.
pub(super) const LANES: &str = "lanes";

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

    /// Ranges of the input that nothing is handed out by.
    fn of_ranges() -> Self {
        Self::new(RANGE, u64::MAX)
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

    /// Whether so many items may be one batch.
    pub fn takes(&self, items: u32) -> bool {
        items <= self.max_items
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
    /// The folder of the run.
    pub folder: &'a Path,
    /// How the items are to be put into lanes, if they are.
    pub order: Option<&'a Ordering>,
    pub stop: &'a CancellationToken,
}

/// How items are put into lanes.
pub(super) struct Ordering {
    pub key: LaneKey,
    pub max_concurrency: u32,
    pub redact: Redact,
}

impl Ordering {
    /// As a workflow's `order:` says, if it has one.
    pub fn of(bound: &Bound) -> Option<Self> {
        let settings = &bound.settings;
        let key = LaneKey::new(&settings.order.as_ref()?.by, &bound.params);
        Some(Self { key, max_concurrency: settings.max_concurrency, redact: settings.redact.clone() })
    }
}

impl Cut<'_> {
    /// # Errors
    /// The input cannot be read, two items have one key or one destination, an item has no lane, or the record cannot be written.
    pub fn write(&self, record: &mut Record, cutter: Cutter) -> Result<Input, Why> {
        let mut found = Err(Why::Trouble(Error::bug("the items were not looked at")));
        let mut stopped = false;
        record
            .write("be written", |db| {
                let written = self.write_all(db, cutter);
                match written {
                    Ok(count) => {
                        let input = self.input.input().with_count(count);
                        set_fact(db, "input", &input)?;
                        found = Ok(input);
                        Ok(())
                    }
                    Err(Trouble::Sql(error)) => Err(error),
                    Err(Trouble::Other(why)) => {
                        (found, stopped) = (Err(why), true);
                        // Nothing of this listing stays.
                        Err(rusqlite::Error::QueryReturnedNoRows)
                    }
                }
            })
            .or_else(|error| if stopped { Ok(()) } else { Err(Why::Trouble(error)) })?;
        found
    }

    fn write_all(&self, db: &Transaction<'_>, cutter: Cutter) -> Result<u64, Trouble> {
        let planner = |order: &Ordering| Planner::new(self.folder, order.key.clone(), self.selection.clone());
        let mut planner = self.order.map(planner).transpose()?;
        let mut cut = if self.order.is_some() { Cutter::of_ranges() } else { cutter };
        let mut insert = db.prepare("INSERT INTO batches (first, count, position) VALUES (?1, ?2, ?3)")?;
        let mut open: Option<(u64, u64, u32)> = None;
        let mut items = 0;
        self.each(|row, value| {
            items += 1;
            let new = cut.begins_new(row.json_len_at_most());
            match &mut open {
                Some((first, offset, count)) if new => {
                    insert.execute(params![*first as i64, *count, *offset as i64])?;
                    (*first, *offset, *count) = (row.index, row.offset, 1);
                }
                Some((_, _, count)) => *count += 1,
                None => open = Some((row.index, row.offset, 1)),
            }
            match &mut planner {
                Some(planner) => Ok(planner.take(row, value)?),
                None => Ok(()),
            }
        })?;
        if let Some((first, offset, count)) = open {
            insert.execute(params![first as i64, count, offset as i64])?;
        }
        if let (Some(planner), Some(order)) = (planner, self.order) {
            // Whole and durable before the record says that the list is made.
            set_fact(db, LANES, &planner.finish(self.input, order.max_concurrency, &order.redact)?)?;
        }
        Ok(items)
    }

    /// Only finds pairs of items that must not be.
    ///
    /// # Errors
    /// As [`Cut::write`].
    pub fn claim_all(&self) -> Result<(), Why> {
        self.each(|_, _| Ok(())).map_err(|trouble| match trouble {
            Trouble::Other(why) => why,
            Trouble::Sql(error) => Why::Trouble(Error::bug(error.to_string())),
        })
    }

    /// Takes every row, parsed if anyone has to look into it and can, and claims what only one item may have.
    fn each(&self, mut take: impl FnMut(&Row<'_>, Option<&Value>) -> Result<(), Trouble>) -> Result<(), Trouble> {
        let mut keys = self.selection.has_named_keys().then(|| Names::new(self.folder, KEYS));
        let mut destinations = self.publisher.map(|_| Names::new(self.folder, DESTINATIONS));
        let looks = keys.is_some() || destinations.is_some() || self.order.is_some();
        let mut rows = self.input.rows(Position::START).map_err(Why::Trouble)?;
        while let Some(row) = rows.next().map_err(Why::Trouble)? {
            if self.stop.is_cancelled() {
                return Err(Why::Asked.into());
            }
            let value = if looks { row.value().ok() } else { None };
            take(&row, value.as_ref())?;
            // A damaged item has no key and no destination: it fails by itself when its turn comes.
            if let Some(value) = &value {
                self.claim(&row, value, &mut keys, &mut destinations)?;
            }
        }
        // Someone may have written to it meanwhile.
        self.input.check_unchanged().map_err(Why::Trouble)?;
        for (what, names) in [(KEYS, keys), (DESTINATIONS, destinations)] {
            if let Some(pair) = names.map(Names::finish).transpose()?.flatten() {
                self.one_name(what, pair)?;
            }
        }
        Ok(())
    }

    fn claim(
        &self,
        row: &Row<'_>,
        value: &Value,
        keys: &mut Option<Names>,
        destinations: &mut Option<Names>,
    ) -> Result<(), Trouble> {
        if keys.is_none() && destinations.is_none() {
            return Ok(());
        }
        let scope = Scope::params(self.params).with_item(value);
        if let (Some(keys), Ok(key)) = (keys, self.selection.key_of(row, value)) {
            keys.claim(&key.to_string(), row.position())?;
        }
        if let (Some(names), Some(job)) = (destinations, self.publisher)
            && matches!(self.selection.judge(value), Ok(Judged::Selected))
            && let Ok(Some(destination)) = job.destination(value, &scope)
        {
            names.claim(&destination, row.position())?;
        }
        Ok(())
    }

    /// What is told of two items that have one key, or one destination.
    fn one_name(&self, what: &str, pair: Pair) -> Result<(), Trouble> {
        let mut rows = self.input.single_rows()?;
        let mut look = |at: Position| {
            let row = rows.at(at)?;
            let value = row.value().unwrap_or_default();
            let key = match self.selection.key_of(&row, &value) {
                Ok(key) => key.to_string(),
                Err(_) => format!("item {}", at.index + 1),
            };
            Ok::<_, Trouble>((value, key))
        };
        let ((_, a), (second, b)) = (look(pair.first)?, look(pair.second)?);
        let error = if what == KEYS {
            let (a, name, b) = (pair.first.index + 1, b, pair.second.index + 1);
            Error::refused(format!("items {a} and {b} of the input have one key, `{name}`"))
                .hint("`items.key` must name each item differently; add what tells them apart")
        } else {
            let scope = Scope::params(self.params).with_item(&second);
            let name = self.publisher.and_then(|job| job.destination(&second, &scope).ok().flatten()).unwrap_or_default();
            Error::refused(format!("`{a}` and `{b}` have one destination, `{name}`"))
                .hint("let the job's `name` say what tells them apart, such as `{{ item.Key }}.jpg`, or leave one out by `items.exclude`")
        };
        Err(error.into())
    }
}

/// What only one item may have, each by the name of the file for what does not fit into memory.
const KEYS: &str = "keys";
const DESTINATIONS: &str = "destinations";

enum Trouble {
    Sql(rusqlite::Error),
    Other(Why),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Other(Why::Trouble(error))
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
