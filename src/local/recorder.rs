//! [`Recorder`]: the one thread that writes outcomes, many at a time.
//!
//! Whatever has gathered is committed together, so that durability costs little per item: outcomes gather for a moment, a call that
//! waits to be sent for no longer than the commit before it takes. It also sees the items in the order in which they end, and is
//! therefore where a run is stopped early.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use rusqlite::{Transaction, params};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::record::{BatchRow, Record, set_outcome};
use super::session::join;
use super::stop::{StopRule, Why};
use crate::crash;
use crate::error::{Error, Result};
use crate::event::{Event, Observer, Progress};
use crate::item::ItemKey;
use crate::ledger::{CallRow, sqlite};
use crate::outcome::{Counts, ItemStatus, Outcome};

/// How long outcomes gather before they are committed together. A kill may lose, and so repeat, what ended within it.
const GATHER: Duration = Duration::from_millis(10);

/// Outcomes that wait for the record before whoever tells more has to wait too.
const WAITING: usize = 8192;

/// How an item ended, on its way into the record.
#[derive(Debug)]
pub(super) struct Note {
    pub item: u64,
    pub key: ItemKey,
    pub outcome: Outcome,
    pub attempts: u32,
    /// Told once the outcome is durable.
    pub durable: Option<oneshot::Sender<()>>,
}

/// What the record is told, in this order.
#[derive(Debug)]
pub(super) enum Told {
    Ended(Note),
    /// All items from the first to the last succeeded at their first try, with nothing to keep of them.
    Succeeded(u64, u64),
    /// A call is about to be sent: told once that is durable.
    Started(CallRow, oneshot::Sender<()>),
    Called(CallRow),
}

impl Told {
    /// Whether somebody waits for it to be durable.
    fn is_urgent(&self) -> bool {
        match self {
            Self::Ended(note) => note.durable.is_some(),
            Self::Started(..) => true,
            Self::Called(_) | Self::Succeeded(..) => false,
        }
    }
}

/// Tells the writing thread.
#[derive(Debug, Clone)]
pub(super) struct Notes {
    told: mpsc::Sender<Told>,
    urgency: Arc<Urgency>,
}

/// How many wait for what is told to be durable, and the thread that would let more gather.
#[derive(Debug, Default)]
struct Urgency {
    waiting: AtomicUsize,
    thread: OnceLock<Thread>,
}

impl Notes {
    /// Tells it; waits while the record is behind.
    ///
    /// # Errors
    /// Nobody records any more.
    pub async fn send(&self, told: Told) -> Result<(), ()> {
        let room = self.told.reserve().await.map_err(drop)?;
        if !told.is_urgent() {
            room.send(told);
            return Ok(());
        }
        let before = self.urgency.waiting.fetch_add(1, Ordering::AcqRel);
        room.send(told);
        if before == 0
            && let Some(thread) = self.urgency.thread.get()
        {
            thread.unpark();
        }
        Ok(())
    }

    /// The same of an item, on a thread that may be blocked.
    pub fn blocking_send(&self, note: Note) -> Result<(), ()> {
        self.told.blocking_send(Told::Ended(note)).map_err(drop)
    }

    /// Room to tell something for which nobody waits, if there is any just now.
    pub fn try_reserve(&self) -> Option<mpsc::Permit<'_, Told>> {
        self.told.try_reserve().ok()
    }
}

/// The door to the writing thread.
#[derive(Debug)]
pub(super) struct Recorder {
    thread: JoinHandle<()>,
}

/// What the recorder stops the run by.
pub(super) struct Stopping {
    pub rule: StopRule,
    pub token: CancellationToken,
    pub why: Arc<Mutex<Option<Why>>>,
}

impl Recorder {
    /// Starts the thread, from inside a runtime. It ends when every sender is gone.
    pub fn start(record: Record, session: i64, stopping: Stopping, observer: Arc<dyn Observer>) -> Result<(Self, Notes)> {
        let (told, receiver) = mpsc::channel(WAITING);
        let urgency = Arc::new(Urgency::default());
        let counts = record.counts()?;
        let redriven = record.redriven()?;
        let attempts = record.attempts()?;
        let has_calls = !record.read(sqlite::is_empty)?;
        let (durable, told_durable) = mpsc::unbounded_channel();
        tokio::spawn(tell_durable(told_durable));
        let writing = Writing {
            record,
            session,
            counts,
            attempts,
            redriven,
            has_calls,
            durable,
            open: BTreeMap::new(),
            stopping,
            observer,
            failed: false,
        };
        let seen = Arc::clone(&urgency);
        let thread = std::thread::Builder::new()
            .name("record".to_string())
            .spawn(move || writing.until_all_is_told(receiver, &seen))
            .map_err(|error| Error::surroundings(format!("no thread can be started: {error}")))?;
        let _ = urgency.thread.set(thread.thread().clone());
        Ok((Self { thread }, Notes { told, urgency }))
    }

