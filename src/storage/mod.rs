//! Bytes by name: a folder or an S3 prefix, under one door.

use std::path::PathBuf;

/// A folder or an S3 prefix, as written in a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder of this machine.
    Folder(PathBuf),
    /// `s3://bucket/prefix/`.
    S3 { bucket: String, prefix: String },
}

/// Opens locations.
#[derive(Debug, Clone, Default)]
pub struct Storages {}
