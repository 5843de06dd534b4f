//! Freezes the objects that an S3 inventory lists: one line each, in the shape in which Step Functions hands them out. Every value is a
//! text; keys, which are URL-encoded in the report, are as they are in the bucket.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use md5::{Digest, Md5};
use serde_json::{Map, Value};

use super::arriving::arriving;
use super::fetch::{At, FoundFile};
use super::freeze::{Plan, blocking, unreadable};
use super::input::{Format, Input, InputFile};
use super::inventory_config::InventoryConfig;
use super::manifest::{Manifest, ReportFile};
use super::rows::INVALID_NAME;
use super::spool::{ITEMS, Spool};
use super::unpack::{Unpacked, unreadable as unreadable_source};
use crate::storage::{Location, Storages, decode_key};
use crate::{Error, ErrorKind, Result};

/// What helps where a report is not what its manifest says.
const AGAIN: &str = "fetch the report again, or take the next one";

/// The longest manifest that is read, in bytes: that of some hundred thousand files.
const MANIFEST_LIMIT: u64 = 64 * 1024 * 1024;

pub(super) async fn freeze(config: &InventoryConfig, storages: &Storages, plan: Plan) -> Result<Input> {
    let mut found = plan.find(&config.source, storages).await?;
    let Some(FoundFile { at, .. }) = found.pop() else { return Err(Error::bug("a source without a file")) };
    let (text, etag, manifest_path) = plan.read_manifest(at).await?;
    let manifest = Manifest::parse(&text, &plan.source)?;
    let mut list = {
        let (columns, limit) = (manifest.columns().map(str::to_string).collect(), plan.limit);
        let run_dir = plan.run_dir.clone();
        blocking(move || Ok(List { spool: Spool::new(&run_dir)?, columns, limit, cut: false })).await?
    };
    for file in &manifest.files {
        let one = file.clone();
        list = match &manifest_path {
            Some(manifest_path) => {
                let path = manifest.path_of(file, manifest_path)?;
                let add = move || {
                    let bytes = File::open(&path).map_err(|error| unreadable(&path, &error))?;
                    list.add(bytes, &one, &path.display().to_string())
                };
                blocking(add).await?
            }
            None => {
                let bucket = storages.open(&Location::s3(manifest.bucket(), "")).await?;
                let shown = bucket.location().address(&file.key);
                let reading = bucket.read(&file.key).await?;
                arriving(reading, move |bytes| list.add(bytes, &one, &shown)).await?
            }
        };
        if list.cut {
            break;
        }
    }
    let format = Format::Inventory { bucket: manifest.source_bucket };
    blocking(move || {
        let count = list.spool.finish()?;
        let mut input = plan.input(InputFile::Kept(ITEMS.to_string()), format, 0)?;
        (input.count, input.cut, input.etag) = (count, list.cut, etag);
        Ok(input)
    })
    .await
}

impl Plan {
    /// The text of the manifest, its version on S3, and its path on this machine.
    async fn read_manifest(&self, at: At) -> Result<(Vec<u8>, Option<String>, Option<PathBuf>)> {
        let too_long =
            |source: &str| Error::refused(format!("`{source}` is no manifest of an S3 inventory: it is longer than 64 MiB"));
        match at {
            At::Stdin => {
                Err(Error::refused("the files of an inventory are found from where its manifest is, not from standard input"))
            }
            At::Path(path) => {
                let plan = self.clone();
                blocking(move || {
                    plan.check_file(&path)?;
                    let mut text = Vec::new();
                    let read = File::open(&path).and_then(|file| file.take(MANIFEST_LIMIT + 1).read_to_end(&mut text));
                    match read.map_err(|error| unreadable(&path, &error))? as u64 > MANIFEST_LIMIT {
                        true => Err(too_long(&plan.source)),
                        false => Ok((text, None, Some(path))),
                    }
                })
                .await
            }
            At::Object { storage, name } => {
                let mut reading = storage.read(&name).await?;
                let mut text = Vec::new();
                while let Some(piece) = reading.next().await? {
                    text.extend_from_slice(&piece);
                    if text.len() as u64 > MANIFEST_LIMIT {
                        return Err(too_long(&self.source));
                    }
                }
                let etag = Some(reading.etag().to_string()).filter(|etag| !etag.is_empty());
                Ok((text, etag, None))
            }
        }
    }
}

