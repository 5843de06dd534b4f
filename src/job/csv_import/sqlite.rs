//! [`Sqlite`]: a file of SQLite as a target. One connection writes; what is committed survives a loss of power.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::ffi::SQLITE_CONSTRAINT_TRIGGER;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection as Db, ErrorCode, OpenFlags, ToSql};

use super::connection::{Connection, DbError};
use super::layout::{Layout, LiveColumn};
use super::plan::Plan;
use super::rows::Rows;
use super::sqlite_encode::{SqliteEncoder, Values};
use super::sqlite_table;
use super::target::Driver;

/// How long another program may keep the file locked.
const BUSY: Duration = Duration::from_secs(20);

/// The size of a page of a new file.
const PAGE_BYTES: u32 = 16 * 1024;

/// Pages in memory, in KiB.
const CACHE_KIB: i64 = 16 * 1024;

/// A file of SQLite.
#[derive(Debug)]
pub(super) struct Sqlite {
    path: PathBuf,
}

/// A connection to it.
pub(super) struct SqliteConnection {
    db: Db,
    shown: String,
    insert: String,
    staged: bool,
}

impl Sqlite {
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    fn open(&self) -> Result<SqliteConnection, DbError> {
        let shown = self.path.display().to_string();
        let open = || -> rusqlite::Result<Db> {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let db = Db::open_with_flags(&self.path, flags)?;
            db.busy_timeout(BUSY)?;
            db.pragma_update(None, "foreign_keys", true)?;
            // FULL: the record says that rows are there, so they must survive what the record survives.
            db.pragma_update(None, "synchronous", "full")?;
            // Only a file that is new takes it: rows go faster into larger pages than SQLite makes by itself.
            db.pragma_update(None, "page_size", PAGE_BYTES)?;
            db.pragma_update(None, "cache_size", -CACHE_KIB)?;
            db.pragma_update(None, "temp_store", "file")?;
            // What is not a database at all is told now.
            db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
            Ok(db)
        };
        let db = open().map_err(|error| trouble(&shown, &error))?;
        Ok(SqliteConnection { db, shown, insert: String::new(), staged: false })
    }
}

impl Driver for Sqlite {
    type Connection = SqliteConnection;
    type Encoder = SqliteEncoder;

    fn writers(&self) -> usize {
        1
    }

    async fn connect(&self) -> Result<SqliteConnection, DbError> {
        self.open()
    }

    async fn ready(&self, connection: &mut SqliteConnection, layout: &Layout, _: usize) -> Result<(), DbError> {
        let columns = layout.columns.join(", ");
        let binds = |from: usize| (from..from + layout.columns.len()).map(|at| format!("?{at}")).collect::<Vec<_>>().join(", ");
        connection.staged = layout.staged;
        connection.insert = if layout.staged {
            format!("INSERT INTO {} (fanfold_item, fanfold_state, {columns}) VALUES (?1, 0, {})", layout.stage, binds(2))
        } else {
            format!("INSERT INTO {} ({columns}) VALUES ({})", layout.table, binds(1))
        };
        Ok(())
    }

    /// A process that died has no lock left.
    async fn take_over(&self, _: &mut SqliteConnection, _: &Plan) -> Result<(), DbError> {
        Ok(())
    }

    async fn lay_out(&self, connection: &mut SqliteConnection, plan: &Plan) -> Result<(Layout, SqliteEncoder), DbError> {
        sqlite_table::lay_out(&connection.db, &connection.shown, plan)
    }

    async fn look(
        &self,
        connection: &mut SqliteConnection,
        schema: Option<&str>,
        table: &str,
    ) -> Result<Vec<LiveColumn>, DbError> {
        let _ = schema;
        sqlite_table::look(&connection.db, table).map_err(|error| trouble(&connection.shown, &error))
    }
}

