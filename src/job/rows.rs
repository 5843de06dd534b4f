//! [`RowsAttempt`]: one try at rows of a table, all together.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::attempt::compute_on;
use crate::expression::Params;
use crate::row_block::RowBlock;

/// One try at several rows of a table, and what the worker offers a job while it runs. See [`Job::run_rows`](super::Job::run_rows).
pub struct RowsAttempt<'a> {
    pub(crate) block: &'a RowBlock,
    /// The rows of the block that are tried, in ascending order.
    pub(crate) rows: &'a [u32],
    pub(crate) number: u32,
    pub(crate) redriven: &'a HashMap<u64, u32>,
    pub(crate) params: &'a Params,
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancelled: &'a CancellationToken,
    pub(crate) cores: &'a Arc<Semaphore>,
}

impl<'a> RowsAttempt<'a> {
    /// The rows, and others of which nothing is wanted now: see [`RowsAttempt::rows`].
    pub fn block(&self) -> &'a RowBlock {
        self.block
    }

    /// The numbers in the block of the rows that are wanted, in ascending order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = usize> + 'a {
        self.rows.iter().map(|row| *row as usize)
    }

    /// Which try this is in this run of the rows, from 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// How often the row was redriven: 0 in the first run.
    pub fn redrive(&self, row: usize) -> u32 {
        if self.redriven.is_empty() { 0 } else { self.redriven.get(&self.block.index(row)).copied().unwrap_or(0) }
    }

    /// The params of the run.
    pub fn params(&self) -> &'a Params {
        self.params
    }

    /// When the time of this try (`item_timeout`) is up, if it has one.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The token that is cancelled when the rows are given up.
    pub fn cancelled(&self) -> &CancellationToken {
        self.cancelled
    }

    /// Runs CPU-bound work on a thread of its own: see [`Attempt::compute`](super::Attempt::compute).
    pub async fn compute<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> R {
        compute_on(self.cores, work).await
    }
}

impl std::fmt::Debug for RowsAttempt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowsAttempt").field("rows", &self.rows.len()).field("number", &self.number).finish_non_exhaustive()
    }
}