/// The list being written.
struct List {
    spool: Spool,
    columns: Vec<String>,
    limit: u64,
    cut: bool,
}

impl List {
    /// Adds the objects of one file.
    fn add(mut self, bytes: impl Read, file: &ReportFile, shown: &str) -> Result<Self> {
        let mut summed = Summed { bytes, md5: Md5::new(), length: 0 };
        let added = self.add_rows(&mut summed, shown);
        // A file that is not the one of the manifest is told as that, whatever was found in it.
        if !self.cut && !matches!(&added, Err(error) if error.kind() != ErrorKind::Refused) {
            summed.check(file, shown)?;
        }
        added.map(|()| self)
    }

    fn add_rows(&mut self, bytes: impl Read, shown: &str) -> Result<()> {
        let text = Text { unpacked: Unpacked::new(bytes, shown)?, trouble: None };
        let mut rows = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
        let (mut row, mut number) = (csv::StringRecord::new(), 0u64);
        loop {
            number += 1;
            match rows.read_record(&mut row) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => {
                    let trouble = rows.get_mut().trouble.take();
                    return Err(trouble.unwrap_or_else(|| damaged(shown, number, &error.to_string())));
                }
            }
            if row.len() != self.columns.len() {
                let wrong = format!("it has {} fields, `fileSchema` of the manifest has {}", row.len(), self.columns.len());
                return Err(damaged(shown, number, &wrong));
            }
            if self.spool.count == self.limit {
                self.cut = true;
                return Ok(());
            }
            self.push(&row)?;
        }
    }

    fn push(&mut self, row: &csv::StringRecord) -> Result<()> {
        let mut object = Map::with_capacity(self.columns.len());
        for (name, field) in self.columns.iter().zip(row) {
            let value = if name == "Key" {
                match decode_key(field) {
                    (key, false) => key,
                    (encoded, true) => return self.spool.push(&[INVALID_NAME, encoded.as_bytes()].concat()),
                }
            } else {
                field.to_string()
            };
            object.insert(name.clone(), Value::String(value));
        }
        self.spool.push(Value::Object(object).to_string().as_bytes())
    }
}

fn damaged(shown: &str, row: u64, wrong: &str) -> Error {
    Error::refused(format!("`{shown}`, a file of the inventory, is damaged in its row {row}: {wrong}")).hint(AGAIN)
}

/// The bytes of a file, counted and summed up while they are read.
struct Summed<R> {
    bytes: R,
    md5: Md5,
    length: u64,
}

impl<R: Read> Summed<R> {
    /// Whether it is the file of the manifest, once what nobody wanted of it is read as well.
    fn check(mut self, file: &ReportFile, shown: &str) -> Result<()> {
        io::copy(&mut self, &mut io::sink()).map_err(|error| unreadable_source(shown, &error))?;
        let found: String = self.md5.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let wrong = match () {
            () if self.length != file.size => format!("it has {} bytes, {} there", self.length, file.size),
            () if !found.eq_ignore_ascii_case(&file.md5) => format!("its MD5 is {found}, {} there", file.md5),
            () => return Ok(()),
        };
        Err(Error::refused(format!("`{shown}` is not the file that the manifest of the inventory names: {wrong}")).hint(AGAIN))
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(buffer)?;
        self.md5.update(&buffer[..read]);
        self.length += read as u64;
        Ok(read)
    }
}

/// What was packed, for the csv crate; an error of its own is kept beside.
struct Text<'r> {
    unpacked: Unpacked<'r>,
    trouble: Option<Error>,
}

impl Read for Text<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.unpacked.read(buffer).map_err(|error| {
            let told = io::Error::other(error.to_string());
            self.trouble = Some(error);
            told
        })
    }
}
