//! Rows of a table: tried together, again those that may succeed, until each has ended or the run stops.

use std::pin::pin;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::attempts::Judged;
use super::backoff::Waits;
use super::desk::{RowDesk, tell};
use super::{Ended, Worker, panics};
use crate::batch::RowBatch;
use crate::job::{JobError, RowsAttempt};
use crate::outcome::Outcome;

/// Rows that may succeed in another try.
#[derive(Default)]
struct Again {
    rows: Vec<(u32, Outcome)>,
    not_before: Duration,
}

impl Worker {
    /// Works every row of the batch that is not ended when `stop` is cancelled; what is left over stays pending.
    ///
    /// # Cancel safety
    /// Not cancel safe: rows in flight would be dropped without an outcome.
    pub async fn run_rows(&self, batch: &RowBatch, desk: &dyn RowDesk) {
        // The semaphore is never closed.
        let _permit = self.in_flight.acquire().await;
        if self.stop.is_cancelled() {
            return;
        }
        self.work_rows(batch, desk).await;
        // Behind the others, so that "the first to end" are no rows that were only read first.
        for (item, outcome) in &batch.unworked {
            let ended = Ended { outcome: outcome.clone(), attempts: 0, stops_lane: false };
            tell(desk, item, ended, self.repeat).await;
        }
    }

    async fn work_rows(&self, batch: &RowBatch, desk: &dyn RowDesk) {
        let mut left: Vec<u32> = (0..u32::try_from(batch.block.len()).unwrap_or(u32::MAX)).collect();
        let mut waits = Waits::new(&self.settings.retry);
        let mut number = 0;
        while !left.is_empty() {
            number += 1;
            let failed = match self.try_rows(batch, &left, number).await {
                Ok(failed) => failed,
                Err(outcome) => {
                    for row in left {
                        self.tell_row(batch, row, outcome.clone(), number, desk).await;
                    }
                    return;
                }
            };
            let again = self.tell_rows(batch, &left, failed, number, desk).await;
            if again.rows.is_empty() {
                return;
            }
            let Some(wait) = waits.next(fastrand::f64()) else {
                for (row, outcome) in again.rows {
                    self.tell_row(batch, row, outcome, number, desk).await;
                }
                return;
            };
            left = again.rows.into_iter().map(|(row, _)| row).collect();
            if !self.wait(wait.max(again.not_before)).await {
                return;
            }
        }
    }

    /// The rows that failed, in ascending order; or how all of them ended.
    async fn try_rows(&self, batch: &RowBatch, rows: &[u32], number: u32) -> Result<Vec<(usize, JobError)>, Outcome> {
        let cancelled = CancellationToken::new();
        let deadline = self.deadline();
        let attempt = RowsAttempt {
            block: &batch.block,
            rows,
            number,
            redriven: &batch.redriven,
            params: &self.settings.params,
            deadline,
            cancelled: &cancelled,
            cores: &self.cores,
        };
        let work = pin!(panics::catch(self.job.run_rows(&attempt)));
        let answer = match deadline {
            None => work.await,
            Some(deadline) => match tokio::time::timeout_at(deadline, work).await {
                Ok(answer) => answer,
                Err(_) => {
                    cancelled.cancel();
                    return Err(self.timed_out());
                }
            },
        };
        let mut failed = answer.map_err(|panic| self.panicked(panic))?;
        failed.sort_unstable_by_key(|(row, _)| *row);
        Ok(failed)
    }

    /// Tells how rows ended, and gives back those that may succeed in another try.
    async fn tell_rows(
        &self,
        batch: &RowBatch,
        rows: &[u32],
        failed: Vec<(usize, JobError)>,
        number: u32,
        desk: &dyn RowDesk,
    ) -> Again {
        let mut again = Again::default();
        let mut failed = failed.into_iter().peekable();
        // Rows that succeeded at once and follow one another are told as one.
        let mut succeeded: Option<(u64, u64)> = None;
        for row in rows {
            let at = *row as usize;
            // A row that is answered for twice, or was not asked about, hides no other.
            while failed.next_if(|(failed, _)| *failed < at).is_some() {}
            if let Some((_, error)) = failed.next_if(|(failed, _)| *failed == at) {
                let outcome = match Self::judge_error(error) {
                    Judged::Ended(outcome) | Judged::EndedLane(outcome) => outcome,
                    Judged::Again { failure, not_before, .. } => {
                        again.not_before = again.not_before.max(not_before.unwrap_or_default());
                        again.rows.push((*row, Outcome::Failed(failure)));
                        continue;
                    }
                    Judged::Surroundings(error) => {
                        desk.surroundings(&batch.item(at), error);
                        continue;
                    }
                    Judged::Stopped => continue,
                };
                self.tell_row(batch, *row, outcome, number, desk).await;
                continue;
            }
            if number > 1 || batch.is_redriven(at) {
                self.tell_row(batch, *row, Outcome::Succeeded(serde_json::Value::Null), number, desk).await;
                continue;
            }
            let index = batch.block.index(at);
            succeeded = match succeeded {
                Some((first, last)) if last + 1 == index => Some((first, index)),
                before => {
                    if let Some((first, last)) = before {
                        desk.succeeded(first, last).await;
                    }
                    Some((index, index))
                }
            };
        }
        if let Some((first, last)) = succeeded {
            desk.succeeded(first, last).await;
        }
        again
    }

    async fn tell_row(&self, batch: &RowBatch, row: u32, outcome: Outcome, number: u32, desk: &dyn RowDesk) {
        let item = batch.item(row as usize);
        // What cannot be kept stops the run by itself.
        tell(desk, &item, Ended { outcome, attempts: number, stops_lane: false }, self.repeat).await;
    }
}
