//! [`Fold`]: what the outcomes of a run come to, as far as they were read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bucket::{Folded, OutcomeLine, RunBucket};
use crate::error::Result;
use crate::outcome::{Counts, Failure, ItemStatus, Outcome};

/// Bytes of failed items in one file: what is held in memory of them.
const FILE_BYTES: usize = 64 * 1024 * 1024;

/// What the outcomes of a run come to, as far as they were read. Small: a gate that has no more time gives it to the next.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Fold {
    /// Read up to the batch of the first round that begins with this item.
    pub after: Option<u64>,
    pub batches: u64,
    pub items: Counts,
    pub attempts: u64,
    pub errors: BTreeMap<String, u64>,
    /// The files with failed items that are written.
    pub files: Vec<String>,
    /// How many files with claims are written.
    pub claims: u32,
    /// Failed items that are not written yet.
    #[serde(skip)]
    failed: Vec<u8>,
}

impl Fold {
    /// Takes an item as its first round left it; where it was redriven, as that did.
    pub fn take(&mut self, item: &Folded, redriven: Option<&Folded>) {
        let line = &redriven.unwrap_or(item).line;
        self.attempts += u64::from(item.line.attempts) + redriven.map_or(0, |item| u64::from(item.line.attempts));
        self.items.total += 1;
        self.items.pending += 1;
        if line.status == ItemStatus::Pending {
            return;
        }
        self.items.shift(ItemStatus::Pending, line.status, 1);
        self.note(line);
    }

    /// Refuses an item that is called, or was written, as an earlier one is. Gives its outcome.
    pub fn refuse(&mut self, item: Folded, why: String) -> OutcomeLine {
        let Folded { index, line, .. } = item;
        let failed = Outcome::Failed(Failure::new("Item.Duplicate", why));
        self.items.shift(line.status, ItemStatus::Failed, 1);
        let refused = OutcomeLine { to: line.to, ..OutcomeLine::new(index, line.key, &failed, line.attempts) };
        self.note(&refused);
        refused
    }

    fn note(&mut self, line: &OutcomeLine) {
        if matches!(line.status, ItemStatus::Failed | ItemStatus::Unknown | ItemStatus::Blocked) {
            line.write(&mut self.failed);
            *self.errors.entry(line.error.clone().unwrap_or_default()).or_default() += 1;
        }
    }

    /// Whether as many failed items wait to be written as one file takes.
    pub fn is_full(&self) -> bool {
        self.failed.len() >= FILE_BYTES
    }

    /// Writes the failed items that wait. The first file is there even if nothing failed.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn flush(&mut self, bucket: &RunBucket) -> Result<()> {
        if self.failed.is_empty() && !self.files.is_empty() {
            return Ok(());
        }
        let name = match self.files.len() {
            0 => "failed.jsonl".to_string(),
            n => format!("failed-{}.jsonl", n + 1),
        };
        bucket.put(&name, std::mem::take(&mut self.failed)).await?;
        self.files.push(name);
        Ok(())
    }
}
