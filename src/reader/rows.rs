//! [`Rows`]: reads a frozen source record by record; [`Row`]: one of them, parsed only if someone asks.

use std::borrow::Cow;
use std::fs::File;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::check_names;
use super::csv::Dialect;
use super::input::{Format, OpenInput};
use super::split::{Rule, Split};
use super::window::{FORWARD, SINGLE, Window};
use crate::{Error, Failure, Place, Result};

/// The longest record that is read, in bytes: what Step Functions reads of one item before it is selected from. A longer one is
/// a failed item.
pub const RECORD_LIMIT: usize = 8 * 1024 * 1024;

/// How a line of a listing begins that is a name which is not UTF-8: nothing that JSON begins with.
pub(super) const INVALID_NAME: &[u8] = b"!";

/// How much of a bad record is shown, in bytes.
const SHOWN: usize = 80;

/// A place in a frozen source from which reading can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Position {
    /// The index of the item, from 0.
    pub index: u64,
    /// Where it begins, in bytes.
    pub offset: u64,
}

impl Position {
    /// The first item.
    pub const START: Self = Self { index: 0, offset: 0 };
}

/// Reads a frozen source record by record. Blocks; memory is that of the longest record, at most a few times 8 MiB.
#[derive(Debug)]
pub struct Rows {
    source: OpenInput,
    /// The file once more, to look at its version at the end.
    file: File,
    window: Window,
    split: Split,
    index: u64,
    /// How many items there are, unless that is what is being found out.
    count: Option<u64>,
    /// How much of the window belongs to the row that was handed out.
    pending: usize,
    /// The start of the last record that was too long.
    long_start: Vec<u8>,
}

/// The end of a record that begins where the window does.
struct Found {
    /// The record without its end.
    length: usize,
    /// The record with its end.
    taken: usize,
    /// What was dropped of it, since it is too long.
    dropped: u64,
}

impl Rows {
    pub(super) fn new(source: OpenInput, file: File, from: Position, count: Option<u64>) -> Result<Self> {
        Self::reading(source, file, from, count, FORWARD)
    }

    fn reading(source: OpenInput, file: File, from: Position, count: Option<u64>, chunk: usize) -> Result<Self> {
        let second = file.try_clone().map_err(|error| source.trouble(&error))?;
        let window = Window::new(file, from.offset, chunk).map_err(|error| source.trouble(&error))?;
        let split = Split::new(source.input().format.rule());
        Ok(Self { source, file: second, window, split, index: from.index, count, pending: 0, long_start: Vec::new() })
    }

    /// Where the next record begins: reading can go on there later.
    pub fn position(&self) -> Position {
        Position { index: self.index, offset: self.window.offset() + self.pending as u64 }
    }

