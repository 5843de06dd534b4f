//! [`freeze`]: fixes which items a run has, before anything is done to them.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::arriving::arriving;
use super::encoding::{Encoding, text_start};
use super::fetch::{At, FoundFile};
use super::gather::{Bytes, Gather, is_open_end, is_readable_in_place};
use super::input::{CsvFormat, Format, Input, InputFile, UNCOUNTED, Version};
use super::inventory;
use super::json_array::{ArrayError, elements};
use super::listing;
use super::spool::{ITEMS, Spool};
use super::{CsvConfig, Header, ItemsConfig, ItemsSource, JsonConfig};
use crate::storage::{Storages, nearest_sibling};
use crate::{Error, Place, Result};

/// Fixes which items there are. Objects, inventories and JSON arrays are listed into `run_dir` (`items.jsonl`). A CSV or JSON Lines file of this
/// machine that is plain UTF-8 is read where it is and its version is remembered; what is compressed, in another encoding, on S3, on
/// standard input or in several files is copied there (`source.csv`), while it arrives. Every record is looked at once, and counted; rows and lines
/// are not parsed.
///
/// `as_written` is the source as the user wrote it: it is what positions and messages call it.
///
/// # Errors
/// The source is not there, cannot be read, or is not of its kind; `run_dir` cannot be written to.
///
/// # Cancel safety
/// Dropped half-way, it may go on in the background for a while; it can be called again for the same folder after that.
pub async fn freeze(config: &ItemsConfig, storages: &Storages, run_dir: &Path, as_written: &str) -> Result<Input> {
    freeze_by(config, storages, run_dir, as_written, true).await
}

/// The same for who looks at every record next: what is read where it is may be left uncounted ([`Input::is_counted`]).
///
/// # Errors
/// Those of [`freeze`], but for records that end inside a quote: who reads them is told.
pub(crate) async fn freeze_uncounted(
    config: &ItemsConfig,
    storages: &Storages,
    run_dir: &Path,
    as_written: &str,
) -> Result<Input> {
    freeze_by(config, storages, run_dir, as_written, false).await
}

async fn freeze_by(config: &ItemsConfig, storages: &Storages, run_dir: &Path, as_written: &str, counts: bool) -> Result<Input> {
    let limit = config.limit.map_or(u64::MAX, std::num::NonZeroU64::get);
    let counts = counts || config.limit.is_some();
    let plan = Plan { source: as_written.to_string(), run_dir: run_dir.to_path_buf(), limit, counts };
    match &config.source {
        ItemsSource::Objects(objects) => listing::freeze(&objects.source, storages, plan).await,
        ItemsSource::Inventory(inventory) => inventory::freeze(inventory, storages, plan).await,
        ItemsSource::Csv(csv) => {
            let csv = csv.clone();
            let found = plan.find(&csv.source, storages).await?;
            let format = Format::Csv(CsvFormat::of(&csv));
            match plan.in_place(found, csv.encoding).await? {
                Ok(path) => blocking(move || plan.csv(&csv, InputFile::InPlace(path))).await,
                Err(found) => plan.gather(found, "source.csv", csv.header, format).await,
            }
        }
        ItemsSource::Jsonl(jsonl) => {
            let found = plan.find(&jsonl.source, storages).await?;
            match plan.in_place(found, Encoding::Utf8).await? {
                Ok(path) => blocking(move || plan.jsonl(InputFile::InPlace(path))).await,
                Err(found) => plan.gather(found, "source.jsonl", Header::FirstRow, Format::Jsonl).await,
            }
        }
        ItemsSource::Json(json) => {
            let json = json.clone();
            let found = plan.find(&json.source, storages).await?;
            let file = match plan.in_place(found, Encoding::Utf8).await? {
                Ok(path) => InputFile::InPlace(path),
                Err(found) => plan.gather(found, "source.json", Header::FirstRow, Format::Json).await?.file,
            };
            blocking(move || plan.json(&json, file)).await
        }
    }
}

/// What every kind of source is frozen with.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub source: String,
    pub run_dir: PathBuf,
    pub limit: u64,
    /// Whether records are counted that need not be looked at otherwise.
    pub counts: bool,
}