    /// Waits until everything told is written. Every sender must be gone, or will be.
    pub async fn finish(self) -> Result<()> {
        join(tokio::task::spawn_blocking(|| self.thread.join()).await)?.map_err(|_| Error::bug("the recording thread panicked"))
    }
}

struct Writing {
    record: Record,
    session: i64,
    counts: Counts,
    attempts: u64,
    /// Items that were made pending again: how often they were redriven, and the tries they had before.
    redriven: HashMap<u64, (u32, u32)>,
    /// Whether any call is kept: most jobs make none.
    has_calls: bool,
    /// Takes those who waited for a commit.
    durable: mpsc::UnboundedSender<Vec<oneshot::Sender<()>>>,
    /// Batches of which some items have an outcome and some have not, by their first item.
    open: BTreeMap<u64, BatchRow>,
    stopping: Stopping,
    observer: Arc<dyn Observer>,
    failed: bool,
}

impl Writing {
    fn until_all_is_told(mut self, mut receiver: mpsc::Receiver<Told>, urgency: &Urgency) {
        let mut told = Vec::with_capacity(WAITING);
        while let Some(first) = receiver.blocking_recv() {
            if !first.is_urgent() {
                gather(&receiver, urgency);
            }
            told.push(first);
            while told.len() < WAITING {
                match receiver.try_recv() {
                    Ok(next) => told.push(next),
                    Err(_) => break,
                }
            }
            let urgent = told.iter().filter(|told| told.is_urgent()).count();
            urgency.waiting.fetch_sub(urgent, Ordering::AcqRel);
            // After a write that failed nothing more is written: these items stay pending, and the run is stopping.
            if !self.failed {
                self.write(&mut told);
            }
            told.clear();
        }
    }

    fn write(&mut self, told: &mut Vec<Told>) {
        if let Err(error) = self.commit(told) {
            self.failed = true;
            self.stop(Why::Trouble(error));
            return;
        }
        let (mut have_ended, mut waiting) = (false, Vec::new());
        for told in told.drain(..) {
            match told {
                Told::Started(_, durable) => waiting.push(durable),
                Told::Called(_) => crash::point("after done durable"),
                Told::Succeeded(first, last) => {
                    have_ended = true;
                    self.counts.shift(ItemStatus::Pending, ItemStatus::Succeeded, last - first + 1);
                    self.attempts += last - first + 1;
                    self.stopping.rule.see_succeeded(last - first + 1);
                    crash::point("after outcome durable");
                }
                Told::Ended(mut note) => {
                    have_ended = true;
                    waiting.extend(note.durable.take());
                    self.ended(note);
                    crash::point("after outcome durable");
                }
            }
        }
        if !waiting.is_empty() {
            // Without a runtime there is nobody left who waits.
            let _ = self.durable.send(waiting);
        }
        if have_ended {
            self.open.retain(|_, batch| batch.ended < batch.count);
            self.observer.see(&Event::Progress(Progress { counts: self.counts, attempts: self.attempts, executions: None }));
        }
    }

    fn ended(&mut self, note: Note) {
        self.counts.shift(ItemStatus::Pending, note.outcome.status(), 1);
        self.attempts += u64::from(note.attempts);
        if let Some(why) = self.stopping.rule.see(&note.outcome) {
            self.stop(why);
        }
        if matches!(note.outcome.status(), ItemStatus::Failed | ItemStatus::Unknown) {
            self.observer.see(&Event::Item { key: note.key, outcome: note.outcome, attempts: note.attempts });
        }
    }

    fn stop(&self, why: Why) {
        // The first reason is the one that is told.
        self.stopping.why.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(why);
        self.stopping.token.cancel();
    }

