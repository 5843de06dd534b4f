//! [`Ending`]: what a job may do once every item of a run has ended.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::JobError;
use crate::outcome::{Counts, ItemStatus, Outcome, Tolerance};

/// How the items of a run ended, and the way to amend it. Handed to [`Job::finish`](super::Job::finish).
pub struct Ending<'a> {
    pub(crate) counts: Counts,
    pub(crate) tolerance: Tolerance,
    pub(crate) port: &'a dyn EndingPort,
}

/// What is behind an [`Ending`].
pub(crate) trait EndingPort: Send + Sync {
    /// Sets how items ended, durably.
    fn amend(&self, outcomes: Vec<(u64, Outcome)>) -> Amended<'_>;

    /// Tells people something.
    fn tell(&self, text: String);
}

/// What comes of an amendment, once it is durable.
pub(crate) type Amended<'a> = Pin<Box<dyn Future<Output = Result<(), JobError>> + Send + 'a>>;

impl Ending<'_> {
    /// How many items ended how. None is pending.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Whether the run is within its tolerance if so many of the items that succeeded fail after all.
    pub fn tolerates(&self, more_failed: u64) -> bool {
        let mut counts = self.counts;
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

    /// Tells people something about the run's end.
    pub fn tell(&self, text: impl Into<String>) {
        self.port.tell(text.into());
    }
}

impl fmt::Debug for Ending<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ending").field("counts", &self.counts).field("tolerance", &self.tolerance).finish_non_exhaustive()
    }
}
