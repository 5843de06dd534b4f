//! [`Gather`]: copies the files of a source into the folder of the run, as one in plain UTF-8, and finds out what is in it.

use std::fs::{self, File};
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use super::arriving::Arriving;
use super::csv::Columns;
use super::csv_config::Header;
use super::encoding::{Encoding, Transcoder, text_start};
use super::freeze::{Plan, unreadable};
use super::input::{Format, Input, InputFile, Version};
use super::parts::Part;
use super::spool::{publish, trouble};
use super::unpack::Unpacked;
use crate::{Error, Place, Result};

/// How much is read at once.
const CHUNK: usize = 256 * 1024;

/// After how many bytes it is first looked whether `items.limit` is reached; then after twice as many, and so on.
const LOOK: u64 = 1024 * 1024;

/// How many files are remembered that end without a line break.
const OPEN_ENDS: usize = 10;

/// Where the bytes of one file come from.
#[derive(Debug)]
pub(super) enum Bytes {
    File(PathBuf),
    Object(Arriving),
    Stdin,
}

/// A copy being made.
#[derive(Debug)]
pub(super) struct Gather {
    plan: Plan,
    /// Its name in the folder of the run.
    name: String,
    file: BufWriter<File>,
    length: u64,
    /// The last byte, as far as it is written.
    last: u8,
    open_ends: Vec<String>,
    header: Header,
    format: Format,
    parts: Vec<Part>,
    count: u64,
    cut: bool,
}

impl Gather {
    /// `name` is that of the copy in the folder of the run.
    pub fn new(plan: Plan, name: &str, header: Header, format: Format) -> Result<Self> {
        let temporary = plan.run_dir.join(format!("{name}.tmp"));
        let file = File::create(&temporary).map_err(|error| trouble(&temporary, &error))?;
        let file = BufWriter::with_capacity(CHUNK, file);
        Ok(Self {
            plan,
            name: name.to_string(),
            file,
            length: 0,
            last: b'\n',
            open_ends: Vec::new(),
            header,
            format,
            parts: Vec::new(),
            count: 0,
            cut: false,
        })
    }

    /// Whether `items.limit` is reached: no more files are needed.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Copies one more file, or as much of it as `items.limit` needs, and counts its records.
    ///
    /// # Errors
    /// It cannot be read, is damaged or is no text; its header is no header, or is not that of the first one.
    pub fn add(&mut self, source: &str, bytes: Bytes) -> Result<()> {
        let begin = self.length;
        self.copy(source, bytes)?;
        self.file.flush().map_err(|error| self.unwritable(&error))?;
        self.parts.push(Part { source: source.to_string(), index: self.count, begin, start: begin });
        if matches!(self.format, Format::Csv(_)) && self.header == Header::FirstRow {
            let Some((columns, start)) = self.input(begin)?.header(&self.plan.run_dir)? else {
                return match self.parts.len() {
                    1 => Ok(()),
                    _ => Err(Error::refused(format!("`{source}` is empty: it has no header"))
                        .hint("if it was cut off, fetch it again")),
                };
            };
            self.take_columns(columns, source)?;
            if let Some(part) = self.parts.last_mut() {
                part.start = start;
            }
        }
        let start = self.parts.last().map_or(begin, |part| part.start);
        let (count, cut) = self.input(start)?.count_records(&self.plan.run_dir, self.plan.limit - self.count)?;
        self.count += count;
        self.cut = cut;
        if is_open_end(&self.format, self.last) && count > 0 && !cut {
            self.open_ends.push(source.to_string());
        }
        Ok(())
    }

    /// Makes the copy durable and gives it its name.
    pub fn finish(mut self) -> Result<Input> {
        let (temporary, path) = (self.temporary(), self.plan.run_dir.join(&self.name));
        let finished = self.file.flush().and_then(|()| self.file.get_ref().sync_all()).and_then(|()| publish(&temporary, &path));
        finished.map_err(|error| trouble(&path, &error))?;
        let file = InputFile::Kept(self.name);
        let mut input = self.plan.input(file, self.format, self.parts.first().map_or(0, |part| part.start))?;
        (input.count, input.cut, input.open_ends) = (self.count, self.cut, self.open_ends);
        input.open_ends.truncate(OPEN_ENDS);
        if self.parts.len() > 1 || self.parts.iter().any(|part| part.source != self.plan.source) {
            input.parts = self.parts;
        }
        Ok(input)
    }

    /// All files have the columns of the first one.
    fn take_columns(&mut self, columns: Columns, source: &str) -> Result<()> {
        let Format::Csv(csv) = &mut self.format else { return Ok(()) };
        if self.parts.len() == 1 {
            (csv.columns, csv.own, csv.item) = (columns.names, columns.own, columns.item);
        } else if (&csv.columns, &csv.own) != (&columns.names, &columns.own) {
            let list = |names: &[String]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let (found, first) = (list(&columns.names), list(&csv.columns));
            let first_file = &self.parts[0].source;
            return Err(Error::refused(format!(
                "`{source}` has the columns {found}, `{first_file}` has {first}: files that are read together have the same"
            )));
        }
        Ok(())
    }

    /// What was copied last, as an input of its own that begins at `start`.
    fn input(&self, start: u64) -> Result<Input> {
        let file = InputFile::Kept(format!("{}.tmp", self.name));
        let mut input = self.plan.input(file, self.format.clone(), start)?;
        input.parts = self.parts.last().map(|part| Part { index: 0, start, ..part.clone() }).into_iter().collect();
        Ok(input)
    }

