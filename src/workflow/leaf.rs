//! A text of the file as a value of the kind that is meant there: `no` and `0123` stay texts where a text is meant.

use std::path::Path;

use serde_json::{Map, Number, Value};

use super::shape::{Kind, Leaf, Shape, words};
use super::tree::{Node, NodeKind, Scalar};
use crate::nearest::nearest;
use crate::units::{parse_bytes, parse_duration, parse_percent, parse_rate};

/// The hint for a number or a boolean in quotes.
pub(super) const NO_QUOTES: &str = "remove the quotes";

/// Why a text is not what is meant.
#[derive(Debug, Default)]
pub(super) struct Mismatch {
    /// A sentence of its own, in place of "expected …, found …".
    pub detail: Option<String>,
    pub hint: Option<String>,
}

impl Mismatch {
    fn said(detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), hint: None }
    }

    pub fn hint(hint: impl Into<String>) -> Self {
        Self { detail: None, hint: Some(hint.into()) }
    }
}

/// Reads `scalar` as a leaf of this kind. Relative paths are relative to `base`.
pub(super) fn read(scalar: &Scalar, leaf: Leaf, fields: &Map<String, Value>, base: &Path) -> Result<Value, Mismatch> {
    let text = scalar.text.as_str();
    match leaf {
        _ if scalar.is_absent() => Err(Mismatch::default()),
        Leaf::Text => read_text(text, fields, base),
        Leaf::Word => read_word(scalar, fields),
        Leaf::Boolean => match (text, scalar.plain) {
            ("true", true) => Ok(Value::Bool(true)),
            ("false", true) => Ok(Value::Bool(false)),
            ("true" | "false", false) => Err(Mismatch::hint(NO_QUOTES)),
            _ => Err(match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "y" | "true" => Mismatch::hint("write `true`"),
                "no" | "off" | "n" | "false" => Mismatch::hint("write `false`"),
                _ => Mismatch::default(),
            }),
        },
        Leaf::Integer | Leaf::Number => {
            let number = if leaf == Leaf::Integer { integer(text) } else { integer(text).or_else(|| float(text)) };
            let Some(number) = number else {
                return Err(wrong_number(text));
            };
            if !scalar.plain {
                return Err(Mismatch::hint(NO_QUOTES));
            }
            if in_range(&number, fields) { Ok(Value::Number(number)) } else { Err(Mismatch::default()) }
        }
    }
}

fn read_text(text: &str, fields: &Map<String, Value>, base: &Path) -> Result<Value, Mismatch> {
    let length = text.chars().count() as u64;
    let bound = |key| fields.get(key).and_then(Value::as_u64);
    if bound("minLength").is_some_and(|least| length < least) || bound("maxLength").is_some_and(|most| length > most) {
        return Err(Mismatch::default());
    }
    let said = |result: Result<Value, String>| result.map_err(Mismatch::said);
    let same = || Value::String(text.to_string());
    match fields.get("format").and_then(Value::as_str) {
        Some("fanfold-duration") => said(parse_duration(text).map(|_| same())),
        Some("fanfold-bytes") => said(parse_bytes(text).map(|_| same())),
        Some("fanfold-percent") => said(parse_percent(text).map(|_| same())),
        Some("fanfold-name") => said(name(text).map(|()| same())),
        Some("fanfold-path" | "fanfold-location") => said(absolute(text, base).map(Value::String)),
        Some("fanfold-database") => database(text, base).map(Value::String),
        Some("fanfold-rate") => said(parse_rate(text).map(|_| same())),
        Some("fanfold-url" | "uri" | "url") => url(text).map(Value::String),
        _ => Ok(same()),
    }
}

fn read_word(scalar: &Scalar, fields: &Map<String, Value>) -> Result<Value, Mismatch> {
    let words = words(fields);
    let known = words.iter().find(|word| match word {
        Value::String(word) => *word == scalar.text,
        other => scalar.plain && other.to_string() == scalar.text,
    });
    match known {
        Some(word) => Ok((*word).clone()),
        None => Err(match nearest(&scalar.text, words.iter().filter_map(|word| word.as_str())) {
            Some(word) => Mismatch::hint(format!("did you mean `{word}`?")),
            None => Mismatch::default(),
        }),
    }
}

/// An integer as YAML 1.2 has it, without leading zeros: `0123` means something else to everyone.
pub(super) fn integer(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let parsed = match unsigned.get(..2) {
        Some("0x") if unsigned == text => u64::from_str_radix(&text[2..], 16).ok(),
        Some("0o") if unsigned == text => u64::from_str_radix(&text[2..], 8).ok(),
        _ if unsigned.len() > 1 && unsigned.starts_with('0') => None,
        _ if !unsigned.bytes().all(|b| b.is_ascii_digit()) => None,
        _ => {
            return match text.strip_prefix('-') {
                Some(_) => text.parse::<i64>().ok().map(Number::from),
                None => unsigned.parse::<u64>().ok().map(Number::from),
            };
        }
    };
    // `from_str_radix` takes a sign of its own.
    parsed.filter(|_| text[2..].bytes().all(|b| b.is_ascii_alphanumeric())).map(Number::from)
}

