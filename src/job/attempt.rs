//! [`Attempt`]: one try at one item, and what the worker offers a job while it runs.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::expression::Scope;
use crate::item::{Effect, Item, ItemKey, effect_key};
use crate::job::in_job;
use crate::job::step::Services;

/// One try at one item: its number, its identity and the worker's services.
///
/// Cheap to hand around; it lives as long as the try.
pub struct Attempt<'a> {
    pub(crate) number: u32,
    pub(crate) redrive: u32,
    pub(crate) item: &'a Item,
    pub(crate) scope: Scope<'a>,
    pub(crate) workflow: &'a str,
    pub(crate) run: &'a str,
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancelled: &'a CancellationToken,
    pub(crate) cores: &'a Arc<Semaphore>,
    /// What the last item of the lane that succeeded gave; null for the first of a lane and without lanes.
    pub(crate) previous: &'a Value,
    pub(crate) services: &'a dyn Services,
}

impl<'a> Attempt<'a> {
    /// Which try this is in this run of the item, from 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// How often the item was redriven: 0 in the first run. From 1 on the item is taken as it is now, whatever its version was.
    pub fn redrive(&self) -> u32 {
        self.redrive
    }

    /// The item as Step Functions would hand it to a child execution.
    pub fn item(&self) -> &'a Value {
        &self.item.value
    }

    /// What an expression of the job may name: `params` and `item`.
    pub fn scope(&self) -> &Scope<'a> {
        &self.scope
    }

    /// A key for one effect of this item: the same for every try, after a crash and in a redrive, and unlike that of any other
    /// item or step. 43 characters of base64url; send it as an idempotency key.
    ///
    /// An item that the workflow or its source names has it in every run of the workflow: what is exported again means the same. A
    /// position means something else in another run, and has another key there.
    pub fn key(&self, step: &str) -> String {
        let run = matches!(self.item.key, ItemKey::Position { .. }).then_some(self.run);
        let item = &self.item.key.to_string();
        effect_key(&Effect { workflow: self.workflow, run, item, lane: false, step, call: 0, generation: 0 })
    }

    /// With `order:`, what the last item of the same lane that succeeded gave; null for the first one, and without `order:`.
    pub fn previous(&self) -> &'a Value {
        self.previous
    }

    /// When the time of this try (`item_timeout`) is up, if it has one.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// How much of this try's time is left; `None` without `item_timeout`.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Whether the item was given up (its time is up, or the run stops at once). Check it before anything is published.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    /// The token behind [`Attempt::is_cancelled`], for work that goes on elsewhere.
    pub fn cancelled(&self) -> &CancellationToken {
        self.cancelled
    }

    /// Runs CPU-bound work on a thread of its own, as many at once as there are cores, whatever `max_concurrency` says.
    ///
    /// # Panics
    /// A panic in `work` is passed on; the worker records it as this item's failure.
    ///
    /// # Cancel safety
    /// Dropped while it waits for a core, nothing has run. Dropped later, `work` still runs to its end, and its result is lost.
    pub async fn compute<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> R {
        compute_on(self.cores, work).await
    }
}

/// Runs CPU-bound work on a thread of its own, once one of the cores is free.
pub(super) async fn compute_on<R: Send + 'static>(cores: &Arc<Semaphore>, work: impl FnOnce() -> R + Send + 'static) -> R {
    // The semaphore is never closed, so a permit always comes. It goes along with the work: work that outlives its item
    // still holds its core.
    let permit = Arc::clone(cores).acquire_owned().await;
    let work = move || {
        let _permit = permit;
        let result = in_job::enter(|| catch_unwind(AssertUnwindSafe(work)));
        result.map_err(|panic| (panic, in_job::take_place()))
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(result)) => result,
        Ok(Err((panic, place))) => {
            in_job::set_place(place);
            resume_unwind(panic)
        }
        // The runtime is being shut down: nobody waits for this result any more.
        Err(_) => std::future::pending().await,
    }
}

impl std::fmt::Debug for Attempt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt").field("item", &self.item.key).field("number", &self.number).finish_non_exhaustive()
    }
}
