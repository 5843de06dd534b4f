//! [`Input`]: a frozen source, as it is kept in the record of a run, and [`OpenInput`], the same opened for reading.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::csv::{Columns, Table};
use super::csv_config::{CsvConfig, Delimiter, longest};
use super::encoding::Encoding;
use super::fields::Dialect;
use super::parts::{Part, part_of};
use super::repairs::Repairs;
use super::rows::{Position, RECORD_LIMIT, Rows, SingleRows};
use super::split::Rule;
use crate::row_block::RowBlock;
use crate::{Error, Result};

/// A source frozen at the start of a run: what its items are read from, and which version of it. Small; a part of the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    pub(super) format: Format,
    pub(super) source: String,
    pub(super) file: InputFile,
    pub(super) version: Version,
    /// Where the first item begins: behind a byte-order mark and the header.
    pub(super) start: u64,
    pub(super) count: u64,
    pub(super) cut: bool,
    /// Files, the first of them, whose last row has no line break behind it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) open_ends: Vec<String>,
    /// The files that the copy was made of, if it was made of several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) parts: Vec<Part>,
    /// The version of an object on S3 that the copy was made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) etag: Option<String>,
    /// The file in the folder of the run with the rows that were repaired since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) repairs: Option<String>,
}

/// The number of items before they were counted.
pub(super) const UNCOUNTED: u64 = u64::MAX;

/// What the file is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    /// A listing, one object a line; a line that begins with `!` is a name that is not UTF-8.
    Objects { bucket: Option<String> },
    /// The objects of this bucket by an S3 inventory of it, listed in the same way.
    Inventory { bucket: String },
    /// The elements of an array, one a line.
    Json,
    /// A JSON Lines file.
    Jsonl,
    /// A CSV file.
    Csv(CsvFormat),
}

impl Format {
    pub fn rule(&self) -> Rule {
        match self {
            Self::Csv(csv) => csv.dialect().rule(),
            _ => Rule::Lines,
        }
    }

    /// Whether it is a list of names, made by fanfold.
    pub fn is_listing(&self) -> bool {
        matches!(self, Self::Objects { .. } | Self::Inventory { .. })
    }

    /// The longest record, in bytes.
    pub fn limit(&self) -> usize {
        match self {
            Self::Csv(csv) => usize::try_from(csv.max_row_bytes).unwrap_or(RECORD_LIMIT),
            _ => RECORD_LIMIT,
        }
    }
}

/// How a CSV file is read, and the names of its columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CsvFormat {
    /// Those that are data.
    pub columns: Vec<String>,
    pub delimiter: Delimiter,
    pub strict: bool,
    /// Which fields of a row are fanfold's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub own: Vec<usize>,
    /// Which of them says what the item is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<usize>,
    #[serde(default)]
    pub encoding: Encoding,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub null: Vec<String>,
    #[serde(default)]
    pub trim: bool,
    #[serde(default = "longest")]
    pub max_row_bytes: u64,
}

impl CsvFormat {
    /// As a workflow says; the columns are not known yet.
    pub fn of(config: &CsvConfig) -> Self {
        Self {
            columns: Vec::new(),
            delimiter: config.delimiter,
            strict: config.strict,
            own: Vec::new(),
            item: None,
            encoding: config.encoding,
            null: config.null.clone(),
            trim: config.trim,
            max_row_bytes: config.max_row_bytes,
        }
    }

    /// With the columns that a workflow names.
    pub fn with_columns(self, names: Vec<String>) -> Result<Self> {
        let columns = Columns::of(names).map_err(Error::refused)?;
        Ok(Self { columns: columns.names, own: columns.own, item: columns.item, ..self })
    }

    pub fn dialect(&self) -> Dialect {
        Dialect {
            delimiter: self.delimiter.byte(),
            strict: self.strict,
            trim: self.trim,
            null: self.null.iter().map(|text| text.as_bytes().to_vec()).collect(),
            encoding: self.encoding,
        }
    }
}

/// Where the file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum InputFile {
    /// A file of this name in the folder of the run, which may be moved.
    Kept(String),
    /// The source itself, by its absolute path.
    InPlace(PathBuf),
}

/// A version of a file: moved or copied with its times it is still the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Version {
    size: u64,
    /// When it was modified, in nanoseconds since 1970; `None` for a file in the folder of the run, which nobody else writes.
    modified: Option<i64>,
}

impl Version {
    pub fn of(metadata: &Metadata, file: &InputFile) -> Self {
        let modified = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
        Self { size: metadata.len(), modified: matches!(file, InputFile::InPlace(_)).then_some(modified) }
    }

    /// How long it is, in bytes.
    pub fn size(self) -> u64 {
        self.size
    }

