//! [`Object`]: what a listing says about one object; [`OnExists`] and [`Put`]: what happens when a name is taken.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a listing says about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its name relative to the location, with `/` between folders. A name that is not UTF-8 is shown with `\xNN`.
    pub name: String,
    /// Whether the real name is not UTF-8: then nothing can be fetched by it.
    pub not_utf8: bool,
    /// Its size in bytes.
    pub size: u64,
    /// Its version, quoted as on S3; for a file it is made of size and modification time.
    pub etag: String,
    /// When it was last modified, in seconds since 1970.
    pub last_modified: i64,
    /// `STANDARD` for files.
    pub storage_class: String,
}

/// What to do when the name is taken already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnExists {
    /// Replace what is there.
    #[default]
    Overwrite,
    /// Leave what is there.
    Skip,
    /// Leave what is there and fail.
    Fail,
}

/// What has become of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The bytes are there, durably.
    Written,
    /// Something was there already and was kept.
    Kept,
}
