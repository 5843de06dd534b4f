//! [`LaneFeeder`]: goes through the lanes, largest first, and hands out what is pending in bundles of them.
//!
//! Where a lane goes on is known from the record alone: at its first pending item, with the output of the last one before it that
//! succeeded. Items in no lane end here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::bundle::{BundleItems, Cursor, Source};
use super::feeder::{Ended, Handed, Wanted, Work};
use super::lane_walk::{Standing, Suspect, standing};
use super::map_run::Batches;
use super::ready::Found;
use super::recover::crashes_until_alone;
use super::stop::Why;
use crate::error::{Error, Result};
use crate::item::Item;
use crate::lanes::{Lane, Packer};
use crate::outcome::ItemStatus;
use crate::reader::{Position, SingleRows};
use crate::worker::Bundle;

/// How often it is looked whether an item that ran alone has its outcome in the record.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Goes through the lanes. Runs on a thread of its own.
pub(super) struct LaneFeeder {
    pub source: Arc<Source>,
    pub wanted: Wanted,
    /// Lanes of a bundle that are worked at once.
    pub at_once: usize,
    /// How many bundles all lanes make together.
    pub bundles: u64,
    pub stop: CancellationToken,
}

impl LaneFeeder {
    /// Hands out everything that is wanted. Says why it did not hand out all that is pending, if so.
    ///
    /// # Errors
    /// The input, the order of the items or the record cannot be read; `--only` names an item whose turn it is not.
    pub fn feed(self, batches: &Batches) -> Result<Option<Why>> {
        let (redriven, suspects) = {
            let record = self.source.record();
            (record.redriven()?, record.suspects(crashes_until_alone())?)
        };
        let mut feeding = Feeding {
            redriven: Arc::new(redriven.into_iter().map(|(item, (redrive, _))| (item, redrive)).collect()),
            packer: Packer::new(self.source.plan.items(), self.bundles),
            left: self.wanted.limit.unwrap_or(u64::MAX),
            lanes: Vec::new(),
            suspects,
            later: Vec::new(),
            seen: false,
            feeder: &self,
            batches,
        };
        let ended = match &self.wanted.only {
            Some(key) => feeding.only(key)?,
            None => feeding.all()?,
        };
        self.wanted.why(&ended, feeding.seen)
    }
}

struct Feeding<'a> {
    feeder: &'a LaneFeeder,
    batches: &'a Batches,
    redriven: Arc<HashMap<u64, u32>>,
    packer: Packer,
    /// Items that may still be handed out.
    left: u64,
    /// What is gathered for the next bundle.
    lanes: Vec<Cursor>,
    /// Items that were in flight at two crashes, and at how many.
    suspects: HashMap<u64, u32>,
    /// Lanes that wait at a suspect until all others are done.
    later: Vec<(Suspect, Lane)>,
    seen: bool,
}

