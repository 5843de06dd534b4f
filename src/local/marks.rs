//! [`Marks`]: which items are in flight, so that a crash finds them.
//!
//! A file of 8-byte places, one for each item that can be in flight at once: the item's index plus one, or 0. Written without a
//! sync: what the kernel has survives the death of the process, and a loss of power is nobody's poison item. Only for
//! jobs that must never be repeated blindly is it synced before the item runs.
//!
//! A place is not wiped when its item ends: an item with an outcome is not in flight, whatever its place says.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The marks of a run.
#[derive(Debug)]
pub(super) struct Marks {
    file: File,
    path: PathBuf,
    free: Mutex<Free>,
}

#[derive(Debug, Default)]
struct Free {
    places: Vec<usize>,
    next: usize,
}

impl Marks {
    /// Opens the marks with all places free, and gives the items that were in flight when the last process ended.
    pub fn open(path: &Path) -> io::Result<(Self, Vec<u64>)> {
        let found = read(path)?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let free = Mutex::new(Free::default());
        Ok((Self { file, path: path.to_path_buf(), free }, found))
    }

    /// Forgets everything that was in flight before. To be called once what was found is in the record.
    pub fn clear(&self) -> io::Result<()> {
        self.file.set_len(0)
    }

    /// Marks an item as in flight and gives its place.
    pub fn set(&self, item: u64) -> io::Result<usize> {
        let place = {
            let mut free = self.lock();
            free.places.pop().unwrap_or_else(|| {
                free.next += 1;
                free.next - 1
            })
        };
        self.file.write_all_at(&(item + 1).to_le_bytes(), place as u64 * 8)?;
        Ok(place)
    }

    /// Makes everything that is marked survive a loss of power. Blocks for a few milliseconds.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Lets another item have the place.
    pub fn free(&self, place: usize) {
        self.lock().places.push(place);
    }

    /// The run came to a clean end or stop: nothing is in flight.
    pub fn remove(&self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Free> {
        // Nothing panics while it holds the lock; were it so, the list would still be whole.
        self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn read(path: &Path) -> io::Result<Vec<u64>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let (places, _torn) = bytes.as_chunks::<8>();
    let mut items: Vec<u64> = places.iter().filter_map(|place| u64::from_le_bytes(*place).checked_sub(1)).collect();
    items.sort_unstable();
    items.dedup();
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_in_flight_is_found_again_and_places_are_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in-flight");
        let (marks, found) = Marks::open(&path).unwrap();
        assert!(found.is_empty());
        let first = marks.set(0).unwrap();
        marks.set(7).unwrap();
        marks.free(first);
        assert_eq!(marks.set(9).unwrap(), first);
        drop(marks);
        let (marks, found) = Marks::open(&path).unwrap();
        assert_eq!(found, [7, 9]);
        marks.clear().unwrap();
        assert!(Marks::open(&path).unwrap().1.is_empty());
        marks.remove().unwrap();
        assert!(!path.exists());
    }
}
