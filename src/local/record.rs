//! [`Record`]: the one SQLite file of a run, and the state of the run as a fold of it.
//!
//! A range of items per batch has a default outcome (succeeded at the first try, nothing to say about it); every exception and
//! every output has a row of its own. So 300 million rows fit, and what is shown is computed from here, never kept twice.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::types::Type;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::cut::LANES;
use super::resolve::GIVEN_UP;
use crate::error::{Error, Result};
use crate::lane::Lanes;
use crate::ledger::sqlite;
use crate::outcome::{Counts, ItemStatus, Outcome};

/// The layout of the file. A newer fanfold reads older ones; an older one refuses newer ones.
const SCHEMA_VERSION: i32 = 2;

/// "fanf" in ASCII, so that `file run.db` and SQLite's own tools can tell what it is.
const APPLICATION_ID: i32 = 0x6661_6e66;

const SCHEMA: &str = "
    CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE batches (
        first INTEGER PRIMARY KEY,-- index of its first item
        count INTEGER NOT NULL,   -- items
        position INTEGER NOT NULL,-- byte in the input where its first item begins
        ended INTEGER NOT NULL DEFAULT 0, -- items that have an outcome
        done BLOB                 -- one bit for each item that has an outcome; NULL: all or none, as `ended` says
    );
    CREATE INDEX unfinished ON batches (first) WHERE ended < count;
    CREATE TABLE outcomes (       -- exceptions to: succeeded at the first try with nothing to say
        item INTEGER PRIMARY KEY, -- index
        status INTEGER NOT NULL,  -- ItemStatus; 0 again when it is redriven
        attempts INTEGER NOT NULL,
        redrive INTEGER NOT NULL, -- how often it was redriven
        key TEXT,                 -- where the key is not the position
        error TEXT,
        cause TEXT,
        output TEXT               -- JSON
    );
    CREATE TABLE crashes (item INTEGER PRIMARY KEY, count INTEGER NOT NULL);
    CREATE TABLE sessions (id INTEGER PRIMARY KEY, began_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL);
";

/// The record of one run.
#[derive(Debug)]
pub(crate) struct Record {
    pub(super) db: Connection,
    path: String,
}

/// A batch as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BatchRow {
    pub first: u64,
    pub count: u32,
    pub position: u64,
    pub ended: u32,
    pub done: Option<Vec<u8>>,
}

impl BatchRow {
    /// Whether item number `n` of the batch has an outcome.
    pub fn is_done(&self, n: u32) -> bool {
        match &self.done {
            Some(bits) => bits.get(n as usize / 8).is_some_and(|byte| byte & 1 << (n % 8) != 0),
            None => self.ended == self.count,
        }
    }
}

/// An exception row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OutcomeRow {
    pub status: ItemStatus,
    pub attempts: u32,
    pub redrive: u32,
    pub key: Option<String>,
    pub error: Option<String>,
    pub cause: Option<String>,
    pub output: Option<String>,
}

