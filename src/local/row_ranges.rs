//! [`RowRanges`]: reads the rows of one range of a CSV file as one batch, many ranges at once.
//!
//! Where the ranges begin is known from the beginning of the run, so that whoever is free reads the next one: nobody reads the
//! file for all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::desk::LocalDesk;
use super::ready::Ready;
use super::record::BatchRow;
use crate::batch::RowBatch;
use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::reader::{OpenInput, Position, Rows};

/// Ranges whose rows are in memory at once: each has at most 256 KiB, or one row that is longer.
const AT_ONCE: usize = 48;

/// Reads ranges, on any thread that may be blocked.
pub(super) struct RowRanges {
    input: OpenInput,
    ready: Ready,
    redriven: Arc<HashMap<u64, u32>>,
    desk: Arc<LocalDesk>,
    /// Readers that nobody uses just now.
    idle: Mutex<Vec<Rows>>,
    /// One permit for each range in memory.
    pub room: Arc<Semaphore>,
}

impl RowRanges {
    pub fn new(input: OpenInput, ready: Ready, redriven: Arc<HashMap<u64, u32>>, desk: Arc<LocalDesk>) -> Self {
        Self { input, ready, redriven, desk, idle: Mutex::default(), room: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Whether the rows need nothing but to be read: nobody has to look into them to know what they are called, or whether they count.
    pub fn are_enough(input: &OpenInput, ready: &Ready) -> bool {
        input.block(0, 0).is_some() && ready.selection.is_everything() && !ready.selection.has_named_keys()
    }

    /// The rows of a range of which none has ended; those that need no worker end here.
    ///
    /// # Errors
    /// The input cannot be read, or has changed.
    pub fn read(&self, range: &BatchRow) -> Result<RowBatch> {
        let bytes = usize::try_from(range.count).unwrap_or(0).saturating_mul(64);
        let Some(mut block) = self.input.block(range.count as usize, bytes) else {
            return Err(Error::bug("rows are wanted of a source that is no table"));
        };
        let position = Position { index: range.first, offset: range.position };
        let mut rows = match self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            Some(mut rows) => {
                rows.go_to(position)?;
                rows
            }
            None => self.input.rows(position)?,
        };
        for _ in 0..range.count {
            let Some(row) = rows.next()? else { return Err(super::feeder::short(range)) };
            let failure = match self.ready.too_large(&row) {
                Some(failure) => Some(failure),
                None => row.add_to(&mut block).err(),
            };
            if let Some(failure) = failure {
                let item = self.ready.look_at(&row);
                let item = crate::item::Item { index: row.index, key: item.key, value: item.value };
                if !self.desk.ended_unworked(&item, Outcome::Failed(failure)) {
                    break;
                }
            }
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(rows);
        // Looked at after it was read: what someone wrote into the source meanwhile reaches no job.
        self.input.check_unchanged()?;
        let selection = self.ready.selection.clone();
        let key_of = Box::new(move |index| selection.position(index));
        Ok(RowBatch { block, key_of, redriven: Arc::clone(&self.redriven) })
    }
}