impl Plan {
    /// The file, if there is one that can be read where it is; else what was found.
    async fn in_place(&self, mut found: Vec<FoundFile>, encoding: Encoding) -> Result<Result<PathBuf, Vec<FoundFile>>> {
        let path = match found.as_slice() {
            [FoundFile { at: At::Path(path), source }] => Some((path.clone(), source.clone())),
            _ => None,
        };
        let Some((path, source)) = path else { return Ok(Err(found)) };
        let looked = {
            let (plan, path) = (Self { source: source.clone(), ..self.clone() }, path.clone());
            blocking(move || {
                plan.check_file(&path)?;
                is_readable_in_place(&path, &source, encoding)
            })
        };
        Ok(if looked.await? && found.len() == 1 && found[0].source == self.source {
            found.clear();
            Ok(path)
        } else {
            Err(found)
        })
    }

    /// Copies what was found into the folder of the run.
    async fn gather(&self, found: Vec<FoundFile>, name: &str, header: Header, format: Format) -> Result<Input> {
        // The columns are known if they are given.
        let format = match (format, &header) {
            (Format::Csv(csv), Header::Names(names)) => Format::Csv(csv.with_columns(names.clone())?),
            (format, _) => format,
        };
        let (plan, copy) = (self.clone(), name.to_string());
        let mut gather = blocking(move || Gather::new(plan, &copy, header, format)).await?;
        let several = found.len() > 1;
        let mut etag = None;
        for FoundFile { source, at } in found {
            let add = move |bytes: Bytes| {
                gather.add(&source, bytes)?;
                if several {
                    gather.end_line()?;
                }
                Ok(gather)
            };
            gather = match at {
                At::Stdin => blocking(move || add(Bytes::Stdin)).await?,
                At::Path(path) => blocking(move || add(Bytes::File(path))).await?,
                At::Object { storage, name } => {
                    let reading = storage.read(&name).await?;
                    etag = Some(reading.etag().to_string()).filter(|version| !several && !version.is_empty());
                    arriving(reading, move |arriving| add(Bytes::Object(arriving))).await?
                }
            };
            if gather.is_cut() {
                break;
            }
        }
        let mut input = blocking(move || gather.finish()).await?;
        input.etag = etag;
        Ok(input)
    }

    fn path(&self, file: &InputFile) -> PathBuf {
        match file {
            InputFile::Kept(name) => self.run_dir.join(name),
            InputFile::InPlace(path) => path.clone(),
        }
    }

    /// Whether it is a file that can be read more than once.
    pub fn check_file(&self, path: &Path) -> Result<()> {
        let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        if metadata.is_dir() {
            return Err(Error::refused(format!("`{}` is a folder, not a file", self.source))
                .hint("`items.objects` makes an item of each file in a folder"));
        }
        if !metadata.is_file() {
            return Err(Error::refused(format!("`{}` is not a regular file: it has to be readable more than once", self.source))
                .hint("`source: \"-\"` reads standard input"));
        }
        Ok(())
    }

    /// Where the text begins: behind a byte-order mark.
    pub fn start(&self, file: &InputFile, convertible: bool) -> Result<u64> {
        let path = self.path(file);
        let mut head = Vec::with_capacity(4);
        let opened = File::open(&path).and_then(|file| file.take(4).read_to_end(&mut head));
        opened.map_err(|error| unreadable(&path, &error))?;
        text_start(&head, &self.source, convertible)
    }

    pub fn input(&self, file: InputFile, format: Format, start: u64) -> Result<Input> {
        let path = self.path(&file);
        let metadata = fs::metadata(&path).map_err(|error| unreadable(&path, &error))?;
        let version = Version::of(&metadata, &file);
        let source = self.source.clone();
        Ok(Input {
            format,
            source,
            file,
            version,
            start,
            count: UNCOUNTED,
            cut: false,
            open_ends: Vec::new(),
            parts: Vec::new(),
            etag: None,
            repairs: None,
        })
    }

    /// Looks at every record once.
    pub fn count(&self, file: InputFile, format: Format, start: u64) -> Result<Input> {
        let mut input = self.input(file, format, start)?;
        if self.counts {
            (input.count, input.cut) = input.count_records(&self.run_dir, self.limit)?;
        }
        if !input.cut && input.version.size() > start && is_open_end(&input.format, self.last_byte(&input.file)?) {
            input.open_ends.push(self.source.clone());
        }
        // Someone may have written to it meanwhile.
        input.open(&self.run_dir)?;
        Ok(input)
    }

