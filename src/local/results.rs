//! [`Results`]: how every item ended, flat, in input order, joined with the item itself.

use std::collections::HashMap;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::record::{BatchRow, OutcomeRow, Record};
use super::run::StoredWorkflow;
use super::state::RunFolder;
use super::unknown::{CallResult, InDoubt};
use crate::error::Result;
use crate::item::ItemKey;
use crate::job::Jobs;
use crate::ledger::CallRow;
use crate::outcome::ItemStatus;
use crate::reader::{Input, OpenInput, Position, Row, Rows, Selection};
use crate::redact::{Hidden, Redact};

/// Batches whose exceptions are read at once.
const PAGE: u32 = 64;

/// How one item stands.
#[derive(Debug, Serialize)]
pub struct ItemResult {
    /// Its key.
    pub key: String,
    /// Its place in the input, from 0.
    pub index: u64,
    /// How it ended, or that it is pending.
    pub status: ItemStatus,
    /// After how many tries, over all redrives.
    pub attempts: u32,
    /// The error name, if it failed or is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Why it failed, is unknown or was left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What the job said about its success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<RawValue>>,
    /// Of an unknown item the calls that may have had their effect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallResult>,
    /// The item itself; not there if it is damaged or if the source is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<Value>,
}

/// Goes through the items of a run.
pub struct Results {
    record: Record,
    in_doubt: InDoubt,
    /// The source as messages call it.
    name: String,
    source: Option<RunItems>,
    /// Whether the workflow says something of what is not to be shown.
    redacts: bool,
    wanted: Option<Vec<ItemStatus>>,
    batches: std::vec::IntoIter<BatchRow>,
    after: Option<u64>,
    ready: std::vec::IntoIter<ItemResult>,
    warning: Option<String>,
}

/// The items of a run themselves, read from where they were frozen.
pub(super) struct RunItems {
    input: OpenInput,
    selection: Selection,
    rows: Option<Rows>,
    redact: Redact,
}

impl RunFolder {
    /// The items of the run with one of these statuses, or all of them.
    ///
    /// # Errors
    /// The record cannot be read. A source that is gone or changed is no error: see [`Results::warning`].
    pub fn results(&self, wanted: Option<Vec<ItemStatus>>, jobs: &Jobs) -> Result<Results> {
        let record = self.look()?;
        let input: Option<Input> = record.fact("input")?;
        let name = input.as_ref().map_or(String::new(), |input| input.source().to_string());
        let (source, warning) = match RunItems::of(&record, self.path(), jobs) {
            Ok(items) => (items, None),
            Err(error) => (None, Some(format!("the items themselves are not shown: {}", error.detail()))),
        };
        let redacts = record.known_fact::<StoredWorkflow>("workflow")?.text.contains("redact");
        let (batches, ready) = (Vec::new().into_iter(), Vec::new().into_iter());
        let in_doubt = InDoubt::of(&record)?;
        Ok(Results { record, in_doubt, name, source, redacts, wanted, batches, after: None, ready, warning })
    }
}

impl Results {
    /// What the reader should know, such as that the source is gone and items are shown without their data.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    fn more(&mut self) -> Result<bool> {
        let batch = match self.batches.next() {
            Some(batch) => batch,
            None => {
                let page = self.record.batches(self.after, PAGE)?;
                let Some(last) = page.last() else { return Ok(false) };
                self.after = Some(last.first);
                self.batches = page.into_iter();
                return Ok(true);
            }
        };
        let exceptions = self.record.exceptions(batch.first, u64::from(batch.count))?;
        let any = (0..batch.count).any(|n| self.is_wanted(status(&batch, n, &exceptions)));
        if any {
            self.ready = self.join(&batch, exceptions)?.into_iter();
        }
        Ok(true)
    }

    fn is_wanted(&self, status: ItemStatus) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.contains(&status))
    }

    fn join(&mut self, batch: &BatchRow, mut exceptions: HashMap<u64, OutcomeRow>) -> Result<Vec<ItemResult>> {
        let mut results = Vec::new();
        let mut source = self.source.take();
        if let Some(source) = &mut source {
            source.go_to(batch)?;
        }
        for n in 0..batch.count {
            let index = batch.first + u64::from(n);
            let status = status(batch, n, &exceptions);
            let found = match &mut source {
                Some(source) => source.next(self.is_wanted(status))?,
                None => None,
            };
            if !self.is_wanted(status) {
                continue;
            }
            let row = exceptions.remove(&index);
            let (key, mut item) = match found {
                Some((key, item)) => (Some(key), item),
                None => (None, None),
            };
            let hidden = source.as_ref().map(|source| &source.redact).filter(|redact| !redact.is_empty());
            let hidden = hidden.zip(item.as_mut()).map(|(redact, item)| redact.hide(item));
            // Without the item it is not known what to hide of an output.
            let is_hidden = self.redacts && item.is_none();
            let stored_key = row.as_ref().and_then(|row| row.key.clone());
            let key = stored_key.or(key.map(|key| key.to_string())).unwrap_or_else(|| format!("{}#{index}", self.name));
            let ended = status != ItemStatus::Pending;
            let calls = match status {
                ItemStatus::Unknown => self.in_doubt.calls(&self.record, index)?,
                _ => Vec::new(),
            };
            results.push(ItemResult {
                key,
                index,
                status,
                attempts: row.as_ref().map_or(u32::from(ended), |row| row.attempts),
                error: row.as_ref().and_then(|row| row.error.clone()),
                cause: row.as_ref().and_then(|row| shown_cause(row, hidden.as_ref())),
                output: row
                    .and_then(|row| row.output)
                    .filter(|_| !is_hidden)
                    .and_then(|text| shown_output(text, hidden.as_ref())),
                calls: match is_hidden {
                    true => Vec::new(),
                    false => calls.iter().map(|row| shown_call(row, hidden.as_ref())).collect(),
                },
                item,
            });
        }
        self.source = source;
        Ok(results)
    }
}

