//! [`CsvLines`]: rows of a run with what became of them, as a CSV file that a reader takes again.

use super::csv::OWN_COLUMNS;
use super::encoding::Encoding;
use super::input::{CsvFormat, Format, Input};
use super::repaired_file::quoted;
use super::rows::Row;
use crate::{Error, Result};

/// Writes rows as they are written in their source, behind the columns `_fanfold_item`, `_fanfold_line`, `_fanfold_error` and
/// `_fanfold_reason`. Those stand in front, so that a row with a field too many has it where it was. UTF-8.
#[derive(Debug, Clone)]
pub struct CsvLines {
    format: CsvFormat,
}

/// A row as it is written in its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenRow {
    /// The line of its file on which it begins, from 1, if that can be found out.
    pub line: Option<u64>,
    /// The row without its end. Of a row that is too long, its start as one field.
    record: Vec<u8>,
}

impl WrittenRow {
    /// That of a CSV file; `None` for other kinds of items.
    pub fn of(row: &Row<'_>, lines: &CsvLines) -> Self {
        let start = || quoted(&String::from_utf8_lossy(row.record()), lines.format.strict);
        Self { line: row.line().1, record: row.as_written().unwrap_or_else(start) }
    }
}

impl CsvLines {
    /// For the rows of this source.
    ///
    /// # Errors
    /// It is no CSV file.
    pub fn of(input: &Input) -> Result<Self> {
        match &input.format {
            Format::Csv(format) => Ok(Self { format: format.clone() }),
            _ => {
                Err(Error::refused(format!("the items of this run are `{}`, as CSV are shown only those of `csv`", input.kind()))
                    .hint("`--format jsonl`"))
            }
        }
    }

    /// The names of the columns, with the end of the line. Behind a byte-order mark if the source was in another encoding: then
    /// nobody takes it for that one.
    pub fn header(&self) -> Vec<u8> {
        let names = OWN_COLUMNS.iter().copied().chain(self.format.columns.iter().map(String::as_str));
        let mark = if self.format.encoding == Encoding::Utf8 { "" } else { "\u{feff}" };
        mark.as_bytes().to_vec().chain(&self.fields(csv::QuoteStyle::Necessary, names)).chain(b"\n")
    }

    /// One item, with the end of the line.
    pub fn line(&self, key: &str, error: &str, reason: &str, row: &WrittenRow) -> Vec<u8> {
        let line = row.line.map_or(String::new(), |line| line.to_string());
        // In quotes a text is a text, whatever stands for null and whatever blanks are taken off.
        let own = self.fields(csv::QuoteStyle::NonNumeric, [key, line.as_str(), error, reason]);
        own.chain(&[self.format.delimiter.byte()]).chain(&row.record).chain(b"\n")
    }

    fn fields<'f>(&self, style: csv::QuoteStyle, fields: impl IntoIterator<Item = &'f str>) -> Vec<u8> {
        let mut writer = csv::WriterBuilder::new()
            .delimiter(self.format.delimiter.byte())
            .quote_style(style)
            .terminator(csv::Terminator::Any(b'\n'))
            .from_writer(Vec::new());
        let escaped = |field: &str| if self.format.strict { field.to_string() } else { field.replace('\\', "\\\\") };
        // Neither a list of texts nor memory can fail to be written.
        let _ = writer.write_record(fields.into_iter().map(escaped));
        let mut line = writer.into_inner().unwrap_or_default();
        line.pop();
        line
    }
}

/// Puts bytes behind bytes.
trait Chain {
    fn chain(self, more: &[u8]) -> Self;
}

impl Chain for Vec<u8> {
    fn chain(mut self, more: &[u8]) -> Self {
        self.extend_from_slice(more);
        self
    }
}
