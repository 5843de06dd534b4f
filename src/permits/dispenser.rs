//! [`Host`]: those who wait for a turn at one host, and the one task that serves them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::clock::Clock;
use super::gate::{Gate, Verdict};
use super::limiter::Limiter;
use super::store::Store;
use super::waiting::{EVERY, Teller};
use super::{Heard, NoPermit, Permit, Turn, answers_well};
use crate::rate::Rate;

/// How long a turn is waited for without another look, while the pace grows.
const PACE_LOOK: Duration = Duration::from_millis(250);

type Answer = Result<Permit, NoPermit>;

/// One host.
#[derive(Debug)]
pub(super) struct Host {
    name: Arc<str>,
    clock: Clock,
    /// Wakes the task: somebody came, or something was heard.
    wake: Notify,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    new: VecDeque<Waiter>,
    retries: VecDeque<Waiter>,
    /// Who came, counted.
    came: u64,
    gate: Gate,
    /// The rate of this run.
    own: Option<Rate>,
    /// The rate in force, as seen last.
    rate: Option<Rate>,
    /// Until then who comes needs no turn, if all is calm.
    free_until: Duration,
    /// A turn that somebody was given who had gone: the next one's.
    left: Option<Instant>,
    answered: Option<Instant>,
    /// Why nobody is served any more.
    ended: Option<NoPermit>,
}

/// One who waits.
#[derive(Debug)]
struct Waiter {
    answer: oneshot::Sender<Answer>,
    number: u64,
    since: Duration,
}

/// When the task is to look again, if nobody wakes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Never,
    At(Duration),
}

