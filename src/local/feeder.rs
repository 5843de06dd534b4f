//! [`Feeder`]: reads what is pending, in input order, and hands it out in batches.
//!
//! Pending items are always cut by the workflow's batch settings, whether the run begins, resumes or redrives: there is one rule.
//! What needs no worker (left out by the workflow, damaged, too large) ends here.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::cut::Cutter;
use super::desk::LocalDesk;
use super::ready::{Found, Ready};
use super::record::{BatchRow, Record};
use super::recover::suspects;
use super::row_ranges::RowRanges;
use super::stop::Why;
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::item::Item;
use crate::outcome::Outcome;
use crate::reader::{OpenInput, Position, Row, Rows};
use crate::worker::Bundle;

/// Batch rows that are read from the record at once.
const PAGE: u32 = 256;

/// What is to be worked, beside others or, for items that may have crashed the process before, with nothing beside it.
pub(super) enum Handed {
    Beside(Work),
    Alone(Work),
}

/// The work of one child execution.
pub(super) enum Work {
    Batch(Batch),
    Lanes(Bundle),
    /// The rows of a range, which whoever works them reads.
    Rows(Arc<RowRanges>, BatchRow),
}

/// Which of the pending items are wanted in this session.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    /// At most so many.
    pub limit: Option<u64>,
    /// Only the one with this key.
    pub only: Option<String>,
}

/// Reads what is pending. Runs on a thread of its own.
pub(super) struct Feeder {
    pub record: Record,
    pub input: OpenInput,
    pub ready: Ready,
    pub wanted: Wanted,
    pub desk: Arc<LocalDesk>,
    pub stop: CancellationToken,
    /// Whether the job takes rows of a table as they are read.
    pub takes_rows: bool,
}

impl Feeder {
    /// Hands out everything that is wanted. Says why it did not hand out all that is pending, if so.
    ///
    /// # Errors
    /// The input or the record cannot be read.
    pub fn feed(self, batches: &mpsc::Sender<Handed>) -> Result<Option<Why>> {
        let redriven: HashMap<u64, u32> =
            self.record.redriven()?.into_iter().map(|(item, (redrive, _))| (item, redrive)).collect();
        let redriven = Arc::new(redriven);
        let suspects = suspects(&self.record)?;
        let rows =
            (self.takes_rows && self.wanted.is_all() && suspects.is_empty() && RowRanges::are_enough(&self.input, &self.ready))
                .then(|| RowRanges::new(self.input.clone(), self.ready.clone(), Arc::clone(&redriven)));
        let mut feeding = Feeding {
            redriven,
            rows: rows.map(Arc::new),
            cutter: self.ready.cutter,
            next_id: 0,
            items: Vec::new(),
            handed: 0,
            seen: false,
            feeder: &self,
            batches,
        };
        let full = feeding.all_but(&suspects)?;
        let full = match full {
            Ended::All => feeding.each_alone(&suspects)?,
            other => other,
        };
        self.wanted.why(&full, feeding.seen)
    }
}

impl Wanted {
    fn is_all(&self) -> bool {
        self.limit.is_none() && self.only.is_none()
    }

    /// Why not all that is pending was handed out, if so. `seen`: what is wanted was found.
    pub fn why(&self, ended: &Ended, seen: bool) -> Result<Option<Why>> {
        Ok(match (ended, self) {
            (Ended::Limit, Wanted { limit: Some(limit), .. }) => {
                let items = if *limit == 1 { "1 item was".to_string() } else { format!("{limit} items were") };
                Some(Why::Enough(format!("{items} asked for (`--limit`)")))
            }
            (Ended::All, Wanted { only: Some(key), .. }) if !seen => {
                return Err(Error::refused(format!("no pending item has the key `{key}`"))
                    .hint("`fanfold results RUN` shows the keys; a key is written as it is shown there"));
            }
            (Ended::All, Wanted { only: Some(key), .. }) => Some(Why::Enough(format!("only `{key}` was asked for (`--only`)"))),
            _ => None,
        })
    }
}

/// Where handing out ended.
#[derive(Debug, PartialEq)]
pub(super) enum Ended {
    All,
    Limit,
    Stopped,
}

struct Feeding<'a> {
    feeder: &'a Feeder,
    batches: &'a mpsc::Sender<Handed>,
    redriven: Arc<HashMap<u64, u32>>,
    /// Where ranges that nothing was done of are handed out as they are.
    rows: Option<Arc<RowRanges>>,
    cutter: Cutter,
    next_id: u64,
    items: Vec<Item>,
    handed: u64,
    seen: bool,
}

