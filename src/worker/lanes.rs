//! Bundles of lanes: lanes run beside one another; in a lane strictly one item at a time, each with what the one before gave.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::Value;

use super::desk::tell;
use super::{Desk, Ended, LaneContext, Ran, Worker};
use crate::item::Item;
use crate::job::Repeat;
use crate::outcome::Outcome;

/// Several lanes for one child execution.
pub(crate) struct Bundle {
    /// How many lanes it has.
    pub lanes: usize,
    /// Lanes that are worked at once, from 1.
    pub at_once: usize,
    /// Whether a lane goes on behind an item that failed. Behind one that is unknown it never does.
    pub goes_on: bool,
    /// Their items.
    pub items: Box<dyn LaneItems>,
    /// How often each redriven item was redriven; an item that is not here never was.
    pub redriven: Arc<HashMap<u64, u32>>,
}

/// The pending items of the lanes of a bundle, a few at a time, so that a lane of a million items takes no more memory than one of ten.
pub(crate) trait LaneItems: Send + Sync {
    /// The next items of lane number `lane`, from 0; a part without items is its end. `None`: they cannot be read; the session was
    /// stopped for that.
    fn next(&self, lane: usize) -> Pin<Box<dyn Future<Output = Option<LanePart>> + Send + '_>>;
}

/// Some items of a lane, in input order.
#[derive(Debug, Default)]
pub(crate) struct LanePart {
    /// The lane's key.
    pub name: String,
    /// The index of the lane's first item.
    pub first: u64,
    pub items: Vec<LaneItem>,
}

/// A pending item of a lane.
#[derive(Debug)]
pub(crate) struct LaneItem {
    pub item: Item,
    /// How it ended already, if it needs no worker.
    pub ended: Option<Outcome>,
    /// The output of the last one before it that succeeded, where that is not the one that was handed out before it.
    pub previous: Option<Value>,
}

impl Worker {
    /// Works every item of the bundle, in each lane one after another, that is not ended when `stop` is cancelled; what is left over
    /// stays pending. What is behind an item that stops its lane is blocked.
    ///
    /// # Cancel safety
    /// Not cancel safe: an item in flight would be dropped without an outcome.
    pub async fn run_lanes(&self, bundle: &Bundle, desk: &dyn Desk) {
        let mut waiting = 0..bundle.lanes;
        let mut running: FuturesUnordered<_> =
            waiting.by_ref().take(bundle.at_once.max(1)).map(|lane| self.run_lane(bundle, lane, desk)).collect();
        while running.next().await.is_some() {
            if let Some(lane) = waiting.next() {
                running.push(self.run_lane(bundle, lane, desk));
            }
        }
    }

    async fn run_lane(&self, bundle: &Bundle, number: usize, desk: &dyn Desk) {
        let mut lane: Option<LaneContext> = None;
        let mut stopped_by: Option<String> = None;
        while let Some(part) = self.part(bundle, number).await {
            let lane = lane.get_or_insert_with(|| LaneContext {
                name: part.name,
                first: part.first,
                previous: Value::Null,
                rows: Mutex::new(None),
            });
            for LaneItem { item, ended, previous } in part.items {
                if let Some(why) = &stopped_by {
                    if !self.block(&item, why, desk).await {
                        return;
                    }
                    continue;
                }
                if let Some(previous) = previous {
                    lane.previous = previous;
                }
                let ran = match ended {
                    Some(outcome) => self.end(&item, outcome, desk).await,
                    None => {
                        let redrive = bundle.redriven.get(&item.index).copied().unwrap_or(0);
                        // Where everything that has an effect is a step, the ledger knows what was in flight.
                        let mark = self.repeat != Repeat::Steps;
                        self.run_one(&item, redrive, Some(lane), mark, desk).await
                    }
                };
                match ran {
                    Ran { kept: true, ended: Some((outcome, stops_lane)) } => {
                        stopped_by = behind(&item, &outcome, stops_lane, bundle.goes_on);
                        if let Outcome::Succeeded(output) = outcome {
                            lane.previous = output;
                        }
                    }
                    // It stays pending, and so does everything behind it.
                    _ => return,
                }
            }
        }
    }

    /// The next items of the lane, if there are any and the run goes on.
    async fn part(&self, bundle: &Bundle, number: usize) -> Option<LanePart> {
        if self.stop.is_cancelled() {
            return None;
        }
        bundle.items.next(number).await.filter(|part| !part.items.is_empty())
    }

    /// Tells of an item that needs no worker.
    async fn end(&self, item: &Item, outcome: Outcome, desk: &dyn Desk) -> Ran {
        if self.stop.is_cancelled() {
            return Ran { kept: true, ended: None };
        }
        let ended = Ended { outcome: outcome.clone(), attempts: 0, stops_lane: false };
        Ran { kept: tell(desk, item, ended, Repeat::Safe).await, ended: Some((outcome, false)) }
    }

    /// Tells that an item is blocked. `false`: it stays pending; the next session finds why.
    async fn block(&self, item: &Item, why: &str, desk: &dyn Desk) -> bool {
        if self.stop.is_cancelled() {
            return false;
        }
        let ended = Ended { outcome: Outcome::Blocked(why.to_string()), attempts: 0, stops_lane: false };
        tell(desk, item, ended, Repeat::Safe).await
    }
}

/// Why what is behind this item is blocked, if it is.
fn behind(item: &Item, outcome: &Outcome, stops_lane: bool, goes_on: bool) -> Option<String> {
    match outcome {
        Outcome::Unknown(failure) => Some(behind_unknown(&item.key, &failure.error)),
        Outcome::Failed(failure) if stops_lane || !goes_on => Some(behind_failed(&item.key, &failure.error)),
        _ => None,
    }
}

/// Why an item is blocked behind one that failed.
pub(crate) fn behind_failed(key: &impl std::fmt::Display, error: &str) -> String {
    format!("behind `{key}`, which failed: {error}")
}

/// Why an item is blocked behind one that is unknown.
pub(crate) fn behind_unknown(key: &impl std::fmt::Display, error: &str) -> String {
    format!("behind `{key}`, which is unknown: {error}")
}