    fn copy(&mut self, source: &str, bytes: Bytes) -> Result<()> {
        match bytes {
            Bytes::Object(arriving) => self.copy_text(Unpacked::new(arriving, source)?, source),
            Bytes::File(path) => {
                let version = || fs::metadata(&path).map(|data| Version::of(&data, &InputFile::InPlace(path.clone())));
                let before = version().map_err(|error| unreadable(&path, &error))?;
                let file = File::open(&path).map_err(|error| unreadable(&path, &error))?;
                self.copy_text(Unpacked::new(file, source)?, source)?;
                match version() {
                    Ok(after) if after == before => Ok(()),
                    _ => Err(Error::surroundings(format!("`{source}` was changed while it was read"))
                        .hint("begin again when it is whole")),
                }
            }
            Bytes::Stdin => {
                let stdin = std::io::stdin();
                if stdin.is_terminal() {
                    return Err(Error::refused("`source: \"-\"` reads standard input, which is a terminal here")
                        .hint("fanfold run … < items.csv"));
                }
                let before = self.length;
                self.copy_text(Unpacked::new(stdin, source)?, source)?;
                // A run that was killed while it read has not got the rest: going on with nothing would be a run of nothing.
                match self.length == before {
                    true => Err(Error::refused("nothing came on standard input").hint("fanfold run … < items.csv")),
                    false => Ok(()),
                }
            }
        }
    }

    fn copy_text(&mut self, mut from: Unpacked<'_>, source: &str) -> Result<()> {
        let mut buffer = vec![0; CHUNK];
        let mut filled = 0;
        // The first bytes say what it is.
        while filled < 4 {
            match from.read(&mut buffer[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        let encoding = match &self.format {
            Format::Csv(csv) => Some(csv.encoding),
            _ => None,
        };
        let head = &buffer[..filled.min(4)];
        let (mut transcoder, mut start) = match encoding {
            Some(encoding) => Transcoder::new(encoding, head, source)?,
            None => {
                let start = text_start(head, source, false)?;
                (Transcoder::new(Encoding::Utf8, &[], source)?.0, start as usize)
            }
        };
        let mut text = Vec::new();
        let (begin, mut look) = (self.length, LOOK);
        loop {
            text.clear();
            transcoder.write(&buffer[start..filled], filled == 0, &mut text);
            self.write(&text)?;
            if filled == 0 {
                break;
            }
            if self.length - begin >= look {
                if self.is_enough(begin)? {
                    break;
                }
                look *= 2;
            }
            start = 0;
            filled = from.read(&mut buffer)?;
        }
        Ok(())
    }

    /// Whether all records that `items.limit` still takes are there, and the start of another one.
    fn is_enough(&mut self, begin: u64) -> Result<bool> {
        let has_header = match &self.format {
            Format::Csv(_) => self.header == Header::FirstRow,
            Format::Jsonl => false,
            // Its elements are no lines.
            Format::Json | Format::Objects { .. } | Format::Inventory { .. } => return Ok(false),
        };
        let Some(wanted) = (self.plan.limit - self.count).checked_add(u64::from(has_header)) else { return Ok(false) };
        if wanted >= self.length - begin {
            return Ok(false);
        }
        self.file.flush().map_err(|error| self.unwritable(&error))?;
        // What is wrong with the end of it may be right with what comes behind.
        Ok(matches!(self.input(begin)?.count_records(&self.plan.run_dir, wanted), Ok((_, true))))
    }

    fn write(&mut self, text: &[u8]) -> Result<()> {
        self.file.write_all(text).map_err(|error| self.unwritable(&error))?;
        self.length += text.len() as u64;
        self.last = text.last().copied().unwrap_or(self.last);
        Ok(())
    }

    /// Ends the last line, so that what is copied next begins one.
    pub fn end_line(&mut self) -> Result<()> {
        self.write(b"\n")
    }

    fn temporary(&self) -> PathBuf {
        self.plan.run_dir.join(format!("{}.tmp", self.name))
    }

    fn unwritable(&self, error: &std::io::Error) -> Error {
        trouble(&self.temporary(), error)
    }
}

impl Input {
    /// The columns that the first row names, and where the rows behind it begin; `None` if there is no row.
    pub(super) fn header(&self, run_dir: &Path) -> Result<Option<(Columns, u64)>> {
        let open = self.open(run_dir)?;
        let mut rows = open.rows_to_the_end()?;
        let Some(header) = rows.next()? else { return Ok(None) };
        let (source, line) = header.line();
        let line = line.and_then(|line| u32::try_from(line).ok()).unwrap_or(1);
        let place = Place { file: source.into(), line, column: 1 };
        let columns = header.header().map_err(|(wrong, hint)| Error::refused(wrong).at(Some(place)).hint(hint))?;
        Ok(Some((columns, rows.position().offset)))
    }

    /// How many records there are, at most `limit`, and whether there are more.
    pub(super) fn count_records(&self, run_dir: &Path, limit: u64) -> Result<(u64, bool)> {
        let mut rows = self.open(run_dir)?.rows_to_the_end()?;
        let mut count = 0;
        while count < limit && rows.next()?.is_some() {
            count += 1;
        }
        let cut = count == limit && rows.next()?.is_some();
        Ok((count, cut))
    }
}

/// Whether rows that end in this byte may have been cut off: any other kind of items would show it.
pub(super) fn is_open_end(format: &Format, last: u8) -> bool {
    matches!(format, Format::Csv(_)) && !matches!(last, b'\n' | b'\r')
}

/// Whether a file of this machine can be read where it is: plain text in UTF-8.
pub(super) fn is_readable_in_place(path: &Path, source: &str, encoding: Encoding) -> Result<bool> {
    if encoding != Encoding::Utf8 {
        return Ok(false);
    }
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    Ok(Unpacked::new(file, source)?.is_plain())
}
