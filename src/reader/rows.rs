//! [`Rows`]: reads a frozen source record by record; [`Row`]: one of them, parsed only if someone asks.

use std::borrow::Cow;
use std::fs::File;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::csv::Columns;
use super::input::{Format, OpenInput};
use super::parts::{next_part, part_of};
use super::split::{Rule, Split, State};
use super::window::{FORWARD, PART, SINGLE, Window};
use crate::row_block::RowBlock;
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
///
/// A CSV row that is longer than `max_row_bytes` ends at its first line break, and the next line is read as a row of its own: a quote
/// that is never closed costs one row, not the file.
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
    /// The longest record, in bytes.
    limit: usize,
    /// The start of the last record that was too long, or the last one that was repaired.
    other: Vec<u8>,
    /// Where the last record began that is too long, up to where its end was looked for, and what it was there.
    looked_at: (u64, u64, State),
    /// The index of the first item in the next of several files.
    next_part: u64,
}

/// The end of a record that begins where the window does.
#[derive(Default)]
struct Found {
    /// The record without its end.
    length: usize,
    /// The record with its end.
    taken: usize,
    /// Whether it is too long.
    too_long: bool,
    /// What was dropped of it then.
    dropped: u64,
}

impl Rows {
    pub(super) fn new(source: OpenInput, file: File, from: Position, count: Option<u64>) -> Result<Self> {
        Self::reading(source, file, from, count, FORWARD)
    }

    /// For who reads parts here and there.
    pub(super) fn of_parts(source: OpenInput, file: File, from: Position, count: Option<u64>) -> Result<Self> {
        Self::reading(source, file, from, count, PART)
    }

    fn reading(source: OpenInput, file: File, from: Position, count: Option<u64>, chunk: usize) -> Result<Self> {
        let second = file.try_clone().map_err(|error| source.trouble(&error))?;
        let window = Window::new(file, from.offset, chunk).map_err(|error| source.trouble(&error))?;
        let format = &source.input().format;
        let (split, limit) = (Split::new(format.rule()), format.limit());
        Ok(Self {
            source,
            file: second,
            window,
            split,
            index: from.index,
            count,
            pending: 0,
            limit,
            other: Vec::new(),
            looked_at: (0, 0, State::Outside),
            // Whatever part it is in, the first look finds out.
            next_part: from.index,
        })
    }

