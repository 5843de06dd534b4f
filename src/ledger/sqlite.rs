//! Calls in a SQLite database: the table, and the statements over it. Whose file it is and who writes it is not known here.

use std::sync::Arc;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{CallRow, CallState};
use crate::call::Answer;

/// The table of calls.
pub(crate) const SCHEMA: &str = "
    CREATE TABLE calls (          -- what was sent to others and answered
        owner INTEGER NOT NULL,   -- the item's index; for a lane's own calls that of its first item
        step TEXT NOT NULL,
        call INTEGER NOT NULL,    -- from 0
        item INTEGER NOT NULL,    -- who made it last
        lane INTEGER NOT NULL,    -- 1: the lane's own
        state INTEGER NOT NULL,   -- CallState
        generation INTEGER NOT NULL,
        redrive INTEGER NOT NULL,
        key TEXT NOT NULL,        -- the idempotency key
        starts INTEGER NOT NULL,
        unheard INTEGER NOT NULL,
        first_ms INTEGER NOT NULL,
        last_ms INTEGER NOT NULL,
        sent TEXT NOT NULL,       -- for people
        status INTEGER,           -- of the last answer
        headers TEXT,             -- JSON: [[name, value], …]
        body BLOB,
        PRIMARY KEY (owner, step, call)
    ) WITHOUT ROWID;
";

const COLUMNS: &str = "owner, step, call, item, lane, state, generation, redrive, key, starts, unheard, first_ms, last_ms, sent, status, headers, body";

/// Whether the database has the table: records of older versions have not.
pub(crate) fn exists(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'calls')", [], |row| row.get(0))
}

/// Writes a row over the one of the same call.
pub(crate) fn write(db: &Connection, row: &CallRow) -> rusqlite::Result<()> {
    let headers = row.answer.as_ref().map(|answer| serde_json::to_string(&answer.headers)).transpose();
    let headers = headers.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let mut statement = db.prepare_cached(
        "INSERT OR REPLACE INTO calls VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
    )?;
    statement.execute(params![
        row.owner as i64,
        &*row.step,
        row.call,
        row.item as i64,
        row.lane,
        row.state as u8,
        row.generation,
        row.redrive,
        &*row.key,
        row.starts,
        row.unheard,
        row.first_ms,
        row.last_ms,
        &*row.sent,
        row.answer.as_ref().map(|answer| answer.status),
        headers,
        row.answer.as_ref().map(|answer| &*answer.body),
    ])?;
    Ok(())
}

/// Every row of this owner, the lane's own among them, in the order of their keys.
pub(crate) fn rows(db: &Connection, owner: u64) -> rusqlite::Result<Vec<CallRow>> {
    let mut statement = db.prepare_cached(&format!("SELECT {COLUMNS} FROM calls WHERE owner = ?1 ORDER BY step, call"))?;
    statement.query_map([owner as i64], row)?.collect()
}

/// The lanes' own calls that may have had their effect. Goes through the whole table.
pub(crate) fn lanes_in_doubt(db: &Connection) -> rusqlite::Result<Vec<CallRow>> {
    let sql = format!("SELECT {COLUMNS} FROM calls WHERE state = 1 AND lane = 1 ORDER BY owner, step, call");
    db.prepare(&sql)?.query_map([], row)?.collect()
}

/// Everyone who has rows, in ascending order.
pub(crate) fn owners(db: &Connection) -> rusqlite::Result<Vec<u64>> {
    db.prepare("SELECT DISTINCT owner FROM calls ORDER BY owner")?
        .query_map([], |row| row.get::<_, i64>(0).map(|owner| owner as u64))?
        .collect()
}

/// Whether there is any row.
pub(crate) fn is_empty(db: &Connection) -> rusqlite::Result<bool> {
    Ok(db.query_row("SELECT 1 FROM calls LIMIT 1", [], |_| Ok(())).optional()?.is_none())
}

/// Removes the rows of an item that needs them no more. The lane's own stay.
pub(crate) fn forget(db: &Connection, owner: u64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM calls WHERE owner = ?1 AND lane = 0")?.execute([owner as i64]).map(drop)
}

fn row(row: &Row<'_>) -> rusqlite::Result<CallRow> {
    let text = |at: usize| row.get_ref(at)?.as_str().map(Arc::from).map_err(rusqlite::Error::from);
    let state: u8 = row.get(5)?;
    let status: Option<u16> = row.get(14)?;
    let answer = match status {
        None => None,
        Some(status) => {
            let headers = serde_json::from_str(row.get_ref(15)?.as_str()?)
                .map_err(|error| rusqlite::Error::FromSqlConversionFailure(15, Type::Text, Box::new(error)))?;
            Some(Arc::new(Answer { status, headers, body: row.get::<_, Vec<u8>>(16)?.into() }))
        }
    };
    Ok(CallRow {
        owner: row.get::<_, i64>(0)? as u64,
        step: text(1)?,
        call: row.get(2)?,
        item: row.get::<_, i64>(3)? as u64,
        lane: row.get(4)?,
        state: CallState::from_number(state).ok_or(rusqlite::Error::IntegralValueOutOfRange(5, i64::from(state)))?,
        generation: row.get(6)?,
        redrive: row.get(7)?,
        key: text(8)?,
        starts: row.get(9)?,
        unheard: row.get(10)?,
        first_ms: row.get(11)?,
        last_ms: row.get(12)?,
        sent: text(13)?,
        answer,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(owner: u64, step: &str, lane: bool, answer: Option<Answer>) -> CallRow {
        let state = if answer.is_some() { CallState::Answered } else { CallState::Started };
        let (step, answer) = (step.into(), answer.map(Arc::new));
        let (call, generation, redrive, starts, unheard) = (2, 3, 4, 5, 6);
        let (first_ms, last_ms) = (-1, 1_763_000_000_000);
        let (key, sent) = ("k".into(), "POST /ä".into());
        CallRow {
            owner,
            step,
            call,
            item: 8,
            lane,
            state,
            generation,
            redrive,
            key,
            starts,
            unheard,
            first_ms,
            last_ms,
            sent,
            answer,
        }
    }

    #[test]
    fn rows_come_back_as_they_were_written_and_only_the_items_own_are_forgotten() {
        let db = Connection::open_in_memory().unwrap();
        assert!(!exists(&db).unwrap());
        db.execute_batch(SCHEMA).unwrap();
        assert!(exists(&db).unwrap() && is_empty(&db).unwrap());
        let headers = vec![("x".to_string(), "1".to_string()), ("x".to_string(), "\"".to_string())];
        let answer = Answer { status: 201, headers, body: vec![0, 255, b'{'].into() };
        let rows_of_7 = [call(7, "a", true, Some(answer)), call(7, "b", false, None)];
        for row in rows_of_7.iter().rev().chain([&call(9, "a", false, None)]) {
            write(&db, row).unwrap();
            write(&db, row).unwrap();
        }
        assert_eq!(rows(&db, 7).unwrap(), rows_of_7);
        assert_eq!(owners(&db).unwrap(), [7, 9]);
        assert_eq!(lanes_in_doubt(&db).unwrap(), [], "the lane's call is answered");
        write(&db, &call(7, "c", true, None)).unwrap();
        assert_eq!(lanes_in_doubt(&db).unwrap(), [call(7, "c", true, None)]);
        db.execute("DELETE FROM calls WHERE step = 'c'", []).unwrap();
        forget(&db, 7).unwrap();
        forget(&db, 9).unwrap();
        assert_eq!(rows(&db, 7).unwrap(), rows_of_7[..1]);
        assert_eq!(owners(&db).unwrap(), [7]);
    }
}
