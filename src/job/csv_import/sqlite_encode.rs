//! [`SqliteEncoder`]: values as SQLite keeps them. Nothing is kept that it would change.

use rusqlite::types::ValueRef;

use super::cell::{Cell, write_date, write_uuid, written};
use super::target::Encode;

/// What a column of SQLite makes of what is put into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Affinity {
    Text,
    Numeric,
    Integer,
    Real,
    /// Nothing: it keeps what it is given.
    None,
}

/// The most digits of a number that comes back from a float as it was.
const FLOAT_DIGITS: u32 = 15;

impl Affinity {
    /// Of a declared type, by SQLite's own rules.
    pub fn of(declared: &str) -> Self {
        let upper = declared.to_ascii_uppercase();
        let has = |part: &str| upper.contains(part);
        if has("INT") {
            Self::Integer
        } else if has("CHAR") || has("CLOB") || has("TEXT") {
            Self::Text
        } else if has("BLOB") || upper.is_empty() || upper == "ANY" {
            Self::None
        } else if has("REAL") || has("FLOA") || has("DOUB") {
            Self::Real
        } else {
            Self::Numeric
        }
    }
}

/// The table's columns.
#[derive(Debug)]
pub(super) struct SqliteEncoder {
    pub columns: Vec<(Affinity, bool)>,
}

const NULL: u8 = 0;
const INTEGER: u8 = 1;
const REAL: u8 = 2;
const TEXT: u8 = 3;
const BLOB: u8 = 4;

impl Encode for SqliteEncoder {
    fn begin(&self, _: u64, _: &mut Vec<u8>) {}

    fn keeps_texts(&self, _: usize) -> bool {
        true
    }

    fn text(&self, value: &str, _: bool, out: &mut Vec<u8>) -> bool {
        text(out, value);
        true
    }

    fn cell(&self, column: usize, cell: &Cell<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        let (affinity, not_null) = self.columns[column];
        match cell {
            Cell::Null if not_null => return Err("has no value, and the table wants one (NOT NULL)".to_string()),
            Cell::Null => out.push(NULL),
            Cell::Integer(number) => {
                out.push(INTEGER);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Cell::Boolean(is) => {
                out.push(INTEGER);
                out.extend_from_slice(&i64::from(*is).to_le_bytes());
            }
            Cell::Float(number) if number.is_nan() => return Err("not a number, which SQLite cannot keep".to_string()),
            Cell::Float(number) => {
                out.push(REAL);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Cell::Decimal(number) => {
                let exact = matches!(affinity, Affinity::Text | Affinity::None);
                if !exact && number.digits() > FLOAT_DIGITS && !(affinity != Affinity::Real && number.integer().is_some()) {
                    return Err(format!(
                        "more than the {FLOAT_DIGITS} digits that SQLite keeps in a column of this type; one of type TEXT keeps all"
                    ));
                }
                text_by(out, |out| number.write(out));
            }
            Cell::Text(value) => text(out, value),
            Cell::Date(days) => text_by(out, |out| write_date(out, *days)),
            Cell::Timestamp(moment) => text_by(out, |out| moment.write(out)),
            Cell::Uuid(uuid) => text_by(out, |out| write_uuid(out, *uuid)),
            Cell::Bytes(bytes) => {
                out.push(BLOB);
                blob(out, bytes);
            }
            Cell::Array(cells) => {
                let values: Vec<serde_json::Value> = cells.iter().map(json).collect();
                text(out, &serde_json::Value::Array(values).to_string());
            }
        }
        Ok(())
    }
}

fn text(out: &mut Vec<u8>, value: &str) {
    out.push(TEXT);
    blob(out, value.as_bytes());
}

fn blob(out: &mut Vec<u8>, bytes: &[u8]) {
    // No value is longer than a row, and no row longer than 8 MiB.
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// A text whose length is known once it is written.
fn text_by(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&[TEXT, 0, 0, 0, 0]);
    let begin = out.len();
    write(out);
    let length = (out.len() - begin) as u32;
    out[begin - 4..begin].copy_from_slice(&length.to_le_bytes());
}

/// An element of an array, as JSON: what JSON cannot keep exactly is a text.
fn json(cell: &Cell<'_>) -> serde_json::Value {
    use serde_json::Value;
    match cell {
        Cell::Null | Cell::Array(_) => Value::Null,
        Cell::Integer(number) => Value::from(*number),
        Cell::Float(number) => Value::from(*number),
        Cell::Boolean(is) => Value::from(*is),
        Cell::Decimal(number) => Value::from(written(|out| number.write(out))),
        Cell::Text(text) => Value::from(text.as_ref()),
        Cell::Date(days) => Value::from(written(|out| write_date(out, *days))),
        Cell::Timestamp(moment) => Value::from(written(|out| moment.write(out))),
        Cell::Uuid(uuid) => Value::from(written(|out| write_uuid(out, *uuid))),
        Cell::Bytes(bytes) => Value::from(hex::encode(bytes)),
    }
}

/// The values of a row, as they were written.
pub(super) struct Values<'a>(&'a [u8]);

impl<'a> Values<'a> {
    pub fn of(row: &'a [u8]) -> Self {
        Self(row)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn run(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(self.take()?) as usize;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = ValueRef<'a>;

    fn next(&mut self) -> Option<ValueRef<'a>> {
        let [tag] = self.take()?;
        Some(match tag {
            INTEGER => ValueRef::Integer(i64::from_le_bytes(self.take()?)),
            REAL => ValueRef::Real(f64::from_le_bytes(self.take()?)),
            TEXT => ValueRef::Text(self.run()?),
            BLOB => ValueRef::Blob(self.run()?),
            _ => ValueRef::Null,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::decimal::NumberFormat;
    use super::super::moment::TimeFormat;
    use super::super::read::Reader;
    use super::*;

    #[test]
    fn what_is_kept_as_it_is_would_be_written_so() {
        let readers = [
            Reader::Uuid,
            Reader::Decimal(vec![NumberFormat::PLAIN]),
            Reader::Timestamp { formats: vec![TimeFormat::Iso], zone: Some(3600) },
        ];
        let seeds = ["6f9619ff-8b86-d011-b42d-00c04fc964ff", "-1234567890.12345", "2024-02-29T23:59:59Z", "0.50", "-0", "0", "7"];
        let encoder = SqliteEncoder { columns: vec![(Affinity::Numeric, false)] };
        let mut random = fastrand::Rng::with_seed(11);
        let mut kept = [0; 3];
        for _ in 0..60_000 {
            let mut text = random.choice(seeds).unwrap().to_string();
            for _ in 0..random.usize(0..3) {
                let at = random.usize(0..=text.len());
                let piece = random.choice(["0", "9", "6", "a", "F", "-", ".", "T", " ", "Z", ":", "e1", ""]).unwrap();
                let end = (at + random.usize(0..=1)).min(text.len());
                text.replace_range(at..end, piece);
            }
            for (reader, kept) in readers.iter().zip(&mut kept) {
                if !reader.is_written_so(&text) {
                    continue;
                }
                *kept += 1;
                let (mut as_it_is, mut read) = (Vec::new(), Vec::new());
                assert!(encoder.text(&text, false, &mut as_it_is));
                let cell = reader.text(text.as_str().into()).unwrap_or_else(|wrong| panic!("`{text}` is {wrong}"));
                encoder.cell(0, &cell, &mut read).unwrap();
                assert_eq!(as_it_is, read, "{text}");
            }
        }
        assert!(kept.iter().all(|kept| *kept > 1000), "{kept:?}");
    }
}
