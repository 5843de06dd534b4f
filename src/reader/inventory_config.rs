//! [`InventoryConfig`]: the `items.inventory:` of a workflow.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::source_file::SourceFile;

/// One item per object that an S3 inventory lists.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InventoryConfig {
    /// The `manifest.json` of one report, on S3 or copied to this machine together with its files: `s3://bucket/…/manifest.json`. Its
    /// files have to be CSV.
    pub source: SourceFile,
    /// Which versions of an object count, if the report lists several: `current` (the default) skips delete markers and what is not
    /// the latest version, `all` takes every row.
    #[serde(default)]
    pub versions: Versions,
}

/// Which of the versions that an inventory lists count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Versions {
    /// The latest one of each object, unless that is a delete marker.
    #[default]
    Current,
    /// Every one, and delete markers too.
    All,
}
