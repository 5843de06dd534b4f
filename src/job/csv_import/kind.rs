//! What a column of the table takes: [`Columns`], [`ColumnSetting`] and its [`Kind`] of value.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::expression::Setting;

/// The columns of the table, in the order of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns(pub Vec<(String, ColumnSetting)>);

/// One column: its kind, or all that can be said of it.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ColumnSetting {
    /// The kind alone: the value comes from the item's column of the same name.
    Short(Kind),
    /// Everything.
    Long(Box<ColumnSettings>),
}

/// Everything that can be said of a column.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColumnSettings {
    /// The kind of value.
    #[serde(rename = "type")]
    pub kind: Kind,

    /// The column of the item that the value comes from. Default the one of the same name.
    #[serde(default)]
    pub column: Option<String>,

    /// The value, in place of `column`: an expression such as `{{ item.first }} {{ item.last }}`.
    #[serde(default)]
    pub value: Option<Setting<Value>>,

    /// The texts that mean that there is no value. Default the empty text; for `text` none, so that an empty text stays one.
    #[serde(default)]
    pub null: Option<Vec<String>>,

    /// What is taken where there is no value, as it would stand in the file.
    #[serde(default)]
    pub default: Option<String>,

    /// How the value is written, one or several ways. Dates and timestamps: patterns of `YYYY MM DD hh mm ss fff`, or `unix`,
    /// `unix_ms`. Numbers: one of `1234.56`, `1234,56`, `1.234,56`, `1,234.56`, `1 234,56`. Booleans: `yes/no`. Bytes: `hex` or
    /// `base64`. Arrays: `json`, or what stands between the elements, such as `;`.
    #[serde(default)]
    pub format: Option<Formats>,

    /// For `timestamp`: the zone of texts that say none, `UTC` or as `+02:00`.
    #[serde(default)]
    pub zone: Option<String>,

    /// For `enum`: the texts that it may be.
    #[serde(default)]
    pub values: Option<Vec<String>>,

    /// For `array`: the kind of its elements.
    #[serde(default)]
    pub of: Option<Kind>,
}

/// One way to write a value, or several, tried in their order.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Formats {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl Formats {
    /// All of them.
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several,
        }
    }
}

/// The kind of value of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Any text, as it is.
    Text,
    /// A whole number of 64 bits.
    Integer,
    /// A number of up to 38 digits, kept exactly.
    Decimal,
    /// A number as computers count: 64 bits, about 16 digits.
    Float,
    /// Yes or no.
    Boolean,
    /// A day.
    Date,
    /// A day and a time.
    Timestamp,
    /// Any JSON.
    Json,
    /// A UUID.
    Uuid,
    /// Bytes, in hexadecimal or base64.
    Bytes,
    /// One of a list of texts.
    Enum,
    /// Several values of one kind.
    Array,
}

impl Kind {
    /// Its word in a workflow.
    pub fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Decimal => "decimal",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::Json => "json",
            Self::Uuid => "uuid",
            Self::Bytes => "bytes",
            Self::Enum => "enum",
            Self::Array => "array",
        }
    }
}

impl ColumnSetting {
    /// All that is said, with nothing where nothing is said.
    pub(super) fn settings(&self) -> Cow<'_, ColumnSettings> {
        match self {
            Self::Long(settings) => Cow::Borrowed(settings),
            Self::Short(kind) => Cow::Owned(ColumnSettings {
                kind: *kind,
                column: None,
                value: None,
                null: None,
                default: None,
                format: None,
                zone: None,
                values: None,
                of: None,
            }),
        }
    }
}

impl<'de> Deserialize<'de> for Columns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Columns;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping of columns")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Columns, A::Error> {
                let mut columns = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    columns.push(entry);
                }
                Ok(Columns(columns))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

impl JsonSchema for Columns {
    fn schema_name() -> Cow<'static, str> {
        "Columns".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "minProperties": 1,
            "additionalProperties": generator.subschema_for::<ColumnSetting>(),
            "examples": [{ "id": "text" }],
        })
    }
}
