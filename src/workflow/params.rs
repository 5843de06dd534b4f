//! [`Param`]: what may differ from run to run. Declared with a type in the file, given as `-p name=value`.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Number, Value, json};

use super::check::is_name;
use super::leaf::{self, Mismatch};
use super::shape::Leaf;
use super::tree::{Entry, Node, NodeKind, Scalar, Spot};
use crate::error::Error;
use crate::expression::{Decimal, kind, read_date};
use crate::nearest::{list, nearest};

/// A param as declared.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Param")]
pub(super) struct ParamFields {
    /// What its values are.
    #[serde(rename = "type")]
    _kind: ParamType,
    /// Its value in runs that do not give one. A relative path is relative to the workflow file. Without a default it has to
    /// be given.
    #[serde(default, rename = "default")]
    _default: Value,
    /// What it is for.
    #[serde(rename = "description")]
    _description: Option<String>,
}

/// What the values of a param are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ParamType {
    /// Any text.
    Text,
    /// A whole number.
    Integer,
    /// A decimal number, kept exactly.
    Decimal,
    /// `true` or `false`.
    Boolean,
    /// A date as `2026-11-23`.
    Date,
    /// A file or folder of this machine, or `s3://bucket/…`.
    Path,
    /// An `http` or `https` URL without a password.
    Url,
    /// An SQLite file of this machine, or the URL of a database, without a password.
    Database,
}

impl ParamType {
    const ALL: [(&'static str, Self); 8] = [
        ("text", Self::Text),
        ("integer", Self::Integer),
        ("decimal", Self::Decimal),
        ("boolean", Self::Boolean),
        ("date", Self::Date),
        ("path", Self::Path),
        ("url", Self::Url),
        ("database", Self::Database),
    ];

    fn expected(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Integer => "an integer",
            Self::Decimal => "a decimal number such as `19.99`",
            Self::Boolean => "`true` or `false`",
            Self::Date => "a date such as `2026-11-23`",
            Self::Path => "a path",
            Self::Url => "a URL such as `https://api.example.com`",
            Self::Database => "a database: the path of an SQLite file, or `postgres://user@host/database`",
        }
    }

    fn read(self, scalar: &Scalar, base: &Path) -> Result<Value, Mismatch> {
        let read = |leaf, format: &str| leaf::read(scalar, leaf, &Map::from_iter([("format".into(), json!(format))]), base);
        match self {
            Self::Text => Ok(Value::String(scalar.text.clone())),
            Self::Integer => read(Leaf::Integer, ""),
            Self::Boolean => read(Leaf::Boolean, ""),
            Self::Path => read(Leaf::Text, "fanfold-path"),
            Self::Url => read(Leaf::Text, "fanfold-url"),
            Self::Database => read(Leaf::Text, "fanfold-database"),
            Self::Date => match read_date(&scalar.text, "YYYY-MM-DD") {
                Some(_) => Ok(Value::String(scalar.text.clone())),
                None => Err(Mismatch::default()),
            },
            Self::Decimal => decimal(&scalar.text),
        }
    }

    fn takes(self, value: &Value) -> bool {
        match self {
            Self::Text | Self::Date | Self::Path | Self::Url | Self::Database => value.is_string(),
            Self::Integer => value.is_u64() || value.is_i64(),
            Self::Decimal => value.is_number(),
            Self::Boolean => value.is_boolean(),
        }
    }
}

impl fmt::Display for ParamType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(_, kind)| kind == self).map_or("", |(word, _)| word))
    }
}

/// A number of JSON, if that is the same number digit by digit.
fn decimal(text: &str) -> Result<Value, Mismatch> {
    let Ok(decimal) = Decimal::parse(text) else {
        return Err(Mismatch::default());
    };
    if let Some(number) = leaf::integer(text) {
        return Ok(Value::Number(number));
    }
    let number: Option<f64> = text.parse().ok();
    let same = |number: f64| Decimal::parse(&number.to_string()).is_ok_and(|shortest| shortest.is_same(&decimal));
    match number.filter(|number| same(*number)).and_then(Number::from_f64) {
        Some(number) => Ok(Value::Number(number)),
        None => Err(Mismatch {
            detail: Some(format!("`{text}` has more digits than a number of JSON keeps")),
            hint: Some("declare it as `type: text`, the filters `decimal` and `cents` read texts".to_string()),
        }),
    }
}

