//! [`Calling`]: one call of one step, from what is kept of it to an answer: permit, START, send, DONE, and again where that is safe.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Waits;
use super::calls::{TryCalls, unwritten};
use super::judgement::{Doubt, Eats, Kept, UsedUp, Verdict, doubt, judge, kept, used_up};
use super::told::Told;
use super::turn::{Cut, Held, NoTurn, Turns, answered, no_answer};
use crate::call::{Answer, NoAnswer};
use crate::crash;
use crate::job::{Call, JobError, JobErrorKind, Sender, StepPolicy, StepRepeat};
use crate::ledger::{CallRow, CallState};
use crate::permits::Turn;
use crate::retry::Retry;

/// A call that is sent again without eating an attempt waits no longer than this by itself: how long the host is to be left alone is
/// known to those who give the permits.
const PATIENCE: Duration = Duration::from_secs(1);

/// One call of one step.
pub(super) struct Calling<'a> {
    pub(super) calls: &'a TryCalls<'a>,
    pub(super) turns: Turns<'a>,
    pub(super) policy: &'a StepPolicy<'a>,
    pub(super) sender: &'a dyn Sender,
    pub(super) row: CallRow,
    /// The waits before retries, as many as there may be.
    waits: Waits,
    /// The waits before a call that is sent again without eating an attempt.
    pub(super) patience: Waits,
    turn: Turn,
    /// When it was sent last, if this process has sent it.
    pub(super) sent_at: Option<Instant>,
    /// When it failed last, or was sent for the first time: a host that has answered others since is not away.
    since: Option<Instant>,
    /// How often in a row the very same answer came.
    same: u32,
    /// What was heard last, for people.
    pub(super) told: Option<Told>,
}

impl<'a> Calling<'a> {
    pub fn new(calls: &'a TryCalls<'a>, policy: &'a StepPolicy<'a>, sender: &'a dyn Sender, row: CallRow) -> Self {
        let retry = policy.retry.unwrap_or(&calls.item.worker.settings.retry);
        let patient = Retry { max_retries: u32::MAX, max_interval: retry.max_interval.min(PATIENCE), ..retry.clone() };
        Self {
            calls,
            turns: calls.turns(policy.host),
            policy,
            sender,
            waits: Waits::new(retry),
            patience: Waits::new(&patient),
            turn: Turn::First,
            sent_at: None,
            since: None,
            same: u32::from(row.answer.is_some()),
            row,
            told: None,
        }
    }

    /// Gives the answer that is kept, or sends it until there is one.
    pub async fn answer(mut self) -> Result<Arc<Answer>, JobError> {
        match kept(self.policy, &self.row, self.calls.item.redrive) {
            Kept::Give => return self.give(),
            Kept::Send => {}
            Kept::Renew => self.renew(),
            Kept::Doubt => self.take_over().await?,
            Kept::Crashed => {
                self.take_over().await?;
                return Err(self.crashed());
            }
        }
        loop {
            let answer = match self.doubt(&self.row) {
                None | Some(Doubt::Resend) => self.send().await?,
                Some(Doubt::Probe(wait)) => self.probe(wait).await?,
                Some(Doubt::Hold) => return Err(self.unknown()),
                Some(Doubt::KeyExpired) => {
                    return Err(self.unknown_by_key("KeyExpired", "the time of its idempotency key has run out"));
                }
            };
            if let Some(answer) = answer {
                return Ok(answer);
            }
        }
    }

    /// A call in doubt is this item's from now on, whoever of its lane made it: if it stays in doubt, this item is unknown by it.
    async fn take_over(&mut self) -> Result<(), JobError> {
        let index = self.calls.item.item.index;
        let is_kept_so = (self.row.state, self.row.item) == (CallState::Started, index);
        (self.row.state, self.row.item) = (CallState::Started, index);
        if is_kept_so || !self.has_effect() { Ok(()) } else { self.note().await }
    }

    /// What is to be done first, if it may have had its effect.
    fn doubt(&self, row: &CallRow) -> Option<Doubt> {
        (row.state == CallState::Started).then(|| doubt(self.policy, row, self.now_ms()))
    }