impl Host {
    pub fn new(name: &str, clock: Clock, own: Option<Rate>, give_up_after: Duration) -> Self {
        let inner = Inner {
            new: VecDeque::new(),
            retries: VecDeque::new(),
            came: 0,
            gate: Gate::new(clock.now(), give_up_after),
            own,
            rate: own,
            free_until: Duration::ZERO,
            left: None,
            answered: None,
            ended: None,
        };
        Self { name: name.into(), clock, wake: Notify::new(), inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn.
    pub async fn permit(&self, turn: Turn) -> Answer {
        let wait = {
            let mut inner = self.inner();
            let now = self.clock.now();
            if turn == Turn::First && inner.is_free(now) {
                inner.gate.budget.earn();
                return Ok(Permit { given: Instant::now() });
            }
            if let Some(why) = &inner.ended {
                return Err(why.clone());
            }
            let (answer, wait) = oneshot::channel();
            let waiter = Waiter { answer, number: inner.came, since: now };
            inner.came += 1;
            let queue = if turn == Turn::First { &mut inner.new } else { &mut inner.retries };
            queue.push_back(waiter);
            if queue.len() == 1 {
                self.wake.notify_one();
            }
            wait
        };
        let mut wait = Wait { host: self, answer: wait };
        // The sender is dropped only with the task, which answers all before.
        (&mut wait.answer).await.unwrap_or_else(|_| Err(ended()))
    }

    /// Tells what became of a call.
    pub fn heard(&self, heard: Heard<'_>) {
        let mut inner = self.inner();
        let before = (inner.gate.state, inner.gate.is_probing());
        let rate = inner.rate;
        inner.gate.hear(heard, self.clock.now(), SystemTime::now(), rate, fastrand::f64());
        if matches!(heard, Heard::Answer { status, .. } if answers_well(status)) {
            inner.answered = Some(Instant::now());
        }
        if before != (inner.gate.state, inner.gate.is_probing()) {
            self.wake.notify_one();
        }
    }

    pub fn has_answered_since(&self, since: Instant) -> bool {
        self.inner().answered.is_some_and(|answered| answered >= since)
    }

    pub fn set_rate(&self, own: Option<Rate>) {
        let mut inner = self.inner();
        if inner.own != own {
            (inner.own, inner.free_until) = (own, Duration::ZERO);
            self.wake.notify_one();
        }
    }

    /// Serves those who wait for as long as it is not aborted.
    pub async fn serve(self: Arc<Self>, mut store: Store, mut teller: Teller) {
        let ending = Ending(&self);
        loop {
            let own = self.inner().own;
            let next = match store.enter(own, self.clock).await {
                Ok((known, rate)) => {
                    let now = self.clock.now();
                    let (next, left, wait, calls) = {
                        let mut inner = self.inner();
                        inner.gate.join(known, now);
                        inner.rate = rate;
                        let next = inner.hand_out(&self.name, now);
                        inner.free_until = now.saturating_add(store.holds());
                        let wait = inner.gate.wait(now);
                        // Counted only when it is told: many may wait for the rate, and this is done for every few of them.
                        let calls = if wait.is_some() { inner.waiting() } else { 0 };
                        (next, inner.gate.state, wait, calls)
                    };
                    let kept = store.leave(&left);
                    teller.see(wait, calls, now);
                    kept.map(|()| next)
                }
                Err(why) => Err(why),
            };
            match next {
                Ok(Next::At(time)) => {
                    let wait = time.saturating_sub(self.clock.now());
                    // Whichever comes first.
                    let _ = tokio::time::timeout(wait, self.wake.notified()).await;
                }
                Ok(Next::Never) => self.wake.notified().await,
                Err(why) => {
                    self.inner().answer_all(&NoPermit::Trouble(why));
                    self.wake.notified().await;
                }
            }
            // A task that never ends is never done with what it borrows.
            let _ = &ending;
        }
    }
}

impl Inner {
    /// Whether nobody has to wait: no rate, nothing to mind, and nobody else waits.
    fn is_free(&self, now: Duration) -> bool {
        let no_rate = self.own.is_none() && self.rate.is_none();
        no_rate && now < self.free_until && self.ended.is_none() && self.new.is_empty() && self.gate.is_calm(now)
    }

    /// How many wait. Those who have gone are forgotten.
    fn waiting(&mut self) -> usize {
        for queue in [&mut self.new, &mut self.retries] {
            queue.retain(|waiter| !waiter.answer.is_closed());
        }
        self.new.len() + self.retries.len()
    }

    /// Hands out all turns that are due.
    fn hand_out(&mut self, host: &str, now: Duration) -> Next {
        let rate = self.gate.state.cut.map_or(self.rate, |cut| cut.rate(self.rate, now));
        let limiter = rate.map(|rate| Limiter::new(rate, now, self.gate.state.tat));
        let next = loop {
            let probe = match self.gate.judge(host, now) {
                Verdict::Open => false,
                Verdict::Probe => true,
                Verdict::Closed(until) => {
                    // Others may find out sooner, and how long it lasts is told.
                    break if self.waiting() == 0 { Next::Never } else { Next::At(until.min(now + EVERY)) };
                }
                Verdict::GaveUp(why) => {
                    self.answer_all(&NoPermit::GaveUp(why));
                    break Next::Never;
                }
            };
            let Some(turn) = self.next(probe, now) else {
                break if self.retries.is_empty() { Next::Never } else { Next::At(self.gate.budget.ready(now)) };
            };
            let since = self.queue(turn).front().map_or(now, |waiter| waiter.since);
            if let Some(limiter) = &limiter
                && !self.has_left()
                && let Err(due) = limiter.take(since)
            {
                // The pace grows meanwhile, and the lower rate of another run may end with it.
                let look = if rate == self.rate { EVERY } else { PACE_LOOK };
                break Next::At(due.min(now + look));
            }
            if self.give(turn) {
                match turn {
                    Turn::First => self.gate.budget.earn(),
                    Turn::Retry => self.gate.budget.spend(),
                }
                self.gate.state.taken += u64::from(limiter.is_some());
                if probe {
                    self.gate.probe(now);
                }
            }
        };
        if let Some(limiter) = limiter {
            self.gate.state.tat = limiter.tat();
        }
        next
    }

    /// Whose turn it is: the one who came first, but retries only as far as their budget goes. What finds out whether a host is there
    /// again may be a retry as well.
    fn next(&mut self, probe: bool, now: Duration) -> Option<Turn> {
        for queue in [&mut self.new, &mut self.retries] {
            while queue.front().is_some_and(|waiter| waiter.answer.is_closed()) {
                queue.pop_front();
            }
        }
        let new = self.new.front().map(|waiter| waiter.number);
        let retry = self.retries.front().map(|waiter| waiter.number);
        match (new, retry) {
            (None, None) => None,
            (Some(_), None) => Some(Turn::First),
            (new, Some(retry)) => {
                if new.is_none_or(|new| retry < new) && (probe || self.gate.budget.ready(now) <= now) {
                    return Some(Turn::Retry);
                }
                new.map(|_| Turn::First)
            }
        }
    }

    fn queue(&mut self, turn: Turn) -> &mut VecDeque<Waiter> {
        match turn {
            Turn::First => &mut self.new,
            Turn::Retry => &mut self.retries,
        }
    }

    /// Gives the turn in hand to the first of the queue who is still there. `false`: nobody was; it is the next one's.
    fn give(&mut self, turn: Turn) -> bool {
        let given = Instant::now();
        while let Some(waiter) = self.queue(turn).pop_front() {
            if waiter.answer.send(Ok(Permit { given })).is_ok() {
                return true;
            }
        }
        self.left = Some(given);
        false
    }

    /// Takes a turn that was left over, if it is not too old to be used.
    fn has_left(&mut self) -> bool {
        self.left.take().is_some_and(|given| given.elapsed() <= Permit::GOOD_FOR)
    }

    fn answer_all(&mut self, why: &NoPermit) {
        for waiter in self.new.drain(..).chain(self.retries.drain(..)) {
            // Who has gone needs no answer.
            let _ = waiter.answer.send(Err(why.clone()));
        }
    }
}

/// A wait for a turn. Dropped, a turn that it was given and did not take is the next one's.
struct Wait<'a> {
    host: &'a Host,
    answer: oneshot::Receiver<Answer>,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.answer.close();
        if let Ok(Ok(permit)) = self.answer.try_recv() {
            let mut inner = self.host.inner();
            inner.left = Some(permit.given);
            inner.gate.hear(Heard::Unused, self.host.clock.now(), SystemTime::UNIX_EPOCH, None, 0.0);
            self.host.wake.notify_one();
        }
    }
}

/// Answers all who wait when the task ends, however it does.
struct Ending<'a>(&'a Host);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.inner();
        inner.answer_all(&ended());
        inner.ended = Some(ended());
    }
}

fn ended() -> NoPermit {
    NoPermit::Trouble("permits are given no more: the session is over".into())
}
