//! Where items come from: the objects of a folder or bucket, the rows of a CSV file, the elements of a JSON or JSON Lines file.
//!
//! A source is *frozen* when a run starts ([`freeze`] gives an [`Input`], a part of the record) and read as often as needed
//! afterwards, from any recorded [`Position`] on. [`Rows`] finds records at the speed of memory and parses none that nobody
//! asks for; [`Selection`] says which of them count and what they are called. A record that is no valid item is that item's
//! failure and never the run's.

mod config;
mod csv;
mod encoding;
mod freeze;
mod globs;
mod input;
mod json_array;
mod listing;
mod rows;
mod selection;
mod source_file;
mod split;
mod spool;
mod window;

pub use config::{
    CsvConfig, Delimiter, Header, ItemsConfig, ItemsSource, JsonConfig, JsonlConfig, KeyConfig, ObjectsConfig, Pointer,
};
pub use freeze::freeze;
pub use globs::Globs;
pub use input::{Input, OpenInput};
pub use rows::{Position, RECORD_LIMIT, Row, Rows, SingleRows};
pub use selection::{Judged, Selection};
pub use source_file::SourceFile;