    fn last_byte(&self, file: &InputFile) -> Result<u8> {
        let path = self.path(file);
        let mut last = [b'\n'];
        let read = File::open(&path).and_then(|mut file| {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)
        });
        read.map(|()| last[0]).map_err(|error| unreadable(&path, &error))
    }

    fn jsonl(&self, file: InputFile) -> Result<Input> {
        let start = self.start(&file, false)?;
        self.count(file, Format::Jsonl, start)
    }

    fn csv(&self, config: &CsvConfig, file: InputFile) -> Result<Input> {
        let start = self.start(&file, true)?;
        let format = CsvFormat::of(config);
        if let Header::Names(names) = &config.header {
            return self.count(file, Format::Csv(format.with_columns(names.clone())?), start);
        }
        let headless = self.input(file.clone(), Format::Csv(format.clone()), start)?;
        let Some((columns, start)) = headless.header(&self.run_dir)? else {
            return self.count(file, Format::Csv(format), start);
        };
        let format = CsvFormat { columns: columns.names, own: columns.own, item: columns.item, ..format };
        self.count(file, Format::Csv(format), start)
    }

    fn json(&self, config: &JsonConfig, file: InputFile) -> Result<Input> {
        let start = self.start(&file, false)?;
        let path = self.path(&file);
        let before = self.input(file.clone(), Format::Json, start)?;
        let mut document = File::open(&path).map_err(|error| unreadable(&path, &error))?;
        document.seek(SeekFrom::Start(start)).map_err(|error| unreadable(&path, &error))?;
        let mut spool = Spool::new(&self.run_dir)?;
        let mut cut = false;
        let read = elements(BufReader::with_capacity(1 << 18, document), &config.pointer, |element| {
            if spool.count == self.limit {
                cut = true;
                return Ok(false);
            }
            spool.push(element).map(|()| true)
        });
        read.map_err(|error| match error {
            ArrayError::Taker(error) => error,
            ArrayError::NoArray(found) => Error::refused(format!("`{}` has no list of items: {found}", self.source))
                .hint("`pointer` says where the array is, such as `/orders`"),
            ArrayError::Syntax(error) if error.is_io() => unreadable(&path, &error.into()),
            ArrayError::Syntax(error) => self.no_json(&error),
        })?;
        before.open(&self.run_dir)?;
        let count = spool.finish()?;
        if matches!(file, InputFile::Kept(_)) {
            // Everything that is wanted of it is in the list now.
            let _ = fs::remove_file(&path);
        }
        let mut input = self.input(InputFile::Kept(ITEMS.to_string()), Format::Json, 0)?;
        (input.count, input.cut) = (count, cut);
        Ok(input)
    }

    fn no_json(&self, error: &serde_json::Error) -> Error {
        let text = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let detail = format!("`{}` is not a JSON document: {}", self.source, text.strip_suffix(&place).unwrap_or(&text));
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).max(1);
        let place = Place { file: self.source.as_str().into(), line: number(error.line()), column: number(error.column()) };
        let refused = Error::refused(detail).at(Some(place));
        if error.is_eof() {
            refused.hint("the file may have been cut off: fetch it again")
        } else if text.starts_with("trailing characters") {
            refused.hint("if every line is a document of its own, use `items.jsonl`")
        } else {
            refused
        }
    }
}

pub(super) fn unreadable(path: &Path, error: &io::Error) -> Error {
    let path_shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => {
            let missing = Error::refused(format!("`{path_shown}` does not exist"));
            match nearest_sibling(path) {
                Some(sibling) => missing.hint(format!("did you mean `{sibling}`?")),
                None => missing,
            }
        }
        io::ErrorKind::PermissionDenied => Error::surroundings(format!("`{path_shown}`: access is denied")),
        io::ErrorKind::NotADirectory => Error::refused(format!("`{path_shown}`: a part of the path is a file, not a folder")),
        _ => Error::surroundings(format!("`{path_shown}` cannot be read: {error}")),
    }
}

/// Runs file work on tokio's blocking threads.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::new(crate::ErrorKind::Stopped, "the program is ending")),
        },
    }
}
