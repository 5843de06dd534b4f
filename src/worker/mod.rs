//! One child execution: takes a batch, does the job on every item, tells every outcome as soon as it is known.
//!
//! **The seam.** A run on this machine and a Lambda function both call [`Worker::run`]; what differs between them is above
//! it. The worker retries *items*. It never sees a workflow, writes no record and does not know how many other workers there
//! are: what it starts and what has ended it tells a [`Desk`].

mod attempts;
mod backoff;
mod calls;
mod clock;
mod desk;
mod discreet;
mod judgement;
mod lanes;
mod panics;
mod probe;
mod rows;
mod step;
#[cfg(test)]
mod tests;
mod told;
mod trial;
mod turn;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub(crate) use clock::Clock;
pub(crate) use desk::{Begun, Desk, Ended, RowDesk};
pub(crate) use discreet::Discreet;
pub(crate) use lanes::{Bundle, LaneItem, LaneItems, LanePart, behind_failed, behind_unknown};
pub(crate) use panics::keep_quiet;
pub use trial::{Trial, Tried};

use crate::batch::Batch;
use crate::crash;
use crate::expression::Params;
use crate::item::Item;
use crate::job::{AnyJob, JobKind, Repeat, Work};
use crate::ledger::{CallRow, Ledger};
use crate::outcome::Outcome;
use crate::permits::Permits;
use crate::retry::Retry;

/// Items that one process works on at once for each core, when the job is CPU-bound: enough for S3 to stay ahead of the
/// processor, few enough that a crash puts few items under suspicion.
const CPU_ITEMS_A_CORE: usize = 32;

/// Items of a batch at once, when the job waits for a network or disk.
const IO_CONCURRENCY: usize = 16;

/// What a worker needs to know of the workflow.
#[derive(Clone)]
pub(crate) struct WorkerSettings {
    pub workflow: Arc<str>,
    /// The run's id.
    pub run: Arc<str>,
    pub params: Params,
    pub retry: Retry,
    pub item_timeout: Option<Duration>,
    /// `batch.concurrency`; `None` for the default of the job's kind of work.
    pub concurrency: Option<u32>,
    pub clock: Clock,
    pub ledger: Arc<dyn Ledger>,
    pub permits: Arc<dyn Permits>,
}

/// The lane that an item is in, and how it stands when the item begins.
#[derive(Debug)]
pub(crate) struct LaneContext {
    /// The lane's key: what `order.by` gives for each of its items.
    pub name: String,
    /// The index of its first item: who owns the calls that are made once for the whole lane.
    pub first: u64,
    /// The output of the last item before this one that succeeded; null if there is none.
    pub previous: Value,
    /// The lane's own calls, once somebody asked for them.
    pub rows: Mutex<Option<Vec<CallRow>>>,
}

/// What running one item came to.
struct Ran {
    /// Whether how it ended could be kept.
    kept: bool,
    /// How it ended, and whether its lane may not go on; `None`: it stays pending.
    ended: Option<(Outcome, bool)>,
}

/// Works batches. Made once per process; [`Worker::run`] is called for many batches at once.
pub(crate) struct Worker {
    job: Arc<dyn AnyJob>,
    repeat: Repeat,
    whole_batch: bool,
    settings: WorkerSettings,
    concurrency: usize,
    cores: Arc<Semaphore>,
    in_flight: Arc<Semaphore>,
    most_in_flight: usize,
    stop: CancellationToken,
    never: CancellationToken,
}

impl Worker {
    /// A worker for this job. Once `stop` is cancelled no item is started or tried again; what runs ends.
    pub fn new(kind: &JobKind, job: Arc<dyn AnyJob>, settings: WorkerSettings, stop: CancellationToken) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let (concurrency, most_in_flight) = match kind.work {
            Work::Io => (IO_CONCURRENCY, Semaphore::MAX_PERMITS),
            Work::Cpu => (cores, cores * CPU_ITEMS_A_CORE),
        };
        let concurrency = settings.concurrency.map_or(concurrency, |given| given as usize).max(1);
        Self {
            job,
            repeat: kind.repeat,
            whole_batch: kind.whole_batch,
            settings,
            concurrency,
            cores: Arc::new(Semaphore::new(cores)),
            in_flight: Arc::new(Semaphore::new(most_in_flight)),
            most_in_flight,
            stop,
            never: CancellationToken::new(),
        }
    }

    /// How many child executions can be busy at once: more would only hold memory. At least 1.
    pub fn useful_children(&self) -> usize {
        self.most_in_flight
    }

    /// Works every item of the batch that is not ended when `stop` is cancelled; what is left over stays pending.
    ///
    /// # Cancel safety
    /// Not cancel safe: an item in flight would be dropped without an outcome.
    pub async fn run(&self, batch: &Batch, desk: &dyn Desk) {
        if self.whole_batch {
            self.run_whole(batch, desk).await;
            return;
        }
        let begun = desk.beginning(batch, self.repeat);
        let each = begun == Begun::Each;
        let place = match begun {
            Begun::Together(place) => Some(place),
            Begun::Each | Begun::Unmarked => None,
            Begun::Stopped => return,
        };
        let mut kept = true;
        let mut waiting = batch.items.iter();
        let mut running: FuturesUnordered<_> =
            waiting.by_ref().take(self.concurrency).map(|item| self.run_item(batch, item, each, desk)).collect();
        while let Some(told) = running.next().await {
            kept &= told;
            if let Some(item) = waiting.next() {
                running.push(self.run_item(batch, item, each, desk));
            }
        }
        if let (Some(place), true) = (place, kept) {
            desk.left(place);
        }
    }

    /// Runs one item of a batch. `false`: how it ended could not be kept.
    async fn run_item(&self, batch: &Batch, item: &Item, each: bool, desk: &dyn Desk) -> bool {
        self.run_one(item, batch.redrive_of(item.index), None, each, desk).await.kept
    }

    /// Runs one item to its end: marks it if `each` item is marked, tries it, tells how it ended.
    async fn run_one(&self, item: &Item, redrive: u32, lane: Option<&LaneContext>, each: bool, desk: &dyn Desk) -> Ran {
        // The semaphore is never closed.
        let _permit = self.in_flight.acquire().await;
        if self.stop.is_cancelled() {
            return Ran { kept: true, ended: None };
        }
        let mark = match each {
            true => match desk.starting(item, self.repeat).await {
                Some(mark) => Some(mark),
                None => return Ran { kept: true, ended: None },
            },
            false => None,
        };
        let ran = match self.attempts(item, redrive, lane, desk).await {
            Some(ended) => {
                // Only a lane asks how it ended: nothing is copied for others.
                let known = lane.map(|_| (ended.outcome.clone(), ended.stops_lane));
                crash::point("before outcome");
                let kept = desk::tell(desk, item, ended, self.repeat).await;
                crash::point("after outcome");
                Ran { kept, ended: known }
            }
            // It came to its own end without an outcome: nothing is in flight any more.
            None => Ran { kept: true, ended: None },
        };
        if let (Some(mark), true) = (mark, ran.kept) {
            desk.left(mark);
        }
        ran
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("workflow", &self.settings.workflow)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}