impl Feeding<'_> {
    fn all_but(&mut self, suspects: &HashMap<u64, u32>) -> Result<Ended> {
        let mut rows: Option<Rows> = None;
        let mut after = None;
        loop {
            let page = self.feeder.record.unfinished(after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.first);
            for range in &page {
                if let (Some(rows), true) = (&self.rows, self.is_a_batch(range)) {
                    let work = Work::Rows(Arc::clone(rows), range.clone());
                    if self.feeder.stop.is_cancelled() || self.batches.blocking_send(Handed::Beside(work)).is_err() {
                        return Ok(Ended::Stopped);
                    }
                    continue;
                }
                let reader = open_at(&self.feeder.input, &mut rows, range)?;
                for n in 0..range.count {
                    let Some(row) = reader.next()? else { return Err(short(range)) };
                    if range.is_done(n) || suspects.contains_key(&row.index) {
                        continue;
                    }
                    match self.take(&row)? {
                        Ended::All => {}
                        other => return Ok(other),
                    }
                }
            }
        }
        Ok(if self.hand_out()? { Ended::All } else { Ended::Stopped })
    }

    /// Whether nothing was done of the range, and it is no larger than a batch may be now.
    fn is_a_batch(&self, range: &BatchRow) -> bool {
        range.ended == 0 && range.done.is_none() && self.cutter.takes(range.count)
    }

    /// Items that were in flight at two crashes run with nothing beside them, after all others.
    fn each_alone(&mut self, suspects: &HashMap<u64, u32>) -> Result<Ended> {
        // Those that were alone at a crash come last: if one of them kills the process again, the others are done.
        let mut suspects: Vec<(u32, u64)> = suspects.iter().map(|(index, crashes)| (*crashes, *index)).collect();
        suspects.sort_unstable();
        for (_, index) in suspects {
            let Some(range) = self.feeder.record.batch_of(index)? else { continue };
            if range.is_done((index - range.first) as u32) {
                continue;
            }
            let mut rows = None;
            let reader = open_at(&self.feeder.input, &mut rows, &range)?;
            while let Some(row) = reader.next()? {
                if row.index == index {
                    match self.take(&row)? {
                        Ended::All => {}
                        other => return Ok(other),
                    }
                    if !self.hand_out_alone()? {
                        return Ok(Ended::Stopped);
                    }
                    break;
                }
            }
        }
        Ok(Ended::All)
    }

    /// Puts the row into the batch that is being gathered, or ends it here.
    fn take(&mut self, row: &Row<'_>) -> Result<Ended> {
        if self.feeder.stop.is_cancelled() {
            return Ok(Ended::Stopped);
        }
        if self.feeder.wanted.limit.is_some_and(|limit| self.handed >= limit) {
            return Ok(if self.hand_out()? { Ended::Limit } else { Ended::Stopped });
        }
        let bytes = row.json_len();
        let Found { key, value, ended } = self.feeder.ready.look_at(row);
        if self.feeder.wanted.only.as_ref().is_some_and(|only| *only != key.to_string()) {
            return Ok(Ended::All);
        }
        self.seen = true;
        self.handed += 1;
        let item = Item { index: row.index, key, value };
        match ended {
            None => {
                if self.cutter.begins_new(bytes) && !self.hand_out()? {
                    return Ok(Ended::Stopped);
                }
                self.items.push(item);
                Ok(Ended::All)
            }
            Some(outcome) => Ok(self.end_here(&item, outcome)),
        }
    }

    fn end_here(&self, item: &Item, outcome: Outcome) -> Ended {
        if self.feeder.desk.ended_unworked(item, outcome) { Ended::All } else { Ended::Stopped }
    }

    fn hand_out(&mut self) -> Result<bool> {
        self.hand(Handed::Beside)
    }

    fn hand_out_alone(&mut self) -> Result<bool> {
        self.hand(Handed::Alone)
    }

    /// Hands out what was gathered. `false`: nobody takes it any more.
    fn hand(&mut self, how: impl FnOnce(Work) -> Handed) -> Result<bool> {
        let Some(batch) = self.gathered() else { return Ok(true) };
        // Looked at after it was read: what someone wrote into the source meanwhile reaches no job.
        self.feeder.input.check_unchanged()?;
        Ok(self.batches.blocking_send(how(Work::Batch(batch))).is_ok())
    }

    fn gathered(&mut self) -> Option<Batch> {
        if self.items.is_empty() {
            return None;
        }
        let id = self.next_id;
        self.next_id += 1;
        Some(Batch { id, items: std::mem::take(&mut self.items), redriven: Arc::clone(&self.redriven) })
    }
}

/// The rows from the range's first item on; the reader that is there goes on if it stands there already.
fn open_at<'a>(input: &OpenInput, rows: &'a mut Option<Rows>, range: &BatchRow) -> Result<&'a mut Rows> {
    let stands = rows.as_ref().is_some_and(|rows| rows.position().index == range.first);
    if !stands {
        *rows = Some(input.rows(Position { index: range.first, offset: range.position })?);
    }
    rows.as_mut().ok_or_else(|| Error::bug("a reader that was just opened is gone"))
}

pub(super) fn short(range: &BatchRow) -> Error {
    Error::surroundings(format!(
        "the input ends before item {}, which was there when the run began",
        range.first + u64::from(range.count)
    ))
    .hint("restore the input as it was, then resume")
}
