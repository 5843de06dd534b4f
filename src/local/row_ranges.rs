//! [`RowRanges`]: reads the rows of one range of a CSV file as one batch, many ranges at once.
//!
//! Where the ranges begin is known from the beginning of the run, so that whoever is free reads the next one: nobody reads the
//! file for all.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::ready::{Found, Ready};
use super::record::BatchRow;
use super::session::join;
use crate::batch::RowBatch;
use crate::error::{Error, Result};
use crate::item::Item;
use crate::outcome::Outcome;
use crate::reader::{OpenInput, Position, Rows};

/// Ranges whose rows are in memory at once: each has at most 256 KiB, or one row that is longer. Enough that a job has others to put
/// into what it writes together.
const AT_ONCE: usize = 32;

/// Reads ranges, on any thread that may be blocked.
pub(super) struct RowRanges {
    input: OpenInput,
    ready: Ready,
    redriven: Arc<HashMap<u64, u32>>,
    /// Readers that nobody uses just now.
    idle: Mutex<Vec<Rows>>,
    /// One permit for each range in memory.
    room: Semaphore,
    /// One permit for each core: more that read at once would only wait for each other.
    cores: Semaphore,
    /// How many bytes the last range was: the next one is as large.
    size: AtomicUsize,
}

impl RowRanges {
    pub fn new(input: OpenInput, ready: Ready, redriven: Arc<HashMap<u64, u32>>) -> Self {
        let cores = Semaphore::new(std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get));
        Self { input, ready, redriven, idle: Mutex::default(), room: Semaphore::new(AT_ONCE), cores, size: AtomicUsize::new(0) }
    }

    /// Waits until there is room for a range, and reads it on another thread. What is given with it holds the room.
    ///
    /// # Errors
    /// The input cannot be read, or has changed.
    pub async fn next(self: &Arc<Self>, range: BatchRow) -> Result<(RowBatch, SemaphorePermit<'_>)> {
        // The semaphores are never closed.
        let closed = |_| Error::bug("no range is read any more");
        let room = self.room.acquire().await.map_err(closed)?;
        let _core = self.cores.acquire().await.map_err(closed)?;
        let ranges = Arc::clone(self);
        let batch = join(tokio::task::spawn_blocking(move || ranges.read(&range)).await)??;
        Ok((batch, room))
    }

    /// Whether the rows need nothing but to be read: nobody has to look into them to know what they are called, or whether they count.
    pub fn are_enough(input: &OpenInput, ready: &Ready) -> bool {
        input.block(0, 0).is_some() && ready.selection.is_everything() && !ready.selection.has_named_keys()
    }

    /// The rows of a range of which none has ended.
    ///
    /// # Errors
    /// The input cannot be read, or has changed.
    fn read(&self, range: &BatchRow) -> Result<RowBatch> {
        let Some(mut block) = self.input.block(range.count as usize, self.size.load(Ordering::Relaxed)) else {
            return Err(Error::bug("rows are wanted of a source that is no table"));
        };
        let position = Position { index: range.first, offset: range.position };
        let mut rows = match self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            Some(mut rows) => {
                rows.go_to(position)?;
                rows
            }
            None => self.input.parts(position)?,
        };
        let mut unworked = Vec::new();
        for _ in 0..range.count {
            let Some(row) = rows.next()? else { return Err(super::feeder::short(range)) };
            let failure = match self.ready.too_large(&row) {
                Some(failure) => Some(failure),
                None => row.add_to(&mut block).err(),
            };
            if let Some(failure) = failure {
                let Found { key, value, ended } = self.ready.look_at(&row);
                unworked.push((Item { index: row.index, key, value }, ended.unwrap_or(Outcome::Failed(failure))));
            }
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(rows);
        // Looked at after it was read: what someone wrote into the source meanwhile reaches no job.
        self.input.check_unchanged()?;
        self.size.store(block.size(), Ordering::Relaxed);
        let selection = self.ready.selection.clone();
        let key_of = Box::new(move |index| selection.position(index));
        Ok(RowBatch { block, unworked, key_of, redriven: Arc::clone(&self.redriven) })
    }
}
