//! [`Reader`]: the text of a file, or a JSON value, as a [`Cell`] of its kind.

use std::borrow::Cow;

use base64::alphabet;
use base64::engine::{DecodePaddingMode, Engine, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use super::booleans::BooleanWords;
use super::cell::Cell;
use super::decimal::{Decimal38, NumberFormat};
use super::moment::{self, TimeFormat, Written};

/// How values of one column are read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reader {
    Text,
    Integer(Vec<NumberFormat>),
    Decimal(Vec<NumberFormat>),
    Float(Vec<NumberFormat>),
    Boolean(BooleanWords),
    Date(Vec<TimeFormat>),
    Timestamp {
        formats: Vec<TimeFormat>,
        /// The zone of texts that say none, in seconds east of Greenwich.
        zone: Option<i32>,
    },
    Json,
    Uuid,
    Hex,
    Base64,
    Enum(Vec<String>),
    Array {
        of: Box<Reader>,
        /// What stands between the elements; without, they are JSON.
        separator: Option<String>,
    },
}

impl Reader {
    /// Reads a text; the error is a lowercase fragment that says what it is not.
    pub fn text<'t>(&self, text: Cow<'t, str>) -> Result<Cell<'t>, String> {
        match self {
            Self::Text => Ok(Cell::Text(text)),
            Self::Integer(formats) => integer(formats, &text).map(Cell::Integer),
            Self::Decimal(formats) => {
                plain(formats, &text, |plain| Decimal38::parse(plain).map_err(str::to_string)).map(Cell::Decimal)
            }
            Self::Float(formats) => plain(formats, &text, float).map(Cell::Float),
            Self::Boolean(words) => words.read(&text).map(Cell::Boolean).ok_or_else(|| "no word for yes or no".to_string()),
            Self::Date(formats) => time(formats, &text, Written::date).map(Cell::Date),
            Self::Timestamp { formats, zone } => time(formats, &text, |written| Some(written.moment(*zone))).map(Cell::Timestamp),
            Self::Json => match serde_json::from_str::<&serde_json::value::RawValue>(&text) {
                Ok(_) => Ok(Cell::Text(text)),
                Err(error) => Err(format!("not JSON: {error}")),
            },
            Self::Uuid => uuid(&text).map(Cell::Uuid).ok_or_else(|| "not a UUID".to_string()),
            Self::Hex => hex(&text).map(Cell::Bytes).ok_or_else(|| "not bytes in hexadecimal".to_string()),
            Self::Base64 => base64(&text).map(Cell::Bytes).ok_or_else(|| "not bytes in base64".to_string()),
            Self::Enum(values) if values.iter().any(|value| *value == text) => Ok(Cell::Text(text)),
            Self::Enum(values) => Err(format!("none of {}", crate::nearest::list(values.iter().map(String::as_str), 12))),
            Self::Array { of, separator } => array(of, separator.as_deref(), &text),
        }
    }

    /// Whether the text is a value, written as it would be written again: there is nothing to be made of it. Seen at a glance; a
    /// text of which this cannot be seen is read.
    pub fn is_written_so(&self, text: &str) -> bool {
        match self {
            Self::Text => true,
            Self::Uuid => is_lowercase_uuid(text.as_bytes()),
            Self::Decimal(formats) => matches!(formats.as_slice(), [NumberFormat::PLAIN]) && is_short_decimal(text.as_bytes()),
            Self::Timestamp { formats, .. } => matches!(formats.as_slice(), [TimeFormat::Iso]) && moment::is_exact(text),
            _ => false,
        }
    }

    /// Reads a value of JSON, as an expression or another kind of file gives it.
    pub fn value<'v>(&self, value: &'v Value) -> Result<Cell<'v>, String> {
        match (self, value) {
            (_, Value::Null) => Ok(Cell::Null),
            (Self::Json, Value::String(text)) => self.text(Cow::Borrowed(text)),
            (Self::Json, other) => Ok(Cell::Text(other.to_string().into())),
            (_, Value::String(text)) => self.text(Cow::Borrowed(text)),
            (Self::Boolean(_), Value::Bool(is)) => Ok(Cell::Boolean(*is)),
            (Self::Array { of, .. }, Value::Array(values)) => {
                values.iter().map(|value| of.value(value)).collect::<Result<_, _>>().map(Cell::Array)
            }
            // Numbers of JSON are written as computers write them, whatever the file's format is.
            (Self::Integer(_), Value::Number(number)) => integer(&[NumberFormat::PLAIN], &number.to_string()).map(Cell::Integer),
            (Self::Decimal(_), Value::Number(number)) => {
                Decimal38::parse(&number.to_string()).map(Cell::Decimal).map_err(str::to_string)
            }
            (Self::Float(_), Value::Number(number)) => number.as_f64().map(Cell::Float).ok_or_else(|| "not a number".to_string()),
            (_, Value::Number(_) | Value::Bool(_)) => self.text(Cow::Owned(value.to_string())),
            (_, Value::Array(_)) => Err("a list".to_string()),
            (_, Value::Object(_)) => Err("a mapping".to_string()),
        }
    }
}

