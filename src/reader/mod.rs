//! Where items come from: the objects of a folder or bucket, or of an inventory of one, the rows of a CSV file, the elements of a JSON
//! or JSON Lines file.
//!
//! A source is *frozen* when a run starts ([`freeze`] gives an [`Input`], a part of the record) and read as often as needed
//! afterwards, from any recorded [`Position`] on. [`Rows`] finds records at the speed of memory and parses none that nobody
//! asks for; [`Selection`] says which of them count and what they are called. A record that is no valid item is that item's
//! failure and never the run's.

mod arriving;
mod config;
mod csv;
mod csv_config;
#[cfg(feature = "lambda")]
mod elements;
mod encoding;
mod failed_csv;
mod fetch;
mod fields;
mod freeze;
mod gather;
mod globs;
mod guess;
mod input;
mod inventory;
mod inventory_config;
mod json_array;
mod listing;
mod manifest;
mod parts;
mod repaired_file;
mod repairs;
mod rows;
mod selection;
mod source_file;
mod split;
mod spool;
mod unpack;
mod window;

pub use config::{ItemsConfig, ItemsSource, JsonConfig, JsonlConfig, KeyConfig, ObjectsConfig, Pointer};
pub use csv::OWN_COLUMNS;
pub use csv_config::{CsvConfig, Delimiter, Header};
#[cfg(feature = "lambda")]
pub(crate) use elements::elements_of;
pub use encoding::Encoding;
pub use failed_csv::{CsvLines, WrittenRow};
pub use freeze::freeze;
pub(crate) use freeze::freeze_uncounted;
pub use globs::Globs;
pub use guess::CsvGuess;
pub use input::{Input, OpenInput};
pub use inventory_config::{InventoryConfig, Versions};
pub use repaired_file::RepairedRow;
pub use rows::{Position, RECORD_LIMIT, Row, Rows, SingleRows};
pub use selection::{Judged, Selection};
pub use source_file::SourceFile;
