//! [`LambdaDesk`]: the [`Desk`] of a worker on AWS: outcomes to S3, written as they come.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::figures::Figures;
use super::parts::Parts;
use super::refused::Refused;
use crate::batch::Batch;
use crate::bucket::OutcomeLine;
use crate::expression::{Params, Scope};
use crate::item::Item;
use crate::job::{AnyJob, JobError, Repeat};
use crate::observe::{Level, Log};
use crate::outcome::{Failure, Outcome};
use crate::worker::{Begun, Desk, Discreet, Ended};

/// Items of one invocation that failed and are told one by one in its log. All of them are in the results.
const TOLD: usize = 20;

type Told<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Keeps what becomes of the items of one invocation.
pub(super) struct LambdaDesk {
    pub discreet: Discreet,
    /// Asked where items are written to, if it publishes.
    pub publisher: Option<Arc<dyn AnyJob>>,
    pub params: Params,
    pub parts: Parts,
    pub stop: CancellationToken,
    pub log: Log,
    /// Told when there is enough to be written.
    pub full: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When each item that is under way began.
    under_way: HashMap<u64, Instant>,
    ended: HashMap<u64, OutcomeLine>,
    figures: Figures,
    told: usize,
    trouble: Option<Refused>,
    /// The items that were marked before they were run alone, and for the how manieth time.
    marked: Vec<(u64, u32)>,
}

impl LambdaDesk {
    pub fn new(
        parts: Parts,
        discreet: Discreet,
        publisher: Option<Arc<dyn AnyJob>>,
        params: Params,
        stop: CancellationToken,
        log: Log,
    ) -> Self {
        Self { discreet, publisher, params, parts, stop, log, full: Notify::new(), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many items are under way.
    pub fn in_flight(&self) -> u64 {
        self.state().under_way.len() as u64
    }

    /// What stops this worker; the first trouble is the one that is told.
    pub fn stop_for(&self, trouble: Refused) {
        self.state().trouble.get_or_insert(trouble);
        self.stop.cancel();
    }

    /// What stopped this worker, if something did.
    pub fn trouble(&self) -> Option<Refused> {
        self.state().trouble.clone()
    }

    /// How the items of this invocation ended, as far as they have, and the figures of it.
    pub fn take(&self) -> (HashMap<u64, OutcomeLine>, Figures) {
        let mut state = self.state();
        (std::mem::take(&mut state.ended), std::mem::take(&mut state.figures))
    }

    /// An item is about to be run alone, for the `times`th time, and is marked so.
    pub fn marked(&self, index: u64, times: u32) {
        self.state().marked.push((index, times));
    }

    /// Whether any item has ended.
    pub fn has_outcomes(&self) -> bool {
        !self.state().ended.is_empty()
    }

    /// What was marked so and has no outcome.
    pub fn without_outcome(&self) -> Vec<(u64, u32)> {
        let state = self.state();
        state.marked.iter().filter(|(index, _)| !state.ended.contains_key(index)).copied().collect()
    }

    /// An item ended without being worked.
    pub fn ended_unworked(&self, item: &Item, outcome: Outcome) {
        self.keep(item, Ended { outcome, attempts: 0, stops_lane: false }, None);
    }

    /// Writes what waits to be written.
    ///
    /// # Cancel safety
    /// Dropped, what was not written waits still.
    pub async fn flush(&self) -> bool {
        match self.parts.flush().await {
            Ok(()) => true,
            Err(error) => {
                self.stop_for(Refused::interrupted(&error));
                false
            }
        }
    }

    fn keep(&self, item: &Item, ended: Ended, to: Option<String>) {
        let ended = self.discreet.ended(item, ended);
        let key = item.key.to_string();
        if let Outcome::Failed(failure) | Outcome::Unknown(failure) = &ended.outcome {
            self.tell(&key, failure);
        }
        let line = OutcomeLine { to, ..OutcomeLine::new(item.index, key, &ended.outcome, ended.attempts) };
        if self.parts.add(&line) {
            self.full.notify_one();
        }
        let mut state = self.state();
        let took = state.under_way.get(&item.index).map(Instant::elapsed);
        state.figures.ended(line.status, ended.attempts, took);
        state.ended.insert(item.index, line);
    }

    fn tell(&self, key: &str, Failure { error, cause }: &Failure) {
        let told = {
            let mut state = self.state();
            state.told += 1;
            state.told
        };
        if told <= TOLD {
            self.log.with("item", key).with("error", error.as_str()).line(Level::Warn, cause);
        } else if told == TOLD + 1 {
            self.log.line(Level::Warn, "more items failed, which are told in the results only");
        }
    }

    fn destination(&self, item: &Item) -> Option<String> {
        let scope = Scope::params(&self.params).with_item(&item.value);
        self.publisher.as_ref()?.destination(&item.value, &scope).ok().flatten()
    }
}

impl Desk for LambdaDesk {
    fn beginning(&self, _: &Batch, _: Repeat) -> Begun {
        Begun::Each
    }

    fn starting<'a>(&'a self, item: &'a Item, _: Repeat) -> Told<'a, Option<usize>> {
        self.state().under_way.insert(item.index, Instant::now());
        // An index is a mark as good as any: no two items of a batch have the same.
        Box::pin(std::future::ready(usize::try_from(item.index).ok()))
    }

    fn ended_now(&self, item: &Item, ended: Ended, _: Repeat) -> Result<bool, Ended> {
        if self.parts.is_behind() {
            return Err(ended);
        }
        self.keep(item, ended, self.destination(item));
        Ok(true)
    }

    fn ended<'a>(&'a self, item: &'a Item, ended: Ended, _: Repeat) -> Told<'a, bool> {
        Box::pin(async move {
            let kept = self.flush().await;
            self.keep(item, ended, self.destination(item));
            kept
        })
    }

    fn left(&self, mark: usize) {
        self.state().under_way.remove(&(mark as u64));
    }

    fn surroundings(&self, item: &Item, error: JobError) {
        let cause = self.discreet.text(item, error.cause().to_string());
        self.stop_for(Refused::new(format!("item `{}`: {cause}", item.key)));
    }

    fn gave_up(&self, why: String) {
        self.stop_for(Refused::new(why));
    }
}

impl std::fmt::Debug for LambdaDesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LambdaDesk").field("parts", &self.parts).finish_non_exhaustive()
    }
}