/// A number with a point or an exponent, as YAML 1.2 has it.
pub(super) fn float(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(m, e)| (m, Some(e)));
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, ""), |parts| parts);
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let exponent = exponent.map(|exponent| exponent.strip_prefix(['-', '+']).unwrap_or(exponent));
    let fine = digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && !(whole.len() > 1 && whole.starts_with('0'))
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent));
    if fine { text.parse().ok().and_then(Number::from_f64) } else { None }
}

/// A scalar where any JSON is allowed, by the core rules of YAML 1.2.
pub(super) fn free(scalar: &Scalar) -> Value {
    if !scalar.plain {
        return Value::String(scalar.text.clone());
    }
    match scalar.text.as_str() {
        _ if scalar.is_null() => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        text => match integer(text).or_else(|| float(text)) {
            Some(number) => Value::Number(number),
            None => Value::String(text.to_string()),
        },
    }
}

fn wrong_number(text: &str) -> Mismatch {
    let without = text.replace(['_', ','], "");
    let plain = without.trim_start_matches('0');
    if plain != text && !plain.is_empty() && integer(plain).is_some() {
        return Mismatch::hint(format!("did you mean `{plain}`?"));
    }
    Mismatch::default()
}

fn in_range(number: &Number, fields: &Map<String, Value>) -> bool {
    // Compared as integers where both are: a float does not hold every u64.
    let order = |bound: &Number| match (number.as_i128(), bound.as_i128()) {
        (Some(number), Some(bound)) => Some(number.cmp(&bound)),
        _ => number.as_f64().zip(bound.as_f64()).and_then(|(number, bound)| number.partial_cmp(&bound)),
    };
    let bound = |key: &str| fields.get(key).and_then(Value::as_number).and_then(order);
    !bound("minimum").is_some_and(|order| order.is_lt())
        && !bound("maximum").is_some_and(|order| order.is_gt())
        && !bound("exclusiveMinimum").is_some_and(|order| order.is_le())
        && !bound("exclusiveMaximum").is_some_and(|order| order.is_ge())
}

/// A path of this machine as an absolute one; `s3://…` stays. `base` is absolute and without links.
pub(super) fn absolute(text: &str, base: &Path) -> Result<String, String> {
    if text.is_empty() {
        return Err("an empty text is not a path".to_string());
    }
    if text.contains('\0') {
        return Err("a path cannot hold a NUL character".to_string());
    }
    if text == "~" || text.starts_with("~/") {
        return Err(format!(
            "`{text}` begins with `~`, which only a shell reads: expected a path of this machine or `s3://bucket/…`"
        ));
    }
    if text.contains("://") {
        return match text.starts_with("s3://") {
            true => Ok(text.to_string()),
            false => Err(format!("`{text}` is not a path: expected a path of this machine or `s3://bucket/…`")),
        };
    }
    // Standard input.
    if text == "-" {
        return Ok(text.to_string());
    }
    let mut text = text.strip_prefix("./").unwrap_or(text);
    let mut base = base;
    // The base has no links in it, so the folder above it is the one above it in its text.
    while let (Some(rest), Some(above)) =
        (text.strip_prefix("..").filter(|rest| rest.is_empty() || rest.starts_with('/')), base.parent())
    {
        (text, base) = (rest.trim_start_matches('/'), above);
    }
    let path = if text.is_empty() || text == "." { base.to_path_buf() } else { base.join(text) };
    path.into_os_string().into_string().map_err(|_| format!("the folder `{}` has a name that is not UTF-8", base.display()))
}

/// The path of an SQLite file as an absolute one; the URL of another database, without a password, stays.
fn database(text: &str, base: &Path) -> Result<String, Mismatch> {
    const PASSWORD: &str = "take it out and set PGPASSWORD, or declare it under `secrets` and write `{{ secrets.NAME }}`";
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        let in_front = url::Url::parse(text).is_ok_and(|url| url.password().is_some());
        if in_front || text.contains("?password=") || text.contains("&password=") {
            let detail = "the URL has a password in it, which would be shown and stored with the run";
            return Err(Mismatch { detail: Some(detail.to_string()), hint: Some(PASSWORD.to_string()) });
        }
        return Ok(text.to_string());
    }
    let path = text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:")).unwrap_or(text);
    if path.contains("://") {
        let known = "expected the path of an SQLite file, or `postgres://user@host/database`";
        return Err(Mismatch::said(format!("`{path}` is no database that is known here: {known}")));
    }
    if path.is_empty() {
        return Err(Mismatch::said("an empty text is no database"));
    }
    absolute(path, base).map_err(Mismatch::said)
}

