//! [`freeze`]: fixes which items a run has, before anything is done to them.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::csv::Dialect;
use super::encoding;
use super::input::{Format, Input, InputFile, Version};
use super::json_array::{ArrayError, elements};
use super::listing;
use super::spool::{ITEMS, Spool, publish, trouble};
use super::{CsvConfig, Header, ItemsConfig, ItemsSource, JsonConfig, SourceFile};
use crate::storage::{Location, StorageError, Storages, nearest_sibling};
use crate::{Error, Place, Result};

/// Fixes which items there are: objects and JSON arrays are listed into `run_dir` (`items.jsonl`), a file on S3 is copied there,
/// a local CSV or JSON Lines file is read where it is and its version is remembered. Every record is looked at once, and counted;
/// rows and lines are not parsed.
///
/// `as_written` is the source as the user wrote it: it is what positions and messages call it.
///
/// # Errors
/// The source is not there, cannot be read, or is not of its kind; `run_dir` cannot be written to.
///
/// # Cancel safety
/// Dropped half-way, it may go on in the background for a while; it can be called again for the same folder after that.
pub async fn freeze(config: &ItemsConfig, storages: &Storages, run_dir: &Path, as_written: &str) -> Result<Input> {
    let limit = config.limit.map_or(u64::MAX, std::num::NonZeroU64::get);
    let plan = Plan { source: as_written.to_string(), run_dir: run_dir.to_path_buf(), limit };
    match &config.source {
        ItemsSource::Objects(objects) => listing::freeze(&objects.source, storages, plan).await,
        ItemsSource::Csv(csv) => {
            let csv = csv.clone();
            let file = plan.fetch(&csv.source, storages, "source.csv").await?;
            blocking(move || plan.csv(&csv, file)).await
        }
        ItemsSource::Jsonl(jsonl) => {
            let file = plan.fetch(&jsonl.source, storages, "source.jsonl").await?;
            blocking(move || {
                let start = plan.start(&file)?;
                plan.count(file, Format::Jsonl, start)
            })
            .await
        }
        ItemsSource::Json(json) => {
            let json = json.clone();
            let file = plan.fetch(&json.source, storages, "source.json").await?;
            blocking(move || plan.json(&json, file)).await
        }
    }
}

/// What every kind of source is frozen with.
#[derive(Debug)]
pub(super) struct Plan {
    pub source: String,
    pub run_dir: PathBuf,
    pub limit: u64,
}

impl Plan {
    /// Where the bytes are: the file itself, or a copy of the object in the folder of the run.
    async fn fetch(&self, source: &SourceFile, storages: &Storages, name: &str) -> Result<InputFile> {
        match source {
            SourceFile::Path(path) => {
                let absolute = std::path::absolute(path).map_err(|error| unreadable(path, &error))?;
                if absolute.to_str().is_none() {
                    // The record of a run is text.
                    return Err(
                        Error::refused(format!("the path `{}` is not UTF-8", absolute.display())).hint("rename the folder")
                    );
                }
                Ok(InputFile::InPlace(absolute))
            }
            SourceFile::S3 { bucket, key } => {
                let storage = storages.open(&Location::s3(bucket, "")).await?;
                let (path, temporary) = (self.run_dir.join(name), self.run_dir.join(format!("{name}.tmp")));
                storage.download(key, &temporary).await.map_err(|error| self.not_fetched(error))?;
                blocking(move || publish(&temporary, &path).map_err(|error| trouble(&path, &error))).await?;
                Ok(InputFile::Kept(name.to_string()))
            }
        }
    }

    /// A copy that cannot be written is the surroundings' fault, whatever the error would mean of a source.
    fn not_fetched(&self, error: StorageError) -> Error {
        if error.is_writing() { Error::surroundings(error.to_string()) } else { error.into() }
    }

    fn path(&self, file: &InputFile) -> PathBuf {
        match file {
            InputFile::Kept(name) => self.run_dir.join(name),
            InputFile::InPlace(path) => path.clone(),
        }
    }

    /// Where the text begins: behind a byte-order mark.
    fn start(&self, file: &InputFile) -> Result<u64> {
        let path = self.path(file);
        let metadata = fs::metadata(&path).map_err(|error| unreadable(&path, &error))?;
        if metadata.is_dir() {
            return Err(Error::refused(format!("`{}` is a folder, not a file", self.source))
                .hint("`items.objects` makes an item of each file in a folder"));
        }
        if !metadata.is_file() {
            return Err(Error::refused(format!("`{}` is not a regular file: it has to be readable more than once", self.source))
                .hint("write it to a file first"));
        }
        let mut head = Vec::with_capacity(4);
        let opened = File::open(&path).and_then(|file| file.take(4).read_to_end(&mut head));
        opened.map_err(|error| unreadable(&path, &error))?;
        encoding::text_start(&head, &self.source)
    }

    fn input(&self, file: InputFile, format: Format, start: u64) -> Result<Input> {
        let path = self.path(&file);
        let metadata = fs::metadata(&path).map_err(|error| unreadable(&path, &error))?;
        let version = Version::of(&metadata, &file);
        Ok(Input { format, source: self.source.clone(), file, version, start, count: 0, cut: false })
    }

    /// Looks at every record once.
    fn count(&self, file: InputFile, format: Format, start: u64) -> Result<Input> {
        let mut input = self.input(file, format, start)?;
        let open = input.open(&self.run_dir)?;
        let mut rows = open.rows_to_the_end()?;
        while input.count < self.limit && rows.next()?.is_some() {
            input.count += 1;
        }
        input.cut = input.count == self.limit && rows.next()?.is_some();
        // Someone may have written to it meanwhile.
        input.open(&self.run_dir)?;
        Ok(input)
    }

    fn csv(&self, config: &CsvConfig, file: InputFile) -> Result<Input> {
        let start = self.start(&file)?;
        let CsvConfig { delimiter, strict, .. } = *config;
        let format = |columns| Format::Csv { columns, delimiter, strict };
        if let Header::Names(names) = &config.header {
            return self.count(file, format(names.clone()), start);
        }
        let headless = self.input(file.clone(), format(Vec::new()), start)?;
        let open = headless.open(&self.run_dir)?;
        let mut rows = open.rows_to_the_end()?;
        let Some(header) = rows.next()? else { return self.count(file, format(Vec::new()), start) };
        let line = open.line(header.offset).and_then(|line| u32::try_from(line).ok()).unwrap_or(1);
        let place = Place { file: self.source.as_str().into(), line, column: 1 };
        let dialect = Dialect { delimiter: delimiter.byte(), strict };
        let columns = header.header(dialect).map_err(|wrong| {
            let refused = Error::refused(format!("{wrong} (the first row of `{}`)", self.source)).at(Some(place));
            refused.hint("if the file has no header, give the names: `header: [id, name]`")
        })?;
        let start = rows.position().offset;
        self.count(file, format(columns), start)
    }

    fn json(&self, config: &JsonConfig, file: InputFile) -> Result<Input> {
        let start = self.start(&file)?;
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

fn unreadable(path: &Path, error: &io::Error) -> Error {
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
