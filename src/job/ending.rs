//! [`Ending`]: what a job may do once every item of a run has ended.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::JobError;
use crate::outcome::{Counts, ItemStatus, Outcome, Tolerance};

/// How the items of a run ended, and the way to amend it. Handed to [`Job::finish`](super::Job::finish).
pub struct Ending<'a> {
    pub(crate) counts: Mutex<Counts>,
    pub(crate) tolerance: Tolerance,
    pub(crate) port: &'a dyn EndingPort,
}

/// What is behind an [`Ending`].
pub(crate) trait EndingPort: Send + Sync {
    /// Sets how items ended, durably.
    fn amend(&self, outcomes: Vec<(u64, Outcome)>) -> Amended<'_>;

    /// Those of the items behind this one that failed, in their order, so many at most.
    fn failed(&self, after: Option<u64>, most: usize) -> Result<Vec<u64>, JobError>;

    /// Tells people something.
    fn tell(&self, text: String);
}

/// What comes of an amendment, once it is durable.
pub(crate) type Amended<'a> = Pin<Box<dyn Future<Output = Result<(), JobError>> + Send + 'a>>;

impl Ending<'_> {
    /// How many items ended how. None is pending.
    pub fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the run is within its tolerance if so many of the items that succeeded fail after all.
    pub fn tolerates(&self, more_failed: u64) -> bool {
        let mut counts = self.counts();
        counts.shift(ItemStatus::Succeeded, ItemStatus::Failed, more_failed.min(counts.succeeded));
        self.tolerance.allows(&counts)
    }

    /// Sets how items ended, by their index, over what is recorded. Durable once this returns; saying it twice is saying it once.
    ///
    /// # Errors
    /// The record cannot be written.
    ///
    /// # Cancel safety
    /// Dropped before it returns, it may have been recorded or not.
    pub async fn amend(&self, outcomes: Vec<(u64, Outcome)>) -> Result<(), JobError> {
        self.port.amend(outcomes).await
    }

    /// Those of the items behind this one that failed, by their index, in their order, so many at most. What was amended counts.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn failed(&self, after: Option<u64>, most: usize) -> Result<Vec<u64>, JobError> {
        self.port.failed(after, most)
    }

    /// Items that were recorded as failed and were done nevertheless: they were given up while it was done. They are counted as
    /// succeeded from now on.
    ///
    /// # Errors
    /// The record cannot be written.
    ///
    /// # Cancel safety
    /// As [`Ending::amend`].
    pub async fn succeeded_after_all(&self, failed: &[u64]) -> Result<(), JobError> {
        self.amend(failed.iter().map(|item| (*item, Outcome::Succeeded(Value::Null))).collect()).await?;
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.shift(ItemStatus::Failed, ItemStatus::Succeeded, failed.len() as u64);
        Ok(())
    }

    /// Tells people something about the run's end.
    pub fn tell(&self, text: impl Into<String>) {
        self.port.tell(text.into());
    }
}

impl fmt::Debug for Ending<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ending").field("counts", &self.counts()).field("tolerance", &self.tolerance).finish_non_exhaustive()
    }
}
