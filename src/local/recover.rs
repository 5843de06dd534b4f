//! What a crash left behind is put right before a run goes on: the items that were in flight when the process died.

use rusqlite::{Transaction, params};

use super::marks::Marks;
use super::record::{Record, set_outcome};
use super::recorder::{mark_done, write_batch};
use crate::error::{Error, Result};
use crate::job::Repeat;
use crate::outcome::{Failure, Outcome};

/// Crashes with an item in flight after which it runs with nothing beside it, and after which it is given up.
const CRASHES_UNTIL_ALONE: u32 = 2;
const CRASHES_UNTIL_FAILED: u32 = CRASHES_UNTIL_ALONE + 1;

/// Counts the crash for every item in flight, ends those that cannot go on, and forgets the marks.
///
/// # Errors
/// The record cannot be written; then the marks stay.
pub(super) fn after_crash(record: &mut Record, marks: &Marks, in_flight: &[u64], repeat: Repeat) -> Result<()> {
    let mut open = Vec::new();
    for item in in_flight {
        // A mark in a damaged file may name anything.
        if let Some(batch) = record.batch_of(*item)?
            && !batch.is_done((item - batch.first) as u32)
        {
            open.push(*item);
        }
    }
    record.write("be written", |db| {
        for item in open {
            let crashes = crashed(db, item)?;
            let outcome = match repeat {
                Repeat::Unsafe => Outcome::Unknown(Failure::new(
                    "Worker.Crashed",
                    "the process died while the item was in flight; its effect may have happened",
                )),
                Repeat::Safe | Repeat::Keyed if crashes >= CRASHES_UNTIL_FAILED => Outcome::Failed(Failure::new(
                    "Worker.Crashed",
                    format!(
                        "the process died {crashes} times while the item was in flight, the last time with nothing beside it"
                    ),
                )),
                Repeat::Safe | Repeat::Keyed => continue,
            };
            end(db, item, &outcome, crashes)?;
        }
        Ok(())
    })?;
    marks.clear().map_err(|error| Error::surroundings(format!("the run's folder cannot be written: {error}")))
}

fn crashed(db: &Transaction<'_>, item: u64) -> rusqlite::Result<u32> {
    db.query_row(
        "INSERT INTO crashes VALUES (?1, 1) ON CONFLICT (item) DO UPDATE SET count = count + 1 RETURNING count",
        [item as i64],
        |row| row.get(0),
    )
}

fn end(db: &Transaction<'_>, item: u64, outcome: &Outcome, crashes: u32) -> rusqlite::Result<()> {
    let before: Option<(u32, u32)> = {
        let mut statement = db.prepare("SELECT redrive, attempts FROM outcomes WHERE item = ?1")?;
        let mut rows = statement.query([item as i64])?;
        rows.next()?.map(|row| Ok::<_, rusqlite::Error>((row.get(0)?, row.get(1)?))).transpose()?
    };
    let (redrive, attempts) = before.unwrap_or((0, 0));
    set_outcome(db, item, outcome, attempts + crashes, redrive, None)?;
    let sql = "SELECT first, count, position, ended, done FROM batches WHERE first <= ?1 ORDER BY first DESC LIMIT 1";
    let mut batch = db.query_row(sql, params![item as i64], super::record::batch_row)?;
    mark_done(&mut batch, item);
    write_batch(db, &batch)
}

/// The number of crashes from which on an item runs with nothing beside it.
pub(super) fn crashes_until_alone() -> u32 {
    CRASHES_UNTIL_ALONE
}
