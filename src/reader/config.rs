//! [`ItemsConfig`]: the `items:` of a workflow, as read and checked.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU64;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Error as _};
use serde::{Deserialize, Deserializer};

use super::csv_config::CsvConfig;
use super::globs::Globs;
use super::inventory_config::InventoryConfig;
use super::source_file::SourceFile;
use crate::expression::{Expression, Setting};
use crate::storage::Location;

/// Where the items come from: exactly one of `objects`, `inventory`, `csv`, `json` and `jsonl`; which of them count, and what they are called.
///
/// The list is frozen when a run starts: what is added later is not seen, what changes is reported.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "ItemsFields")]
pub struct ItemsConfig {
    /// Where they come from.
    pub source: ItemsSource,
    /// Only objects whose `Key` matches.
    pub matching: Option<Globs>,
    /// No objects whose `Key` matches.
    pub exclude: Option<Globs>,
    /// Only items for which this is true.
    pub condition: Option<Setting<bool>>,
    /// What an item is called.
    pub key: KeyConfig,
    /// At most so many are read.
    pub limit: Option<NonZeroU64>,
}

impl ItemsConfig {
    /// Where the objects are, if the items are objects.
    pub fn location(&self) -> Option<&Location> {
        match &self.source {
            ItemsSource::Objects(objects) => Some(&objects.source),
            _ => None,
        }
    }
}

/// One of the kinds of sources.
#[derive(Debug, Clone, PartialEq)]
pub enum ItemsSource {
    /// One item per object of a folder or an S3 prefix.
    Objects(ObjectsConfig),
    /// One item per object that an S3 inventory lists.
    Inventory(InventoryConfig),
    /// One item per row.
    Csv(CsvConfig),
    /// One item per element of an array.
    Json(JsonConfig),
    /// One item per line.
    Jsonl(JsonlConfig),
}

impl ItemsSource {
    /// The word for it in a workflow.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Objects(_) => "objects",
            Self::Inventory(_) => "inventory",
            Self::Csv(_) => "csv",
            Self::Json(_) => "json",
            Self::Jsonl(_) => "jsonl",
        }
    }
}

impl fmt::Display for ItemsSource {
    /// Writes the address of the source.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Objects(objects) => objects.source.fmt(f),
            Self::Inventory(inventory) => inventory.source.fmt(f),
            Self::Csv(csv) => csv.source.fmt(f),
            Self::Json(json) => json.source.fmt(f),
            Self::Jsonl(jsonl) => jsonl.source.fmt(f),
        }
    }
}

/// Where the items come from: exactly one of `objects`, `inventory`, `csv`, `json` and `jsonl`; which of them count, and what they are called.
///
/// The list is frozen when a run starts: what is added later is not seen, what changes is reported.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["objects"] }, { "required": ["inventory"] }, { "required": ["csv"] }, { "required": ["json"] }, { "required": ["jsonl"] }]))]
struct ItemsFields {
    /// One item per object of a folder or an S3 prefix, as Step Functions lists them: `Key`, `Size`, `Etag`, `LastModified`
    /// (seconds since 1970) and `StorageClass`, in byte order of the keys.
    objects: Option<ObjectsConfig>,
    /// One item per object that a report of S3 Inventory lists, as Step Functions gives them: the report's columns, such as `Bucket`,
    /// `Key` and `Size`, all of them texts.
    inventory: Option<InventoryConfig>,
    /// One item per row of a CSV file, or of several with one header; every field is a text.
    csv: Option<CsvConfig>,
    /// One item per element of an array in a JSON file.
    json: Option<JsonConfig>,
    /// One item per line of a JSON Lines file; blank lines are none.
    jsonl: Option<JsonlConfig>,
    /// Only objects whose `Key` matches one of these globs; the others are skipped. `*` and `?` stay within a folder, `**`
    /// does not; a glob without `/` is held against the last part of the key. Upper and lower case differ:
    /// `*.{jpg,JPG}`. For `objects` and `inventory`; default all.
    #[serde(rename = "match")]
    matching: Option<Globs>,
    /// No objects whose `Key` matches one of these globs; they are skipped. Written like `match`, and stronger than it.
    exclude: Option<Globs>,
    /// Only items for which this expression over `params` and `item` is true; the others are skipped. Default all.
    #[serde(rename = "where")]
    condition: Option<Setting<bool>>,
    /// What an item is called: an expression that gives each item a text or an integer of its own, such as
    /// `{{ item.order_id }}`, or the word `position`. It should name what the item is about: then a re-exported file or a
    /// second run is known to mean the same. Default `position`: an object's address, else `file#index`.
    #[serde(default)]
    key: KeyConfig,
    /// At most so many items are read, from the start of the source; a run that stops there says so. Default all.
    #[schemars(range(min = 1))]
    limit: Option<NonZeroU64>,
}

