//! [`CsvConfig`]: the `items.csv:` of a workflow.

use std::collections::HashMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::encoding::Encoding;
use super::rows::RECORD_LIMIT;
use super::source_file::SourceFile;
use crate::units::{BytesText, parse_bytes};

/// One item per row of a CSV file.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvConfig {
    /// The file, `s3://bucket/key`, or `-` for standard input; plain or compressed with gzip or zstd. With `*` or `?` in it, all
    /// files that match, in byte order of their names: each has the same columns.
    pub source: SourceFile,
    /// Where the names of the columns are: `first_row` (the default), or here as a list, if the file has no such row.
    #[serde(default)]
    pub header: Header,
    /// What is between two fields. Default `comma`.
    #[serde(default)]
    pub delimiter: Delimiter,
    /// Whether a row with too many or too few fields, a quote where none can be, or bytes that are no text is a failed item
    /// (true, the default), or is read as Step Functions reads it: what is missing is empty, what is too much is dropped, and a
    /// backslash escapes the next character.
    #[serde(default = "yes")]
    pub strict: bool,
    /// How the text is written as bytes. Default `utf-8`.
    #[serde(default)]
    pub encoding: Encoding,
    /// A field without quotes that is one of these texts is null, such as `["", "NULL", "\\N"]`; in quotes it is a text. Default
    /// none.
    #[serde(default)]
    pub null: Vec<String>,
    /// Whether spaces and tabs around a field, outside of its quotes, are taken off; also those of the header. Default false.
    #[serde(default)]
    pub trim: bool,
    /// A longer row is a failed item. It is taken for one with a quote too many: it ends at its first line break, and the next
    /// line is read as a row of its own. From 1B to 8MiB, which is the default.
    #[serde(default = "longest", deserialize_with = "row_bytes")]
    #[schemars(with = "BytesText", extend("default" = "8MiB"))]
    pub max_row_bytes: u64,
}

fn yes() -> bool {
    true
}

pub(super) fn longest() -> u64 {
    RECORD_LIMIT as u64
}

fn row_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    match parse_bytes(&text).map_err(de::Error::custom)? {
        0 => Err(de::Error::custom("a row has at least 1 byte, found 0")),
        bytes if bytes > RECORD_LIMIT as u64 => {
            Err(de::Error::custom(format!("a row is read up to 8MiB ({RECORD_LIMIT} bytes), found {bytes} bytes")))
        }
        bytes => Ok(bytes),
    }
}

/// What is between two fields of a CSV file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Delimiter {
    /// `,`
    #[default]
    Comma,
    /// `|`
    Pipe,
    /// `;`
    Semicolon,
    /// A space.
    Space,
    /// A tab.
    Tab,
}

impl Delimiter {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Comma, Self::Pipe, Self::Semicolon, Self::Space, Self::Tab];

    /// The word for it in a workflow.
    pub fn word(self) -> &'static str {
        match self {
            Self::Comma => "comma",
            Self::Pipe => "pipe",
            Self::Semicolon => "semicolon",
            Self::Space => "space",
            Self::Tab => "tab",
        }
    }

    /// The byte itself.
    pub fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Pipe => b'|',
            Self::Semicolon => b';',
            Self::Space => b' ',
            Self::Tab => b'\t',
        }
    }
}

/// Where the names of a CSV file's columns are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Header {
    /// In the first row.
    #[default]
    FirstRow,
    /// Given in the workflow.
    Names(Vec<String>),
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(word) if word == "first_row" => Ok(Self::FirstRow),
            Value::Array(names) => {
                let names: Vec<String> =
                    serde_json::from_value(names.into()).map_err(|_| D::Error::custom("a name in `header` is not a text"))?;
                check_names(&names).map_err(D::Error::custom)?;
                Ok(Self::Names(names))
            }
            other => Err(D::Error::custom(format!("`header` is {other}: expected `first_row` or a list of names"))),
        }
    }
}

/// The names of columns become the names of fields: each must be there, once.
pub(super) fn check_names(names: &[String]) -> Result<(), String> {
    if names.is_empty() {
        return Err("the header has no names".to_string());
    }
    let mut seen = HashMap::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(format!("column {} of {} has no name in the header", index + 1, names.len()));
        }
        if let Some(first) = seen.insert(name, index) {
            return Err(format!("columns {} and {} of the header are both called `{name}`", first + 1, index + 1));
        }
    }
    Ok(())
}

impl JsonSchema for Header {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Header".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "const": "first_row" },
            { "type": "array", "items": { "type": "string", "minLength": 1 }, "minItems": 1, "uniqueItems": true },
        ] })
    }
}