impl Iterator for Results {
    type Item = Result<ItemResult>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(result) = self.ready.next() {
                return Some(Ok(result));
            }
            match self.more() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl std::fmt::Debug for Results {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Results").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

fn status(batch: &BatchRow, n: u32, exceptions: &HashMap<u64, OutcomeRow>) -> ItemStatus {
    if !batch.is_done(n) {
        return ItemStatus::Pending;
    }
    exceptions.get(&(batch.first + u64::from(n))).map_or(ItemStatus::Succeeded, |row| row.status)
}

impl RunItems {
    /// The items of a run; `None` if its list was never made.
    ///
    /// # Errors
    /// The source is gone or has changed, or the workflow's job is not in this program.
    pub fn of(record: &Record, run: &Path, jobs: &Jobs) -> Result<Option<Self>> {
        let Some(input) = record.fact::<Input>("input")? else { return Ok(None) };
        let stored: StoredWorkflow = record.known_fact("workflow")?;
        let params: Value = record.known_fact("params")?;
        let bound = stored.parse(jobs)?.rebind(&params)?;
        let selection = Selection::new(&bound.settings.items, &input, &bound.params);
        Ok(Some(Self { input: input.open(run)?, selection, rows: None, redact: bound.settings.redact }))
    }

    /// The same, if the workflow names the items itself.
    ///
    /// # Errors
    /// Those of [`RunItems::of`].
    pub fn named(record: &Record, run: &Path, jobs: &Jobs) -> Result<Option<Self>> {
        Ok(Self::of(record, run, jobs)?.filter(|items| items.selection.has_named_keys()))
    }

    /// The next item's index and key, from the first on.
    pub fn next_key(&mut self) -> Result<Option<(u64, ItemKey)>> {
        let rows = match &mut self.rows {
            Some(rows) => rows,
            None => self.rows.insert(self.input.rows(Position::START)?),
        };
        Ok(rows.next()?.map(|row| (row.index, key_and_value(&self.selection, &row).0)))
    }

    fn go_to(&mut self, batch: &BatchRow) -> Result<()> {
        if self.rows.as_ref().is_none_or(|rows| rows.position().index != batch.first) {
            self.rows = Some(self.input.rows(Position { index: batch.first, offset: batch.position })?);
        }
        Ok(())
    }

    /// The next item's key and value; read only if it is wanted.
    fn next(&mut self, wanted: bool) -> Result<Option<(ItemKey, Option<Value>)>> {
        let Some(rows) = &mut self.rows else { return Ok(None) };
        let Some(row) = rows.next()? else { return Ok(None) };
        Ok(wanted.then(|| key_and_value(&self.selection, &row)))
    }
}

/// The cause without what is redacted of its item.
fn shown_cause(row: &OutcomeRow, hidden: Option<&Hidden>) -> Option<String> {
    let cause = row.cause.as_deref()?;
    Some(hidden.map_or(cause.into(), |hidden| hidden.scrub(cause)).into_owned())
}

/// A call likewise.
fn shown_call(row: &CallRow, hidden: Option<&Hidden>) -> CallResult {
    let mut call = CallResult::of(row);
    if let Some(hidden) = hidden {
        call.sent = hidden.scrub(&call.sent).into_owned();
    }
    call
}

/// The output likewise.
fn shown_output(text: String, hidden: Option<&Hidden>) -> Option<Box<RawValue>> {
    let Some(hidden) = hidden else { return RawValue::from_string(text).ok() };
    let mut output: Value = serde_json::from_str(&text).ok()?;
    hidden.scrub_value(&mut output);
    serde_json::value::to_raw_value(&output).ok()
}

fn key_and_value(selection: &Selection, row: &Row<'_>) -> (ItemKey, Option<Value>) {
    let Ok(value) = row.value() else { return (selection.key_of_invalid(row), None) };
    let key = selection.key(&value, row.index);
    (key.unwrap_or_else(|_| selection.key_of_invalid(row)), Some(value))
}
