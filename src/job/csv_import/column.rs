//! [`Column`]: one column of the table, ready to take its value from an item.

use std::borrow::Cow;

use serde_json::Value;

use super::booleans::BooleanWords;
use super::cell::Cell;
use super::decimal::NumberFormat;
use super::kind::{ColumnSetting, ColumnSettings, Kind};
use super::moment::{TimeFormat, offset};
use super::read::Reader;
use crate::expression::{Scope, Setting};
use crate::job::ConfigError;
use crate::nearest::{list, nearest};

/// How much of a value is shown, in characters.
const SHOWN: usize = 40;

/// One column of the table.
#[derive(Debug)]
pub(super) struct Column {
    pub name: String,
    pub kind: Kind,
    /// Of an array, the kind of its elements.
    pub of: Option<Kind>,
    /// Of an enum, its words.
    pub values: Vec<String>,
    /// Whether timestamps always have a zone.
    pub zoned: bool,
    source: Source,
    reader: Reader,
    nulls: Vec<String>,
    default: Option<String>,
}

/// Where the value comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// A column of the file, by its name.
    Item(String),
    /// An expression.
    Value(Setting<Value>),
}

/// A value as it was found.
#[derive(Debug, Clone, Copy)]
enum Found<'v> {
    Null,
    Text(&'v str),
    Json(&'v Value),
}

impl<'v> From<&'v Value> for Found<'v> {
    fn from(value: &'v Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::String(text) => Self::Text(text),
            other => Self::Json(other),
        }
    }
}

impl Column {
    /// The column as the workflow says it.
    pub fn new(name: &str, setting: &ColumnSetting) -> Result<Self, ConfigError> {
        let settings = setting.settings();
        let reader = reader(name, &settings)?;
        let nulls = match (&settings.null, settings.kind) {
            (Some(null), _) => null.clone(),
            (None, Kind::Text) => Vec::new(),
            (None, _) => vec![String::new()],
        };
        let zoned = match &reader {
            Reader::Timestamp { formats, zone } => {
                zone.is_some() || formats.iter().all(|format| matches!(format, TimeFormat::Unix | TimeFormat::UnixMs))
            }
            _ => false,
        };
        Ok(Self {
            name: name.to_string(),
            kind: settings.kind,
            of: settings.of,
            values: settings.values.clone().unwrap_or_default(),
            zoned,
            source: match (&settings.value, &settings.column) {
                (Some(value), _) => Source::Value(value.clone()),
                (None, Some(column)) => Source::Item(column.clone()),
                (None, None) => Source::Item(name.to_string()),
            },
            reader,
            nulls,
            default: settings.default.clone(),
        })
    }

    /// Where the value comes from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Whether the text of a field is kept as it is, by a database that keeps texts of its kind.
    pub fn keeps(&self, text: &str) -> bool {
        self.reader.is_written_so(text) && !self.nulls.iter().any(|null| null == text)
    }

