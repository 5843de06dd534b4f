//! [`RowBlock`]: rows of a table that were read together, as texts behind one another, without JSON in between.

use std::sync::Arc;

use serde_json::{Map, Value};

/// The bit in the end of a field that says that it is null.
const NULL: u32 = 1 << 31;

/// Rows of one table, in input order. Each is an item; [`RowBlock::value`] is what it would be as JSON.
#[derive(Debug, Clone)]
pub struct RowBlock {
    columns: Arc<[String]>,
    indexes: Vec<u64>,
    text: String,
    /// Where each field ends in the text, those of one row behind those of the one before.
    ends: Vec<u32>,
}

impl RowBlock {
    /// No rows yet. `columns` are the names of the fields of every row.
    pub fn new(columns: Arc<[String]>) -> Self {
        Self { columns, indexes: Vec::new(), text: String::new(), ends: Vec::new() }
    }

    /// Room for so many rows of so many bytes together.
    #[must_use]
    pub fn with_capacity(columns: Arc<[String]>, rows: usize, bytes: usize) -> Self {
        let ends = Vec::with_capacity(rows * columns.len());
        Self { columns, indexes: Vec::with_capacity(rows), text: String::with_capacity(bytes), ends }
    }

    /// The names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.indexes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.indexes.is_empty()
    }

    /// How many bytes the texts of the fields are, and where they end.
    pub fn size(&self) -> usize {
        self.text.len() + 4 * self.ends.len()
    }

    /// Whether there is a NUL character in any of its texts.
    pub fn has_nul(&self) -> bool {
        memchr::memchr(0, self.text.as_bytes()).is_some()
    }

    /// The index of the item that the row is, from 0.
    ///
    /// # Panics
    /// There is no such row.
    pub fn index(&self, row: usize) -> u64 {
        self.indexes[row]
    }

    /// The text of a field, `None` for null.
    ///
    /// # Panics
    /// There is no such row or column.
    pub fn field(&self, row: usize, column: usize) -> Option<&str> {
        assert!(column < self.columns.len(), "there is no column {column}");
        let at = row * self.columns.len() + column;
        let end = self.ends[at];
        if end & NULL != 0 {
            return None;
        }
        let start = if at == 0 { 0 } else { self.ends[at - 1] & !NULL };
        Some(&self.text[start as usize..end as usize])
    }

    /// The row as the item that it is: an object of texts and nulls.
    ///
    /// # Panics
    /// There is no such row.
    pub fn value(&self, row: usize) -> Value {
        let mut item = Map::with_capacity(self.columns.len());
        for (column, name) in self.columns.iter().enumerate() {
            item.insert(name.clone(), self.field(row, column).map_or(Value::Null, |text| Value::String(text.to_string())));
        }
        Value::Object(item)
    }

    /// Adds a row whose fields `write` appends, all of them.
    ///
    /// # Errors
    /// That of `write`; nothing is added then.
    pub(crate) fn push<E>(&mut self, index: u64, write: impl FnOnce(&mut RowWriter<'_>) -> Result<(), E>) -> Result<(), E> {
        let (text, ends) = (self.text.len(), self.ends.len());
        let written = write(&mut RowWriter { text: &mut self.text, ends: &mut self.ends });
        if written.is_err() {
            self.text.truncate(text);
            self.ends.truncate(ends);
            return written;
        }
        debug_assert_eq!(self.ends.len(), ends + self.columns.len(), "a row has all its fields");
        self.indexes.push(index);
        Ok(())
    }
}

/// Appends the fields of one row.
pub(crate) struct RowWriter<'b> {
    text: &'b mut String,
    ends: &'b mut Vec<u32>,
}

impl RowWriter<'_> {
    /// A piece of the field that comes next.
    pub fn append(&mut self, piece: &str) {
        self.text.push_str(piece);
    }

    /// The field is whole.
    pub fn end_field(&mut self) {
        self.ends.push(self.end());
    }

    /// The field is null.
    pub fn null(&mut self) {
        self.ends.push(self.end() | NULL);
    }

    /// A row is at most 8 MiB, and a block a few of them.
    fn end(&self) -> u32 {
        u32::try_from(self.text.len()).unwrap_or(!NULL) & !NULL
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_what_was_written() {
        let mut block = RowBlock::with_capacity(["a".to_string(), "b".to_string()].into(), 2, 10);
        let row = |a: &'static str, b: Option<&'static str>| {
            move |row: &mut RowWriter<'_>| {
                row.append(a);
                row.end_field();
                match b {
                    Some(b) => {
                        b.chars().for_each(|piece| row.append(piece.encode_utf8(&mut [0; 4])));
                        row.end_field();
                    }
                    None => row.null(),
                }
                Ok::<_, ()>(())
            }
        };
        block.push(3, row("", Some("x\u{e9}"))).unwrap();
        block.push(5, row("1", None)).unwrap();
        let wrong = block.push(6, |writer| {
            writer.append("left");
            writer.end_field();
            Err("no")
        });
        assert_eq!(wrong, Err("no"));
        block.push(9, row("2", Some(""))).unwrap();
        assert_eq!((block.len(), block.is_empty(), block.index(0), block.index(2)), (3, false, 3, 9));
        let values: Vec<Value> = (0..3).map(|row| block.value(row)).collect();
        assert_eq!(json!(values), json!([{ "a": "", "b": "x\u{e9}" }, { "a": "1", "b": null }, { "a": "2", "b": "" }]));
    }
}