    /// Sends it once. `None`: it is to be looked at again.
    async fn send(&mut self) -> Result<Option<Arc<Answer>>, JobError> {
        if let Some(trouble) = self.prepare().await? {
            self.told = Some(trouble);
            return self.again(Eats::Always, None).await;
        }
        crash::point("before permit");
        let mut held = match self.turns.wait_for(self.turn).await {
            Ok(held) => held,
            Err(none) => return Err(self.no_turn(none)),
        };
        crash::point("after permit");
        // The time of its key may have run out in the queue.
        if !self.may_be_sent(&self.row) {
            return Ok(None);
        }
        self.row.redrive = self.calls.item.redrive;
        self.row.item = self.calls.item.item.index;
        let before = self.row.clone();
        if self.has_effect() {
            self.start().await?;
            if held.is_stale() {
                drop(held);
                held = match self.turns.wait_for(self.turn).await {
                    Ok(held) => held,
                    Err(none) => {
                        self.put_back(before).await?;
                        return Err(self.no_turn(none));
                    }
                };
                if !self.may_be_sent(&before) {
                    self.put_back(before).await?;
                    return Ok(None);
                }
                // START is older than this turn, perhaps by much: the wait before a probe counts from the sending.
                self.row.last_ms = self.now_ms();
                self.calls.item.put(&self.row);
                self.calls.item.worker.settings.ledger.note(self.row.clone()).await.map_err(unwritten)?;
            }
        } else {
            self.count_start();
        }
        let heard = self.exchange(held).await;
        self.done(heard, before).await
    }

    /// Fetches what the sender needs beforehand. What it gives says why there is none now, and that it may be tried again.
    pub(super) async fn prepare(&self) -> Result<Option<Told>, JobError> {
        let error = match self.turns.cut_short(self.sender.prepare()).await {
            Ok(Ok(())) => return Ok(None),
            Ok(Err(error)) => error,
            Err(cut) => return Err(self.cut(cut)),
        };
        match error.kind {
            JobErrorKind::Transient => Ok(Some(Told { name: error.name().to_string(), what: error.cause().to_string() })),
            // What was sent by then may have had its effect.
            JobErrorKind::Permanent if used_up(self.policy, self.row.state, None) == UsedUp::Unknown => {
                let cause = format!("{}: {}; its effect may have happened", self.step(), error.cause());
                Err(JobError::unknown(cause).named(error.name()))
            }
            _ => Err(error),
        }
    }

    /// Whether sending it is still what is to be done about it. Nothing is, for one that is not under way.
    fn may_be_sent(&self, row: &CallRow) -> bool {
        matches!(self.doubt(row), None | Some(Doubt::Resend))
    }

    /// Writes START. Once this returns it survives a loss of power.
    async fn start(&mut self) -> Result<(), JobError> {
        self.count_start();
        self.row.state = CallState::Started;
        let call = Call { key: &self.row.key, number: self.row.starts };
        self.row.sent = self.sender.describe(&call).into();
        self.calls.item.put(&self.row);
        crash::point("before start");
        self.calls.item.worker.settings.ledger.start(self.row.clone()).await.map_err(unwritten)?;
        crash::point("after start");
        Ok(())
    }

    fn count_start(&mut self) {
        let now_ms = self.now_ms();
        if self.row.state != CallState::Started {
            // What was sent before had no effect, and the generation may have been raised meanwhile: nobody remembers this key yet.
            self.row.key = self.key();
            (self.row.starts, self.row.unheard, self.row.first_ms) = (0, 0, now_ms);
        }
        self.row.starts += 1;
        self.row.unheard += 1;
        self.row.last_ms = now_ms;
    }

    /// It was started and not sent after all.
    async fn put_back(&mut self, before: CallRow) -> Result<(), JobError> {
        self.row = before;
        self.note().await
    }

    /// The sending itself. Not dropped half-way: whoever ends the item by its time waits until no step is under way.
    async fn exchange(&mut self, mut held: Held<'_>) -> Result<Arc<Answer>, NoAnswer> {
        let now = Instant::now();
        self.sent_at = Some(now);
        self.since.get_or_insert(now);
        let item = self.calls.item;
        item.set_in_doubt(self.has_effect());
        held.sending();
        crash::point("before send");
        let heard = self.sender.send(Call { key: &self.row.key, number: self.row.starts }).await;
        crash::point("after send");
        item.set_in_doubt(false);
        held.heard(match &heard {
            Ok(answer) => answered(answer),
            Err(none) => no_answer(none),
        });
        heard.map(Arc::new)
    }