    fn commit(&mut self, told: &[Told]) -> Result<()> {
        let (mut touched, mut done) = (BTreeSet::new(), HashSet::new());
        for told in told {
            match told {
                Told::Ended(note) => {
                    touched.insert(self.batch_of(note.item)?);
                    if needs_no_calls(&note.outcome) {
                        done.insert(note.item);
                    }
                }
                Told::Succeeded(first, last) => {
                    let mut next = *first;
                    while next <= *last {
                        let batch = self.batch_of(next)?;
                        touched.insert(batch);
                        next = self.open.get(&batch).map_or(*last, |batch| batch.first + u64::from(batch.count) - 1) + 1;
                    }
                }
                Told::Started(..) | Told::Called(_) => self.has_calls = true,
            }
        }
        let (open, redriven, session, has_calls) = (&mut self.open, &self.redriven, self.session, self.has_calls);
        self.record.write("be written", |db| {
            for told in told {
                let note = match told {
                    // What would be gone at the end of this commit is not written at all.
                    Told::Started(row, _) | Told::Called(row) if !row.lane && done.contains(&row.owner) => continue,
                    Told::Started(row, _) | Told::Called(row) => {
                        sqlite::write(db, row)?;
                        continue;
                    }
                    Told::Succeeded(first, last) => {
                        for (_, batch) in open.range_mut(..=*last).rev() {
                            let end = batch.first + u64::from(batch.count) - 1;
                            if end < *first {
                                break;
                            }
                            mark_all_done(batch, (*first).max(batch.first), (*last).min(end));
                        }
                        continue;
                    }
                    Told::Ended(note) => note,
                };
                // An item that was made pending again has a row already, which says so.
                let again = redriven.get(&note.item);
                let (redrive, before) = again.copied().unwrap_or((0, 0));
                let plain = again.is_none() && note.attempts == 1 && note.outcome == Outcome::Succeeded(serde_json::Value::Null);
                if !plain {
                    let key = match &note.key {
                        ItemKey::Name(name) => Some(name.as_str()),
                        ItemKey::Position { .. } => None,
                    };
                    set_outcome(db, note.item, &note.outcome, before + note.attempts, redrive, key)?;
                }
                if has_calls && needs_no_calls(&note.outcome) {
                    sqlite::forget(db, note.item)?;
                }
                if let Some((_, batch)) = open.range_mut(..=note.item).next_back() {
                    mark_done(batch, note.item);
                }
            }
            for first in touched {
                if let Some(batch) = open.get(&first) {
                    write_batch(db, batch)?;
                }
            }
            db.prepare_cached("UPDATE sessions SET last_ms = ?2 WHERE id = ?1")?.execute(params![session, now_ms()])?;
            Ok(())
        })
    }

    /// The first item of the batch that holds this one; the batch is in `open` afterwards.
    fn batch_of(&mut self, item: u64) -> Result<u64> {
        if let Some((first, batch)) = self.open.range(..=item).next_back()
            && item - first < u64::from(batch.count)
        {
            return Ok(*first);
        }
        let row = self.record.batch_of(item)?.ok_or_else(|| Error::bug(format!("item {item} is in no batch")))?;
        let first = row.first;
        self.open.insert(first, row);
        Ok(first)
    }
}

/// Whether an item that ended so is never gone on with.
fn needs_no_calls(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Succeeded(_) | Outcome::Skipped(_))
}

/// Tells all who waited for a commit, from inside the runtime: woken one by one from another thread each would cost more than its row.
async fn tell_durable(mut commits: mpsc::UnboundedReceiver<Vec<oneshot::Sender<()>>>) {
    while let Some(waiting) = commits.recv().await {
        for durable in waiting {
            // Whoever waited may have been dropped.
            let _ = durable.send(());
        }
    }
}

/// Lets more gather for a moment, unless somebody waits.
fn gather(receiver: &mpsc::Receiver<Told>, urgency: &Urgency) {
    let until = Instant::now() + GATHER;
    while receiver.len() < WAITING / 2 && urgency.waiting.load(Ordering::Acquire) == 0 {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        std::thread::park_timeout(left);
    }
}

/// Sets the item's bit; an item that has one already is left as it is.
pub(super) fn mark_done(batch: &mut BatchRow, item: u64) {
    let n = (item - batch.first) as usize;
    if batch.ended == batch.count {
        return;
    }
    let bits = batch.done.get_or_insert_with(|| vec![0; batch.count.div_ceil(8) as usize]);
    let bit = 1u8 << (n % 8);
    if let Some(byte) = bits.get_mut(n / 8).filter(|byte| **byte & bit == 0) {
        *byte |= bit;
        batch.ended += 1;
    }
}

/// Sets the bits of all items from the first to the last, which are the batch's.
fn mark_all_done(batch: &mut BatchRow, first: u64, last: u64) {
    if batch.ended == 0 && last - first + 1 == u64::from(batch.count) {
        batch.ended = batch.count;
        return;
    }
    (first..=last).for_each(|item| mark_done(batch, item));
}

pub(super) fn write_batch(db: &Transaction<'_>, batch: &BatchRow) -> rusqlite::Result<()> {
    let done = batch.done.as_deref().filter(|_| batch.ended < batch.count);
    let mut statement = db.prepare_cached("UPDATE batches SET ended = ?2, done = ?3 WHERE first = ?1")?;
    statement.execute(params![batch.first as i64, batch.ended, done])?;
    Ok(())
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