    /// Hands the text of a field to `take`, `None` for null. The error is that of [`Column::value`].
    pub fn field(&self, field: Option<&str>, take: impl FnOnce(&Cell<'_>) -> Result<(), String>) -> Result<(), String> {
        self.take(field.map_or(Found::Null, Found::Text), take)
    }

    /// Hands the item's value to `take`. The error says which column, how the value begins, and what is wrong.
    pub fn value(
        &self,
        item: &Value,
        scope: &Scope<'_>,
        take: impl FnOnce(&Cell<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let owned;
        let value = match &self.source {
            Source::Item(column) => match item.get(column) {
                Some(value) => value,
                None if self.default.is_some() => &Value::Null,
                None => return Err(self.absent(column, item)),
            },
            Source::Value(setting) => {
                owned = setting.get(scope).map_err(|error| format!("column `{}`: {error}", self.name))?;
                &owned
            }
        };
        self.take(Found::from(value), take)
    }

    fn take(&self, found: Found<'_>, take: impl FnOnce(&Cell<'_>) -> Result<(), String>) -> Result<(), String> {
        let is_null = match found {
            Found::Null => true,
            Found::Text(text) => self.nulls.iter().any(|null| null == text),
            Found::Json(_) => false,
        };
        let cell = match (&self.default, is_null, found) {
            (None, true, _) | (_, false, Found::Null) => Ok(Cell::Null),
            (Some(default), true, _) => self.reader.text(Cow::Borrowed(default)),
            (_, false, Found::Text(text)) => self.reader.text(Cow::Borrowed(text)),
            (_, false, Found::Json(value)) => self.reader.value(value),
        };
        let taken = cell.and_then(|cell| take(&cell));
        taken.map_err(|wrong| match found {
            Found::Text(text) if !is_null => format!("column `{}`: {} is {wrong}", self.name, shown(text)),
            Found::Json(value) => format!("column `{}`: {} is {wrong}", self.name, shown(&value.to_string())),
            _ => format!("column `{}` {wrong}", self.name),
        })
    }

    fn absent(&self, column: &str, item: &Value) -> String {
        let names = || item.as_object().into_iter().flat_map(|map| map.keys()).map(String::as_str);
        let near = match nearest(column, names()) {
            Some(near) => format!("; hint: did you mean `{near}`?"),
            None => String::new(),
        };
        format!("column `{}`: the item has no `{column}`, it has {}{near}", self.name, list(names(), 12))
    }
}

/// How the value begins.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(SHOWN).collect();
    let more = if start.len() < text.len() { "…" } else { "" };
    format!("`{}{more}`", start.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'"))
}

/// What of the settings of a column cannot be.
pub(super) fn check(name: &str, setting: &ColumnSetting) -> Option<ConfigError> {
    if name.starts_with("fanfold_") {
        return Some(ConfigError::new(format!("columns.{name}"), "columns that begin with `fanfold_` are fanfold's own"));
    }
    let column = match Column::new(name, setting) {
        Ok(column) => column,
        Err(error) => return Some(error),
    };
    let default = column.default.as_deref()?;
    let wrong = column.reader.text(Cow::Borrowed(default)).err()?;
    Some(ConfigError::new(format!("columns.{name}.default"), format!("`{default}` is {wrong}")))
}

fn reader(name: &str, settings: &ColumnSettings) -> Result<Reader, ConfigError> {
    let at = |setting: &str| format!("columns.{name}.{setting}");
    let kind = settings.kind;
    if settings.value.is_some() && settings.column.is_some() {
        return Err(ConfigError::new(at("value"), "`value` and `column` both say where the value comes from")
            .hint("remove `column`; in `value` it is `{{ item.NAME }}`"));
    }
    for (setting, is_set, of) in [
        ("zone", settings.zone.is_some(), Kind::Timestamp),
        ("values", settings.values.is_some(), Kind::Enum),
        ("of", settings.of.is_some(), Kind::Array),
    ] {
        if is_set && kind != of {
            let detail = format!("only `type: {}` has it, this is `{}`", of.word(), kind.word());
            return Err(ConfigError::new(at(setting), detail));
        }
    }
    if kind == Kind::Array {
        return array(settings, &at);
    }
    of_kind(kind, settings, &at)
}

fn array(settings: &ColumnSettings, at: &dyn Fn(&str) -> String) -> Result<Reader, ConfigError> {
    let of = match settings.of {
        None => return Err(ConfigError::new(at("of"), "missing: the kind of the elements").hint("add `of: text`")),
        Some(kind @ (Kind::Array | Kind::Enum)) => {
            return Err(ConfigError::new(at("of"), format!("an array of `{}` is not known here", kind.word())));
        }
        Some(kind) => kind,
    };
    let elements = ColumnSettings { kind: of, format: None, of: None, ..settings.clone() };
    let formats = settings.format.as_ref().map(|formats| formats.all()).unwrap_or_default();
    let separator = match formats {
        [] => None,
        [one] if one == "json" => None,
        [one] if !one.is_empty() => Some(one.clone()),
        _ => {
            return Err(ConfigError::new(
                at("format"),
                "an array is written in one way: expected `json` or one separator, such as `;`",
            ));
        }
    };
    Ok(Reader::Array { of: Box::new(of_kind(of, &elements, at)?), separator })
}

fn of_kind(kind: Kind, settings: &ColumnSettings, at: &dyn Fn(&str) -> String) -> Result<Reader, ConfigError> {
    let formats = settings.format.as_ref().map(|formats| formats.all()).unwrap_or_default();
    if settings.format.is_some() && formats.is_empty() {
        return Err(ConfigError::new(at("format"), "an empty list, expected at least one format"));
    }
    let wrong = |detail: String| ConfigError::new(at("format"), detail);
    let numbers = || -> Result<Vec<NumberFormat>, ConfigError> {
        let read = |format: &String| {
            NumberFormat::of(format).ok_or_else(|| {
                wrong(format!(
                    "`{format}` is no way to write numbers that is known here: expected {}",
                    list(NumberFormat::examples(), 9)
                ))
            })
        };
        let formats = formats.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(if formats.is_empty() { vec![NumberFormat::PLAIN] } else { formats })
    };
    let times = |times: bool| -> Result<Vec<TimeFormat>, ConfigError> {
        let formats =
            formats.iter().map(|format| TimeFormat::of(format, times).map_err(&wrong)).collect::<Result<Vec<_>, _>>()?;
        Ok(if formats.is_empty() { vec![TimeFormat::Iso] } else { formats })
    };
    let plain = |reader: Reader| match formats.first() {
        Some(_) => Err(wrong(format!("`{}` has no formats", kind.word()))),
        None => Ok(reader),
    };
    match kind {
        Kind::Text => plain(Reader::Text),
        Kind::Json => plain(Reader::Json),
        Kind::Uuid => plain(Reader::Uuid),
        Kind::Integer => numbers().map(Reader::Integer),
        Kind::Decimal => numbers().map(Reader::Decimal),
        Kind::Float => numbers().map(Reader::Float),
        Kind::Boolean if formats.is_empty() => Ok(Reader::Boolean(BooleanWords::default())),
        Kind::Boolean => BooleanWords::of(formats).map(Reader::Boolean).map_err(wrong),
        Kind::Date => times(false).map(Reader::Date),
        Kind::Timestamp => {
            let zone = match &settings.zone {
                None => None,
                Some(zone) => Some(offset(zone).ok_or_else(|| {
                    ConfigError::new(
                        at("zone"),
                        format!("`{zone}` is not a zone that is known here: expected `UTC`, or such as `+02:00`"),
                    )
                })?),
            };
            times(true).map(|formats| Reader::Timestamp { formats, zone })
        }
        Kind::Bytes => match formats {
            [] => Ok(Reader::Hex),
            [one] if one == "hex" => Ok(Reader::Hex),
            [one] if one == "base64" => Ok(Reader::Base64),
            _ => Err(wrong("bytes are written in one way: expected `hex` or `base64`".to_string())),
        },
        Kind::Enum => {
            if !formats.is_empty() {
                return Err(wrong("`enum` has no formats".to_string()));
            }
            match settings.values.clone().filter(|values| !values.is_empty()) {
                Some(values) => Ok(Reader::Enum(values)),
                None => Err(ConfigError::new(at("values"), "missing: the texts that it may be")
                    .hint("add such as `values: [open, paid]`")),
            }
        }
        // Told before it comes to this.
        Kind::Array => Err(wrong("an array of arrays is not known here".to_string())),
    }
}
