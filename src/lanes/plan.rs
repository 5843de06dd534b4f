//! [`Plan`]: the lanes of a run, read from its folder a few at a time.

use std::path::Path;

use super::numbers::Numbers;
use crate::error::Result;
use crate::reader::Position;

/// The files: where each item begins, lane after lane; where each lane begins in that, largest first; the items in no lane.
pub(super) const ITEMS: &str = "lanes.items";
pub(super) const INDEX: &str = "lanes.index";
pub(super) const OTHERS: &str = "lanes.others";

/// One lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lane {
    /// Where its items begin among those of all lanes.
    pub start: u64,
    /// How many there are, at least 1.
    pub count: u64,
    /// The index of its first item in the input.
    pub first: u64,
}

/// The lanes of a run.
#[derive(Debug)]
pub(crate) struct Plan {
    items: Numbers<2>,
    index: Numbers<3>,
    others: Numbers<2>,
}

impl Plan {
    /// Opens what [`Planner::finish`](super::Planner::finish) wrote.
    ///
    /// # Errors
    /// A file is gone or damaged.
    pub fn open(folder: &Path) -> Result<Self> {
        let (items, index) = (Numbers::open(folder, ITEMS)?, Numbers::open(folder, INDEX)?);
        Ok(Self { items, index, others: Numbers::open(folder, OTHERS)? })
    }

    /// Items in lanes.
    pub fn items(&self) -> u64 {
        self.items.count()
    }

    /// Some lanes from number `at` on, largest first; none at the end.
    pub fn some_lanes(&self, at: u64) -> Result<Vec<Lane>> {
        let lane = |[start, count, first]: [u64; 3]| Lane { start, count, first };
        Ok(self.index.read(at, u64::MAX)?.into_iter().map(lane).collect())
    }

    /// Some items of the lane from its item number `at` on, in input order, at most `most`; none at its end.
    pub fn some_items(&self, lane: &Lane, at: u64, most: u64) -> Result<Vec<Position>> {
        let most = most.min(lane.count.saturating_sub(at));
        Ok(self.items.read(lane.start + at, most)?.into_iter().map(position).collect())
    }

    /// Some items that are in no lane from number `at` on, in input order; none at the end.
    pub fn some_others(&self, at: u64) -> Result<Vec<Position>> {
        Ok(self.others.read(at, u64::MAX)?.into_iter().map(position).collect())
    }

    /// The lane that this item is in. Looks through all of them.
    pub fn lane_of(&self, item: u64) -> Result<Option<Lane>> {
        let mut at = 0;
        let place = loop {
            let page = self.items.read(at, u64::MAX)?;
            if page.is_empty() {
                return Ok(None);
            }
            match page.iter().position(|[index, _]| *index == item) {
                Some(found) => break at + found as u64,
                None => at += page.len() as u64,
            }
        };
        let mut at = 0;
        loop {
            let page = self.some_lanes(at)?;
            if page.is_empty() {
                return Ok(None);
            }
            if let Some(lane) = page.iter().find(|lane| (lane.start..lane.start + lane.count).contains(&place)) {
                return Ok(Some(*lane));
            }
            at += page.len() as u64;
        }
    }
}

fn position([index, offset]: [u64; 2]) -> Position {
    Position { index, offset }
}
