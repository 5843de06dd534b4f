//! Resolve: a person says what became of a call that is unknown, and its item goes on from there.

use std::sync::Arc;

use rusqlite::Transaction;
use serde_json::Value;

use super::lane_walk::blocked_behind;
use super::record::{Record, set_outcome};
use super::redrive::pend;
use super::state::RunFolder;
use super::unknown::{InDoubt, position_name};
use crate::call::Answer;
use crate::error::{Error, Result};
use crate::item::json_len;
use crate::job::Jobs;
use crate::ledger::{CallRow, CallState, sqlite};
use crate::limits::OUTPUT_BYTES;
use crate::outcome::{Failure, ItemStatus, Outcome};

/// The error name of an item that was given up by a person. A redrive leaves it alone, and its lane may go on behind it.
pub(super) const GIVEN_UP: &str = "Item.GivenUp";

/// What became of an unknown call.
#[derive(Debug, Clone, PartialEq)]
pub enum Resolution {
    /// Its effect happened: this stands for the body of the answer that was lost, and is judged like one (status 200).
    Happened(Value),
    /// It did not happen: it is sent again, under a new key.
    DidNotHappen,
    /// Nobody will know: the item is failed and stays so. A redrive runs what is blocked behind it.
    GiveUp,
}

/// A call of an item, by the words of a person.
#[derive(Debug, Clone)]
pub struct Named<'a> {
    /// The item's key.
    pub item: &'a str,
    /// The step, for items that make any.
    pub step: Option<&'a str>,
    /// Which call of the step, where several are unknown.
    pub call: Option<u32>,
}

/// What was resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The step and the call, unless it is the item as a whole.
    pub call: Option<(String, u32)>,
    /// How the item stands now.
    pub status: ItemStatus,
    /// Items of its lane that were blocked behind it and are pending again.
    pub unblocked: u64,
}

/// An item that is unknown.
struct Unknown {
    index: u64,
    attempts: u32,
    redrive: u32,
    key: Option<String>,
    cause: String,
}

impl RunFolder {
    /// Records what became of an unknown call.
    ///
    /// # Errors
    /// The run is being worked on, or the item is not unknown at this step; says what it is instead. Nothing is changed then.
    pub fn resolve(&self, named: &Named<'_>, resolution: &Resolution, jobs: &Jobs) -> Result<Resolved> {
        let _lock = self.lock()?;
        let mut record = Record::open(&self.record_path())?;
        let Some(unknown) = find(&record, named.item)? else { return Err(self.not_unknown(named.item, jobs)) };
        let calls = InDoubt::of(&record)?.calls(&record, unknown.index)?;
        let call = self.pick(named, calls)?;
        let outcome = outcome(&unknown, call.as_ref(), resolution)?;
        let status = outcome.as_ref().map_or(ItemStatus::Pending, Outcome::status);
        let blocked = if status == ItemStatus::Failed { Vec::new() } else { blocked_behind(&record, self, unknown.index)? };
        let told = call.as_ref().map(|row| (row.step.to_string(), row.call));
        record.write("be written", |db| {
            if let Some(row) = call.and_then(|row| settled(row, unknown.redrive, resolution)) {
                sqlite::write(db, &row)?;
            }
            match &outcome {
                Some(outcome) => keep(db, &unknown, outcome)?,
                None => pend(db, &[unknown.index], 0)?,
            }
            pend(db, &blocked, 0)
        })?;
        Ok(Resolved { call: told, status, unblocked: blocked.len() as u64 })
    }

    /// The call that is meant; `None` for an item whose job makes no steps.
    fn pick(&self, named: &Named<'_>, calls: Vec<CallRow>) -> Result<Option<CallRow>> {
        let item = named.item;
        let Some(first) = calls.first() else {
            return match named.step {
                None => Ok(None),
                Some(step) => Err(Error::refused(format!("item `{item}` is unknown as a whole, not at a step `{step}`"))
                    .hint("leave the step out")),
            };
        };
        let places = list(&calls);
        let Some(step) = named.step else {
            return Err(Error::refused(format!("item `{item}` is unknown at {places}, and no step was named")).hint(format!(
                "fanfold resolve {} {item} {} …",
                self.id(),
                first.step
            )));
        };
        let mut found: Vec<CallRow> =
            calls.into_iter().filter(|row| &*row.step == step && named.call.is_none_or(|call| call == row.call)).collect();
        match (found.pop(), found.is_empty()) {
            (Some(row), true) => Ok(Some(row)),
            (Some(_), false) => {
                Err(Error::refused(format!("several calls of step `{step}` of item `{item}` are unknown: {places}"))
                    .hint("say which by `--call N`"))
            }
            (None, _) => {
                let call = named.call.map_or(String::new(), |call| format!(", call {call}"));
                Err(Error::refused(format!("item `{item}` is not unknown at step `{step}`{call}, but at {places}")))
            }
        }
    }