    /// What differs, in words.
    fn difference(self, found: Self) -> String {
        if self.size != found.size {
            format!("{} bytes now, {} then", found.size, self.size)
        } else {
            let at = |version: Self| version.modified.map_or(0, |time| time.div_euclid(1_000_000_000));
            format!("same size, modified {} s later", at(found) - at(self))
        }
    }
}

impl Input {
    /// How many items there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether it is known how many items there are.
    pub(crate) fn is_counted(&self) -> bool {
        self.count != UNCOUNTED
    }

    /// The same once its items were counted.
    pub(crate) fn with_count(&self, count: u64) -> Self {
        Self { count, ..self.clone() }
    }

    /// Whether `limit` cut it off: there is more in the source that is not read.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// What of the source is not wrong and may be not what was meant, in words.
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        if let Format::Csv(CsvFormat { columns, delimiter, .. }) = &self.format
            && let [only] = columns.as_slice()
        {
            let other = Delimiter::ALL.into_iter().filter(|other| other != delimiter && *other != Delimiter::Space);
            if let Some(other) = other.into_iter().find(|other| only.contains(char::from(other.byte()))) {
                let source = &self.source;
                let word = other.word();
                doubts.push(format!("`{source}` has one column, `{only}`; if it is meant to have several: `delimiter: {word}`"));
            }
        }
        for file in &self.open_ends {
            doubts.push(format!(
                "the last row of `{file}` has no line break behind it: if the file was cut off there, that row is not whole"
            ));
        }
        doubts
    }

    /// The source as the user wrote it.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The word of its kind: `objects`, `inventory`, `csv`, `json` or `jsonl`.
    pub fn kind(&self) -> &'static str {
        match self.format {
            Format::Objects { .. } => "objects",
            Format::Inventory { .. } => "inventory",
            Format::Json => "json",
            Format::Jsonl => "jsonl",
            Format::Csv { .. } => "csv",
        }
    }

    /// The names of a CSV file's columns, in their order; empty for other kinds.
    pub fn columns(&self) -> &[String] {
        match &self.format {
            Format::Csv(csv) => &csv.columns,
            _ => &[],
        }
    }

    /// The files in the folder of the run that hold the items' data: a copy of the source, rows that were repaired. The listing of
    /// a folder or bucket is none: it holds names, not data.
    pub fn copies(&self) -> impl Iterator<Item = &str> {
        let copy = match (&self.format, &self.file) {
            (format, _) if format.is_listing() => None,
            (_, InputFile::InPlace(_)) => None,
            (_, InputFile::Kept(name)) => Some(name.as_str()),
        };
        copy.into_iter().chain(self.repairs.as_deref())
    }

    /// The version of the object on S3 that the copy was made of, as S3 calls it.
    pub fn etag(&self) -> Option<&str> {
        self.etag.as_deref()
    }

    /// The file that the item with this index is in, and its index there.
    pub fn address(&self, index: u64) -> (&str, u64) {
        match part_of(&self.parts, index) {
            Some(part) => (&part.source, index - part.index),
            None => (&self.source, index),
        }
    }

    /// Whether the rows say themselves what they are called, in a column `_fanfold_item`.
    pub fn has_item_names(&self) -> bool {
        matches!(&self.format, Format::Csv(CsvFormat { item: Some(_), .. }))
    }

    /// Opens it for reading and checks that it is what was frozen. `run_dir` is the folder that it was frozen into.
    ///
    /// # Errors
    /// The file is gone or has changed since.
    pub fn open(&self, run_dir: &Path) -> Result<OpenInput> {
        let path = match &self.file {
            InputFile::Kept(name) => run_dir.join(name),
            InputFile::InPlace(path) => path.clone(),
        };
        let table = match &self.format {
            Format::Csv(csv) => Some(Table::new(csv)),
            _ => None,
        };
        let repairs = self.repairs.as_ref().map(|name| Repairs::open(&run_dir.join(name))).transpose()?;
        let open = OpenInput(Arc::new(Opened {
            input: self.clone(),
            path,
            table,
            repairs,
            lines: Mutex::new((0, 1)),
            first_line: Mutex::new(None),
        }));
        open.file()?;
        Ok(open)
    }
}

/// An [`Input`] that can be read. Cheap to clone.
#[derive(Debug, Clone)]
pub struct OpenInput(Arc<Opened>);

#[derive(Debug)]
struct Opened {
    input: Input,
    path: PathBuf,
    /// How the rows of a CSV file become items.
    table: Option<Table>,
    /// The rows that stand in place of those of the file.
    repairs: Option<Repairs>,
    /// An offset and the number of its line, as far as lines were counted.
    lines: Mutex<(u64, u64)>,
    /// The same of where the file begins whose lines were counted last, of several.
    first_line: Mutex<Option<(u64, u64)>>,
}

impl OpenInput {
    /// What was frozen.
    pub fn input(&self) -> &Input {
        &self.0.input
    }

