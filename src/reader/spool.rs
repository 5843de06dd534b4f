//! [`Spool`]: writes the frozen list of items, one a line; it has its name only once it is whole and durable.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The name of the list in the folder of a run.
pub(super) const ITEMS: &str = "items.jsonl";

/// A list being written.
#[derive(Debug)]
pub(super) struct Spool {
    writer: BufWriter<File>,
    temporary: PathBuf,
    path: PathBuf,
    pub count: u64,
}

impl Spool {
    pub fn new(run_dir: &Path) -> Result<Self> {
        let path = run_dir.join(ITEMS);
        let temporary = run_dir.join("items.jsonl.tmp");
        let file = File::create(&temporary).map_err(|error| trouble(&temporary, &error))?;
        Ok(Self { writer: BufWriter::with_capacity(1 << 18, file), temporary, path, count: 0 })
    }

    /// Writes one line; `line` has no line break in it.
    pub fn push(&mut self, line: &[u8]) -> Result<()> {
        let written = self.writer.write_all(line).and_then(|()| self.writer.write_all(b"\n"));
        written.map_err(|error| trouble(&self.temporary, &error))?;
        self.count += 1;
        Ok(())
    }

    /// Makes it durable and gives it its name.
    pub fn finish(self) -> Result<u64> {
        let finished = self.writer.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| {
            file.sync_all()?;
            publish(&self.temporary, &self.path)
        });
        finished.map_err(|error| trouble(&self.path, &error))?;
        Ok(self.count)
    }
}

/// Renames a durable file within its folder, durably.
pub(super) fn publish(temporary: &Path, path: &Path) -> io::Result<()> {
    fs::rename(temporary, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

pub(super) fn trouble(path: &Path, error: &io::Error) -> Error {
    Error::surroundings(format!("`{}` cannot be written: {error}", path.display()))
}