/// A declared param.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Param {
    /// Its name.
    pub name: String,
    /// What its values are.
    pub kind: ParamType,
    /// Its value in runs that do not give one; a path is absolute.
    pub default: Option<Value>,
    /// What it is for.
    pub description: Option<String>,
    pub(super) at: Spot,
}

/// The params that a file declares. What its schema already refuses is left out silently.
pub(super) fn declared(root: &Node, file: &Arc<str>, base: &Path) -> (Vec<Param>, Vec<Error>) {
    let mut params = Vec::new();
    let mut errors = Vec::new();
    for entry in root.get("params").map(|entry| entry.value.entries()).unwrap_or_default() {
        if let Some(error) = wrong_name(entry) {
            errors.push(error.at(Some(entry.key_at.in_file(file))));
        }
        let text = |key| entry.value.get(key).and_then(|entry| entry.value.scalar()).map(|scalar| scalar.text.clone());
        let word = text("type");
        let Some((_, kind)) = ParamType::ALL.into_iter().find(|(name, _)| word.as_deref() == Some(name)) else {
            continue;
        };
        let mut param =
            Param { name: entry.key.clone(), kind, default: None, description: text("description"), at: entry.key_at };
        if let Some(default) = entry.value.get("default") {
            match default_value(kind, &default.value, base) {
                Ok(value) => param.default = Some(value),
                Err(mismatch) => {
                    let path = format!("`params.{}.default`", entry.key);
                    let error = told(&path, kind, &leaf::found(&default.value), mismatch);
                    errors.push(error.at(Some(default.value.at.in_file(file))));
                }
            }
        }
        params.push(param);
    }
    (params, errors)
}

fn wrong_name(entry: &Entry) -> Option<Error> {
    let name = &entry.key;
    let detail = format!("`{name}` cannot name a param: expected a letter, then letters, digits and `_`, at most 64");
    (!is_name(name)).then(|| Error::refused(detail))
}

fn default_value(kind: ParamType, node: &Node, base: &Path) -> Result<Value, Mismatch> {
    let Some(scalar) = node.scalar() else {
        return Err(Mismatch::default());
    };
    if scalar.is_absent() {
        return Err(Mismatch::hint("remove `default`, or write a value; an empty text is `\"\"`"));
    }
    kind.read(scalar, base)
}