/// Reads the text in the first format that fits.
fn plain<T>(formats: &[NumberFormat], text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<T, String> {
    let mut wrong = None;
    for format in formats {
        let result = if *format == NumberFormat::PLAIN {
            read(text)
        } else {
            format.plain(text).ok_or_else(|| "not written as a number of this format".to_string()).and_then(|plain| read(&plain))
        };
        match result {
            Ok(value) => return Ok(value),
            Err(error) => wrong = wrong.or(Some(error)),
        }
    }
    Err(wrong.unwrap_or_default())
}

fn integer(formats: &[NumberFormat], text: &str) -> Result<i64, String> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    plain(formats, text, |plain| {
        let number = Decimal38::parse(plain).map_err(|_| "not an integer".to_string())?.trimmed();
        if number.places > 0 {
            return Err("not an integer, it has a fraction".to_string());
        }
        number.integer().ok_or_else(|| format!("out of range, an integer is from {} to {}", i64::MIN, i64::MAX))
    })
}

fn float(text: &str) -> Result<f64, String> {
    // What Rust reads beside digits: `inf`, `NaN` and their like, which are numbers of PostgreSQL as well.
    let number: f64 = text.parse().map_err(|_| "not a number".to_string())?;
    if number.is_finite() {
        return Ok(number);
    }
    let said_so = text.bytes().any(|byte| byte.is_ascii_alphabetic() && !matches!(byte, b'e' | b'E'));
    if said_so { Ok(number) } else { Err("too large for a float".to_string()) }
}

fn time<T>(formats: &[TimeFormat], text: &str, take: impl Fn(Written) -> Option<T>) -> Result<T, String> {
    formats.iter().find_map(|format| format.read(text).and_then(&take)).ok_or_else(|| {
        let shown: Vec<String> = formats.iter().map(|format| format!("`{}`", format.shown())).collect();
        format!("not written as {}, or no day of the calendar", shown.join(" or "))
    })
}

/// `6f9619ff-8b86-d011-b42d-00c04fc964ff`.
fn is_lowercase_uuid(text: &[u8]) -> bool {
    let Ok(text) = <&[u8; 36]>::try_from(text) else { return false };
    let mut fine = true;
    for (at, byte) in text.iter().enumerate() {
        let is_sign = matches!(at, 8 | 13 | 18 | 23);
        fine &= if is_sign { *byte == b'-' } else { byte.is_ascii_digit() | matches!(byte, b'a'..=b'f') };
    }
    fine
}

/// Digits with at most one point between them and no zeros in front, as few as a float keeps.
fn is_short_decimal(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.is_empty()
        || digits.len() > 16
        || digits.len() < text.len() && digits.iter().all(|byte| matches!(byte, b'0' | b'.'))
    {
        return false;
    }
    let point = memchr::memchr(b'.', digits);
    let whole = &digits[..point.unwrap_or(digits.len())];
    let fraction = point.map_or(&[][..], |at| &digits[at + 1..]);
    let fine = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    let count = whole.len() + fraction.len();
    (whole == b"0" || whole.first().is_some_and(|byte| *byte != b'0'))
        && point.is_none_or(|at| at + 1 < digits.len())
        && count <= 15
        && fine(whole)
        && fine(fraction)
}

/// With hyphens or without, in braces, or as a URN.
fn uuid(text: &str) -> Option<u128> {
    uuid::Uuid::try_parse(text).ok().map(|uuid| uuid.as_u128())
}

fn hex(text: &str) -> Option<Vec<u8>> {
    hex::decode(text.strip_prefix("\\x").or_else(|| text.strip_prefix("0x")).unwrap_or(text)).ok()
}

/// In either alphabet, with padding or without.
fn base64(text: &str) -> Option<Vec<u8>> {
    const ANY_PADDING: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, ANY_PADDING);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, ANY_PADDING);
    let engine = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    engine.decode(text).ok()
}

fn array(of: &Reader, separator: Option<&str>, text: &str) -> Result<Cell<'static>, String> {
    let owned = |cell: Cell<'_>| match cell {
        Cell::Text(text) => Cell::Text(Cow::Owned(text.into_owned())),
        Cell::Null => Cell::Null,
        Cell::Integer(number) => Cell::Integer(number),
        Cell::Decimal(number) => Cell::Decimal(number),
        Cell::Float(number) => Cell::Float(number),
        Cell::Boolean(is) => Cell::Boolean(is),
        Cell::Date(days) => Cell::Date(days),
        Cell::Timestamp(moment) => Cell::Timestamp(moment),
        Cell::Uuid(uuid) => Cell::Uuid(uuid),
        Cell::Bytes(bytes) => Cell::Bytes(bytes),
        // Arrays of arrays are refused when the workflow is checked.
        Cell::Array(_) => Cell::Null,
    };
    let element = |number: usize, cell: Result<Cell<'_>, String>| {
        cell.map(owned).map_err(|wrong| format!("element {} is {wrong}", number + 1))
    };
    if let Some(separator) = separator {
        if text.is_empty() {
            return Ok(Cell::Array(Vec::new()));
        }
        let elements = text.split(separator).enumerate().map(|(at, part)| element(at, of.text(part.trim().into())));
        return elements.collect::<Result<_, _>>().map(Cell::Array);
    }
    let values: Vec<Value> = serde_json::from_str(text).map_err(|error| format!("not a list of JSON: {error}"))?;
    values.iter().enumerate().map(|(at, value)| element(at, of.value(value))).collect::<Result<_, _>>().map(Cell::Array)
}