    /// The next record; `None` after the last. A record that is no valid item is handed out like others: [`Row::value`] says so.
    ///
    /// # Errors
    /// The file cannot be read, has changed since it was frozen, or is a CSV file that ends inside a quote.
    #[allow(clippy::should_implement_trait, reason = "what it gives is borrowed from it, which an iterator cannot say")]
    pub fn next(&mut self) -> Result<Option<Row<'_>>> {
        self.window.consume(std::mem::take(&mut self.pending));
        if self.count.is_some_and(|count| self.index >= count) {
            let metadata = self.file.metadata().map_err(|error| self.source.trouble(&error))?;
            self.source.check(&metadata)?;
            return Ok(None);
        }
        let (record, dropped) = loop {
            if !self.skip_blank()? {
                return match self.count {
                    None => Ok(None),
                    Some(count) => Err(self.source.changed(&format!("it ends after {} of {count} items", self.index))),
                };
            }
            let Found { length, taken, dropped } = self.find()?;
            let record = self.trimmed(length);
            if record.is_empty() && dropped == 0 {
                self.window.consume(taken);
                continue;
            }
            self.pending = taken;
            break (record, dropped);
        };
        let index = self.index;
        self.index += 1;
        let offset = self.window.offset() - dropped;
        let length = dropped + record.len() as u64;
        let record = &self.window.bytes()[record];
        let source = &self.source;
        if length <= RECORD_LIMIT as u64 {
            return Ok(Some(Row { index, offset, record, too_long: None, source }));
        }
        if dropped == 0 {
            self.long_start = start_of(record);
        }
        Ok(Some(Row { index, offset, record: &self.long_start, too_long: Some(length), source }))
    }

    /// Goes to where a record begins; false if there is none.
    fn skip_blank(&mut self) -> Result<bool> {
        loop {
            let blank = self.split.blank(self.window.bytes());
            self.window.consume(blank);
            if !self.window.bytes().is_empty() {
                return Ok(true);
            }
            if !self.more()? {
                return Ok(false);
            }
        }
    }

    fn find(&mut self) -> Result<Found> {
        self.split.begin();
        let mut dropped = 0;
        loop {
            let bytes = self.window.bytes();
            if let Some(end) = self.split.end(bytes) {
                return Ok(Found { length: end, taken: end + 1, dropped });
            }
            if bytes.len() > RECORD_LIMIT {
                if dropped == 0 {
                    self.long_start = start_of(bytes);
                }
                let length = self.split.drop_looked_at();
                self.window.consume(length);
                dropped += length as u64;
            }
            if !self.more()? {
                if self.split.inside_quote() {
                    return Err(self.ends_inside_quote(self.window.offset() - dropped));
                }
                let length = self.window.bytes().len();
                return Ok(Found { length, taken: length, dropped });
            }
        }
    }

    /// The part of the record that counts: lines are taken without white space around them.
    fn trimmed(&self, length: usize) -> Range<usize> {
        let record = &self.window.bytes()[..length];
        if self.split.rule() != Rule::Lines {
            return 0..length;
        }
        let behind = record.trim_ascii_end().len();
        behind - record[..behind].trim_ascii_start().len()..behind
    }

    fn more(&mut self) -> Result<bool> {
        self.window.more().map_err(|error| self.source.trouble(&error))
    }

    fn ends_inside_quote(&self, offset: u64) -> Error {
        let file = self.source.input().source();
        let place = self.source.line(offset).map(|line| Place {
            file: file.into(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: 1,
        });
        Error::refused(format!("`{file}` ends inside a quote of the row that begins here, its row {}", self.index + 1))
            .at(place)
            .hint("close the quote; if the file was cut off, fetch it again")
    }
}

/// Reads single records of a frozen source by their positions, in any order: a few KiB for each, and nothing for one that lies
/// close behind the last. Blocks.
#[derive(Debug)]
pub struct SingleRows(Rows);

impl SingleRows {
    pub(super) fn new(source: OpenInput, file: File) -> Result<Self> {
        let count = source.input().count();
        Rows::reading(source, file, Position::START, Some(count), SINGLE).map(Self)
    }

    /// The record at a position that [`Row::position`] gave.
    ///
    /// # Errors
    /// The file cannot be read, or is shorter than it was.
    pub fn at(&mut self, position: Position) -> Result<Row<'_>> {
        let rows = &mut self.0;
        rows.pending = 0;
        rows.index = position.index;
        rows.window.go_to(position.offset).map_err(|error| rows.source.trouble(&error))?;
        let source = rows.source.clone();
        rows.next()?.ok_or_else(|| source.changed(&format!("it has no item {}", position.index)))
    }
}

/// One record and what is known of it before it is parsed.
#[derive(Debug, Clone, Copy)]
pub struct Row<'r> {
    /// The index of the item, from 0.
    pub index: u64,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Without its end; of a record that is too long, only the start.
    record: &'r [u8],
    /// The length of a record that is too long, in bytes.
    too_long: Option<u64>,
    source: &'r OpenInput,
}

