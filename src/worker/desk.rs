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
    /// No later item of its lane may be begun, whatever `order.on_failure` says.
    pub stops_lane: bool,
}

/// How a batch is marked as in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    /// All its items together, at this place.
    Together(usize),
    /// Each item when it is started.
    Each,
    /// Not at all: what was under way is known elsewhere, from the ledger of calls or where it was done.
    Unmarked,
    /// Nothing may be started any more.
    Stopped,
}

/// Tells the desk how an item ended. `false`: it could not be kept.
pub(super) async fn tell<D: Desk + ?Sized>(desk: &D, item: &Item, ended: Ended, repeat: Repeat) -> bool {
    match desk.ended_now(item, ended, repeat) {
        Ok(kept) => kept,
        Err(ended) => desk.ended(item, ended, repeat).await,
    }
}

/// Keeps what becomes of rows of a table.
pub(crate) trait RowDesk: Desk {
    /// All items from `first` to `last` succeeded at their first try, with nothing to keep of them. Waits while the record is behind.
    fn succeeded<'a>(&'a self, first: u64, last: u64) -> Told<'a, ()>;
}

type Told<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Keeps what a worker must not forget. A run on this machine keeps it in its record, a Lambda function in S3.
pub(crate) trait Desk: Send + Sync {
    /// The batch is about to be worked. `Each`: every item is told on its own, by [`Desk::starting`].
    fn beginning(&self, batch: &Batch, repeat: Repeat) -> Begun;

    /// The item is about to be run. Once this returns, a crash will find it marked as in flight; for
    /// [`Repeat::Unsafe`] even after a loss of power. `None`: nothing may be started any more.
    fn starting<'a>(&'a self, item: &'a Item, repeat: Repeat) -> Told<'a, Option<usize>>;

    /// The item has ended, told without waiting. It is given back if that needs a wait: then [`Desk::ended`].
    fn ended_now(&self, item: &Item, ended: Ended, repeat: Repeat) -> Result<bool, Ended>;

    /// The item has ended. Waits while the record is behind; for [`Repeat::Unsafe`] until the outcome is durable. `false`: it
    /// could not be kept, and the item stays marked as in flight.
    fn ended<'a>(&'a self, item: &'a Item, ended: Ended, repeat: Repeat) -> Told<'a, bool>;

    /// The place that [`Desk::beginning`] or [`Desk::starting`] gave is free again.
    fn left(&self, mark: usize);

    /// What every item needs is not there: the run must stop; `item` stays pending.
    fn surroundings(&self, item: &Item, error: JobError);

    /// Who is called has been away for too long: the run must stop, and can be resumed.
    fn gave_up(&self, why: String);
}
