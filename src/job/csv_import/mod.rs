//! `csv_import`: rows into a table of a database, whole batches at a time, each row once, every bad row given back.
//!
//! What a batch writes and the note that it was written are one commit, in the database itself.

mod booleans;
mod cell;
mod column;
mod config;
mod connection;
mod database;
mod decimal;
mod job;
mod kind;
mod layout;
mod merge;
mod moment;
mod opened;
mod plan;
mod ranges;
mod read;
mod rows;
mod sample;
mod stride;
mod target;
mod transaction;
mod writer;

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
mod postgres_connect;
#[cfg(feature = "postgres")]
mod postgres_each;
#[cfg(feature = "postgres")]
mod postgres_encode;
#[cfg(feature = "postgres")]
mod postgres_table;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "sqlite")]
mod sqlite_encode;
#[cfg(feature = "sqlite")]
mod sqlite_table;

pub use config::{CsvImportConfig, Mode};
pub use job::CsvImport;
pub use kind::{ColumnSetting, ColumnSettings, Columns, Formats, Kind};
pub(crate) use sample::{columns_of_items, columns_of_table, live_columns};