    /// What the item is instead.
    fn not_unknown(&self, key: &str, jobs: &Jobs) -> Error {
        let found = self
            .results(None, jobs)
            .and_then(|mut results| results.find(|result| result.as_ref().is_ok_and(|result| result.key == key)).transpose());
        let id = self.id();
        match found {
            Ok(Some(result)) => {
                let error = Error::refused(format!("item `{key}` is not unknown, it is {}", result.status));
                if result.status == ItemStatus::Pending { error.hint(format!("fanfold resume {id}")) } else { error }
            }
            Ok(None) => Error::refused(format!("no item of run {id} has the key `{key}`"))
                .hint(format!("fanfold results {id} --unknown shows the keys")),
            Err(error) => error,
        }
    }
}

fn find(record: &Record, key: &str) -> Result<Option<Unknown>> {
    let unnamed = position_name(record, 0)?;
    let position =
        unnamed.strip_suffix('0').and_then(|source| key.strip_prefix(source)).and_then(|index| index.parse::<i64>().ok());
    record.read(|db| {
        let mut statement = db.prepare(
            "SELECT item, attempts, redrive, key, cause FROM outcomes
             WHERE status = 4 AND (key = ?1 OR key IS NULL AND item = ?2)",
        )?;
        let mut rows = statement.query(rusqlite::params![key, position])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        Ok(Some(Unknown {
            index: row.get::<_, i64>(0)? as u64,
            attempts: row.get(1)?,
            redrive: row.get(2)?,
            key: row.get(3)?,
            cause: row.get::<_, Option<String>>(4)?.unwrap_or_default(),
        }))
    })
}

/// How the item ends by this, if it does.
fn outcome(unknown: &Unknown, call: Option<&CallRow>, resolution: &Resolution) -> Result<Option<Outcome>> {
    match (resolution, call) {
        (Resolution::GiveUp, _) => {
            let cause = format!("given up by `fanfold resolve`; it was unknown: {}", unknown.cause);
            Ok(Some(Outcome::Failed(Failure::new(GIVEN_UP, cause))))
        }
        (Resolution::Happened(output), None) => {
            let bytes = json_len(output);
            if bytes > OUTPUT_BYTES {
                return Err(Error::refused(format!("the output has {bytes} bytes of JSON, at most {OUTPUT_BYTES} are kept")));
            }
            Ok(Some(Outcome::Succeeded(output.clone())))
        }
        (Resolution::Happened(_) | Resolution::DidNotHappen, _) => Ok(None),
    }
}

/// The row by which the item goes on.
fn settled(row: CallRow, redrive: u32, resolution: &Resolution) -> Option<CallRow> {
    let row = CallRow { redrive, unheard: 0, ..row };
    match resolution {
        Resolution::Happened(body) => {
            let headers = vec![("content-type".to_string(), "application/json".to_string())];
            let answer = Answer { status: 200, headers, body: body.to_string().into() };
            Some(CallRow { state: CallState::Answered, answer: Some(Arc::new(answer)), ..row })
        }
        Resolution::DidNotHappen => {
            Some(CallRow { state: CallState::NotSent, generation: row.generation + 1, starts: 0, answer: None, ..row })
        }
        Resolution::GiveUp => None,
    }
}

fn keep(db: &Transaction<'_>, unknown: &Unknown, outcome: &Outcome) -> rusqlite::Result<()> {
    set_outcome(db, unknown.index, outcome, unknown.attempts, unknown.redrive, unknown.key.as_deref())
}

fn list(calls: &[CallRow]) -> String {
    let name = |row: &CallRow| match row.call {
        0 => format!("`{}`", row.step),
        call => format!("`{}` (call {call})", row.step),
    };
    calls.iter().map(name).collect::<Vec<_>>().join(", ")
}
