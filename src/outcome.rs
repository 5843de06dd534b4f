//! [`Outcome`]: how an item ended; [`Counts`] of a run; [`Tolerance`] and the verdict.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest cause that is kept of a failure, in bytes.
pub const CAUSE_LIMIT: usize = 1024;

/// How an item ended. An item that has not ended yet is *pending* and has no outcome.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The job was done; `Null` if the job has nothing to say about it.
    Succeeded(Value),
    /// Left out on purpose, with the reason.
    Skipped(String),
    /// It cannot be done, or not within the retries.
    Failed(Failure),
    /// An effect may have happened; a person or a probe decides.
    Unknown(Failure),
    /// Its lane stopped before it.
    Blocked(String),
}

impl Outcome {
    /// The word for it.
    pub fn status(&self) -> ItemStatus {
        match self {
            Self::Succeeded(_) => ItemStatus::Succeeded,
            Self::Skipped(_) => ItemStatus::Skipped,
            Self::Failed(_) => ItemStatus::Failed,
            Self::Unknown(_) => ItemStatus::Unknown,
            Self::Blocked(_) => ItemStatus::Blocked,
        }
    }
}

/// The state of an item in one word. The numbers are those of the record and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum ItemStatus {
    /// Not ended yet.
    Pending = 0,
    /// Done.
    Succeeded = 1,
    /// Left out on purpose.
    Skipped = 2,
    /// Cannot be done, or not within the retries.
    Failed = 3,
    /// An effect may have happened.
    Unknown = 4,
    /// Its lane stopped before it.
    Blocked = 5,
}

impl ItemStatus {
    /// Every status, in the order in which counts are shown.
    pub const ALL: [Self; 6] = [Self::Succeeded, Self::Skipped, Self::Failed, Self::Unknown, Self::Blocked, Self::Pending];

    /// The status with this number in the record.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|status| *status as u8 == number)
    }

    /// The word as shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Blocked => "blocked",
        }
    }
}

impl fmt::Display for ItemStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Why an item failed: a stable error name and a cause for people. A record: it survives a crash and a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A stable name such as `Image.Truncated` or `Job.Throttled`.
    pub error: String,
    /// What happened, at most 1024 bytes.
    pub cause: String,
}

impl Failure {
    /// A failure of this name; a longer cause is cut at a character boundary and ends in `…`.
    pub fn new(error: impl Into<String>, cause: impl Into<String>) -> Self {
        let mut cause = cause.into();
        if cause.len() > CAUSE_LIMIT {
            let end = cause.floor_char_boundary(CAUSE_LIMIT - '…'.len_utf8());
            cause.truncate(end);
            cause.push('…');
        }
        Self { error: error.into(), cause }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error, self.cause)
    }
}

/// How many items are in which state. The total is their sum, always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All items.
    pub total: u64,
    /// Done.
    pub succeeded: u64,
    /// Left out on purpose.
    pub skipped: u64,
    /// Cannot be done, or not within the retries.
    pub failed: u64,
    /// An effect may have happened.
    pub unknown: u64,
    /// Their lane stopped before them.
    pub blocked: u64,
    /// Not ended yet.
    pub pending: u64,
}

impl Counts {
    /// `total` items, all of them pending.
    pub fn pending(total: u64) -> Self {
        Self { total, pending: total, ..Self::default() }
    }

    /// How many are in `status`.
    pub fn of(&self, status: ItemStatus) -> u64 {
        match status {
            ItemStatus::Pending => self.pending,
            ItemStatus::Succeeded => self.succeeded,
            ItemStatus::Skipped => self.skipped,
            ItemStatus::Failed => self.failed,
            ItemStatus::Unknown => self.unknown,
            ItemStatus::Blocked => self.blocked,
        }
    }

    /// Moves `n` items from one state to another; the total stays.
    pub fn shift(&mut self, from: ItemStatus, to: ItemStatus, n: u64) {
        *self.slot(from) -= n;
        *self.slot(to) += n;
    }

    /// Items that have an outcome.
    pub fn ended(&self) -> u64 {
        self.total - self.pending
    }

    /// Items that are judged against the tolerance: failed, unknown and blocked.
    pub fn not_done(&self) -> u64 {
        self.failed + self.unknown + self.blocked
    }

    fn slot(&mut self, status: ItemStatus) -> &mut u64 {
        match status {
            ItemStatus::Pending => &mut self.pending,
            ItemStatus::Succeeded => &mut self.succeeded,
            ItemStatus::Skipped => &mut self.skipped,
            ItemStatus::Failed => &mut self.failed,
            ItemStatus::Unknown => &mut self.unknown,
            ItemStatus::Blocked => &mut self.blocked,
        }
    }
}

/// How many items may fail before the run counts as failed: a count or a share of all items. Default: none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tolerance {
    /// At most so many items.
    Count(u64),
    /// At most this percentage of all items, 0 to 100.
    Percent(f64),
}

impl Default for Tolerance {
    fn default() -> Self {
        Self::Count(0)
    }
}

impl Tolerance {
    /// Whether the run is within its tolerance: failed + unknown + blocked against it.
    pub fn allows(&self, counts: &Counts) -> bool {
        match self {
            Self::Count(most) => counts.not_done() <= *most,
            // Both sides times 100 rather than a division: 1 % of 200 is exactly 2.
            Self::Percent(most) => counts.not_done() as f64 * 100.0 <= most * counts.total as f64,
        }
    }
}

/// How a run ended, in AWS's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RunStatus {
    /// Not ended: it is being worked on, or its process died.
    Running,
    /// Every item ended and the tolerance was kept.
    Succeeded,
    /// Every item ended and more failed than is tolerated.
    Failed,
    /// Stopped before the end; it can be resumed.
    Stopped,
}

impl RunStatus {
    /// The verdict over a run in which no item can go further.
    pub fn judge(counts: &Counts, tolerance: &Tolerance) -> Self {
        if tolerance.allows(counts) { Self::Succeeded } else { Self::Failed }
    }

    /// The word as shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Stopped => "STOPPED",
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_judged_exactly_at_its_limit() {
        let mut counts = Counts::pending(200);
        counts.shift(ItemStatus::Pending, ItemStatus::Failed, 2);
        assert!(Tolerance::Percent(1.0).allows(&counts));
        counts.shift(ItemStatus::Pending, ItemStatus::Unknown, 1);
        assert!(!Tolerance::Percent(1.0).allows(&counts));
        assert!(!Tolerance::Count(2).allows(&counts));
        assert!(Tolerance::Count(3).allows(&counts));
    }

    #[test]
    fn a_long_cause_is_cut_between_characters() {
        let failure = Failure::new("Job.Permanent", "ü".repeat(2000));
        assert!(failure.cause.len() <= CAUSE_LIMIT);
        assert!(failure.cause.ends_with("ü…"));
    }

    #[test]
    fn status_numbers_come_back() {
        for status in ItemStatus::ALL {
            assert_eq!(ItemStatus::from_number(status as u8), Some(status));
        }
        assert_eq!(ItemStatus::from_number(9), None);
    }
}
