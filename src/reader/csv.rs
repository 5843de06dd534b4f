//! [`Table`]: the rows of a CSV file as items.

use std::sync::Arc;

use memchr::{memchr, memchr2};
use serde_json::{Map, Value};

use super::csv_config::check_names;
use super::encoding::Encoding;
use super::fields::{Dialect, Wrong};
use super::input::CsvFormat;
use crate::row_block::{RowBlock, RowWriter};

/// The columns that fanfold itself writes beside those of a row that failed. They are no data.
pub const OWN_COLUMNS: [&str; 4] = ["_fanfold_item", "_fanfold_line", "_fanfold_error", "_fanfold_reason"];

/// How the rows of a file become items.
#[derive(Debug)]
pub(super) struct Table {
    pub dialect: Dialect,
    columns: Arc<[String]>,
    /// Which fields of a row are fanfold's own, in ascending order.
    own: Vec<usize>,
    /// Which of them says what the item is called.
    item: Option<usize>,
    /// What the JSON of an item takes whose values are empty texts.
    names_len: usize,
}

impl Table {
    pub fn new(format: &CsvFormat) -> Self {
        let CsvFormat { columns, own, item, .. } = format;
        let columns: Arc<[String]> = columns.as_slice().into();
        Self { dialect: format.dialect(), names_len: names_len(&columns), columns, own: own.clone(), item: *item }
    }

    /// An empty block for rows of this table.
    pub fn block(&self, rows: usize, bytes: usize) -> RowBlock {
        RowBlock::with_capacity(Arc::clone(&self.columns), rows, bytes)
    }

    fn width(&self) -> usize {
        self.columns.len() + self.own.len()
    }

    fn is_own(&self, number: usize) -> bool {
        !self.own.is_empty() && self.own.contains(&number)
    }

    /// The record as an item: an object of texts and nulls.
    pub fn item(&self, record: &[u8]) -> Result<Value, Wrong> {
        let mut item = Map::with_capacity(self.columns.len());
        let mut names = self.columns.iter();
        let mut not_text = None;
        let mut number = 0;
        let count = self.dialect.fields(record, |field| {
            number += 1;
            if self.is_own(number - 1) {
                return;
            }
            let Some(name) = names.next() else { return };
            let value = match field.map(|field| String::from_utf8(field.into_owned())) {
                None => Value::Null,
                Some(Ok(text)) => Value::String(text),
                Some(Err(error)) => {
                    let bytes = error.as_bytes();
                    let fine = String::from_utf8_lossy(&bytes[..error.utf8_error().valid_up_to()]).chars().count();
                    not_text.get_or_insert((number, fine + 1));
                    Value::String(String::from_utf8_lossy(bytes).into_owned())
                }
            };
            item.insert(name.clone(), value);
        })?;
        if self.dialect.strict {
            if count != self.width() {
                return Err(format!("{} in the row, {} in the header", counted(count), self.width()));
            }
            if let Some((number, character)) = not_text {
                let encoding = self.dialect.encoding.name();
                let maybe = if self.dialect.encoding == Encoding::Utf8 { " (is it `encoding: windows-1252`?)" } else { "" };
                return Err(format!("field {number} is not {encoding} from its character {character} on{maybe}"));
            }
        }
        let missing = if self.dialect.is_null(b"") { Value::Null } else { Value::String(String::new()) };
        for name in names {
            item.insert(name.clone(), missing.clone());
        }
        Ok(Value::Object(item))
    }

    /// The record as a row of a block: the same fields as those of [`Table::item`].
    pub fn write_row(&self, record: &[u8], row: &mut RowWriter<'_>) -> Result<(), Wrong> {
        let is_plain = self.dialect.strict && !self.dialect.trim && self.own.is_empty();
        match str::from_utf8(record) {
            Ok(text) if is_plain => match self.write_plain(text, row) {
                Some(()) => Ok(()),
                // What is wrong is found out by who has the words for it.
                None => Err(self.item(record).err().unwrap_or_else(|| "not a row of this table".to_string())),
            },
            _ => {
                let item = self.item(record)?;
                for name in &*self.columns {
                    match item.get(name) {
                        Some(Value::String(text)) => {
                            row.append(text);
                            row.end_field();
                        }
                        _ => row.null(),
                    }
                }
                Ok(())
            }
        }
    }

