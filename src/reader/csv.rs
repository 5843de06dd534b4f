//! The fields of one CSV record: strictly, or as Step Functions reads them.

use std::borrow::Cow;

use memchr::memchr;
use serde_json::{Map, Value};

use super::split::escapable;

/// How the records of a file are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    pub delimiter: u8,
    pub strict: bool,
}

/// What is wrong with a record, as a lowercase fragment.
pub(super) type Wrong = String;

impl Dialect {
    /// Hands on each field, its quotes and escapes taken off; the number of fields.
    pub fn fields<'r>(self, record: &'r [u8], mut each: impl FnMut(Cow<'r, [u8]>)) -> Result<usize, Wrong> {
        let (mut rest, mut count) = (record, 0);
        // A delimiter at the end has an empty field behind it: the loop ends after a field, not at the end of the bytes.
        loop {
            count += 1;
            let (field, length) = if self.strict { self.strict_field(rest, count)? } else { self.lax_field(rest) };
            each(field);
            match rest.get(length) {
                Some(_) => rest = &rest[length + 1..],
                None => return Ok(count),
            }
        }
    }

    /// The first field, and how many bytes it takes.
    fn strict_field(self, rest: &[u8], number: usize) -> Result<(Cow<'_, [u8]>, usize), Wrong> {
        if rest.first() != Some(&b'"') {
            let field = &rest[..memchr(self.delimiter, rest).unwrap_or(rest.len())];
            return match memchr(b'"', field) {
                None => Ok((Cow::Borrowed(field), field.len())),
                Some(_) => Err(format!("a quote inside field {number}, which does not begin with one")),
            };
        }
        let mut field: Cow<'_, [u8]> = Cow::Borrowed(&[]);
        let mut at = 1;
        loop {
            let Some(quote) = memchr(b'"', &rest[at..]).map(|found| at + found) else {
                return Err(format!("the quote that opens field {number} is not closed"));
            };
            // Only a field with `""` in it is copied.
            let part = &rest[at..quote];
            if field.is_empty() {
                field = Cow::Borrowed(part);
            } else {
                field.to_mut().extend_from_slice(part);
            }
            at = quote + 1;
            match rest.get(at) {
                Some(b'"') => {
                    field.to_mut().push(b'"');
                    at += 1;
                }
                Some(next) if *next != self.delimiter => {
                    return Err(format!("text behind the closing quote of field {number}"));
                }
                _ => return Ok((field, at)),
            }
        }
    }

    fn lax_field(self, rest: &[u8]) -> (Cow<'_, [u8]>, usize) {
        let mut at = 0;
        let mut quoted = rest.first() == Some(&b'"');
        if !quoted {
            let end = rest.iter().position(|byte| *byte == self.delimiter || *byte == b'\\').unwrap_or(rest.len());
            if rest.get(end) != Some(&b'\\') {
                return (Cow::Borrowed(&rest[..end]), end);
            }
        } else {
            at = 1;
        }
        let mut field = Vec::new();
        while let Some(byte) = rest.get(at) {
            let next = rest.get(at + 1);
            match byte {
                b'\\' => match next {
                    Some(next) if escapable(*next, self.delimiter) => {
                        field.push(*next);
                        at += 1;
                    }
                    _ => {}
                },
                b'"' if quoted && next == Some(&b'"') => {
                    field.push(b'"');
                    at += 1;
                }
                b'"' if quoted => quoted = false,
                byte if *byte == self.delimiter && !quoted => break,
                byte => field.push(*byte),
            }
            at += 1;
        }
        (Cow::Owned(field), at)
    }

    /// The record as an item: an object of texts.
    pub fn item(self, record: &[u8], columns: &[String]) -> Result<Value, Wrong> {
        let mut item = Map::with_capacity(columns.len());
        let mut names = columns.iter();
        let mut not_utf8 = None;
        let mut number = 0;
        let count = self.fields(record, |field| {
            number += 1;
            let Some(name) = names.next() else { return };
            let text = match String::from_utf8(field.into_owned()) {
                Ok(text) => text,
                Err(error) => {
                    not_utf8.get_or_insert((number, error.utf8_error().valid_up_to()));
                    String::from_utf8_lossy(error.as_bytes()).into_owned()
                }
            };
            item.insert(name.clone(), Value::String(text));
        })?;
        if self.strict {
            if count != columns.len() {
                return Err(format!("{} in the row, {} in the header", counted(count), columns.len()));
            }
            if let Some((number, byte)) = not_utf8 {
                return Err(format!("field {number} is not UTF-8 from its byte {} on", byte + 1));
            }
        }
        for name in names {
            item.insert(name.clone(), Value::String(String::new()));
        }
        Ok(Value::Object(item))
    }