impl Feeding<'_> {
    fn all(&mut self) -> Result<Ended> {
        for part in [Self::in_no_lane, Self::in_lanes] {
            match part(self)? {
                Ended::All => {}
                other => return Ok(other),
            }
        }
        while !self.later.is_empty() {
            for part in [Self::alone, Self::behind_those] {
                match part(self)? {
                    Ended::All => {}
                    other => return Ok(other),
                }
            }
        }
        Ok(Ended::All)
    }

    /// Items that are damaged or left out: nothing waits for them.
    fn in_no_lane(&mut self) -> Result<Ended> {
        let source = &self.feeder.source;
        let mut rows = None;
        let mut at = 0;
        loop {
            let some = source.plan.some_others(at)?;
            if some.is_empty() {
                return Ok(Ended::All);
            }
            at += some.len() as u64;
            for position in some.into_iter().filter(|at| source.statuses.of(at.index) == ItemStatus::Pending) {
                if self.left == 0 {
                    return Ok(Ended::Limit);
                }
                let rows = match &mut rows {
                    Some(rows) => rows,
                    None => rows.insert(source.input.single_rows()?),
                };
                self.left -= 1;
                match self.end_here(rows, position)? {
                    Ended::All => {}
                    other => return Ok(other),
                }
            }
        }
    }

    fn end_here(&self, rows: &mut SingleRows, at: Position) -> Result<Ended> {
        if self.feeder.stop.is_cancelled() {
            return Ok(Ended::Stopped);
        }
        let Found { key, value, ended } = self.feeder.source.ready.look_at(&rows.at(at)?);
        let Some(outcome) = ended else { return Err(Error::bug(format!("item {} is in no lane", at.index))) };
        let told = self.feeder.source.desk.ended_unworked(&Item { index: at.index, key, value }, outcome);
        Ok(if told { Ended::All } else { Ended::Stopped })
    }

    /// Every lane with something pending, as far as its first suspect.
    fn in_lanes(&mut self) -> Result<Ended> {
        let mut at = 0;
        loop {
            let some = self.feeder.source.plan.some_lanes(at)?;
            if some.is_empty() {
                return self.hand_out();
            }
            at += some.len() as u64;
            for lane in some {
                let Some(standing) = self.standing(&lane)? else { continue };
                match self.gather(lane, &standing)? {
                    Ended::All => {}
                    other => return Ok(other),
                }
            }
        }
    }

    /// Items that were in flight at two crashes run with nothing beside them, after all others.
    fn alone(&mut self) -> Result<Ended> {
        for behind in self.later.iter().filter_map(|(suspect, _)| suspect.behind) {
            if self.until_recorded(behind)? == Ended::Stopped {
                return Ok(Ended::Stopped);
            }
        }
        let source = &self.feeder.source;
        source.statuses.load_again(&source.record())?;
        // Those that were alone at a crash come last: if one of them kills the process again, the others are done.
        self.later.sort_by_key(|(suspect, lane)| (suspect.crashes, lane.first));
        for (_, lane) in self.later.clone() {
            let Some(standing) = self.standing(&lane)? else { continue };
            if self.left == 0 {
                return Ok(Ended::Limit);
            }
            self.left -= 1;
            match self.hand_alone(lane, &standing)? {
                Ended::All => {}
                other => return Ok(other),
            }
            self.suspects.remove(&standing.next.index);
        }
        Ok(Ended::All)
    }

    /// What is behind the suspects goes on beside the others again.
    fn behind_those(&mut self) -> Result<Ended> {
        for (_, lane) in std::mem::take(&mut self.later) {
            let Some(standing) = self.standing(&lane)? else { continue };
            match self.gather(lane, &standing)? {
                Ended::All => {}
                other => return Ok(other),
            }
        }
        self.hand_out()
    }

    /// Only the item with this key, if it is next in its lane.
    fn only(&mut self, key: &str) -> Result<Ended> {
        let source = &self.feeder.source;
        let mut found = None;
        let mut rows = source.input.rows(Position::START)?;
        while let Some(row) = rows.next()? {
            if self.feeder.stop.is_cancelled() {
                return Ok(Ended::Stopped);
            }
            let pending = source.statuses.of(row.index) == ItemStatus::Pending;
            if pending && source.ready.look_at(&row).key.to_string() == key {
                found = Some(row.position());
                break;
            }
        }
        let Some(at) = found else { return Ok(Ended::All) };
        self.seen = true;
        let mut rows = source.input.single_rows()?;
        let Some(lane) = source.plan.lane_of(at.index)? else { return self.end_here(&mut rows, at) };
        let Some(standing) = self.standing(&lane)? else { return Ok(Ended::All) };
        let mut refused = |before: Position, why: &str| {
            let name = source.ready.look_at(&rows.at(before)?).key;
            Err(Error::refused(format!("`{key}` cannot be done alone: `{name}` is before it in its lane and {why}")))
        };
        match standing.walk.stopper {
            Some(before) => refused(before, "stopped it"),
            None if standing.next.index != at.index => refused(standing.next, "is pending"),
            None if self.suspects.contains_key(&at.index) => self.hand_alone(lane, &standing),
            None => {
                self.lanes.push(Cursor::new(lane, &standing, 1));
                self.hand_out()
            }
        }
    }

    fn standing(&self, lane: &Lane) -> Result<Option<Standing>> {
        standing(&self.feeder.source, lane, &self.suspects)
    }

    /// Puts the lane into the bundle that is being gathered, as far as its first suspect.
    fn gather(&mut self, lane: Lane, standing: &Standing) -> Result<Ended> {
        if self.feeder.stop.is_cancelled() {
            return Ok(Ended::Stopped);
        }
        let mut pending = standing.pending;
        if let Some(suspect) = standing.suspect {
            self.later.push((suspect, lane));
            pending = suspect.before;
            if pending == 0 {
                return Ok(Ended::All);
            }
        }
        if self.left == 0 {
            return Ok(if self.hand_out()? == Ended::All { Ended::Limit } else { Ended::Stopped });
        }
        let most = pending.min(self.left);
        if self.packer.begins_new(most) && self.hand_out()? == Ended::Stopped {
            return Ok(Ended::Stopped);
        }
        self.left -= most;
        self.lanes.push(Cursor::new(lane, standing, most));
        Ok(Ended::All)
    }

    fn hand_out(&mut self) -> Result<Ended> {
        self.hand(Handed::Beside)
    }

    /// Hands out the next item of the lane with nothing beside it, and waits for how it ends.
    fn hand_alone(&mut self, lane: Lane, standing: &Standing) -> Result<Ended> {
        self.lanes.push(Cursor::new(lane, standing, 1));
        if self.hand(Handed::Alone)? == Ended::Stopped {
            return Ok(Ended::Stopped);
        }
        self.until_recorded(standing.next.index)
    }

    /// Waits until the record has an outcome of the item.
    fn until_recorded(&self, item: u64) -> Result<Ended> {
        let source = &self.feeder.source;
        loop {
            source.statuses.look_again(&source.record(), item)?;
            if source.statuses.of(item) != ItemStatus::Pending {
                return Ok(Ended::All);
            }
            if self.feeder.stop.is_cancelled() {
                return Ok(Ended::Stopped);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Hands out what was gathered; `Stopped`: nobody takes it any more.
    fn hand(&mut self, how: impl FnOnce(Work) -> Handed) -> Result<Ended> {
        if self.lanes.is_empty() {
            return Ok(Ended::All);
        }
        let source = &self.feeder.source;
        let lanes = std::mem::take(&mut self.lanes);
        let bundle = Bundle {
            lanes: lanes.len(),
            at_once: self.feeder.at_once,
            goes_on: source.goes_on,
            items: Box::new(BundleItems::new(source, lanes)),
            redriven: Arc::clone(&self.redriven),
        };
        let taken = self.batches.blocking_send(how(Work::Lanes(bundle))).is_ok();
        Ok(if taken { Ended::All } else { Ended::Stopped })
    }
}