    /// A row strictly read, where blanks count and every field is data; `None` if something is wrong with it.
    fn write_plain(&self, text: &str, row: &mut RowWriter<'_>) -> Option<()> {
        let (bytes, delimiter) = (text.as_bytes(), self.dialect.delimiter);
        let has_nulls = !self.dialect.null.is_empty();
        let mut at = 0;
        for number in 1.. {
            if bytes.get(at) == Some(&b'"') {
                at += 1;
                loop {
                    let quote = at + memchr(b'"', &bytes[at..])?;
                    row.append(&text[at..quote]);
                    at = quote + 1;
                    if bytes.get(at) != Some(&b'"') {
                        break;
                    }
                    row.append("\"");
                    at += 1;
                }
                row.end_field();
            } else {
                let end = memchr2(delimiter, b'"', &bytes[at..]).map_or(bytes.len(), |found| at + found);
                let field = &text[at..end];
                if has_nulls && self.dialect.is_null(field.as_bytes()) {
                    row.null();
                } else {
                    row.append(field);
                    row.end_field();
                }
                at = end;
            }
            match bytes.get(at) {
                None if number == self.columns.len() => return Some(()),
                Some(byte) if *byte == delimiter && number < self.columns.len() => at += 1,
                _ => break,
            }
        }
        None
    }

    /// How long the item is as compact JSON at most, in bytes. Cheap: the fields are not looked for.
    pub fn json_len_at_most(&self, record: &[u8]) -> usize {
        // What is more inside of JSON than in the file: control characters take six bytes, a backslash two. A quote takes two in both.
        let more: usize = record.chunks(128).map(more_in_json).sum();
        // A quote alone, or bytes that are no text, are in no item that is strictly read; leniently read they take more.
        let lenient = if self.dialect.strict { 0 } else { record.len() * 2 };
        let nulls = if self.dialect.null.is_empty() { 0 } else { 2 * self.columns.len() };
        self.names_len + record.len() + more + lenient + nulls
    }

    /// What the column `_fanfold_item` calls the item; `None` if there is no such column, or nothing in it.
    pub fn name(&self, record: &[u8]) -> Option<String> {
        let wanted = self.item?;
        let (mut number, mut name) = (0, None);
        // What stands in front of a mistake counts.
        let _ = self.dialect.fields(record, |field| {
            if number == wanted {
                name = field.and_then(|field| String::from_utf8(field.into_owned()).ok());
            }
            number += 1;
        });
        name.filter(|name| !name.trim().is_empty())
    }

    /// The record as it is written, without fanfold's own columns; `None` if it cannot be read.
    pub fn without_own(&self, record: &[u8]) -> Option<Vec<u8>> {
        if self.own.is_empty() {
            return Some(record.to_vec());
        }
        let mut kept: Vec<&[u8]> = Vec::new();
        let mut number = 0;
        let read = self.dialect.raw_fields(record, |field| {
            if !self.is_own(number) {
                kept.push(field);
            }
            number += 1;
        });
        read.ok().map(|_| kept.join(&self.dialect.delimiter))
    }

    /// How long the item is as compact JSON, in bytes.
    pub fn json_len(&self, record: &[u8]) -> usize {
        let mut length = self.names_len;
        let (mut number, mut named) = (0, 0);
        let counted = self.dialect.fields(record, |field| {
            number += 1;
            if self.is_own(number - 1) || named == self.columns.len() {
                return;
            }
            named += 1;
            length += match field {
                // `null` in place of `""`.
                None => 2,
                Some(field) if self.dialect.strict => escaped_len(&field),
                // Leniently read, what is not UTF-8 is replaced by something longer.
                Some(field) => escaped_len(String::from_utf8_lossy(&field).as_bytes()),
            };
        });
        if self.dialect.is_null(b"") {
            length += 2 * (self.columns.len() - named);
        }
        // A record that is no item takes no room in a batch but that of its own text.
        counted.map_or(record.len(), |_| length)
    }
}

/// A header as read: what is data, and what is fanfold's own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub names: Vec<String>,
    pub own: Vec<usize>,
    pub item: Option<usize>,
}

impl Columns {
    /// The names of a header.
    pub fn of(all: Vec<String>) -> Result<Self, Wrong> {
        check_names(&all)?;
        let item = all.iter().position(|name| name == OWN_COLUMNS[0]);
        let (mut names, mut own) = (Vec::new(), Vec::new());
        for (number, name) in all.into_iter().enumerate() {
            if OWN_COLUMNS.contains(&name.as_str()) { own.push(number) } else { names.push(name) }
        }
        if names.is_empty() {
            return Err("the header has only columns of fanfold's own".to_string());
        }
        Ok(Self { names, own, item })
    }

