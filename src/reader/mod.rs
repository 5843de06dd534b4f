//! Where items come from: the objects of a folder or bucket, the rows of a CSV file, the elements of a JSON or JSON Lines file.
//!
//! A source is *frozen* when a run starts and read as often as needed afterwards, from any recorded place on.

mod config;
mod globs;
mod source_file;

pub use config::{
    CsvConfig, Delimiter, Header, ItemsConfig, ItemsSource, JsonConfig, JsonlConfig, KeyConfig, ObjectsConfig, Pointer,
};
pub use globs::Globs;
pub use source_file::SourceFile;
