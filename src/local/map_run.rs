//! [`MapRun`]: the batches of a run being worked, at most `max_concurrency` child executions at once.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Interval;
use tokio_util::sync::CancellationToken;

use super::control::{Control, LOOK_EVERY};
use super::desk::LocalDesk;
use super::feeder::{Handed, Work};
use super::rates::Throttled;
use super::session::join;
use super::stop::Why;
use crate::error::Result;
use crate::worker::Worker;

/// Batches that wait to be worked: enough that no child waits for the reader.
const BATCHES_AHEAD: usize = 4;

/// Where batches are handed out.
pub(super) type Batches = mpsc::Sender<Handed>;

/// Hands batches to children until the feeder has no more.
pub(super) struct MapRun {
    pub worker: Arc<Worker>,
    pub desk: Arc<LocalDesk>,
    pub control: Control,
    pub max_concurrency: u32,
    pub throttled: Throttled,
    pub stop: CancellationToken,
}

/// What other processes ask for, as far as it was heard.
struct Watch {
    look: Interval,
    limit: usize,
    asked: bool,
}

impl MapRun {
    /// Works everything that `feed` hands out, on a thread of its own. Says why that is not all that was pending, if so.
    ///
    /// # Errors
    /// Those of `feed`.
    pub async fn work(mut self, feed: impl FnOnce(&Batches) -> Result<Option<Why>> + Send + 'static) -> Result<Option<Why>> {
        let (sender, mut batches) = mpsc::channel(BATCHES_AHEAD);
        let feeding = tokio::task::spawn_blocking(move || feed(&sender));
        let mut children = JoinSet::new();
        let mut watch = Watch { look: tokio::time::interval(LOOK_EVERY), limit: self.limit(), asked: false };
        let mut open = true;
        while open || !children.is_empty() {
            tokio::select! {
                Some(ended) = children.join_next() => self.ended(ended)?,
                handed = batches.recv(), if open && children.len() < watch.limit => match handed {
                    Some(Handed::Beside(work)) => self.start(&mut children, work),
                    Some(Handed::Alone(work)) => {
                        self.all_ended(&mut children, &mut watch).await?;
                        self.start(&mut children, work);
                        self.all_ended(&mut children, &mut watch).await?;
                    }
                    None => open = false,
                },
                _ = watch.look.tick() => self.listen(&mut watch),
            }
        }
        join(feeding.await)?
    }

    /// Waits until no child is left, and listens meanwhile.
    async fn all_ended(&mut self, children: &mut JoinSet<()>, watch: &mut Watch) -> Result<()> {
        while !children.is_empty() {
            tokio::select! {
                Some(ended) = children.join_next() => self.ended(ended)?,
                _ = watch.look.tick() => self.listen(watch),
            }
        }
        Ok(())
    }

    /// Does what was asked for since it was listened last.
    fn listen(&mut self, watch: &mut Watch) {
        watch.limit = self.limit();
        let wishes = self.control.wishes();
        self.throttled.hear(wishes.rates);
        if !watch.asked && wishes.stop {
            watch.asked = true;
            self.desk.stop_for(Why::Asked);
        }
    }

    fn start(&self, children: &mut JoinSet<()>, work: Work) {
        let (worker, desk) = (Arc::clone(&self.worker), Arc::clone(&self.desk));
        children.spawn(async move {
            match work {
                Work::Batch(batch) => worker.run(&batch, &*desk).await,
                Work::Lanes(bundle) => worker.run_lanes(&bundle, &*desk).await,
                Work::Rows(ranges, range) => {
                    if desk.stop.is_cancelled() {
                        return;
                    }
                    match ranges.next(range).await {
                        Ok((batch, _room)) => worker.run_rows(&batch, &*desk).await,
                        Err(error) => desk.stop_for(Why::Trouble(error)),
                    }
                }
            }
        });
    }

    /// A panic that reaches this far is ours, not a job's.
    fn ended(&self, ended: Result<(), JoinError>) -> Result<()> {
        join(ended).inspect_err(|_| self.stop.cancel())
    }

    fn limit(&self) -> usize {
        let wanted = self.control.wishes().concurrency.unwrap_or(self.max_concurrency) as usize;
        wanted.clamp(1, self.worker.useful_children())
    }
}