impl Connection for SqliteConnection {
    const BEGIN: &'static str = "BEGIN IMMEDIATE";
    const EMPTY: &'static str = "DELETE FROM";
    const ROW: &'static str = "?1";

    /// Here every statement costs little, and nothing is to be gained.
    async fn each(&mut self, _: &str, _: &[String]) -> Result<Option<Vec<(i64, String)>>, DbError> {
        Ok(None)
    }

    async fn execute(&mut self, sql: &str) -> Result<u64, DbError> {
        // A constraint may have undone the whole transaction by itself.
        if sql == "ROLLBACK" && self.db.is_autocommit() {
            return Ok(0);
        }
        self.db.execute_batch(sql).map_err(|error| trouble(&self.shown, &error))?;
        Ok(self.db.changes())
    }

    async fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, DbError> {
        let read = || -> rusqlite::Result<Vec<Vec<Option<String>>>> {
            let mut statement = self.db.prepare(sql)?;
            let columns = statement.column_count();
            let mut rows = statement.query([])?;
            let mut all = Vec::new();
            while let Some(row) = rows.next()? {
                let text = |at| -> rusqlite::Result<Option<String>> {
                    Ok(match row.get_ref(at)? {
                        ValueRef::Null => None,
                        ValueRef::Integer(number) => Some(number.to_string()),
                        ValueRef::Real(number) => Some(number.to_string()),
                        ValueRef::Text(text) | ValueRef::Blob(text) => Some(String::from_utf8_lossy(text).into_owned()),
                    })
                };
                all.push((0..columns).map(text).collect::<rusqlite::Result<_>>()?);
            }
            Ok(all)
        };
        read().map_err(|error| trouble(&self.shown, &error))
    }

    async fn load(&mut self, rows: &Rows) -> Result<Vec<(usize, String)>, DbError> {
        let mut statement = self.db.prepare_cached(&self.insert).map_err(|error| trouble(&self.shown, &error))?;
        let mut refused = Vec::new();
        for row in 0..rows.len() {
            let mut place = 0;
            let mut bind = |value: ValueRef<'_>| {
                place += 1;
                statement.raw_bind_parameter(place, Borrowed(value))
            };
            let mut bound = if self.staged { bind(ValueRef::Integer(rows.items()[row] as i64)) } else { Ok(()) };
            for value in Values::of(rows.bytes(row..row + 1)) {
                bound = bound.and_then(|()| bind(value));
            }
            if let Err(error) = bound.and_then(|()| statement.raw_execute()) {
                // A trigger that raises FAIL leaves the row that it refuses: only a transaction that is undone is rid of it.
                let by_trigger = error.sqlite_error().is_some_and(|error| error.extended_code == SQLITE_CONSTRAINT_TRIGGER);
                let error = trouble(&self.shown, &error);
                if error.kind != super::connection::DbErrorKind::Row || self.db.is_autocommit() || by_trigger {
                    return Err(error);
                }
                refused.push((row, error.text));
            }
        }
        Ok(refused)
    }
}

struct Borrowed<'a>(ValueRef<'a>);

impl ToSql for Borrowed<'_> {
    #[inline]
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.0))
    }
}

/// What an error of SQLite means.
pub(super) fn trouble(path: &str, error: &rusqlite::Error) -> DbError {
    let rusqlite::Error::SqliteFailure(failure, message) = error else {
        return DbError::surroundings(format!("{path}: {error}"));
    };
    let text = message.clone().unwrap_or_else(|| failure.to_string());
    match failure.code {
        ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch => DbError::row(text),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => DbError::transient(format!("{path}: {text}")),
        ErrorCode::CannotOpen if !Path::new(path).parent().is_some_and(Path::is_dir) => {
            DbError::surroundings(format!("the database {path} cannot be opened: its folder is not there"))
        }
        ErrorCode::NotADatabase => DbError::surroundings(format!("{path} is not a database of SQLite")),
        _ => DbError::surroundings(format!("the database {path}: {text}")),
    }
}
