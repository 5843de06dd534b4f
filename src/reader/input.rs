//! [`Input`]: a frozen source, as it is kept in the record of a run, and [`OpenInput`], the same opened for reading.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::Delimiter;
use super::csv::{Dialect, names_len};
use super::rows::{Position, Rows, SingleRows};
use super::split::Rule;
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
}

/// What the file is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    /// A listing, one object a line; a line that begins with `!` is a name that is not UTF-8.
    Objects { bucket: Option<String> },
    /// The elements of an array, one a line.
    Json,
    /// A JSON Lines file.
    Jsonl,
    /// A CSV file and the names of its columns.
    Csv { columns: Vec<String>, delimiter: Delimiter, strict: bool },
}

impl Format {
    pub fn rule(&self) -> Rule {
        match self {
            Self::Csv { delimiter, strict, .. } => Rule::Csv { delimiter: delimiter.byte(), escapes: !strict },
            _ => Rule::Lines,
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

    /// Whether `limit` cut it off: there is more in the source that is not read.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// The source as the user wrote it.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The word of its kind: `objects`, `csv`, `json` or `jsonl`.
    pub fn kind(&self) -> &'static str {
        match self.format {
            Format::Objects { .. } => "objects",
            Format::Json => "json",
            Format::Jsonl => "jsonl",
            Format::Csv { .. } => "csv",
        }
    }

    /// The names of a CSV file's columns, in their order; empty for other kinds.
    pub fn columns(&self) -> &[String] {
        match &self.format {
            Format::Csv { columns, .. } => columns,
            _ => &[],
        }
    }

    /// The file in the folder of the run that holds a copy of the items' data, if there is one. The listing of a folder or bucket
    /// is none: it holds names, not data.
    pub fn copy(&self) -> Option<&str> {
        match (&self.format, &self.file) {
            (Format::Objects { .. }, _) | (_, InputFile::InPlace(_)) => None,
            (_, InputFile::Kept(name)) => Some(name),
        }
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
        let open = OpenInput(Arc::new(Parts {
            names_len: names_len(self.columns()),
            input: self.clone(),
            path,
            lines: Mutex::new((0, 1)),
        }));
        open.file()?;
        Ok(open)
    }
}

/// An [`Input`] that can be read. Cheap to clone.
#[derive(Debug, Clone)]
pub struct OpenInput(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    input: Input,
    path: PathBuf,
    names_len: usize,
    /// An offset and the number of its line, as far as lines were counted.
    lines: Mutex<(u64, u64)>,
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
        let from = if from.offset < self.0.input.start { Position { index: 0, offset: self.0.input.start } } else { from };
        Rows::new(self.clone(), file, from, Some(self.0.input.count))
    }

    /// Reads single records by their positions: for a thread that may block.
    ///
    /// # Errors
    /// The file is gone or has changed since it was frozen.
    pub fn single_rows(&self) -> Result<SingleRows> {
        let (file, _) = self.file()?;
        SingleRows::new(self.clone(), file)
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

    pub(super) fn dialect(&self) -> Option<(Dialect, &[String], usize)> {
        match &self.0.input.format {
            Format::Csv { columns, delimiter, strict } => {
                Some((Dialect { delimiter: delimiter.byte(), strict: *strict }, columns, self.0.names_len))
            }
            _ => None,
        }
    }

    /// The number of the line that begins at `offset`, from 1; `None` if the file cannot be read. Counted only when someone
    /// asks, from where it was counted last.
    pub(super) fn line(&self, offset: u64) -> Option<u64> {
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