    /// Notes what one sending came to, then does what follows from it. `before` is the row before START.
    async fn done(&mut self, heard: Result<Arc<Answer>, NoAnswer>, before: CallRow) -> Result<Option<Arc<Answer>>, JobError> {
        if let Ok(answer) = &heard {
            let is_same = self.row.answer.as_ref().is_some_and(|last| (last.status, &last.body) == (answer.status, &answer.body));
            self.same = if is_same { self.same + 1 } else { 1 };
            self.row.answer = Some(Arc::clone(answer));
        }
        self.row.unheard = 0;
        self.told = Some(Told::of(self.policy.family, &heard, self.same));
        let verdict = match &heard {
            Ok(answer) if self.sender.is_refused(answer) => Verdict::Again(Eats::Never),
            heard => judge(self.policy, heard, self.same),
        };
        match verdict {
            Verdict::Give => self.row.state = CallState::Answered,
            Verdict::Renew | Verdict::RefusedUnread => self.renew(),
            // Nothing was done by this sending; what was sent before may have been.
            Verdict::Again(_) | Verdict::Surroundings | Verdict::NotAllowed => {
                self.row = CallRow { answer: self.row.answer.take(), sent: Arc::clone(&self.row.sent), unheard: 0, ..before };
            }
            Verdict::Unsettled(_) | Verdict::Useless | Verdict::Stored => self.row.state = CallState::Started,
        }
        // Of calls without an effect only what is given back is kept.
        if self.has_effect() {
            self.note().await?;
        } else if verdict == Verdict::Give {
            let call = Call { key: &self.row.key, number: self.row.starts };
            self.row.sent = self.sender.describe(&call).into();
            self.note().await?;
        }
        match (verdict, heard) {
            (Verdict::Give, _) => self.give().map(Some),
            (Verdict::Again(eats), heard) => self.again(eats, heard.as_deref().ok()).await,
            (Verdict::Renew, heard) => self.again(Eats::Always, heard.as_deref().ok()).await,
            (Verdict::Unsettled(eats), heard) if self.doubt(&self.row) == Some(Doubt::Resend) => {
                self.again(eats, heard.as_deref().ok()).await
            }
            (Verdict::Unsettled(_), _) => Ok(None),
            (Verdict::Stored, _) => {
                Err(self.unknown_by_key("StoredError", "the other side keeps this answer under its idempotency key"))
            }
            (Verdict::Useless, _) if self.policy.repeat == StepRepeat::Once => Ok(None),
            (Verdict::Useless | Verdict::RefusedUnread | Verdict::NotAllowed, _) => Err(self.failed()),
            (Verdict::Surroundings, _) => Err(JobError::surroundings(self.told().what)),
        }
    }

    /// Waits until it may be sent again. An answer, if it ends with the last one.
    pub(super) async fn again(&mut self, eats: Eats, answer: Option<&Answer>) -> Result<Option<Arc<Answer>>, JobError> {
        let since = self.since.replace(Instant::now());
        let is_eaten = match eats {
            Eats::Never => false,
            Eats::Always => true,
            Eats::IfHostAnswers => {
                let permits = &self.calls.item.worker.settings.permits;
                since.is_none_or(|since| permits.has_answered_since(self.policy.host, since))
            }
        };
        let draw = fastrand::f64();
        let (wait, turn) = match is_eaten {
            true => (self.waits.next(draw), Turn::Retry),
            false => (self.patience.next(draw), Turn::First),
        };
        let Some(wait) = wait else { return self.used_up(answer.map(|answer| answer.status)).await };
        self.turn = turn;
        let permits = &self.calls.item.worker.settings.permits;
        let answer = answer.filter(|answer| !permits.holds_pauses_of(answer.status));
        let asked = answer.and_then(|answer| answer.retry_after(self.now_ms())).unwrap_or_default();
        match self.turns.pause(wait.max(asked)).await {
            Ok(()) => Ok(None),
            Err(cut) => Err(self.cut(cut)),
        }
    }

