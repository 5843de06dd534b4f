//! [`Sorter`]: sorts more fixed-size records than fit into memory.
//!
//! Records are compared byte by byte: numbers are written big-endian. What does not fit is written out in sorted runs, all of them in
//! one file that has no name any more, so that a kill leaves nothing behind; then the runs are merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::numbers::unwritable;
use crate::error::Result;

/// What is read of a run at once: at most, and at least.
const MOST_READ: usize = 1 << 20;
const LEAST_READ: usize = 4096;

/// Takes records of `N` bytes in any order.
#[derive(Debug)]
pub(crate) struct Sorter<const N: usize> {
    /// Where the file with the runs was made.
    path: PathBuf,
    /// Bytes of memory for records.
    memory: usize,
    buffer: Vec<[u8; N]>,
    spilled: Option<File>,
    /// Where each run is in the file, in bytes.
    runs: Vec<Range<u64>>,
}

impl<const N: usize> Sorter<N> {
    /// `folder` takes what does not fit into `memory` bytes; the merge takes as many once more.
    pub fn new(folder: &Path, name: &str, memory: usize) -> Self {
        Self { path: folder.join(format!("{name}.tmp")), memory, buffer: Vec::new(), spilled: None, runs: Vec::new() }
    }

    pub fn push(&mut self, record: [u8; N]) -> Result<()> {
        let most = (self.memory / N).max(1);
        if self.buffer.len() == most {
            self.spill()?;
        }
        if self.buffer.len() == self.buffer.capacity() {
            // Doubled as usual, but never past what is allowed.
            self.buffer.reserve_exact(self.buffer.len().max(64).min(most - self.buffer.len()));
        }
        self.buffer.push(record);
        Ok(())
    }

    /// All records in order.
    pub fn finish(mut self) -> Result<Sorted<N>> {
        if self.spilled.is_some() && !self.buffer.is_empty() {
            self.spill()?;
        }
        let Some(file) = self.spilled else {
            self.buffer.sort_unstable();
            return Ok(Sorted(Order::Memory(self.buffer.into_iter())));
        };
        drop(self.buffer);
        let at_once = (self.memory / self.runs.len().max(1)).clamp(LEAST_READ, MOST_READ) / N * N;
        let mut merge = Merge { path: self.path, file, runs: Vec::new(), next: BinaryHeap::new() };
        for (number, range) in self.runs.into_iter().enumerate() {
            merge.runs.push(Run { range, at_once: at_once.max(N), bytes: Vec::new(), read: 0 });
            merge.refill(number)?;
        }
        Ok(Sorted(Order::Merged(merge)))
    }

    fn spill(&mut self) -> Result<()> {
        self.buffer.sort_unstable();
        let written = self.write();
        self.buffer.clear();
        written.map_err(|error| unwritable(&self.path, &error))
    }

    fn write(&mut self) -> io::Result<()> {
        let file = match &self.spilled {
            Some(file) => file,
            None => {
                let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
                fs::remove_file(&self.path)?;
                self.spilled.insert(file)
            }
        };
        let start = self.runs.last().map_or(0, |run| run.end);
        let mut writer = BufWriter::with_capacity(MOST_READ.min(self.memory.max(LEAST_READ)), file);
        for record in &self.buffer {
            writer.write_all(record)?;
        }
        writer.flush()?;
        self.runs.push(start..start + (self.buffer.len() * N) as u64);
        Ok(())
    }
}

/// The records in order.
#[derive(Debug)]
pub(crate) struct Sorted<const N: usize>(Order<N>);

#[derive(Debug)]
enum Order<const N: usize> {
    Memory(std::vec::IntoIter<[u8; N]>),
    Merged(Merge<N>),
}

impl<const N: usize> Sorted<N> {
    /// The next record.
    ///
    /// # Errors
    /// What was written out cannot be read back.
    pub fn next(&mut self) -> Result<Option<[u8; N]>> {
        match &mut self.0 {
            Order::Memory(records) => Ok(records.next()),
            Order::Merged(merge) => merge.next(),
        }
    }
}

#[derive(Debug)]
struct Merge<const N: usize> {
    path: PathBuf,
    file: File,
    runs: Vec<Run>,
    /// The next record of each run that has one.
    next: BinaryHeap<Reverse<([u8; N], usize)>>,
}

/// A run that is being read.
#[derive(Debug)]
struct Run {
    /// What is not read yet.
    range: Range<u64>,
    at_once: usize,
    bytes: Vec<u8>,
    read: usize,
}

impl<const N: usize> Merge<N> {
    fn next(&mut self) -> Result<Option<[u8; N]>> {
        let Some(Reverse((record, number))) = self.next.pop() else { return Ok(None) };
        self.refill(number)?;
        Ok(Some(record))
    }

    /// Puts the next record of the run among those to choose from.
    fn refill(&mut self, number: usize) -> Result<()> {
        let Some(run) = self.runs.get_mut(number) else { return Ok(()) };
        if run.read == run.bytes.len() {
            let length = run.at_once.min((run.range.end - run.range.start) as usize);
            run.bytes.resize(length, 0);
            run.read = 0;
            self.file.read_exact_at(&mut run.bytes, run.range.start).map_err(|error| unwritable(&self.path, &error))?;
            run.range.start += length as u64;
        }
        if let Some(record) = run.bytes[run.read..].first_chunk::<N>() {
            self.next.push(Reverse((*record, number)));
            run.read += N;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sorted(numbers: &[u64], memory: usize) -> (Vec<u64>, usize) {
        let folder = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::<8>::new(folder.path(), "sort", memory);
        for number in numbers {
            sorter.push(number.to_be_bytes()).unwrap();
        }
        let runs = sorter.runs.len();
        let mut sorted = sorter.finish().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing lies around");
        let mut all = Vec::new();
        while let Some(record) = sorted.next().unwrap() {
            all.push(u64::from_be_bytes(record));
        }
        (all, runs)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_order_does_not_depend_on_the_memory(numbers in proptest::collection::vec(any::<u64>(), 0..3000), memory in 1..9000usize) {
            let mut expected = numbers.clone();
            expected.sort_unstable();
            let (found, runs) = sorted(&numbers, memory);
            prop_assert_eq!(found, expected);
            prop_assert_eq!(runs > 0, numbers.len() > (memory / 8).max(1));
        }
    }

    #[test]
    fn memory_is_never_more_than_was_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::<8>::new(folder.path(), "sort", 10_000);
        for number in (0..50_000u64).rev() {
            sorter.push(number.to_be_bytes()).unwrap();
            assert!(sorter.buffer.capacity() * 8 <= 10_000);
        }
        assert_eq!(sorter.runs.len(), 39);
        let Order::Merged(merge) = sorter.finish().unwrap().0 else { panic!("it does not fit") };
        assert!(merge.runs.iter().all(|run| run.bytes.capacity() <= LEAST_READ));
    }
}