impl Record {
    /// Makes the file. It must not exist.
    pub fn create(path: &Path) -> Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        // Made before SQLite opens it, so that its files are the user's alone from the first byte on: SQLite gives the
        // -wal and -shm files the mode of the database.
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| Error::surroundings(format!("the record {} cannot be made: {error}", path.display())))?;
        let mut record = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        record.write("be made", |db| {
            db.execute_batch(&format!(
                "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; {SCHEMA} {}",
                sqlite::SCHEMA
            ))
        })?;
        Ok(record)
    }

    /// Opens the record of an existing run for writing.
    pub fn open(path: &Path) -> Result<Self> {
        let mut record = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        if record.check_version()? < SCHEMA_VERSION {
            record.bring_up_to_date()?;
        }
        Ok(record)
    }

    /// Adds what records of older versions lack.
    fn bring_up_to_date(&mut self) -> Result<()> {
        self.write("be written", |db| {
            if !sqlite::exists(db)? {
                db.execute_batch(sqlite::SCHEMA)?;
            }
            db.pragma_update(None, "user_version", SCHEMA_VERSION)
        })
    }

    /// Opens it for looking only; a run that is going on does not notice.
    pub fn look(path: &Path) -> Result<Self> {
        // Read-write, because a reader of a WAL file whose writer died has to recover it; nothing is written here.
        let record = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        record.check_version()?;
        Ok(record)
    }

    fn connect(path: &Path, flags: OpenFlags) -> Result<Self> {
        let shown = path.display().to_string();
        let set = || -> rusqlite::Result<Connection> {
            let db = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
            db.busy_timeout(Duration::from_secs(10))?;
            db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
            // FULL: what is committed survives a loss of power, not only of the process.
            db.pragma_update(None, "synchronous", "full")?;
            db.pragma_update(None, "cache_size", -4096)?;
            Ok(db)
        };
        let db = set().map_err(|error| trouble(&shown, "be opened", &error))?;
        Ok(Self { db, path: shown })
    }

    fn check_version(&self) -> Result<i32> {
        let read = |name: &str| self.read(|db| db.pragma_query_value(None, name, |row| row.get::<_, i32>(0)));
        if read("application_id")? != APPLICATION_ID {
            let error = Error::refused(format!("{} is not the record of a run", self.path));
            return Err(error.hint("the file is another one or was cut off; restore it from a copy"));
        }
        let version = read("user_version")?;
        if version > SCHEMA_VERSION {
            return Err(Error::refused(format!(
                "{} was written by a newer fanfold (record version {version}, this one reads up to {SCHEMA_VERSION})",
                self.path
            ))
            .hint("use the fanfold that began the run"));
        }
        Ok(version)
    }

    /// Reads; a mistake says which file it is.
    pub fn read<T>(&self, look: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        look(&self.db).map_err(|error| trouble(&self.path, "be read", &error))
    }

    /// Writes in one transaction: all of it is there afterwards, or nothing.
    pub fn write<T>(&mut self, what: &str, change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T> {
        let run = || -> rusqlite::Result<T> {
            let transaction = self.db.transaction()?;
            let value = change(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        run().map_err(|error| trouble(&self.path, what, &error))
    }

    /// A fact of the run, or `None` if it was never set.
    pub fn fact<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let text: Option<String> =
            self.read(|db| db.query_row("SELECT value FROM facts WHERE name = ?1", [name], |row| row.get(0)).optional())?;
        text.map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|error| Error::surroundings(format!("{}: the fact `{name}` is damaged: {error}", self.path)))
    }

    /// A fact that every record has.
    pub fn known_fact<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        self.fact(name)?.ok_or_else(|| {
            Error::refused(format!("{} has no `{name}`: the run was never begun", self.path))
                .hint("its folder can be deleted; nothing was started")
        })
    }

    /// The counts of items, folded.
    pub fn counts(&self) -> Result<Counts> {
        self.read(|db| {
            let (total, ended): (u64, u64) =
                db.query_row("SELECT coalesce(sum(count), 0), coalesce(sum(ended), 0) FROM batches", [], |row| {
                    Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64))
                })?;
            let mut counts = Counts::pending(total);
            let mut exceptions = 0;
            let mut statement = db.prepare("SELECT status, count(*) FROM outcomes WHERE status > 1 GROUP BY status")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let status = status_of(row.get(0)?)?;
                let n = row.get::<_, i64>(1)? as u64;
                counts.shift(ItemStatus::Pending, status, n);
                exceptions += n;
            }
            counts.shift(ItemStatus::Pending, ItemStatus::Succeeded, ended.saturating_sub(exceptions));
            Ok(counts)
        })
    }

    /// All tries at all items so far.
    pub fn attempts(&self) -> Result<u64> {
        self.read(|db| {
            let ended: i64 = db.query_row("SELECT coalesce(sum(ended), 0) FROM batches", [], |row| row.get(0))?;
            let (rows, attempts): (i64, i64) = db.query_row(
                "SELECT count(*) FILTER (WHERE status <> 0), coalesce(sum(attempts), 0) FROM outcomes",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            Ok((ended - rows + attempts) as u64)
        })
    }

    /// How many batches the input was cut into; in a run with lanes, how many bundles these are packed into.
    pub fn batch_count(&self) -> Result<u64> {
        if let Some(lanes) = self.fact::<Lanes>(LANES)? {
            return Ok(lanes.bundles);
        }
        self.read(|db| db.query_row("SELECT count(*) FROM batches", [], |row| row.get::<_, i64>(0))).map(|n| n as u64)
    }

    /// The batches behind the one that begins at `after` that have pending items, at most `most`.
    pub fn unfinished(&self, after: Option<u64>, most: u32) -> Result<Vec<BatchRow>> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT first, count, position, ended, done FROM batches WHERE ended < count AND first > ?1 ORDER BY first LIMIT ?2",
            )?;
            statement.query_map(params![after.map_or(-1, |first| first as i64), most], batch_row)?.collect()
        })
    }

    /// The batches behind the one that begins at `after`, finished or not, at most `most`.
    pub fn batches(&self, after: Option<u64>, most: u32) -> Result<Vec<BatchRow>> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT first, count, position, ended, done FROM batches WHERE first > ?1 ORDER BY first LIMIT ?2",
            )?;
            statement.query_map(params![after.map_or(-1, |first| first as i64), most], batch_row)?.collect()
        })
    }

    /// The batch that holds this item.
    pub fn batch_of(&self, item: u64) -> Result<Option<BatchRow>> {
        self.read(|db| {
            let sql = "SELECT first, count, position, ended, done FROM batches WHERE first <= ?1 ORDER BY first DESC LIMIT 1";
            let row = db.prepare_cached(sql)?.query_row([item as i64], batch_row).optional()?;
            Ok(row.filter(|row| item - row.first < u64::from(row.count)))
        })
    }

    /// The exception rows of the items in this range.
    pub fn exceptions(&self, first: u64, count: u64) -> Result<HashMap<u64, OutcomeRow>> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT item, status, attempts, redrive, key, error, cause, output FROM outcomes WHERE item >= ?1 AND item < ?2",
            )?;
            statement
                .query_map(params![first as i64, (first + count) as i64], |row| {
                    Ok((
                        row.get::<_, i64>(0)? as u64,
                        OutcomeRow {
                            status: status_of(row.get(1)?)?,
                            attempts: row.get(2)?,
                            redrive: row.get(3)?,
                            key: row.get(4)?,
                            error: row.get(5)?,
                            cause: row.get(6)?,
                            output: row.get(7)?,
                        },
                    ))
                })?
                .collect()
        })
    }

    /// Tells the status of every item that has an exception row. Whoever was given up by a person is told as skipped.
    pub fn each_exception(&self, mut see: impl FnMut(u64, ItemStatus)) -> Result<()> {
        self.read(|db| {
            let mut statement =
                db.prepare("SELECT item, CASE error WHEN ?1 THEN 2 ELSE status END FROM outcomes WHERE status <> 1")?;
            let mut rows = statement.query([GIVEN_UP])?;
            while let Some(row) = rows.next()? {
                see(row.get::<_, i64>(0)? as u64, status_of(row.get(1)?)?);
            }
            Ok(())
        })
    }

    /// The output of an item that succeeded, as it was kept; null if it gave none.
    pub fn output(&self, item: u64) -> Result<Value> {
        let text: Option<Option<String>> = self.read(|db| {
            db.prepare_cached("SELECT output FROM outcomes WHERE item = ?1")?
                .query_row([item as i64], |row| row.get(0))
                .optional()
        })?;
        text.flatten().map_or(Ok(Value::Null), |text| {
            serde_json::from_str(&text)
                .map_err(|error| Error::surroundings(format!("{}: the output of item {item} is damaged: {error}", self.path)))
        })
    }

    /// How often each pending item that was redriven was redriven, and the tries it had before.
    pub fn redriven(&self) -> Result<HashMap<u64, (u32, u32)>> {
        self.read(|db| {
            let mut statement = db.prepare("SELECT item, redrive, attempts FROM outcomes WHERE status = 0")?;
            statement.query_map([], |row| Ok((row.get::<_, i64>(0)? as u64, (row.get(1)?, row.get(2)?))))?.collect()
        })
    }

    /// Whether the run's process has died with something in flight.
    pub fn has_crashed(&self) -> Result<bool> {
        self.read(|db| db.query_row("SELECT EXISTS (SELECT 1 FROM crashes)", [], |row| row.get(0)))
    }

    /// Items in flight at so many crashes and not ended since.
    pub fn suspects(&self, at_least: u32) -> Result<HashMap<u64, u32>> {
        self.read(|db| {
            let mut statement = db.prepare("SELECT item, count FROM crashes WHERE count >= ?1")?;
            statement.query_map([at_least], |row| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?)))?.collect()
        })
    }

    /// The time that was spent on the run, over all its sessions, and when the first began (milliseconds since 1970).
    pub fn worked(&self) -> Result<(Duration, u64)> {
        self.read(|db| {
            db.query_row("SELECT coalesce(sum(last_ms - began_ms), 0), coalesce(min(began_ms), 0) FROM sessions", [], |row| {
                Ok((Duration::from_millis(row.get::<_, i64>(0)?.max(0) as u64), row.get::<_, i64>(1)? as u64))
            })
        })
    }
}