/// A URL of http or https without a password.
fn url(text: &str) -> Result<String, Mismatch> {
    // In front of an `@` there may be a password, which is not repeated.
    let shown = if text.contains('@') { "the text".to_string() } else { format!("`{text}`") };
    let wrong = |why: &str| Mismatch::said(format!("{shown} is not a URL: {why}, such as `https://api.example.com`"));
    let url = url::Url::parse(text).map_err(|_| wrong("expected one with a scheme and a host"))?;
    if url.password().is_some() {
        return Err(Mismatch {
            detail: Some("the URL has a password in it, which would be shown and stored with the run".to_string()),
            hint: Some("declare it: `secrets: { password: { env: PASSWORD } }`".to_string()),
        });
    }
    match url.scheme() {
        "http" | "https" => Ok(text.to_string()),
        _ => Err(wrong("expected `http` or `https`")),
    }
}

/// A workflow's name becomes part of AWS's names.
fn name(text: &str) -> Result<(), String> {
    let length = text.chars().count();
    if let Some(sign) = text.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_')) {
        return Err(format!("`{text}` has `{}` in it, a name is made of letters, digits, `-` and `_`", sign.escape_debug()));
    }
    match length {
        0 => Err("the name is empty".to_string()),
        1..=80 => Ok(()),
        _ => Err(format!("the name has {length} characters, at most 80 are allowed")),
    }
}

/// What is allowed, in words.
pub(super) fn expected(shape: &Shape<'_>) -> String {
    let mut parts: Vec<String> = Vec::new();
    for kind in &shape.kinds {
        let part = match kind {
            Kind::Free => "a value".to_string(),
            Kind::Object(_) => "a mapping".to_string(),
            Kind::List(_) => "a list".to_string(),
            Kind::Leaf(leaf, fields) => expected_leaf(*leaf, fields),
        };
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    let words: Vec<String> = parts.iter().filter(|part| part.starts_with('`')).cloned().collect();
    if words.len() > 1 {
        let others: Vec<String> = parts.into_iter().filter(|part| !part.starts_with('`')).collect();
        parts = std::iter::once(format!("one of {}", words.join(", "))).chain(others).collect();
    }
    if shape.expression {
        parts.push("an expression".to_string());
    }
    parts.join(" or ")
}

fn expected_leaf(leaf: Leaf, fields: &Map<String, Value>) -> String {
    let range = |unit: &str, least: Option<&Value>, most: Option<&Value>| match (least, most) {
        (Some(least), Some(most)) => format!(" from {} to {}{unit}", whole(least), whole(most)),
        (Some(least), None) if whole(least) != "0" => format!(" of at least {}{unit}", whole(least)),
        (None, Some(most)) => format!(" of at most {}{unit}", whole(most)),
        _ => String::new(),
    };
    let example = || match fields.get("examples").and_then(|examples| examples.get(0)).and_then(Value::as_str) {
        Some(example) => format!(" such as `{example}`"),
        None => String::new(),
    };
    match leaf {
        Leaf::Integer => format!("an integer{}", range("", fields.get("minimum"), fields.get("maximum"))),
        Leaf::Number => format!("a number{}", range("", fields.get("minimum"), fields.get("maximum"))),
        Leaf::Boolean => "`true` or `false`".to_string(),
        Leaf::Word => match words(fields).as_slice() {
            [one] => format!("`{}`", shown(one)),
            several => {
                format!("one of {}", several.iter().map(|word| format!("`{}`", shown(word))).collect::<Vec<_>>().join(", "))
            }
        },
        Leaf::Text => match fields.get("format").and_then(Value::as_str) {
            Some("fanfold-duration") => format!("a duration{}", example()),
            Some("fanfold-bytes") => format!("a size{}", example()),
            Some("fanfold-percent") => format!("a percentage{}", example()),
            Some("fanfold-path" | "fanfold-location") => format!("a path{}", example()),
            Some("fanfold-database") => "a database".to_string(),
            Some("fanfold-rate") => format!("a rate{}", example()),
            Some("fanfold-url" | "uri" | "url") => format!("a URL{}", example()),
            _ => {
                let length = range(" characters", fields.get("minLength"), fields.get("maxLength"));
                if length == " of at least 1 characters" {
                    "a text that is not empty".to_string()
                } else {
                    format!("a text{length}")
                }
            }
        },
    }
}

fn shown(word: &Value) -> String {
    word.as_str().map_or_else(|| word.to_string(), str::to_string)
}

/// `1.0` as `1`.
fn whole(number: &Value) -> String {
    match number.as_f64() {
        Some(float) if float.fract() == 0.0 && number.is_f64() => format!("{float}"),
        _ => number.to_string(),
    }
}

/// What was found, in words.
pub(super) fn found(node: &Node) -> String {
    let text = match &node.kind {
        NodeKind::List(_) => "a list".to_string(),
        NodeKind::Map(_) => "a mapping".to_string(),
        NodeKind::Scalar(scalar) if scalar.is_absent() => "nothing".to_string(),
        NodeKind::Scalar(scalar) => {
            let mut text: String = scalar.text.chars().take(60).collect();
            if text.len() < scalar.text.len() {
                text.push('…');
            }
            let text = text.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'");
            match (scalar.plain, text.is_empty()) {
                (_, true) => "an empty text".to_string(),
                (true, false) => format!("`{text}`"),
                (false, false) => format!("the text `{text}`"),
            }
        }
    };
    match &node.origin {
        Some(origin) => format!("{text} from `{origin}`"),
        None => text,
    }
}
