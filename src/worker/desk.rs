//! [`Desk`]: where a worker tells what it starts and how it ended.

use std::future::Future;
use std::pin::Pin;

use crate::batch::Batch;
use crate::item::Item;
use crate::job::{JobError, Repeat};
use crate::outcome::Outcome;

/// How an item ended, and after how many tries.
#[derive(Debug)]
pub(crate) struct Ended {
    pub outcome: Outcome,
    pub attempts: u32,
}

type Told<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Keeps what a worker must not forget. A run on this machine keeps it in its record, a Lambda function in S3.
pub(crate) trait Desk: Send + Sync {
    /// The item is about to be run. Once this returns, a crash will find it marked as in flight; for
    /// [`Repeat::Unsafe`] even after a loss of power. `None`: nothing may be started any more.
    fn starting<'a>(&'a self, item: &'a Item, repeat: Repeat) -> Told<'a, Option<usize>>;

    /// The item has ended. Waits while the record is behind; for [`Repeat::Unsafe`] until the outcome is durable. `false`: it
    /// could not be kept, and the item stays marked as in flight.
    fn ended<'a>(&'a self, batch: &'a Batch, item: &'a Item, ended: Ended, repeat: Repeat) -> Told<'a, bool>;

    /// The place that [`Desk::starting`] gave is free for another item.
    fn left(&self, mark: usize);

    /// What every item needs is not there: the run must stop; `item` stays pending.
    fn surroundings(&self, item: &Item, error: JobError);
}