/// Sets a fact of the run.
pub(super) fn set_fact(db: &Transaction<'_>, name: &str, value: &impl Serialize) -> rusqlite::Result<()> {
    let text = serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    db.execute("INSERT INTO facts VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value", [name, &text])?;
    Ok(())
}

/// Adds one exception row, over an older one of the item.
pub(super) fn set_outcome(
    db: &Transaction<'_>,
    item: u64,
    outcome: &Outcome,
    attempts: u32,
    redrive: u32,
    key: Option<&str>,
) -> rusqlite::Result<()> {
    let (error, cause, output) = match outcome {
        Outcome::Succeeded(serde_json::Value::Null) => (None, None, None),
        Outcome::Succeeded(output) => (None, None, Some(output.to_string())),
        Outcome::Skipped(why) | Outcome::Blocked(why) => (None, Some(why.as_str()), None),
        Outcome::Failed(failure) | Outcome::Unknown(failure) => {
            (Some(failure.error.as_str()), Some(failure.cause.as_str()), None)
        }
    };
    let mut statement = db.prepare_cached("INSERT OR REPLACE INTO outcomes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
    let status = outcome.status() as u8;
    statement.execute(params![item as i64, status, attempts, redrive, key, error, cause, output])?;
    Ok(())
}

pub(super) fn batch_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<BatchRow> {
    Ok(BatchRow {
        first: row.get::<_, i64>(0)? as u64,
        count: row.get(1)?,
        position: row.get::<_, i64>(2)? as u64,
        ended: row.get(3)?,
        done: row.get(4)?,
    })
}

fn status_of(number: u8) -> rusqlite::Result<ItemStatus> {
    ItemStatus::from_number(number).ok_or(rusqlite::Error::IntegralValueOutOfRange(1, i64::from(number)))
}

/// What a SQLite error means to the user. A full disk or a damaged file is not the run's end: what is committed stays.
fn trouble(path: &str, what: &str, error: &rusqlite::Error) -> Error {
    use rusqlite::ErrorCode;
    let code = error.sqlite_error_code();
    let shown = Error::surroundings(format!("the record {path} cannot {what}: {error}"));
    match code {
        Some(ErrorCode::DiskFull) => shown.hint("make room on the disk; what is recorded stays, and the run can be resumed"),
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => shown.hint("the file is damaged; restore it from a copy"),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
            shown.hint("check that you may write there")
        }
        Some(ErrorCode::DatabaseBusy) => shown.hint("another program holds the file; close it"),
        _ => match error {
            rusqlite::Error::InvalidColumnType(_, _, Type::Null) | rusqlite::Error::IntegralValueOutOfRange(..) => {
                shown.hint("the file is damaged; restore it from a copy")
            }
            _ => shown,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Failure;

    fn record(folder: &tempfile::TempDir) -> Record {
        Record::create(&folder.path().join("run.db")).unwrap()
    }

    #[test]
    fn counts_are_a_fold_of_ranges_and_exceptions() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = record(&folder);
        record
            .write("be written", |db| {
                db.execute("INSERT INTO batches VALUES (0, 100, 0, 100, NULL), (100, 50, 4000, 3, x'07000000000000')", [])?;
                set_outcome(db, 7, &Outcome::Failed(Failure::new("Job.Permanent", "no")), 3, 0, None)?;
                set_outcome(db, 8, &Outcome::Succeeded(serde_json::json!({"n": 1})), 1, 0, None)?;
                set_outcome(db, 101, &Outcome::Skipped("left out".into()), 0, 0, Some("k"))
            })
            .unwrap();
        let counts = record.counts().unwrap();
        assert_eq!(counts, Counts { total: 150, succeeded: 101, skipped: 1, failed: 1, pending: 47, ..Counts::default() });
        // 100 succeeded at their first try without a row, 1 with one, 3 tries of the failed one, none of the skipped one.
        assert_eq!(record.attempts().unwrap(), 100 + 1 + 3);
        let unfinished = record.unfinished(None, 10).unwrap();
        assert_eq!(unfinished.len(), 1);
        assert!(unfinished[0].is_done(2) && !unfinished[0].is_done(3));
        assert_eq!(record.batch_of(149).unwrap().unwrap().first, 100);
        assert_eq!(record.batch_of(150).unwrap(), None);
        assert_eq!(record.exceptions(100, 50).unwrap()[&101].cause.as_deref(), Some("left out"));
    }

    #[test]
    fn the_files_are_the_users_alone_and_others_are_told_apart() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        drop(record(&folder));
        let path = folder.path().join("run.db");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        assert!(Record::open(&path).unwrap_err().to_string().contains("written by a newer fanfold (record version 99"));
        let other = folder.path().join("other.db");
        Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        assert!(Record::open(&other).unwrap_err().detail().ends_with("is not the record of a run"));
        std::fs::write(&other, vec![7; 5000]).unwrap();
        assert!(Record::open(&other).unwrap_err().to_string().contains("hint: the file is damaged"));
    }
}