    async fn used_up(&mut self, status: Option<u16>) -> Result<Option<Arc<Answer>>, JobError> {
        match (used_up(self.policy, self.row.state, status), &self.row.answer) {
            (UsedUp::Give, Some(answer)) => Ok(Some(Arc::clone(answer))),
            (UsedUp::Settle, Some(_)) => {
                self.row.state = CallState::Answered;
                self.note().await?;
                self.give().map(Some)
            }
            (UsedUp::Unknown, _) => Err(self.unknown()),
            (UsedUp::Failed | UsedUp::Give | UsedUp::Settle, _) => Err(self.failed()),
        }
    }

    /// Gives the answer that is kept back.
    pub(super) fn give(&self) -> Result<Arc<Answer>, JobError> {
        let Some(answer) = &self.row.answer else { return Err(self.failed()) };
        let is_keyed = matches!(self.policy.repeat, StepRepeat::Keyed { .. });
        if answer.status == 422 && is_keyed && !answer.stands_in() && !self.policy.expected.contains(&422) {
            // Either the payload is wrong, or the key was used before with another one: who reads this needs the key.
            let Told { name, what } = Told::of_answer(self.policy.family, answer);
            let cause = format!("{}, idempotency key `{}`: {what}", self.step(), self.row.key);
            return Err(JobError::permanent(cause).named(name));
        }
        Ok(Arc::clone(answer))
    }

    /// From now on it has another key, and nothing was sent with that.
    fn renew(&mut self) {
        self.row.generation += 1;
        (self.row.state, self.row.starts, self.row.unheard) = (CallState::NotSent, 0, 0);
        self.same = 0;
    }

    fn key(&self) -> Arc<str> {
        let CallRow { step, call, generation, .. } = &self.row;
        self.calls.item.key(step, *call, self.policy.once_per_lane, *generation).into()
    }

    pub(super) async fn note(&mut self) -> Result<(), JobError> {
        self.calls.item.put(&self.row);
        self.calls.item.worker.settings.ledger.note(self.row.clone()).await.map_err(unwritten)?;
        crash::point("after done noted");
        Ok(())
    }

    fn has_effect(&self) -> bool {
        self.policy.repeat != StepRepeat::Safe
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.calls.item.worker.settings.clock.now_ms()
    }

    fn step(&self) -> String {
        match self.row.call {
            0 => format!("step `{}`", self.row.step),
            call => format!("step `{}`, call {call}", self.row.step),
        }
    }

    fn told(&self) -> Told {
        self.told.clone().unwrap_or_else(|| Told::of_kept(self.policy.family, &self.row))
    }

    /// An effect may have happened, and nothing more is done about it.
    pub(super) fn unknown(&self) -> JobError {
        let Told { name, what } = self.told();
        JobError::unknown(format!("{}: {what}; its effect may have happened", self.step())).named(name)
    }

    /// The same, because of its key.
    fn unknown_by_key(&self, name: &str, why: &str) -> JobError {
        let what = self.told().what;
        JobError::unknown(format!("{}: {what}; {why}; its effect may have happened", self.step()))
            .named(format!("{}.{name}", self.policy.family))
    }

    fn failed(&self) -> JobError {
        let Told { name, what } = self.told();
        JobError::permanent(format!("{}: {what}", self.step())).named(name)
    }

    /// The process died with it too often.
    fn crashed(&self) -> JobError {
        let cause = format!("{}: the process died {} times in a row with this call under way", self.step(), self.row.unheard);
        let error = match used_up(self.policy, self.row.state, None) {
            UsedUp::Unknown => JobError::unknown(format!("{cause}; its effect may have happened")),
            _ => JobError::permanent(cause),
        };
        error.named("Worker.Crashed")
    }

    pub(super) fn no_turn(&self, none: NoTurn) -> JobError {
        match none {
            NoTurn::Cut(cut) => self.cut(cut),
            NoTurn::Other(error) => error,
        }
    }

    /// A wait ended early. What was sent by then may have had its effect.
    pub(super) fn cut(&self, cut: Cut) -> JobError {
        let may_have_happened = used_up(self.policy, self.row.state, None) == UsedUp::Unknown;
        match cut {
            Cut::OutOfTime if may_have_happened => {
                let cause = format!("{}: not settled within `item_timeout`; its effect may have happened", self.step());
                JobError::unknown(cause).named("Item.TimedOut")
            }
            Cut::OutOfTime => {
                JobError::permanent(format!("{}: not done within `item_timeout`", self.step())).named("Item.TimedOut")
            }
            Cut::Stopped => cut.into(),
        }
    }
}