    /// A record as the names of columns; if it is none, with the action that helps.
    pub fn read(record: &[u8], dialect: &Dialect) -> Result<Self, (Wrong, &'static str)> {
        const NO_HEADER: &str = "correct it in the file; if the file has no header, give the names: `header: [id, name]`";
        const NO_NAME: &str = "give it one in the file; if the file has no header, give all names: `header: [id, name]`";
        const NO_TEXT: &str = "if it is text, `encoding` says how it is written: `utf-8`, `utf-16`, `windows-1252`";
        if let Some(other) = something_else(record) {
            return Err(other);
        }
        let mut names = Vec::new();
        let mut not_text = None;
        // A name is a name, also one that stands for null in a row.
        let dialect = Dialect { null: Vec::new(), ..dialect.clone() };
        dialect
            .fields(record, |field| match String::from_utf8(field.unwrap_or_default().into_owned()) {
                Ok(name) => names.push(name),
                Err(_) => not_text = not_text.or(Some(names.len() + 1)),
            })
            .map_err(|wrong| (format!("the header cannot be read: {wrong}"), NO_HEADER))?;
        if let Some(number) = not_text {
            return Err((format!("name {number} of the header is not {}", dialect.encoding.name()), NO_TEXT));
        }
        // Zeros are what is left of a file that was being written when the power went, or another kind of file.
        if let Some(number) = names.iter().position(|name| name.contains('\0')) {
            return Err((format!("name {} of the header has a NUL character in it: this is no text", number + 1), NO_TEXT));
        }
        Self::of(names).map_err(|wrong| {
            let hint = if wrong.ends_with("no name in the header") { NO_NAME } else { NO_HEADER };
            (wrong, hint)
        })
    }
}

/// What a first row is that is no header though its fields could be read.
fn something_else(record: &[u8]) -> Option<(Wrong, &'static str)> {
    let begins = |starts: &[&str]| {
        starts.iter().any(|start| record.len() >= start.len() && record[..start.len()].eq_ignore_ascii_case(start.as_bytes()))
    };
    if begins(&["{\"", "[{", "[\""]) || matches!(record.trim_ascii(), b"{" | b"[") {
        return Some((
            "the first row begins as JSON does".to_string(),
            "`items.json` reads an array, `items.jsonl` a document on each line",
        ));
    }
    if begins(&["<!", "<?", "<html"]) {
        let hint = "look into the file and fetch it again: it may be the page of an error";
        return Some(("the first row begins as a web page or XML does".to_string(), hint));
    }
    if begins(&["sep="]) && record.len() <= "sep=;".len() {
        let shown = String::from_utf8_lossy(record).into_owned();
        return Some((
            format!("the first row is `{shown}`, which tells a spreadsheet what is between the fields"),
            "take this line out",
        ));
    }
    None
}

