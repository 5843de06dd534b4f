//! [`Repairs`]: rows that stand in place of those of a frozen source, kept beside it in the folder of a run.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::spool::{publish, trouble};
use crate::{Error, Result};

/// The rows that were repaired. Memory is that of where they are, not of what they hold.
#[derive(Debug)]
pub(super) struct Repairs {
    file: File,
    path: PathBuf,
    /// Offset and length of each, by the index of its item.
    places: BTreeMap<u64, (u64, usize)>,
}

impl Repairs {
    /// Reads where they are: a line in front of each row says the index of its item and its length.
    pub fn open(path: &Path) -> Result<Self> {
        let cannot = |error: &io::Error| Error::surroundings(format!("`{}` cannot be read: {error}", path.display()));
        let file = File::open(path).map_err(|error| cannot(&error))?;
        let mut lines = BufReader::with_capacity(1 << 16, file.try_clone().map_err(|error| cannot(&error))?);
        let (mut places, mut at, mut line) = (BTreeMap::new(), 0, String::new());
        loop {
            line.clear();
            let read = lines.read_line(&mut line).map_err(|error| cannot(&error))?;
            if read == 0 {
                return Ok(Self { file, path: path.to_path_buf(), places });
            }
            let numbers = line.trim_end().split_once(' ').and_then(|(index, length)| index.parse().ok().zip(length.parse().ok()));
            let Some((index, length)) = numbers else {
                return Err(Error::surroundings(format!("`{}` is damaged at its byte {at}", path.display())));
            };
            at += read as u64;
            places.insert(index, (at, length));
            at += length as u64 + 1;
            lines.seek_relative(length as i64 + 1).map_err(|error| cannot(&error))?;
        }
    }

    /// Writes the row of the item into `row`; false if it was not repaired.
    pub fn read(&self, index: u64, row: &mut Vec<u8>) -> Result<bool> {
        let Some((offset, length)) = self.places.get(&index) else { return Ok(false) };
        row.resize(*length, 0);
        let read = self.file.read_exact_at(row, *offset);
        read.map(|()| true).map_err(|error| Error::surroundings(format!("`{}` cannot be read: {error}", self.path.display())))
    }

    /// Writes a file of them, durably: those that are there already, and these in place of them.
    pub fn write(before: Option<&Self>, rows: &BTreeMap<u64, Vec<u8>>, path: &Path) -> Result<()> {
        let temporary = path.with_extension("tmp");
        let written = || -> io::Result<()> {
            let options = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
            let mut file = BufWriter::new(options);
            let mut one = |index: u64, row: &[u8]| -> io::Result<()> {
                writeln!(file, "{index} {}", row.len())?;
                file.write_all(row)?;
                file.write_all(b"\n")
            };
            let mut row = Vec::new();
            for index in before.iter().flat_map(|before| before.places.keys()).filter(|index| !rows.contains_key(index)) {
                if let Some(before) = before {
                    before.read(*index, &mut row).map_err(io::Error::other)?;
                    one(*index, &row)?;
                }
            }
            rows.iter().try_for_each(|(index, row)| one(*index, row))?;
            file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
            publish(&temporary, path)
        };
        written().map_err(|error| trouble(path, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_kept_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("repairs-1"), folder.path().join("repairs-2"));
        let rows = |rows: &[(u64, &str)]| rows.iter().map(|(index, row)| (*index, row.as_bytes().to_vec())).collect();
        Repairs::write(None, &rows(&[(3, "a\nb"), (9, ""), (40_000_000_000, "x")]), &first).unwrap();
        let before = Repairs::open(&first).unwrap();
        Repairs::write(Some(&before), &rows(&[(3, "c"), (4, "d")]), &second).unwrap();
        let after = Repairs::open(&second).unwrap();
        let mut row = Vec::new();
        for (repairs, index, expected) in [
            (&before, 3, Some("a\nb")),
            (&before, 4, None),
            (&before, 9, Some("")),
            (&after, 3, Some("c")),
            (&after, 4, Some("d")),
            (&after, 9, Some("")),
            (&after, 40_000_000_000, Some("x")),
        ] {
            let found = repairs.read(index, &mut row).unwrap().then(|| String::from_utf8(row.clone()).unwrap());
            assert_eq!(found.as_deref(), expected, "{index}");
        }
        std::fs::write(&first, "3 x\n").unwrap();
        assert!(Repairs::open(&first).unwrap_err().detail().ends_with("is damaged at its byte 0"));
    }
}
