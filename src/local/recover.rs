//! What a crash left behind is put right before a run goes on: the items that were in flight when the process died.

use std::collections::HashMap;

use rusqlite::{Transaction, params};

use super::marks::{Left, Marks};
use super::record::{Record, set_fact, set_outcome};
use super::recorder::{mark_done, write_batch};
use crate::error::{Error, Result};
use crate::job::Repeat;
use crate::ledger::sqlite;
use crate::outcome::{Failure, Outcome};

/// Crashes with an item in flight after which it runs with nothing beside it.
const CRASHES_UNTIL_ALONE: u32 = 2;

/// Crashes after which an item is given up: it was in flight alone at two of them. One would be no proof: whoever kills a run that is
/// nearly done kills it while such an item runs, and the item did nothing. Twice in a row at the same item, that is the item.
const CRASHES_UNTIL_FAILED: u32 = CRASHES_UNTIL_ALONE + 2;

/// Deaths in a row with one call under way after which its item runs with nothing beside it: half of those that are its end. Whoever kills
/// a run kills many calls, and an item that kills it takes those beside it along; alone it is seen which one it is.
const DEATHS_UNTIL_ALONE: u32 = 4;

/// The fact that names the session whose crash was counted last.
const COUNTED: &str = "crash_counted";

/// Counts the crash for every item in flight, ends those that cannot go on, and begins the marks of this session.
///
/// # Errors
/// The record cannot be written; then the marks stay.
pub(super) fn after_crash(record: &mut Record, marks: &Marks, left: &Left, repeat: Repeat, session: i64) -> Result<()> {
    let mut open = Vec::new();
    // Killed after the count and before the marks began anew: they are those of a crash that was counted.
    let counted = record.fact::<u64>(COUNTED)? == Some(left.session);
    // What goes through steps is known by the ledger, which counts the deaths of single calls.
    let counts = !counted && repeat != Repeat::Steps;
    for item in left.items.iter().filter(|_| counts) {
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
                    format!("the process died {crashes} times while the item was in flight, twice with nothing beside it"),
                )),
                Repeat::Safe | Repeat::Keyed | Repeat::Steps | Repeat::Recorded => continue,
            };
            end(db, item, &outcome, crashes)?;
        }
        set_fact(db, COUNTED, &left.session)
    })?;
    marks
        .begin(session.unsigned_abs())
        .map_err(|error| Error::surroundings(format!("the run's folder cannot be written: {error}")))
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

/// The pending items that may be what kills the process, and at how many deaths they were in flight: they run with nothing beside them.
///
/// # Errors
/// The record cannot be read.
pub(super) fn suspects(record: &Record) -> Result<HashMap<u64, u32>> {
    let mut suspects = record.suspects(CRASHES_UNTIL_ALONE)?;
    suspects.extend(record.read(|db| sqlite::deaths(db, DEATHS_UNTIL_ALONE))?);
    Ok(suspects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_through_steps_is_never_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = Record::create(&folder.path().join("run.db")).unwrap();
        record.write("be written", |db| db.execute("INSERT INTO batches (first, count, position) VALUES (0, 9, 0)", [])).unwrap();
        let marks = Marks::open(&folder.path().join("in-flight")).unwrap().0;
        for session in 1..9 {
            after_crash(&mut record, &marks, &Left { session, items: vec![4] }, Repeat::Steps, 9).unwrap();
        }
        assert!(!record.has_crashed().unwrap());
        assert_eq!(record.counts().unwrap().pending, 9);
    }

    #[test]
    fn a_crash_is_counted_once_however_often_it_is_recovered_from() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = Record::create(&folder.path().join("run.db")).unwrap();
        record.write("be written", |db| db.execute("INSERT INTO batches (first, count, position) VALUES (0, 9, 0)", [])).unwrap();
        let path = folder.path().join("in-flight");
        for session in 1..=u64::from(CRASHES_UNTIL_FAILED) {
            let left = Left { session, items: vec![4] };
            let marks = Marks::open(&path).unwrap().0;
            for _ in 0..3 {
                after_crash(&mut record, &marks, &left, Repeat::Safe, 9).unwrap();
            }
            assert_eq!(record.suspects(1).unwrap()[&4], session as u32);
        }
        assert_eq!(record.counts().unwrap().failed, 1);
    }
}
