//! Probing: the other side is asked whether an effect is there that nobody has an answer of.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Waits;
use super::judgement::Eats;
use super::step::Calling;
use super::told::Told;
use super::turn::{answered, no_answer};
use crate::call::{Answer, NoAnswer};
use crate::job::{Call, JobError, Probed};
use crate::ledger::CallState;
use crate::permits::{Heard, Turn};

impl Calling<'_> {
    /// Asks whether the effect is there, so long after it was sent. `None`: it is not, and it may be sent again.
    pub(super) async fn probe(&mut self, wait: Duration) -> Result<Option<Arc<Answer>>, JobError> {
        let passed = match self.sent_at {
            Some(sent_at) => sent_at.elapsed(),
            None => Duration::from_millis(u64::try_from(self.now_ms() - self.row.last_ms).unwrap_or(0)),
        };
        if let Err(cut) = self.turns.pause(wait.saturating_sub(passed)).await {
            return Err(self.cut(cut));
        }
        let mut waits = Waits::new(self.policy.retry.unwrap_or(&self.calls.item.worker.settings.retry));
        let (mut turn, mut since) = (Turn::First, Instant::now());
        loop {
            let mut held = match self.turns.wait_for(turn).await {
                Ok(held) => held,
                Err(none) => return Err(self.no_turn(none)),
            };
            held.sending();
            let found = self.sender.probe(Call { key: &self.row.key, number: self.row.starts.max(1) }).await;
            held.heard(match &found {
                Ok(Probed::Happened(answer)) => answered(answer),
                Ok(Probed::DidNotHappen) => Heard::Answer { status: 200, headers: &[] },
                Err(none) => no_answer(none),
            });
            let none = match found {
                Ok(found) => return self.probed(found).await,
                Err(NoAnswer::Surroundings(why)) => return Err(JobError::surroundings(why)),
                Err(none) => none,
            };
            let permits = &self.calls.item.worker.settings.permits;
            let is_away = is_hosts_own(&none) && !permits.has_answered_since(self.policy.host, since);
            let draw = fastrand::f64();
            let (wait, next) = match (&none, is_away) {
                (NoAnswer::Refused(_), _) => (None, turn),
                (_, true) => (self.patience.next(draw), Turn::First),
                (_, false) => (waits.next(draw), Turn::Retry),
            };
            let Some(wait) = wait else {
                self.told = Some(Told::of_probe(self.policy.family, &none));
                return Err(self.unknown());
            };
            (turn, since) = (next, Instant::now());
            if let Err(cut) = self.turns.pause(wait).await {
                return Err(self.cut(cut));
            }
        }
    }

    async fn probed(&mut self, found: Probed) -> Result<Option<Arc<Answer>>, JobError> {
        self.row.unheard = 0;
        self.row.redrive = self.calls.item.redrive;
        match found {
            Probed::Happened(answer) => {
                self.row.state = CallState::Answered;
                self.row.answer = Some(Arc::new(answer));
                self.note().await?;
                self.give().map(Some)
            }
            Probed::DidNotHappen => {
                self.row.state = CallState::NotSent;
                self.note().await?;
                // A process that has not sent it yet has not failed yet.
                if self.sent_at.is_none() { Ok(None) } else { self.again(Eats::Always, None).await }
            }
        }
    }
}

/// Whether it may be the host that does not answer, rather than this probe that is not answered.
fn is_hosts_own(none: &NoAnswer) -> bool {
    matches!(none, NoAnswer::NotSent(_) | NoAnswer::Unusable { status: 429 | 502..=504, .. })
}