    /// Reads from a recorded position on, or from the start: for a thread that may block.
    ///
    /// # Errors
    /// The file is gone or has changed since it was frozen.
    pub fn rows(&self, from: Position) -> Result<Rows> {
        let (file, _) = self.file()?;
        let input = &self.0.input;
        let from = if from.offset < input.start { Position { index: 0, offset: input.start } } else { from };
        Rows::new(self.clone(), file, from, input.is_counted().then_some(input.count))
    }

    /// The same for who reads parts of it here and there, by [`Rows::go_to`].
    ///
    /// # Errors
    /// The file is gone or has changed since it was frozen.
    pub(crate) fn parts(&self, from: Position) -> Result<Rows> {
        let (file, _) = self.file()?;
        Rows::of_parts(self.clone(), file, from, Some(self.0.input.count))
    }

    /// Reads single records by their positions: for a thread that may block.
    ///
    /// # Errors
    /// The file is gone or has changed since it was frozen.
    pub fn single_rows(&self) -> Result<SingleRows> {
        let (file, _) = self.file()?;
        SingleRows::new(self.clone(), file)
    }

    /// An empty block for rows of this source, with room for so many; `None` if it is no CSV file.
    pub(crate) fn block(&self, rows: usize, bytes: usize) -> Option<RowBlock> {
        self.table().map(|table| table.block(rows, bytes))
    }

    /// Reads everything there is, to count it.
    pub(super) fn rows_to_the_end(&self) -> Result<Rows> {
        let (file, _) = self.file()?;
        Rows::new(self.clone(), file, Position { index: 0, offset: self.0.input.start }, None)
    }

    /// Whether it is still what was frozen: what was read until now is then right.
    ///
    /// # Errors
    /// The file is gone or has changed since it was frozen.
    pub fn check_unchanged(&self) -> Result<()> {
        self.file().map(drop)
    }

    fn file(&self) -> Result<(File, Metadata)> {
        let file = File::open(&self.0.path).map_err(|error| self.trouble(&error))?;
        let metadata = file.metadata().map_err(|error| self.trouble(&error))?;
        self.check(&metadata)?;
        Ok((file, metadata))
    }

    /// Whether the file is still what was frozen.
    pub(super) fn check(&self, found: &Metadata) -> Result<()> {
        let Input { version, file, .. } = &self.0.input;
        let found = Version::of(found, file);
        if *version == found { Ok(()) } else { Err(self.changed(&version.difference(found))) }
    }

    pub(super) fn changed(&self, difference: &str) -> Error {
        let what = match &self.0.input.file {
            InputFile::InPlace(_) => self.0.input.source.clone(),
            InputFile::Kept(_) => self.0.path.display().to_string(),
        };
        Error::surroundings(format!("`{what}` has changed since the run began: {difference}"))
            .hint("put the file back as it was, or start a new run")
    }

    pub(super) fn trouble(&self, error: &io::Error) -> Error {
        let path = self.0.path.display();
        match error.kind() {
            io::ErrorKind::NotFound => {
                Error::surroundings(format!("`{path}` is gone since the run began")).hint("put the file back, or start a new run")
            }
            _ => Error::surroundings(format!("`{path}` cannot be read: {error}")),
        }
    }

    pub(super) fn table(&self) -> Option<&Table> {
        self.0.table.as_ref()
    }

    pub(super) fn repairs(&self) -> Option<&Repairs> {
        self.0.repairs.as_ref()
    }

    /// The file that a record is in, and the number of its line there, from 1; `None` if the file cannot be read.
    pub(super) fn place(&self, index: u64, offset: u64) -> (&str, Option<u64>) {
        let input = &self.0.input;
        let Some(part) = part_of(&input.parts, index) else { return (&input.source, self.line(offset)) };
        let mut first_line = self.0.first_line.lock().unwrap_or_else(PoisonError::into_inner);
        let first = match *first_line {
            Some((begin, line)) if begin == part.begin => Some(line),
            _ => self.line(part.begin),
        };
        *first_line = first.map(|line| (part.begin, line));
        let line = first.zip(self.line(offset)).map(|(first, line)| line - first + 1);
        (&part.source, line)
    }

    /// The number of the line that begins at `offset`, from 1; `None` if the file cannot be read. Counted only when someone
    /// asks, from where it was counted last.
    fn line(&self, offset: u64) -> Option<u64> {
        let mut lines = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if offset < lines.0 {
            *lines = (0, 1);
        }
        let (mut at, mut line) = *lines;
        let file = File::open(&self.0.path).ok()?;
        let mut buffer = vec![0; 64 * 1024];
        while at < offset {
            let wanted = buffer.len().min(usize::try_from(offset - at).unwrap_or(usize::MAX));
            let read = file.read_at(&mut buffer[..wanted], at).ok().filter(|read| *read > 0)?;
            line += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64;
            at += read as u64;
        }
        *lines = (at, line);
        Some(line)
    }
}
