//! [`Marks`]: which items are in flight, so that a crash finds them.
//!
//! A file of 16-byte places, one for each batch or item that can be in flight at once: its first and last item's index plus one,
//! or 0. Written without a sync: what the kernel has survives the death of the process, and a loss of power is nobody's poison
//! item. Only for jobs that must never be repeated blindly is it synced before the item runs.
//!
//! A place is not wiped when its item ends: an item with an outcome is not in flight, whatever its place says. Only when a session
//! comes to its own end, also a bad one, what was let go is wiped: nobody died, so nobody is suspected.
//!
//! In front of the places stands the session that wrote them: a crash is counted once, however often it is recovered from.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Bytes of a place.
const PLACE: usize = 16;

/// More items than this are in no batch: each has at least 2 bytes of the 256 KiB.
const MOST_ITEMS: u64 = 1 << 17;

/// The marks of a run.
#[derive(Debug)]
pub(super) struct Marks {
    file: File,
    path: PathBuf,
    free: Mutex<Free>,
}

/// What the last process left behind.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// The session that was going on.
    pub session: u64,
    /// The items that were in flight.
    pub items: Vec<u64>,
}

#[derive(Debug, Default)]
struct Free {
    places: Vec<usize>,
    next: usize,
}

impl Marks {
    /// Opens the marks with all places free, and gives what was in flight when the last process ended.
    pub fn open(path: &Path) -> io::Result<(Self, Left)> {
        let found = read(path)?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let free = Mutex::new(Free::default());
        Ok((Self { file, path: path.to_path_buf(), free }, found))
    }

    /// Forgets everything that was in flight before and begins a session. To be called once what was found is in the record.
    pub fn begin(&self, session: u64) -> io::Result<()> {
        self.file.set_len(0)?;
        let mut bytes = [0; PLACE];
        bytes[..8].copy_from_slice(&session.to_le_bytes());
        self.file.write_all_at(&bytes, 0)
    }

    /// Marks the items from `first` to `last` as in flight and gives their place.
    pub fn set(&self, first: u64, last: u64) -> io::Result<usize> {
        let place = {
            let mut free = self.lock();
            free.places.pop().unwrap_or_else(|| {
                free.next += 1;
                free.next - 1
            })
        };
        let mut bytes = [0; PLACE];
        bytes[..8].copy_from_slice(&(first + 1).to_le_bytes());
        bytes[8..].copy_from_slice(&(last + 1).to_le_bytes());
        self.file.write_all_at(&bytes, at(place)).inspect_err(|_| self.free(place))?;
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

    /// The session came to an end of its own: what was let go is in flight no more. What was not stays marked: its outcome could
    /// not be kept.
    pub fn settle(&self) -> io::Result<()> {
        let free = self.lock();
        if free.places.len() == free.next {
            return std::fs::remove_file(&self.path);
        }
        free.places.iter().try_for_each(|place| self.file.write_all_at(&[0; PLACE], at(*place)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Free> {
        // Nothing panics while it holds the lock; were it so, the list would still be whole.
        self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Where a place is in the file, in bytes: behind the session.
fn at(place: usize) -> u64 {
    (place as u64 + 1) * PLACE as u64
}

fn read(path: &Path) -> io::Result<Left> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Left::default()),
        Err(error) => return Err(error),
    };
    let (places, _torn) = bytes.as_chunks::<PLACE>();
    let word = |place: &[u8; PLACE], at: usize| place[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let Some((head, places)) = places.split_first() else { return Ok(Left::default()) };
    let mut items: Vec<u64> = places
        .iter()
        .filter_map(|place| Some((word(place, 0).checked_sub(1)?, word(place, 8).checked_sub(1)?)))
        // What a damaged file says of more items than a batch can have is not believed.
        .filter(|(first, last)| first <= last && last - first < MOST_ITEMS)
        .flat_map(|(first, last)| first..=last)
        .collect();
    items.sort_unstable();
    items.dedup();
    Ok(Left { session: word(head, 0), items })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_in_flight_is_found_again_and_places_are_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in-flight");
        let (marks, found) = Marks::open(&path).unwrap();
        assert_eq!(found, Left::default());
        marks.begin(5).unwrap();
        let first = marks.set(0, 0).unwrap();
        marks.set(7, 8).unwrap();
        marks.free(first);
        assert_eq!(marks.set(9, 9).unwrap(), first);
        drop(marks);
        let (marks, found) = Marks::open(&path).unwrap();
        assert_eq!(found, Left { session: 5, items: vec![7, 8, 9] });
        marks.begin(6).unwrap();
        assert_eq!(Marks::open(&path).unwrap().1, Left { session: 6, items: Vec::new() });
    }

    #[test]
    fn at_an_end_of_its_own_only_what_was_never_let_go_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in-flight");
        let marks = Marks::open(&path).unwrap().0;
        marks.begin(1).unwrap();
        let (first, second) = (marks.set(3, 3).unwrap(), marks.set(4, 4).unwrap());
        marks.free(first);
        marks.settle().unwrap();
        assert_eq!(Marks::open(&path).unwrap().1.items, [4]);
        marks.free(second);
        marks.settle().unwrap();
        assert!(!path.exists());
    }
}
