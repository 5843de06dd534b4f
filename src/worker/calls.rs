//! [`ItemCalls`]: the calls of one item, over all its tries: what the ledger keeps of them, and which of them are under way.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::step::Calling;
use super::turn::{Turns, no_answer};
use super::{Desk, LaneContext, Worker};
use crate::call::{Answer, NoAnswer};
use crate::error::Error;
use crate::item::{Effect, Item, ItemKey, effect_key};
use crate::job::{JobError, Sender, Sent, Services, StepPolicy};
use crate::ledger::{CallRow, CallState};
use crate::permits::{Heard, Turn};

/// The rows of an owner, once they were asked for.
type Rows = Mutex<Option<Vec<CallRow>>>;

/// The calls of one item.
pub(super) struct ItemCalls<'a> {
    pub worker: &'a Worker,
    pub item: &'a Item,
    pub redrive: u32,
    pub lane: Option<&'a LaneContext>,
    pub desk: &'a dyn Desk,
    rows: Rows,
    under_way: UnderWay,
    in_doubt: AtomicBool,
}

impl<'a> ItemCalls<'a> {
    pub fn new(worker: &'a Worker, item: &'a Item, redrive: u32, lane: Option<&'a LaneContext>, desk: &'a dyn Desk) -> Self {
        let (rows, under_way, in_doubt) = (Mutex::new(None), UnderWay::default(), AtomicBool::new(false));
        Self { worker, item, redrive, lane, desk, rows, under_way, in_doubt }
    }

    /// Whether no step is being made. Then the item may be dropped.
    pub fn are_idle(&self) -> bool {
        self.under_way.count.load(Ordering::SeqCst) == 0
    }

    /// Waits until no step is being made.
    pub async fn idle(&self) {
        loop {
            let ended = self.under_way.ended.notified();
            if self.are_idle() {
                return;
            }
            ended.await;
        }
    }

    /// Whether a call was cut off in the middle, so that it may have had an effect.
    pub fn are_in_doubt(&self) -> bool {
        self.in_doubt.load(Ordering::SeqCst)
    }

    /// Remembers that a call is being sent, until its answer was judged.
    pub fn set_in_doubt(&self, in_doubt: bool) {
        self.in_doubt.store(in_doubt, Ordering::SeqCst);
    }

    /// What is kept of this call, or a new row for it.
    async fn row(&self, step: &str, call: u32, policy: &StepPolicy<'_>) -> Result<CallRow, JobError> {
        let (owner, rows) = self.home(policy.once_per_lane);
        let find = |rows: &[CallRow]| rows.iter().find(|row| &*row.step == step && row.call == call).cloned();
        let known = lock(rows).as_deref().map(find);
        let found = match known {
            Some(found) => found,
            None => {
                let loaded = self.worker.settings.ledger.rows(owner).await.map_err(unwritten)?;
                // Another step of the item may have asked as well, and have gone on since.
                find(lock(rows).get_or_insert(loaded))
            }
        };
        Ok(found.unwrap_or_else(|| CallRow {
            owner,
            step: step.into(),
            call,
            item: self.item.index,
            lane: self.lane.is_some() && policy.once_per_lane,
            state: CallState::NotSent,
            generation: 0,
            redrive: self.redrive,
            key: self.key(step, call, policy.once_per_lane, 0).into(),
            starts: 0,
            unheard: 0,
            first_ms: 0,
            last_ms: 0,
            sent: "".into(),
            answer: None,
        }))
    }

    /// Remembers the row for the next time the step is made.
    pub fn put(&self, row: &CallRow) {
        let mut rows = lock(if row.lane { self.home(true).1 } else { &self.rows });
        let rows = rows.get_or_insert_default();
        match rows.iter_mut().find(|known| known.step == row.step && known.call == row.call) {
            Some(known) => known.clone_from(row),
            None => rows.push(row.clone()),
        }
    }

    /// The idempotency key of this call.
    pub fn key(&self, step: &str, call: u32, once_per_lane: bool, generation: u32) -> String {
        let settings = &self.worker.settings;
        let run = matches!(self.item.key, ItemKey::Position { .. }).then_some(&*settings.run);
        let lane = self.lane.filter(|_| once_per_lane);
        let item = lane.map_or_else(|| self.item.key.to_string(), |lane| lane.name.clone());
        effect_key(&Effect { workflow: &settings.workflow, run, item: &item, lane: lane.is_some(), step, call, generation })
    }

    /// Whose rows they are, and where they are remembered.
    fn home(&self, once_per_lane: bool) -> (u64, &Rows) {
        match self.lane {
            Some(lane) if once_per_lane => (lane.first, &lane.rows),
            _ => (self.item.index, &self.rows),
        }
    }
}

/// The calls of one item during one try, which may be cut off by its time.
pub(super) struct TryCalls<'a> {
    pub item: &'a ItemCalls<'a>,
    /// Cancelled when the time of the try is up.
    pub cancelled: &'a CancellationToken,
}

impl TryCalls<'_> {
    pub fn turns<'a>(&'a self, host: &'a str) -> Turns<'a> {
        let worker = self.item.worker;
        Turns { permits: &*worker.settings.permits, host, desk: self.item.desk, stop: &worker.stop, cancelled: self.cancelled }
    }
}

impl Services for TryCalls<'_> {
    fn step<'a>(
        &'a self,
        step: &'a str,
        call: u32,
        policy: &'a StepPolicy<'a>,
        sender: &'a dyn Sender,
    ) -> Sent<'a, Result<Arc<Answer>, JobError>> {
        Box::pin(async move {
            let _under_way = self.item.under_way.enter();
            let row = self.item.row(step, call, policy).await?;
            let answer = Calling::new(self, policy, sender, row).answer().await;
            if policy.once_per_lane { answer.map_err(JobError::stopping_lane) } else { answer }
        })
    }

    fn permit<'a>(&'a self, host: &'a str) -> Sent<'a, Result<(), JobError>> {
        Box::pin(async move {
            let held = self.turns(host).wait_for(Turn::First).await?;
            held.hand_over();
            Ok(())
        })
    }

    fn heard(&self, host: &str, answer: &Result<Answer, NoAnswer>) {
        let heard = match answer {
            Ok(Answer { status, headers, .. }) => Heard::Answer { status: *status, headers },
            Err(no_answer_came) => no_answer(no_answer_came),
        };
        self.item.worker.settings.permits.heard(host, heard);
    }
}

/// What cannot be recorded is not sent.
pub(super) fn unwritten(error: Error) -> JobError {
    JobError::surroundings(error.detail())
}

fn lock(rows: &Rows) -> MutexGuard<'_, Option<Vec<CallRow>>> {
    // Nothing panics while it holds the lock; were it so, the rows would still be whole.
    rows.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many steps are being made just now.
#[derive(Default)]
struct UnderWay {
    count: AtomicUsize,
    ended: Notify,
}

impl UnderWay {
    fn enter(&self) -> impl Drop + '_ {
        struct Entered<'a>(&'a UnderWay);
        impl Drop for Entered<'_> {
            fn drop(&mut self) {
                self.0.count.fetch_sub(1, Ordering::SeqCst);
                self.0.ended.notify_waiters();
            }
        }
        self.count.fetch_add(1, Ordering::SeqCst);
        Entered(self)
    }
}