    /// How long the item is as compact JSON, in bytes. `names` is what the names, quotes, colons and braces take.
    pub fn json_len(self, record: &[u8], columns: usize, names: usize) -> usize {
        let mut length = names;
        let mut number = 0;
        let counted = self.fields(record, |field| {
            number += 1;
            if number <= columns {
                // Leniently read, what is not UTF-8 is replaced by something longer.
                length += if self.strict { escaped_len(&field) } else { escaped_len(String::from_utf8_lossy(&field).as_bytes()) };
            }
        });
        // A record that is no item takes no room in a batch but that of its own text.
        counted.map_or(record.len(), |_| length)
    }
}

/// The JSON of an object whose values are empty texts.
pub(super) fn names_len(columns: &[String]) -> usize {
    let names: usize = columns.iter().map(|name| escaped_len(name.as_bytes()) + r#""":"""#.len()).sum();
    2 + names + columns.len().saturating_sub(1)
}

/// How many bytes a text takes inside the quotes of JSON.
fn escaped_len(text: &[u8]) -> usize {
    let more = |byte: &u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 1,
        0..=0x1f => 5,
        _ => 0,
    };
    text.len() + text.iter().map(more).sum::<usize>()
}

fn counted(fields: usize) -> String {
    if fields == 1 { "1 field".to_string() } else { format!("{fields} fields") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const STRICT: Dialect = Dialect { delimiter: b',', strict: true };
    const LAX: Dialect = Dialect { delimiter: b',', strict: false };

    fn columns() -> Vec<String> {
        ["a", "b", "c"].map(String::from).to_vec()
    }

    #[test]
    fn fields_are_texts_with_their_quotes_taken_off() {
        for (record, expected) in [
            ("1,2,3", json!({ "a": "1", "b": "2", "c": "3" })),
            (",,", json!({ "a": "", "b": "", "c": "" })),
            ("\"x, y\",\"\"\"q\"\"\",\"\"", json!({ "a": "x, y", "b": "\"q\"", "c": "" })),
            ("\"two\r\nlines\", ,\"\"\"\"", json!({ "a": "two\r\nlines", "b": " ", "c": "\"" })),
        ] {
            assert_eq!(STRICT.item(record.as_bytes(), &columns()), Ok(expected), "{record}");
        }
    }

    #[test]
    fn strict_refuses_what_would_be_lost() {
        for (record, message) in [
            (&b"1,2"[..], "2 fields in the row, 3 in the header"),
            (b"1", "1 field in the row, 3 in the header"),
            (b"1,2,3,4", "4 fields in the row, 3 in the header"),
            (b"1,2\",3", "a quote inside field 2, which does not begin with one"),
            (b"1,\"2\" ,3", "text behind the closing quote of field 2"),
            (b"1,\"2", "the quote that opens field 2 is not closed"),
            (b"1,2,a\xff", "field 3 is not UTF-8 from its byte 2 on"),
        ] {
            assert_eq!(STRICT.item(record, &columns()), Err(message.to_string()));
        }
    }

    #[test]
    fn lax_reads_as_step_functions_does() {
        for (record, expected) in [
            (r"1,2", json!({ "a": "1", "b": "2", "c": "" })),
            (r"1,2,3,4", json!({ "a": "1", "b": "2", "c": "3" })),
            (r#"a\,b,\"q\",C:\temp\\x"#, json!({ "a": "a,b", "b": "\"q\"", "c": r"C:temp\x" })),
            (r#""a\"b","x""y","p"q"#, json!({ "a": "a\"b", "b": "x\"y", "c": "pq" })),
        ] {
            assert_eq!(LAX.item(record.as_bytes(), &columns()), Ok(expected), "{record}");
        }
    }

    #[test]
    fn the_length_is_that_of_the_compact_json() {
        let columns = vec!["a\"".to_string(), "ü".to_string(), "c".to_string()];
        for record in ["1,2,3", "\"x\"\"y\",\"\n\t\r\",\u{1}\\", ",,", "é,\"a,b\",/"] {
            let item = STRICT.item(record.as_bytes(), &columns).unwrap();
            let length = STRICT.json_len(record.as_bytes(), columns.len(), names_len(&columns));
            assert_eq!(length, item.to_string().len(), "{record:?}");
        }
        for record in ["1", "1,2,3,4", r"a\,b,\x"] {
            let item = LAX.item(record.as_bytes(), &columns).unwrap();
            assert_eq!(LAX.json_len(record.as_bytes(), 3, names_len(&columns)), item.to_string().len(), "{record:?}");
        }
    }
}