    /// Goes on from a recorded position, wherever this one is.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn go_to(&mut self, position: Position) -> Result<()> {
        self.pending = 0;
        self.index = position.index;
        self.next_part = position.index;
        self.window.go_to(position.offset.max(self.source.input().start)).map_err(|error| self.source.trouble(&error))
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
        self.go_to_part()?;
        let (record, found) = loop {
            if !self.skip_blank()? {
                return match self.count {
                    None => Ok(None),
                    Some(count) => Err(self.source.changed(&format!("it ends after {} of {count} items", self.index))),
                };
            }
            let found = self.find()?;
            let record = self.trimmed(found.length);
            if record.is_empty() && found.dropped == 0 {
                self.window.consume(found.taken);
                continue;
            }
            self.pending = found.taken;
            break (record, found);
        };
        let index = self.index;
        self.index += 1;
        let offset = self.window.offset() - found.dropped;
        let length = found.dropped + record.len() as u64;
        let record = &self.window.bytes()[record];
        let source = &self.source;
        let too_long = found.too_long.then_some(length);
        if let Some(repairs) = source.repairs()
            && repairs.read(index, &mut self.other)?
        {
            return Ok(Some(Row { index, offset, record: &self.other, too_long: None, source }));
        }
        let record = if found.dropped > 0 { &self.other } else { record };
        Ok(Some(Row { index, offset, record, too_long, source }))
    }

    /// Goes to where the records of the next file begin, if the next item is in another one.
    fn go_to_part(&mut self) -> Result<()> {
        if self.index < self.next_part {
            return Ok(());
        }
        let parts = &self.source.input().parts;
        self.next_part = next_part(parts, self.index);
        let Some(start) = part_of(parts, self.index).map(|part| part.start) else { return Ok(()) };
        while self.window.offset() < start {
            if self.window.bytes().is_empty() && !self.more()? {
                return Ok(());
            }
            let length = usize::try_from(start - self.window.offset()).unwrap_or(usize::MAX);
            self.window.consume(length.min(self.window.bytes().len()));
        }
        Ok(())
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
        let (limit, offset) = (self.limit, self.window.offset());
        if (self.looked_at.0..self.looked_at.1).contains(&offset)
            && let Some(line) = self.split.line_end(self.window.bytes()).filter(|line| *line <= limit)
        {
            if let Some(end) = self.split.end(&self.window.bytes()[..=line]) {
                return Ok(Found { length: end, taken: end + 1, ..Found::default() });
            }
            // At this line's end the record that was too long was inside a quote, as this one is. What was found out about it from
            // there on holds for this one: nothing is looked at again for every line.
            let (_, until, state) = self.looked_at;
            self.split.go_on(usize::try_from(until - offset).unwrap_or(0), state);
        }
        loop {
            let bytes = self.window.bytes();
            match self.split.end(bytes) {
                Some(end) if end <= limit => return Ok(Found { length: end, taken: end + 1, ..Found::default() }),
                None if bytes.len() <= limit => {}
                end => return self.too_long(end),
            }
            if !self.more()? {
                if self.split.inside_quote() {
                    return Err(self.ends_inside_quote(offset));
                }
                let length = self.window.bytes().len();
                return Ok(Found { length, taken: length, ..Found::default() });
            }
        }
    }

    /// A record that is too long ends at its first line break, quotes or not.
    fn too_long(&mut self, end: Option<usize>) -> Result<Found> {
        // At its own end it is in no quote: a later one that is in a quote there goes on otherwise.
        let (length, state) = end.map_or_else(|| self.split.looked_at(), |end| (end, State::Outside));
        self.looked_at = (self.window.offset(), self.window.offset() + length as u64, state);
        let (mut looked, mut dropped) = (0, 0);
        loop {
            let bytes = self.window.bytes();
            if let Some(end) = self.split.line_end(&bytes[looked..]) {
                let length = looked + end;
                return Ok(Found { length, taken: length + 1, too_long: true, dropped });
            }
            looked = bytes.len();
            if looked > self.limit {
                if dropped == 0 {
                    self.other = start_of(bytes);
                }
                self.window.consume(looked);
                dropped += looked as u64;
                looked = 0;
            }
            if !self.more()? {
                let length = self.window.bytes().len();
                return Ok(Found { length, taken: length, too_long: true, dropped });
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
        let (file, line) = self.source.place(self.index, offset);
        let row = self.source.input().address(self.index).1 + 1;
        let place = line.map(|line| Place { file: file.into(), line: u32::try_from(line).unwrap_or(u32::MAX), column: 1 });
        let what = match &self.source.input().format {
            // The columns are not known while the header is read.
            Format::Csv(csv) if csv.columns.is_empty() => "its header".to_string(),
            _ => format!("the row that begins here, its row {row}"),
        };
        Error::refused(format!("`{file}` ends inside a quote of {what}"))
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
        rows.go_to(position)?;
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
    /// The length of its first line, in bytes, if the record is too long.
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
        if input.format.is_listing() || input.format == Format::Json {
            return None;
        }
        let (file, line) = self.line();
        let line = u32::try_from(line?).unwrap_or(u32::MAX);
        Some(Place { file: file.into(), line, column: 1 })
    }

    /// How long the item is as compact JSON, in bytes. Exact for objects and CSV; a line of JSON or JSON Lines counts as it is
    /// written, which may be more by its white space.
    pub fn json_len(&self) -> usize {
        match self.source.table() {
            Some(table) if self.too_long.is_none() => table.json_len(self.record),
            _ => self.record.len(),
        }
    }

    /// How long the item is as compact JSON at most, in bytes: a CSV row is not parsed for it.
    pub fn json_len_at_most(&self) -> usize {
        match self.source.table() {
            Some(table) if self.too_long.is_none() => table.json_len_at_most(self.record),
            _ => self.record.len(),
        }
    }

    /// Adds the row of a CSV file to a block of [`OpenInput::block`].
    ///
    /// # Errors
    /// Those of [`Row::value`]; nothing is added then.
    pub(crate) fn add_to(&self, block: &mut RowBlock) -> Result<(), Failure> {
        match self.source.table() {
            Some(table) if self.too_long.is_none() => {
                let record = self.record;
                block.push(self.index, |row| table.write_row(record, row)).map_err(|wrong| self.invalid(None, &wrong))
            }
            _ => Err(self.value().err().unwrap_or_else(|| self.invalid(None, "not a row of a CSV file"))),
        }
    }

    /// The item.
    ///
    /// # Errors
    /// `Item.Invalid` if the record is no valid item, with its place and how it begins; `Item.InvalidName` for an object whose
    /// name is not UTF-8.
    pub fn value(&self) -> Result<Value, Failure> {
        if let Some(length) = self.too_long {
            let limit = self.source.input().format.limit();
            let what = if length > limit as u64 {
                format!("{length} bytes in one {}, at most {limit}", self.word())
            } else {
                format!("the row does not end within {limit} bytes, a quote may be missing; the next line is read as a row")
            };
            return Err(self.invalid(None, &what));
        }
        if let Some(name) = self.invalid_name() {
            return Err(Failure::new("Item.InvalidName", format!("the name `{name}` is not UTF-8 and cannot be a `Key`")));
        }
        match self.source.table() {
            Some(table) => table.item(self.record).map_err(|wrong| self.invalid(None, &wrong)),
            None => serde_json::from_slice(self.record).map_err(|error| {
                let place = format!(" at line {} column {}", error.line(), error.column());
                let text = error.to_string();
                self.invalid(Some(error.column()), text.strip_suffix(&place).unwrap_or(&text))
            }),
        }
    }

    /// What the row itself says that the item is called, in the column `_fanfold_item`.
    pub fn item_name(&self) -> Option<String> {
        self.source.table()?.name(self.record)
    }

    /// The file that it is in, and the number of its line there, if that can be found out.
    pub fn line(&self) -> (&str, Option<u64>) {
        self.source.place(self.index, self.offset)
    }

    /// A row of a CSV file as it is written, without fanfold's own columns; `None` for other kinds of items, and for a row that
    /// cannot be written into another file as it is.
    pub fn as_written(&self) -> Option<Vec<u8>> {
        let table = self.source.table().filter(|_| self.too_long.is_none())?;
        table.without_own(self.record)
    }

    /// The record as far as it was kept: of one that is too long, only the start.
    pub fn record(&self) -> &[u8] {
        self.record
    }

    /// The record as the names of columns.
    pub(super) fn header(&self) -> Result<Columns, (String, &'static str)> {
        const LONGER: &str = "`max_row_bytes` says how long a row may be";
        if let Some(length) = self.too_long {
            return Err((format!("the header is {length} bytes, or has a quote too many"), LONGER));
        }
        let Some(table) = self.source.table() else { return Err(("there is no header".to_string(), LONGER)) };
        Columns::read(self.record, &table.dialect)
    }

    /// The name, shown with `\xNN`, of an object whose name is not UTF-8.
    pub(super) fn invalid_name(&self) -> Option<Cow<'_, str>> {
        let is_listing = self.source.input().format.is_listing();
        self.record.strip_prefix(INVALID_NAME).filter(|_| is_listing).map(String::from_utf8_lossy)
    }

    fn invalid(&self, column: Option<usize>, what: &str) -> Failure {
        let input = self.source.input();
        let (source, number) = (input.address(self.index).0, input.address(self.index).1 + 1);
        let place = match input.format {
            // Their lines are those of a file that the user does not know.
            Format::Objects { .. } | Format::Inventory { .. } | Format::Json => format!("{source}, element {number}"),
            _ => match (self.line().1, column) {
                (Some(line), Some(column)) => format!("{source}:{line}:{column}"),
                (Some(line), None) if matches!(input.format, Format::Csv(_)) => format!("{source}:{line}, row {number}"),
                (Some(line), None) => format!("{source}:{line}"),
                (None, _) => format!("{source}, {} {number}", self.word()),
            },
        };
        let mut shown = String::with_capacity(SHOWN);
        for sign in String::from_utf8_lossy(&self.record[..self.record.len().min(SHOWN)]).chars() {
            // Quotes and backslashes are shown as they are: often they are what is wrong.
            if sign.is_control() { shown.extend(sign.escape_debug()) } else { shown.push(sign) }
        }
        let more = if self.record.len() > SHOWN { "…" } else { "" };
        Failure::new("Item.Invalid", format!("{place}: {what}; it begins `{shown}{more}`"))
    }

    fn word(&self) -> &'static str {
        match self.source.input().format {
            Format::Csv(_) => "row",
            Format::Jsonl => "line",
            Format::Objects { .. } | Format::Inventory { .. } | Format::Json => "element",
        }
    }
}

fn start_of(record: &[u8]) -> Vec<u8> {
    record[..record.len().min(SHOWN + 1)].to_vec()
}