fn told(name: &str, kind: ParamType, found: &str, mismatch: Mismatch) -> Error {
    let detail = mismatch.detail.unwrap_or_else(|| format!("expected {}, found {found}", kind.expected()));
    let error = Error::refused(format!("{name}: {detail}"));
    match mismatch.hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// The values of a run from what was given for it. Relative paths among them are relative to `cwd`.
pub(super) fn given(params: &[Param], given: &[(String, String)], cwd: &Path, file: &Arc<str>) -> (Value, Vec<Error>) {
    let mut values: Map<String, Value> =
        params.iter().filter_map(|param| Some((param.name.clone(), param.default.clone()?))).collect();
    let mut errors = Vec::new();
    for (index, (name, text)) in given.iter().enumerate() {
        let Some(param) = params.iter().find(|param| param.name == *name) else {
            errors.push(unknown(name, params));
            continue;
        };
        if given[..index].iter().any(|(earlier, _)| earlier == name) {
            errors.push(Error::refused(format!("`-p {name}` is given twice")).hint("give it once"));
            continue;
        }
        match param.kind.read(&as_given(text), cwd) {
            Ok(value) => {
                values.insert(name.clone(), value);
            }
            Err(mismatch) => {
                let found = if text.is_empty() { "an empty text".to_string() } else { format!("`{text}`") };
                errors.push(told(&format!("`-p {name}`"), param.kind, &found, mismatch));
            }
        }
    }
    for param in params {
        if !values.contains_key(&param.name) && !given.iter().any(|(name, _)| *name == param.name) {
            let error = Error::refused(format!("param `{}` has no default and is not given", param.name));
            errors.push(error.at(Some(param.at.in_file(file))).hint(format!("add `-p {}=…`", param.name)));
        }
    }
    // In the order of the file, whatever was given first.
    let ordered = params.iter().filter_map(|param| values.remove(&param.name).map(|value| (param.name.clone(), value)));
    (Value::Object(ordered.collect()), errors)
}

/// What is wrong with the params that tests give. What their schema already refuses is left out silently.
pub(super) fn in_tests(root: &Node, params: &[Param], file: &Arc<str>, base: &Path) -> Vec<Error> {
    let mut errors = Vec::new();
    let tests = match root.get("tests").map(|entry| &entry.value.kind) {
        Some(NodeKind::List(tests)) => tests.as_slice(),
        _ => &[],
    };
    for (index, test) in tests.iter().enumerate() {
        let given = test.get("params").map(|entry| entry.value.entries()).unwrap_or_default();
        for entry in given {
            let path = format!("`tests[{index}].params.{}`", entry.key);
            let Some(param) = params.iter().find(|param| param.name == entry.key) else {
                let error = Error::refused(format!("{path}: there is no param `{}`", entry.key));
                let near = nearest(&entry.key, params.iter().map(|param| param.name.as_str()));
                let error = near.into_iter().fold(error, |error, near| error.hint(format!("did you mean `{near}`?")));
                errors.push(error.at(Some(entry.key_at.in_file(file))));
                continue;
            };
            if let Some(Err(mismatch)) = entry.value.scalar().map(|scalar| param.kind.read(&as_given(&scalar.text), base)) {
                let error = told(&path, param.kind, &leaf::found(&entry.value), mismatch);
                errors.push(error.at(Some(entry.value.at.in_file(file))));
            }
        }
        let is_given = |name: &str| given.iter().any(|entry| entry.key == name);
        for param in params.iter().filter(|param| param.default.is_none() && !is_given(&param.name)) {
            let detail = format!("`tests[{index}]`: the param `{}` has no default and the test does not give it", param.name);
            let error = Error::refused(detail).at(Some(test.at.in_file(file)));
            errors.push(error.hint(format!("add `params: {{ {}: … }}` to the test", param.name)));
        }
    }
    errors
}

/// A text as it is given behind `-p`.
fn as_given(text: &str) -> Scalar {
    Scalar { text: text.to_string(), plain: !text.is_empty(), start: None }
}

fn unknown(name: &str, params: &[Param]) -> Error {
    let names = || params.iter().map(|param| param.name.as_str());
    let error = Error::refused(format!("there is no param `{name}`"));
    match (nearest(name, names()), params.is_empty()) {
        (Some(near), _) => error.hint(format!("did you mean `-p {near}=…`?")),
        (None, false) => error.hint(format!("params are {}", list(names(), 12))),
        (None, true) => error.hint("this workflow has no params, remove `-p`"),
    }
}

/// Whether values stored with a run are those of the declared params.
pub(super) fn stored(params: &[Param], values: &Value) -> Vec<Error> {
    let empty = Map::new();
    let map = values.as_object().unwrap_or(&empty);
    let unknown = map.keys().filter(|name| !params.iter().any(|param| param.name == **name));
    let mut errors: Vec<Error> =
        unknown.map(|name| Error::refused(format!("the stored param `{name}` is not declared"))).collect();
    for param in params {
        match map.get(&param.name) {
            None => errors.push(Error::refused(format!("param `{}` is not among the stored ones", param.name))),
            Some(value) if !param.kind.takes(value) => {
                let detail =
                    format!("the stored param `{}`: expected {}, found {}", param.name, param.kind.expected(), kind(value));
                errors.push(Error::refused(detail));
            }
            Some(_) => {}
        }
    }
    errors
}
