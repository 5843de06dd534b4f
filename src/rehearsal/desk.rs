//! [`Stage`]: the desk of a rehearsal, which remembers how the items ended.

use std::collections::BTreeMap;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::batch::Batch;
use crate::item::Item;
use crate::job::{JobError, Repeat};
use crate::outcome::Outcome;
use crate::worker::{Begun, Desk, Ended};

/// Remembers how the items ended, and why it came to a stop.
#[derive(Debug)]
pub(super) struct Stage {
    state: Mutex<State>,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    outcomes: BTreeMap<u64, Outcome>,
    stopped: Option<String>,
}

impl Stage {
    pub fn new(stop: CancellationToken) -> Self {
        Self { state: Mutex::default(), stop }
    }

    /// How the items ended, by index, and why it came to a stop, if it did.
    pub fn end(self) -> (BTreeMap<u64, Outcome>, Option<String>) {
        let State { outcomes, stopped } = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        (outcomes, stopped)
    }

    pub fn keep(&self, index: u64, outcome: Outcome) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).outcomes.insert(index, outcome);
    }

    fn stop(&self, why: String) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).stopped.get_or_insert(why);
        self.stop.cancel();
    }
}

impl Desk for Stage {
    fn beginning(&self, _: &Batch, _: Repeat) -> Begun {
        Begun::Together(0)
    }

    fn starting<'a>(&'a self, _: &'a Item, _: Repeat) -> Pin<Box<dyn Future<Output = Option<usize>> + Send + 'a>> {
        Box::pin(ready(Some(0)))
    }

    fn ended_now(&self, item: &Item, ended: Ended, _: Repeat) -> Result<bool, Ended> {
        self.keep(item.index, ended.outcome);
        Ok(true)
    }

    fn ended<'a>(&'a self, item: &'a Item, ended: Ended, _: Repeat) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        self.keep(item.index, ended.outcome);
        Box::pin(ready(true))
    }

    fn left(&self, _: usize) {}

    fn surroundings(&self, item: &Item, error: JobError) {
        self.stop(format!("{}: {}", item.key, error.cause()));
    }

    fn gave_up(&self, why: String) {
        self.stop(why);
    }
}
