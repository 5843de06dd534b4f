//! [`Numbers`]: a file of records of `W` numbers each, written whole and read from any record on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Bytes that are read or written at once.
const CHUNK: usize = 64 * 1024;

/// Writes such a file; it has its name only once it is whole and durable.
#[derive(Debug)]
pub(super) struct NumbersWriter<const W: usize> {
    writer: BufWriter<File>,
    path: PathBuf,
    temporary: PathBuf,
    pub count: u64,
}

impl<const W: usize> NumbersWriter<W> {
    pub fn new(folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join(name);
        let temporary = folder.join(format!("{name}.tmp"));
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary);
        let file = file.map_err(|error| unwritable(&temporary, &error))?;
        Ok(Self { writer: BufWriter::with_capacity(CHUNK, file), path, temporary, count: 0 })
    }

    pub fn push(&mut self, numbers: [u64; W]) -> Result<()> {
        for number in numbers {
            self.writer.write_all(&number.to_le_bytes()).map_err(|error| unwritable(&self.temporary, &error))?;
        }
        self.count += 1;
        Ok(())
    }

    /// Makes it durable and gives it its name.
    pub fn finish(self) -> Result<u64> {
        let finished = self.writer.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| {
            file.sync_all()?;
            fs::rename(&self.temporary, &self.path)?;
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder)?.sync_all()
        });
        finished.map_err(|error| unwritable(&self.path, &error))?;
        Ok(self.count)
    }
}

/// Such a file, open for reading.
#[derive(Debug)]
pub(super) struct Numbers<const W: usize> {
    file: File,
    path: PathBuf,
    count: u64,
}

impl<const W: usize> Numbers<W> {
    const BYTES: usize = W * 8;

    pub fn open(folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join(name);
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (bytes, file) = opened.map_err(|error| unreadable(&path, &error))?;
        if !bytes.is_multiple_of(Self::BYTES as u64) {
            return Err(damaged(&path));
        }
        Ok(Self { file, path, count: bytes / Self::BYTES as u64 })
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// At most `most` records from record `at` on, and as many as fit into 64 KiB.
    ///
    /// # Errors
    /// The file cannot be read, or ends before record `at`.
    pub fn read(&self, at: u64, most: u64) -> Result<Vec<[u64; W]>> {
        let there = self.count.checked_sub(at).ok_or_else(|| damaged(&self.path))?;
        let count = most.min(there).min((CHUNK / Self::BYTES) as u64) as usize;
        let mut bytes = vec![0; count * Self::BYTES];
        self.file.read_exact_at(&mut bytes, at * Self::BYTES as u64).map_err(|error| unreadable(&self.path, &error))?;
        let number = |record: &[u8], n: usize| record[n * 8..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Ok(bytes.chunks_exact(Self::BYTES).map(|record| std::array::from_fn(|n| number(record, n))).collect())
    }
}

pub(super) fn unwritable(path: &Path, error: &io::Error) -> Error {
    Error::surroundings(format!("`{}` cannot be written: {error}", path.display()))
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::surroundings(format!("`{}`, the order of the items, cannot be read: {error}", path.display()))
        .hint("restore it from a copy, or begin a new run")
}

fn damaged(path: &Path) -> Error {
    Error::surroundings(format!("`{}`, the order of the items, is damaged", path.display()))
        .hint("restore it from a copy, or begin a new run")
}