impl Row<'_> {
    /// Where it begins: reading can go on there later.
    pub fn position(&self) -> Position {
        Position { index: self.index, offset: self.offset }
    }

    /// Where it begins in the source, if that has lines which the user knows. Lines are counted, from where they were counted last.
    pub fn place(&self) -> Option<Place> {
        let input = self.source.input();
        if matches!(input.format, Format::Objects { .. } | Format::Json) {
            return None;
        }
        let line = u32::try_from(self.source.line(self.offset)?).unwrap_or(u32::MAX);
        Some(Place { file: input.source().into(), line, column: 1 })
    }

    /// How long the item is as compact JSON, in bytes. Exact for objects and CSV; a line of JSON or JSON Lines counts as it is
    /// written, which may be more by its white space.
    pub fn json_len(&self) -> usize {
        match self.source.dialect() {
            Some((dialect, columns, names_len)) => dialect.json_len(self.record, columns.len(), names_len),
            None => self.record.len(),
        }
    }

    /// The item.
    ///
    /// # Errors
    /// `Item.Invalid` if the record is no valid item, with its place and how it begins; `Item.InvalidName` for an object whose
    /// name is not UTF-8.
    pub fn value(&self) -> Result<Value, Failure> {
        if let Some(length) = self.too_long {
            return Err(self.invalid(None, &format!("{length} bytes in one {}, at most {RECORD_LIMIT}", self.word())));
        }
        if let Some(name) = self.invalid_name() {
            return Err(Failure::new("Item.InvalidName", format!("the name `{name}` is not UTF-8 and cannot be a `Key`")));
        }
        match self.source.dialect() {
            Some((dialect, columns, _)) => dialect.item(self.record, columns).map_err(|wrong| self.invalid(None, &wrong)),
            None => serde_json::from_slice(self.record).map_err(|error| {
                let place = format!(" at line {} column {}", error.line(), error.column());
                let text = error.to_string();
                self.invalid(Some(error.column()), text.strip_suffix(&place).unwrap_or(&text))
            }),
        }
    }

    /// The record as the names of columns.
    pub(super) fn header(&self, dialect: Dialect) -> Result<Vec<String>, String> {
        if let Some(length) = self.too_long {
            return Err(format!("the header is {length} bytes, at most {RECORD_LIMIT}"));
        }
        let mut names = Vec::new();
        let mut not_utf8 = None;
        dialect.fields(self.record, |field| match String::from_utf8(field.into_owned()) {
            Ok(name) => names.push(name),
            Err(_) => not_utf8 = not_utf8.or(Some(names.len() + 1)),
        })?;
        if let Some(number) = not_utf8 {
            return Err(format!("name {number} of the header is not UTF-8"));
        }
        check_names(&names)?;
        Ok(names)
    }

    /// The name, shown with `\xNN`, of an object whose name is not UTF-8.
    pub(super) fn invalid_name(&self) -> Option<Cow<'_, str>> {
        let is_listing = matches!(self.source.input().format, Format::Objects { .. });
        self.record.strip_prefix(INVALID_NAME).filter(|_| is_listing).map(String::from_utf8_lossy)
    }

    fn invalid(&self, column: Option<usize>, what: &str) -> Failure {
        let input = self.source.input();
        let (source, number) = (input.source(), self.index + 1);
        let place = match input.format {
            // Their lines are those of a file that the user does not know.
            Format::Objects { .. } | Format::Json => format!("{source}, element {number}"),
            _ => match (self.source.line(self.offset), column) {
                (Some(line), Some(column)) => format!("{source}:{line}:{column}"),
                (Some(line), None) if matches!(input.format, Format::Csv { .. }) => format!("{source}:{line}, row {number}"),
                (Some(line), None) => format!("{source}:{line}"),
                (None, _) => format!("{source}, {} {number}", self.word()),
            },
        };
        let shown = String::from_utf8_lossy(&self.record[..self.record.len().min(SHOWN)]).escape_debug().to_string();
        let more = if self.record.len() > SHOWN { "…" } else { "" };
        Failure::new("Item.Invalid", format!("{place}: {what}; it begins `{}{more}`", shown.replace("\\\"", "\"")))
    }

    fn word(&self) -> &'static str {
        match self.source.input().format {
            Format::Csv { .. } => "row",
            Format::Jsonl => "line",
            Format::Objects { .. } | Format::Json => "element",
        }
    }
}

fn start_of(record: &[u8]) -> Vec<u8> {
    record[..record.len().min(SHOWN + 1)].to_vec()
}
