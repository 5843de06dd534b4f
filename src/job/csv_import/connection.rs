//! [`Connection`]: what is asked of a database while rows are written and put in; [`DbError`]: what it answers if not.

use std::future::Future;

use super::rows::Rows;
use crate::job::JobError;

/// Why a database did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DbError {
    pub kind: DbErrorKind,
    pub text: String,
    /// Which row of several it was, from 0, if the database says so.
    pub row: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DbErrorKind {
    /// A row is not what the table takes.
    Row,
    /// Another try may succeed.
    Transient,
    /// Nothing goes before a person does something.
    Surroundings,
}

impl DbError {
    pub fn row(text: impl Into<String>) -> Self {
        Self { kind: DbErrorKind::Row, text: text.into(), row: None }
    }

    pub fn transient(text: impl Into<String>) -> Self {
        Self { kind: DbErrorKind::Transient, text: text.into(), row: None }
    }

    pub fn surroundings(text: impl Into<String>) -> Self {
        Self { kind: DbErrorKind::Surroundings, text: text.into(), row: None }
    }

    /// The same, when no row can be what is wrong.
    pub fn not_a_row(mut self, kind: DbErrorKind) -> Self {
        if self.kind == DbErrorKind::Row {
            self.kind = kind;
        }
        self
    }
}

impl From<DbError> for JobError {
    fn from(error: DbError) -> Self {
        match error.kind {
            DbErrorKind::Row => Self::permanent(error.text).named("Database.Constraint"),
            DbErrorKind::Transient => Self::transient(error.text),
            DbErrorKind::Surroundings => Self::surroundings(error.text),
        }
    }
}

/// One connection to a database, with at most one transaction at a time.
///
/// SQL that is handed over is what SQLite and PostgreSQL both understand.
pub(super) trait Connection: Send {
    /// Begins a transaction in which constraints are checked at once.
    const BEGIN: &'static str;

    /// What stands for the number of the row in the statements of [`Connection::each`].
    const ROW: &'static str;

    /// What takes all rows out of a table, in front of its name.
    const EMPTY: &'static str;

    /// Runs statements; the rows that the last one changed.
    fn execute(&mut self, sql: &str) -> impl Future<Output = Result<u64, DbError>> + Send;

    /// The rows of a query, each value as text.
    fn query(&mut self, sql: &str) -> impl Future<Output = Result<Vec<Vec<Option<String>>>, DbError>> + Send;

    /// Runs the statements of [`Connection::ROW`] for each of the rows that a query gives the numbers of, each undone for itself if
    /// it is refused: those, with the reason. `None`: that is not to be had here, and nothing is changed.
    fn each(
        &mut self,
        rows: &str,
        statements: &[String],
    ) -> impl Future<Output = Result<Option<Vec<(i64, String)>>, DbError>> + Send;

    /// Puts the rows into the table, or into the run's own one, inside of the transaction: those that it refuses with the reason,
    /// by their place among the rows, and all others.
    fn load(&mut self, rows: &Rows) -> impl Future<Output = Result<Vec<(usize, String)>, DbError>> + Send;
}

/// A column of numbers.
pub(super) async fn numbers(connection: &mut impl Connection, sql: &str) -> Result<Vec<i64>, DbError> {
    let rows = connection.query(sql).await?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()?.parse().ok()).collect())
}
