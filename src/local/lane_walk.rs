//! [`Walk`]: how a lane stands, found by going along its items: where it goes on, with what, and what stops it.

use std::collections::HashMap;

use super::bundle::Source;
use super::cut::LANES;
use super::record::Record;
use super::state::RunFolder;
use super::statuses::Statuses;
use crate::error::Result;
use crate::lane::Lanes;
use crate::lanes::{Lane, Plan};
use crate::outcome::ItemStatus;
use crate::reader::Position;

/// What is known of a lane at one of its items, from those before it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Walk {
    /// The index of the last one that succeeded.
    pub succeeded: Option<u64>,
    /// The first one that stops the lane.
    pub stopper: Option<Position>,
}

impl Walk {
    /// Goes past an item that has ended. `goes_on`: the lane goes on behind one that failed.
    pub fn pass(&mut self, at: Position, status: ItemStatus, goes_on: bool) {
        match status {
            ItemStatus::Succeeded => self.succeeded = Some(at.index),
            ItemStatus::Failed if goes_on => {}
            ItemStatus::Failed | ItemStatus::Unknown | ItemStatus::Blocked => {
                self.stopper.get_or_insert(at);
            }
            ItemStatus::Skipped | ItemStatus::Pending => {}
        }
    }
}

/// How a lane stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// Items that are pending, at least 1.
    pub pending: u64,
    /// The number in the lane of the first of them, and where it is.
    pub from: u64,
    pub next: Position,
    pub walk: Walk,
    /// The first suspect, if there is one and nothing stops the lane before it.
    pub suspect: Option<Suspect>,
}

/// A pending item that was in flight at crashes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Suspect {
    /// At how many.
    pub crashes: u32,
    /// Pending items before it, and the index of the last of them.
    pub before: u64,
    pub behind: Option<u64>,
}

/// How the lane stands; `None`: nothing in it is pending. `suspects` were in flight at crashes.
pub(super) fn standing(source: &Source, lane: &Lane, suspects: &HashMap<u64, u32>) -> Result<Option<Standing>> {
    let mut found: Option<Standing> = None;
    let mut walk = Walk::default();
    let mut last = None;
    each(&source.plan, lane, |number, at| {
        let status = source.statuses.of(at.index);
        if status != ItemStatus::Pending {
            if found.is_none() {
                walk.pass(at, status, source.goes_on);
            }
            return true;
        }
        let standing = found.get_or_insert(Standing { pending: 0, from: number, next: at, walk, suspect: None });
        if let (None, None, Some(crashes)) = (walk.stopper, standing.suspect, suspects.get(&at.index)) {
            standing.suspect = Some(Suspect { crashes: *crashes, before: standing.pending, behind: last });
        }
        standing.pending += 1;
        last = Some(at.index);
        true
    })?;
    Ok(found)
}

/// Goes along the items of a lane while `see` wants to.
pub(super) fn each(plan: &Plan, lane: &Lane, mut see: impl FnMut(u64, Position) -> bool) -> Result<()> {
    let mut at = 0;
    loop {
        let some = plan.some_items(lane, at, u64::MAX)?;
        if some.is_empty() {
            return Ok(());
        }
        for position in some {
            if !see(at, position) {
                return Ok(());
            }
            at += 1;
        }
    }
}

/// What a redrive of a run in order has to know.
#[derive(Debug, Default)]
pub(super) struct Redriving {
    /// Failed items whose lane went on behind them.
    pub out_of_order: u64,
    /// Blocked items that stay so: what is before them is unknown, which no redrive decides. In input order.
    pub held: Vec<u64>,
}

/// Looks through all lanes. Nothing to know if the run has none.
pub(super) fn before_redrive(record: &Record, folder: &RunFolder) -> Result<Redriving> {
    let mut found = Redriving::default();
    if record.fact::<Lanes>(LANES)?.is_none() {
        return Ok(found);
    }
    let (plan, statuses) = (Plan::open(folder.path())?, Statuses::load(record)?);
    let mut at = 0;
    loop {
        let lanes = plan.some_lanes(at)?;
        if lanes.is_empty() {
            break;
        }
        at += lanes.len() as u64;
        for lane in &lanes {
            let (mut failed, mut passed, mut unknown) = (0, 0, false);
            each(&plan, lane, |_, position| {
                match statuses.of(position.index) {
                    ItemStatus::Failed => failed += 1,
                    ItemStatus::Succeeded => passed = failed,
                    ItemStatus::Unknown => (passed, unknown) = (failed, true),
                    ItemStatus::Blocked if unknown => found.held.push(position.index),
                    _ => {}
                }
                true
            })?;
            found.out_of_order += passed;
        }
    }
    found.held.sort_unstable();
    Ok(found)
}

/// The items of this item's lane that are blocked behind it and by nothing else, in input order: those that go on once it is decided.
/// None if the run has no lanes.
///
/// # Errors
/// The record or the order of the items cannot be read.
pub(super) fn blocked_behind(record: &Record, folder: &RunFolder, item: u64) -> Result<Vec<u64>> {
    if record.fact::<Lanes>(LANES)?.is_none() {
        return Ok(Vec::new());
    }
    let (plan, statuses) = (Plan::open(folder.path())?, Statuses::load(record)?);
    let Some(lane) = plan.lane_of(item)? else { return Ok(Vec::new()) };
    let mut blocked = Vec::new();
    each(&plan, &lane, |_, at| {
        match statuses.of(at.index) {
            // Another one that is unknown: before it, nothing is freed; behind it, no more is.
            ItemStatus::Unknown if at.index != item => return false,
            ItemStatus::Blocked if at.index > item => blocked.push(at.index),
            _ => {}
        }
        true
    })?;
    Ok(blocked)
}
