//! [`SourceFile`]: a file of this machine, one object on S3 or standard input, as written in a workflow.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::storage::split_url;

/// A file of this machine, one object on S3, or standard input: `orders.csv`, `s3://bucket/orders.csv`, `-`. With `*` or `?` in it,
/// all files that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceFile {
    /// A file of this machine.
    Path(PathBuf),
    /// One object.
    S3 {
        /// The bucket's name.
        bucket: String,
        /// The object's key.
        key: String,
    },
    /// `-`: what is written to the program.
    Stdin,
}

impl SourceFile {
    /// Whether it stands for all files that match it. A file of this machine that has this very name is only itself.
    pub fn has_glob(&self) -> bool {
        let has = |text: &str| text.contains(['*', '?']);
        match self {
            Self::Path(path) => path.to_str().is_some_and(has) && !path.exists(),
            Self::S3 { key, .. } => has(key),
            Self::Stdin => false,
        }
    }
}

impl fmt::Display for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::S3 { bucket, key } => write!(f, "s3://{bucket}/{key}"),
            Self::Stdin => f.write_str("-"),
        }
    }
}

impl FromStr for SourceFile {
    type Err = String;

    /// # Errors
    /// What was found and what is allowed, as a lowercase fragment.
    fn from_str(text: &str) -> Result<Self, String> {
        match split_url(text)? {
            None if text == "-" => Ok(Self::Stdin),
            Some((_, key)) if key.is_empty() || key.ends_with('/') => {
                Err(format!("`{text}` is a folder: expected a file, such as `{}/items.csv`", text.trim_end_matches('/')))
            }
            Some((bucket, key)) => Ok(Self::S3 { bucket: bucket.to_string(), key: key.to_string() }),
            None => Ok(Self::Path(PathBuf::from(text))),
        }
    }
}

impl Serialize for SourceFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SourceFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for SourceFile {
    fn schema_name() -> Cow<'static, str> {
        "SourceFile".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "fanfold-location", "minLength": 1, "examples": ["orders.csv", "s3://bucket/orders.csv", "-"] })
    }
}
