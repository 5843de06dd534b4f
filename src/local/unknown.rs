//! The calls that made items unknown: what was sent, and what came of it.

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::record::Record;
use crate::error::Result;
use crate::ledger::{CallRow, CallState, sqlite};
use crate::outcome::Counts;
use crate::reader::Input;
use crate::report::UnknownCall;

/// The most unknown calls that a report names.
const NAMED: u32 = 5;

/// A call that may have had its effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallResult {
    /// The step it belongs to.
    pub step: String,
    /// Which call of the step, from 0.
    pub call: u32,
    /// What was sent: method, URL and the start of the body, without secrets.
    pub sent: String,
    /// The idempotency key. Only steps that say so send it.
    pub key: String,
    /// When it was first sent under this key, in UTC.
    pub first_sent: String,
    /// When it was sent last, in UTC.
    pub last_sent: String,
    /// How often it may have been sent under this key.
    pub starts: u32,
    /// The status of the last answer, if there was one that settles nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

impl CallResult {
    pub(super) fn of(row: &CallRow) -> Self {
        Self {
            step: row.step.to_string(),
            call: row.call,
            sent: row.sent.to_string(),
            key: row.key.to_string(),
            first_sent: time_of(row.first_ms),
            last_sent: time_of(row.last_ms),
            starts: row.starts,
            status: row.answer.as_ref().map(|answer| answer.status),
        }
    }
}

/// Finds the calls of items that may have had their effect.
#[derive(Debug)]
pub(super) struct InDoubt {
    /// Whether calls are kept at all: records of older versions have none.
    is_kept: bool,
    lanes: Vec<CallRow>,
}

impl InDoubt {
    pub fn of(record: &Record) -> Result<Self> {
        let is_kept = record.read(sqlite::exists)?;
        let lanes = if is_kept { record.read(sqlite::lanes_in_doubt)? } else { Vec::new() };
        Ok(Self { is_kept, lanes })
    }

    /// Those that this item made, its lane's own among them.
    pub fn calls(&self, record: &Record, item: u64) -> Result<Vec<CallRow>> {
        if !self.is_kept {
            return Ok(Vec::new());
        }
        let mut calls = record.read(|db| sqlite::rows(db, item))?;
        calls.retain(|row| row.state == CallState::Started && !row.lane);
        calls.extend(self.lanes.iter().filter(|row| row.item == item).cloned());
        Ok(calls)
    }
}

/// What an item without a name of its own is called.
pub(super) fn position_name(record: &Record, item: u64) -> Result<String> {
    let input: Option<Input> = record.fact("input")?;
    Ok(format!("{}#{item}", input.as_ref().map_or("", Input::source)))
}

/// The first unknown calls, for a report.
pub(super) fn unknown_calls(record: &Record, counts: &Counts) -> Result<Vec<UnknownCall>> {
    if counts.unknown == 0 {
        return Ok(Vec::new());
    }
    let items: Vec<(u64, Option<String>)> = record.read(|db| {
        db.prepare_cached("SELECT item, key FROM outcomes WHERE status = 4 ORDER BY item LIMIT ?1")?
            .query_map([NAMED], |row| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?)))?
            .collect()
    })?;
    let in_doubt = InDoubt::of(record)?;
    let mut named = Vec::new();
    for (item, key) in items {
        let key = match key {
            Some(key) => key,
            None => position_name(record, item)?,
        };
        for row in in_doubt.calls(record, item)? {
            named.push(UnknownCall { item: key.clone(), step: row.step.to_string(), call: row.call });
        }
    }
    named.truncate(NAMED as usize);
    Ok(named)
}

fn time_of(ms: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
    time.ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}
