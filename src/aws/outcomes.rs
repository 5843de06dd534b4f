//! [`Outcomes`]: how the items of a run ended, over all its rounds, in input order.

use std::collections::HashMap;

use futures_util::stream::{self, Stream, TryStreamExt};

use super::run::{AwsRun, RunExecutions};
use crate::bucket::{BatchFiles, Folded, OutcomeLine, REPORT, RunBucket, RunReport};
use crate::error::{Error, Result};
use crate::outcome::{Counts, ItemStatus};

/// Batches that are read at once.
const BATCHES_AT_ONCE: usize = 32;

/// What is known of a run's items from its bucket.
#[derive(Debug)]
pub(crate) struct Outcomes {
    bucket: RunBucket,
    /// What the gate wrote when it judged the run last.
    pub report: Option<RunReport>,
    /// How those stand that were redriven.
    later: HashMap<u64, Folded>,
    /// What the gate added.
    added: HashMap<u64, OutcomeLine>,
}

/// What all items together came to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub items: Counts,
    pub batches: u64,
    pub attempts: u64,
}

impl Outcomes {
    /// Reads what concerns more than one batch.
    ///
    /// # Errors
    /// The bucket cannot be read.
    pub async fn of(run: &AwsRun, executions: &RunExecutions) -> Result<Self> {
        let bucket = run.bucket.clone();
        let report: Option<RunReport> = bucket.find_json(REPORT).await?;
        let judged = report.as_ref().map_or(0, |report| report.round);
        let mut added = bucket.added(judged).await?;
        let mut later = bucket.redriven().await?;
        run.add_asked(executions, &mut later).await?;
        // What was done since is not yet judged.
        added.retain(|index, _| later.get(index).is_none_or(|item| item.batch.round <= judged));
        Ok(Self { later, bucket, report, added })
    }

    /// The first redrive of which items have no outcome.
    pub fn open_redrive(&self) -> Option<u32> {
        let pending = self.later.values().filter(|item| item.line.status == ItemStatus::Pending);
        pending.map(|item| item.batch.round).min()
    }

    /// The batches that the input was cut into, in its order, each with how its items stand now.
    pub fn batches(&self) -> impl Stream<Item = Result<(BatchFiles, Vec<OutcomeLine>)>> {
        let whole = self.bucket.first_round(self.bucket.batches(), BATCHES_AT_ONCE);
        let each = whole.map_ok(|batches| stream::iter(batches.into_iter().map(Ok::<_, Error>))).try_flatten();
        each.map_ok(|(files, items)| (files, items.into_iter().map(|item| self.latest(item)).collect()))
    }

    /// How the item stands now. Tries are counted over all rounds.
    fn latest(&self, item: Folded) -> OutcomeLine {
        let tries = item.line.attempts;
        let line = match self.later.get(&item.index) {
            Some(later) => OutcomeLine { attempts: tries + later.line.attempts, ..later.line.clone() },
            None => item.line,
        };
        match self.added.get(&line.index) {
            Some(added) => OutcomeLine { attempts: line.attempts, ..added.clone() },
            None => line,
        }
    }

    /// Counts all of them.
    ///
    /// # Errors
    /// The bucket cannot be read.
    pub async fn tally(&self) -> Result<Tally> {
        let mut tally = Tally::default();
        let mut batches = std::pin::pin!(self.batches());
        while let Some((_, lines)) = batches.try_next().await? {
            tally.batches += 1;
            for line in lines {
                tally.items.total += 1;
                tally.items.pending += 1;
                tally.items.shift(ItemStatus::Pending, line.status, 1);
                tally.attempts += u64::from(line.attempts);
            }
        }
        Ok(tally)
    }
}
