//! [`Driver`]: what a database has to know to be a target; [`Target`]: an open one, whatever it is.

use std::future::Future;
use std::pin::Pin;

use super::cell::Cell;
use super::connection::{Connection, DbError};
use super::layout::{Layout, LiveColumn};
use super::plan::Plan;
use super::rows::Rows;
use crate::job::{Ending, JobError};

/// A database that rows can be imported into. To add one: this, and a [`Connection`].
pub(super) trait Driver: Send + Sync + 'static {
    /// A connection to it.
    type Connection: Connection + 'static;
    /// Knows the types of the live table's columns.
    type Encoder: Encode;

    /// How many connections write at once.
    fn writers(&self) -> usize;

    /// Opens a connection.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, DbError>> + Send;

    /// Makes the connection ready to write into this layout. Waits until the one that had this place before can commit no more.
    fn ready(
        &self,
        connection: &mut Self::Connection,
        layout: &Layout,
        place: usize,
    ) -> impl Future<Output = Result<(), DbError>> + Send;

    /// Waits until no connection of a session before this one is left, and keeps those after it waiting.
    fn take_over(&self, connection: &mut Self::Connection, plan: &Plan) -> impl Future<Output = Result<(), DbError>> + Send;

    /// Looks whether the table is what the plan takes it for, and makes it if it is to be made.
    fn lay_out(
        &self,
        connection: &mut Self::Connection,
        plan: &Plan,
    ) -> impl Future<Output = Result<(Layout, Self::Encoder), DbError>> + Send;

    /// The columns of the live table; none if there is no such table.
    fn look(
        &self,
        connection: &mut Self::Connection,
        schema: Option<&str>,
        table: &str,
    ) -> impl Future<Output = Result<Vec<LiveColumn>, DbError>> + Send;
}

/// Writes values as one table of a database takes them.
pub(super) trait Encode: Send + Sync + 'static {
    /// Begins a row.
    fn begin(&self, item: u64, out: &mut Vec<u8>);

    /// Whether the column keeps texts as they are: those of a column of text, or of a kind that this database has no type for, where
    /// [`Reader::is_written_so`](super::read::Reader::is_written_so) is true of them.
    fn keeps_texts(&self, column: usize) -> bool;

    /// Appends a text to such a column as it is. `has_nul`: there may be a NUL character in it. False if it cannot be kept.
    fn text(&self, text: &str, has_nul: bool, out: &mut Vec<u8>) -> bool;

    /// Appends the value of the column at this place of the plan; the error says what it is not.
    fn cell(&self, column: usize, cell: &Cell<'_>, out: &mut Vec<u8>) -> Result<(), String>;
}

pub(super) type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What became of rows: those that the database refused, by item, with the reason. All others are written.
pub(super) type Refused = Vec<(u64, String)>;

/// An open target.
pub(super) trait Target: Send + Sync {
    /// How values are written.
    fn encoder(&self) -> &dyn Encode;

    /// Whether a session before this one wrote the item.
    fn is_written(&self, item: u64) -> bool;

    /// Writes rows once. `again`: some of them may be written already.
    fn write(&self, rows: Rows, again: bool) -> Answer<'_, Result<Refused, DbError>>;

    /// Puts in what was staged, once nothing is pending any more.
    fn finish<'a>(&'a self, ending: &'a Ending<'a>) -> Answer<'a, Result<(), JobError>>;
}
