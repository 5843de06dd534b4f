//! [`BundleItems`]: the items of a bundle's lanes, read from the frozen input one by one at their places, a few at a time.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::desk::LocalDesk;
use super::lane_walk::{Standing, Walk};
use super::ready::{Found, Ready};
use super::record::Record;
use super::session::join;
use super::statuses::Statuses;
use super::stop::Why;
use crate::error::Result;
use crate::item::Item;
use crate::lanes::{Lane, LaneKey, Plan};
use crate::outcome::{ItemStatus, Outcome};
use crate::reader::{OpenInput, Position, SingleRows};
use crate::worker::{LaneItem, LaneItems, LanePart, behind_failed, behind_unknown};

/// Items that are read at once, and the bytes after which no more are.
const ITEMS_AT_ONCE: usize = 16;
const BYTES_AT_ONCE: usize = 32 * 1024;

/// What every bundle of a session reads from.
pub(super) struct Source {
    pub plan: Plan,
    pub input: OpenInput,
    pub ready: Ready,
    pub key: LaneKey,
    /// A door to the record of its own, for looking.
    pub record: Mutex<Record>,
    pub statuses: Statuses,
    /// Whether a lane goes on behind an item that failed.
    pub goes_on: bool,
    pub desk: Arc<LocalDesk>,
}

impl Source {
    pub fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why an item behind this one is blocked.
    fn why_blocked(&self, stopper: Position, rows: &mut SingleRows) -> Result<String> {
        let row = self.record().exceptions(stopper.index, 1)?.remove(&stopper.index);
        let Some(row) = row else { return Ok("its lane was stopped".to_string()) };
        let key = self.ready.look_at(&rows.at(stopper)?).key;
        let error = row.error.unwrap_or_default();
        Ok(match row.status {
            ItemStatus::Unknown => behind_unknown(&key, &error),
            ItemStatus::Failed => behind_failed(&key, &error),
            // Blocked itself: both for one reason.
            _ => row.cause.unwrap_or_default(),
        })
    }
}

/// Where reading is in a lane.
#[derive(Debug)]
pub(super) struct Cursor {
    lane: Lane,
    /// The number of the item in the lane that is looked at next.
    at: u64,
    /// Items that may still be handed out.
    most: u64,
    walk: Walk,
    /// An item that succeeded was gone past since the last one was handed out.
    passed: bool,
    /// Why items are blocked from here on.
    blocked: Option<String>,
    name: String,
}

impl Cursor {
    /// Goes on where the lane stands, for at most so many items.
    pub fn new(lane: Lane, standing: &Standing, most: u64) -> Self {
        let Standing { from, walk, .. } = *standing;
        Self { lane, at: from, most, walk, passed: walk.succeeded.is_some(), blocked: None, name: String::new() }
    }

    fn is_at_its_end(&self) -> bool {
        self.most == 0 || self.at == self.lane.count
    }
}

/// The items of one bundle.
pub(super) struct BundleItems {
    source: Arc<Source>,
    reading: Arc<tokio::sync::Mutex<Reading>>,
    /// What was read of each lane and not taken yet.
    read: Arc<Mutex<Vec<Option<LanePart>>>>,
}

struct Reading {
    lanes: Vec<Cursor>,
    rows: Option<SingleRows>,
}

impl BundleItems {
    pub fn new(source: &Arc<Source>, lanes: Vec<Cursor>) -> Self {
        let read = Arc::new(Mutex::new(lanes.iter().map(|_| None).collect()));
        Self { source: Arc::clone(source), reading: Arc::new(tokio::sync::Mutex::new(Reading { lanes, rows: None })), read }
    }

    fn take(&self, lane: usize) -> Option<LanePart> {
        lock(&self.read).get_mut(lane).and_then(Option::take)
    }
}