impl JsonSchema for ItemsConfig {
    fn schema_name() -> Cow<'static, str> {
        "ItemsConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        ItemsFields::json_schema(generator)
    }
}

impl TryFrom<ItemsFields> for ItemsConfig {
    type Error = String;

    fn try_from(fields: ItemsFields) -> Result<Self, String> {
        let ItemsFields { objects, inventory, csv, json, jsonl, matching, exclude, condition, key, limit } = fields;
        let mut sources: Vec<ItemsSource> = [
            objects.map(ItemsSource::Objects),
            inventory.map(ItemsSource::Inventory),
            csv.map(ItemsSource::Csv),
            json.map(ItemsSource::Json),
            jsonl.map(ItemsSource::Jsonl),
        ]
        .into_iter()
        .flatten()
        .collect();
        let source = match sources.len() {
            1 => sources.remove(0),
            0 => return Err("`items` has no source: expected one of `objects`, `inventory`, `csv`, `json`, `jsonl`".to_string()),
            _ => {
                let found: Vec<_> = sources.iter().map(|source| format!("`{}`", source.word())).collect();
                return Err(format!("`items` has {} sources, {}: expected one", found.len(), found.join(" and ")));
            }
        };
        if let ItemsSource::Json(JsonConfig { source, .. }) = &source
            && source.has_glob()
        {
            return Err(format!("`{source}` stands for several files, `json` reads one: use `jsonl`, or name the file"));
        }
        if let ItemsSource::Inventory(InventoryConfig { source, .. }) = &source {
            let wrong = match source {
                source if source.has_glob() => "stands for several files, `inventory` reads one report",
                SourceFile::Stdin => "is standard input, the files of a report are found from where its manifest is",
                _ => "",
            };
            if !wrong.is_empty() {
                return Err(format!("`{source}` {wrong}: name its `manifest.json`"));
            }
        }
        if !matches!(source, ItemsSource::Objects(_) | ItemsSource::Inventory(_)) {
            for (name, globs) in [("match", &matching), ("exclude", &exclude)] {
                if globs.is_some() {
                    let word = source.word();
                    return Err(format!(
                        "`{name}` is for `objects` and `inventory`, the items of `{word}` have no `Key`: use `where`"
                    ));
                }
            }
        }
        Ok(Self { source, matching, exclude, condition, key, limit })
    }
}

/// One item per object of a folder or an S3 prefix.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectsConfig {
    /// A folder, or `s3://bucket/prefix/`. It always means a folder: `s3://bucket/photos1` is read as `s3://bucket/photos1/`
    /// and never reaches `photos10/`. In a folder `Key` is the path relative to it, on S3 the full key.
    pub source: Location,
}

/// One item per element of an array in a JSON file.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonConfig {
    /// The file, `s3://bucket/key`, or `-` for standard input; UTF-8, plain or compressed with gzip or zstd.
    pub source: SourceFile,
    /// Where in the file the array is, as a JSON Pointer such as `/inventory/products`. Default the whole file.
    #[serde(default)]
    pub pointer: Pointer,
}

/// One item per line of a JSON Lines file.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonlConfig {
    /// The file, `s3://bucket/key`, or `-` for standard input; UTF-8, plain or compressed with gzip or zstd. With `*` or `?` in
    /// it, all files that match.
    pub source: SourceFile,
}

/// A JSON Pointer, as its parts: empty for the whole document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// The names and indexes on the way, unescaped.
    pub fn parts(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| write!(f, "/{}", part.replace('~', "~0").replace('/', "~1")))
    }
}

impl<'de> Deserialize<'de> for Pointer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self::default());
        }
        let Some(rest) = text.strip_prefix('/') else {
            return Err(de::Error::custom(format!(
                "`{text}` is not a JSON Pointer: expected one that begins with `/`, such as `/{text}`"
            )));
        };
        Ok(Self(rest.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect()))
    }
}

impl JsonSchema for Pointer {
    fn schema_name() -> Cow<'static, str> {
        "Pointer".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(/.*)?$", "examples": ["/inventory/products"] })
    }
}

/// What an item is called.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum KeyConfig {
    /// Its address: that of an object, else `file#index`.
    #[default]
    Position,
    /// What this gives for it.
    Named(Expression),
}

impl<'de> Deserialize<'de> for KeyConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "position" {
            Ok(Self::Position)
        } else if Expression::is(&text) {
            Expression::parse(&text).map(Self::Named).map_err(D::Error::custom)
        } else {
            let detail = format!(
                "`{text}` would be the key of every item: expected `position`, or an expression such as `{{{{ item.{text} }}}}`"
            );
            Err(D::Error::custom(detail))
        }
    }
}

impl JsonSchema for KeyConfig {
    fn schema_name() -> Cow<'static, str> {
        "KeyConfig".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{ "const": "position" }, { "type": "string", "pattern": r"\{\{" }],
            "x-fanfold-scope": ["params", "item"],
        })
    }
}