/// The JSON of an object whose values are empty texts.
fn names_len(columns: &[String]) -> usize {
    let names: usize = columns.iter().map(|name| escaped_len(name.as_bytes()) + r#""":"""#.len()).sum();
    2 + names + columns.len().saturating_sub(1)
}

/// How many bytes more a part of a record, of less than 256 bytes, takes in JSON at most.
fn more_in_json(part: &[u8]) -> usize {
    // Counted in bytes, many are looked at at once.
    fn count(part: &[u8], is: impl Fn(u8) -> bool) -> usize {
        part.iter().fold(0u8, |count, byte| count + u8::from(is(*byte))).into()
    }
    5 * count(part, |byte| byte < 0x20) + count(part, |byte| byte == b'\\')
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

    use super::super::fields::tests::dialect;
    use super::*;

    fn table(strict: bool, names: &[&str]) -> Table {
        let Columns { names, own, item } = Columns::of(names.iter().map(ToString::to_string).collect()).unwrap();
        Table { names_len: names_len(&names), dialect: dialect(strict), columns: names.into(), own, item }
    }

    fn abc(strict: bool) -> Table {
        table(strict, &["a", "b", "c"])
    }

    #[test]
    fn fields_are_texts_with_their_quotes_taken_off() {
        for (record, expected) in [
            ("1,2,3", json!({ "a": "1", "b": "2", "c": "3" })),
            (",,", json!({ "a": "", "b": "", "c": "" })),
            ("\"x, y\",\"\"\"q\"\"\",\"\"", json!({ "a": "x, y", "b": "\"q\"", "c": "" })),
            ("\"two\r\nlines\", ,\"\"\"\"", json!({ "a": "two\r\nlines", "b": " ", "c": "\"" })),
        ] {
            assert_eq!(abc(true).item(record.as_bytes()), Ok(expected), "{record}");
        }
    }

    #[test]
    fn strict_refuses_what_would_be_lost() {
        for (record, message) in [
            (&b"1,2"[..], "2 fields in the row, 3 in the header"),
            (b"1", "1 field in the row, 3 in the header"),
            (b"1,2,3,4", "4 fields in the row, 3 in the header"),
            (b"1,2\",3", "a quote inside field 2, which does not begin with one"),
            (b"1,\"2\" ,3", "a blank behind the closing quote of field 2 (`trim: true` takes it off)"),
            (b"1,\"2\"x,3", "text behind the closing quote of field 2 (a quote inside of quotes is written twice)"),
            (b"1, \"2\",3", "a blank in front of the quote that opens field 2 (`trim: true` takes it off)"),
            (b"1,\"2", "the quote that opens field 2 is not closed"),
            (b"1,2,a\xff", "field 3 is not UTF-8 from its character 2 on (is it `encoding: windows-1252`?)"),
        ] {
            assert_eq!(abc(true).item(record), Err(message.to_string()));
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
            assert_eq!(abc(false).item(record.as_bytes()), Ok(expected), "{record}");
        }
    }

    #[test]
    fn the_length_is_that_of_the_compact_json() {
        let null = |strict| {
            let mut table = table(strict, &["a\"", "ü", "_fanfold_item", "c"]);
            table.dialect.null = vec![b"".to_vec(), b"NULL".to_vec()];
            table
        };
        for strict in [table(true, &["a\"", "ü", "_fanfold_item", "c"]), null(true)] {
            for record in ["1,2,k,3", "\"x\"\"y\",\"\n\t\r\",k,\u{1}\\", ",,,", "é,\"a,b\",,NULL", "\"\",NULL,NULL,\"NULL\""] {
                let item = strict.item(record.as_bytes()).unwrap();
                assert_eq!(strict.json_len(record.as_bytes()), item.to_string().len(), "{record:?}");
                assert!(strict.json_len_at_most(record.as_bytes()) >= item.to_string().len(), "{record:?}");
            }
        }
        for lax in [table(false, &["a\"", "ü", "_fanfold_item", "c"]), null(false)] {
            for record in ["1", "1,2,3,4,5", r"a\,b,\x", ""] {
                let item = lax.item(record.as_bytes()).unwrap();
                assert_eq!(lax.json_len(record.as_bytes()), item.to_string().len(), "{record:?}");
                assert!(lax.json_len_at_most(record.as_bytes()) >= item.to_string().len(), "{record:?}");
            }
        }
    }

    #[test]
    fn fanfolds_own_columns_are_no_data() {
        let table = table(true, &["_fanfold_item", "a", "_fanfold_reason", "b"]);
        let record = b"\"o,1\",\" 1\",\"why\nnot\",2";
        assert_eq!(table.item(record), Ok(json!({ "a": " 1", "b": "2" })));
        assert_eq!(table.name(record).as_deref(), Some("o,1"));
        assert_eq!(table.without_own(record).unwrap(), b"\" 1\",2");
        assert_eq!(table.item(b"k,1,2"), Err("3 fields in the row, 4 in the header".to_string()));
        assert_eq!((table.name(b" ,1,,2"), table.name(b"k,\"1\"x,,2").as_deref()), (None, Some("k")));
        let only = Columns::of(vec!["_fanfold_item".to_string()]);
        assert_eq!(only, Err("the header has only columns of fanfold's own".to_string()));
    }

    proptest::proptest! {
        #[test]
        fn a_row_of_a_block_is_the_item(
            bytes in proptest::collection::vec(proptest::sample::select(&b"a,,\"\"\"\n \\\xc3\xa9N"[..]), 0..24),
            strict: bool, trim: bool, null: bool, own: bool,
        ) {
            let names: &[&str] = if own { &["a", "_fanfold_item", "b"] } else { &["a", "b", "c"] };
            let mut table = table(strict, names);
            table.dialect.trim = trim;
            table.dialect.null = if null { vec![b"".to_vec(), b"N".to_vec()] } else { Vec::new() };
            let mut block = table.block(1, 10);
            let written = block.push(7, |row| table.write_row(&bytes, row));
            match table.item(&bytes) {
                Ok(item) => {
                    proptest::prop_assert_eq!(written, Ok(()));
                    proptest::prop_assert_eq!(block.value(0), item.clone());
                    proptest::prop_assert!(table.json_len_at_most(&bytes) >= item.to_string().len());
                }
                wrong => proptest::prop_assert_eq!(written.map(|()| Value::Null), wrong),
            }
        }
    }
}