impl LaneItems for BundleItems {
    fn next(&self, lane: usize) -> Pin<Box<dyn Future<Output = Option<LanePart>> + Send + '_>> {
        Box::pin(async move {
            if let Some(part) = self.take(lane) {
                return Some(part);
            }
            let mut reading = Arc::clone(&self.reading).lock_owned().await;
            // Who read before may have read this too.
            if let Some(part) = self.take(lane) {
                return Some(part);
            }
            let (source, read) = (Arc::clone(&self.source), Arc::clone(&self.read));
            let work = move || reading.some(lane, &source, &read);
            match join(tokio::task::spawn_blocking(work).await).and_then(|read| read) {
                Ok(()) => Some(self.take(lane).unwrap_or_default()),
                Err(error) => {
                    self.source.desk.stop_for(Why::Trouble(error));
                    None
                }
            }
        })
    }
}

impl Reading {
    /// Reads some items of the lane and, if it is at its end by then, of those behind it: a lane of one item is not worth a read of
    /// its own.
    fn some(&mut self, lane: usize, source: &Source, read: &Mutex<Vec<Option<LanePart>>>) -> Result<()> {
        let Self { lanes, rows } = self;
        let rows = match rows {
            Some(rows) => rows,
            None => rows.insert(source.input.single_rows()?),
        };
        let mut parts = Vec::new();
        let (mut items, mut bytes) = (ITEMS_AT_ONCE, BYTES_AT_ONCE);
        for (number, cursor) in lanes.iter_mut().enumerate().skip(lane) {
            // One that was begun is read again when it is asked for.
            let is_new = number == lane || cursor.name.is_empty();
            if is_new {
                let part = cursor.read(source, rows, &mut items, &mut bytes)?;
                parts.push((number, part));
            }
            if items == 0 || bytes == 0 || (is_new && !cursor.is_at_its_end()) {
                break;
            }
        }
        // Looked at after it was read: what someone wrote into the source meanwhile reaches no job.
        source.input.check_unchanged()?;
        let mut read = lock(read);
        for (number, part) in parts {
            if let Some(place) = read.get_mut(number) {
                *place = Some(part);
            }
        }
        Ok(())
    }
}

impl Cursor {
    /// Reads on, until so many items or bytes are read.
    fn read(&mut self, source: &Source, rows: &mut SingleRows, items: &mut usize, bytes: &mut usize) -> Result<LanePart> {
        let mut found = Vec::new();
        while *items > 0 && *bytes > 0 && !self.is_at_its_end() {
            for at in source.plan.some_items(&self.lane, self.at, *items as u64)? {
                self.at += 1;
                match source.statuses.of(at.index) {
                    ItemStatus::Pending => {
                        let (item, length) = self.item(source, rows, at)?;
                        found.push(item);
                        self.most -= 1;
                        *items = items.saturating_sub(1);
                        *bytes = bytes.saturating_sub(length);
                    }
                    status => {
                        self.passed |= status == ItemStatus::Succeeded;
                        self.walk.pass(at, status, source.goes_on);
                    }
                }
                if *bytes == 0 || self.most == 0 {
                    break;
                }
            }
        }
        Ok(LanePart { name: self.name.clone(), first: self.lane.first, items: found })
    }

    fn item(&mut self, source: &Source, rows: &mut SingleRows, at: Position) -> Result<(LaneItem, usize)> {
        if let (None, Some(stopper)) = (&self.blocked, self.walk.stopper) {
            self.blocked = Some(source.why_blocked(stopper, rows)?);
        }
        let row = rows.at(at)?;
        let length = row.json_len();
        let Found { key, value, ended } = source.ready.look_at(&row);
        if self.name.is_empty() {
            self.name = source.key.name(&value).unwrap_or_default();
        }
        let previous = match (std::mem::take(&mut self.passed), self.walk.succeeded) {
            (true, Some(item)) => Some(source.record().output(item)?),
            _ => None,
        };
        let ended = match &self.blocked {
            Some(why) => Some(Outcome::Blocked(why.clone())),
            None => ended,
        };
        Ok((LaneItem { item: Item { index: at.index, key, value }, ended, previous }, length))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held; were it so, what is in it would still be whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
