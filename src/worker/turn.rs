//! [`Turns`]: waiting for the turn to call a host, and telling what became of it, whatever happens meanwhile.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Desk;
use crate::call::{Answer, NoAnswer};
use crate::job::JobError;
use crate::permits::{Heard, NoPermit, Permit, Permits, Turn};

/// Where the turns to call one host come from, and what ends the waiting for them.
#[derive(Clone, Copy)]
pub(super) struct Turns<'a> {
    pub permits: &'a dyn Permits,
    pub host: &'a str,
    pub desk: &'a dyn Desk,
    /// Nothing new is sent once this is cancelled.
    pub stop: &'a CancellationToken,
    /// The time of the item is up.
    pub cancelled: &'a CancellationToken,
}

/// Why a wait ended early.
#[derive(Debug)]
pub(super) enum Cut {
    /// The run stops.
    Stopped,
    /// The time of the item is up.
    OutOfTime,
}

impl From<Cut> for JobError {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::Stopped => Self::stopped("the run stops"),
            // Whoever knows more of the call says so instead.
            Cut::OutOfTime => Self::permanent("not done within `item_timeout`").named("Item.TimedOut"),
        }
    }
}

/// Why there is no turn.
#[derive(Debug)]
pub(super) enum NoTurn {
    Cut(Cut),
    Other(JobError),
}

impl From<NoTurn> for JobError {
    fn from(none: NoTurn) -> Self {
        match none {
            NoTurn::Cut(cut) => cut.into(),
            NoTurn::Other(error) => error,
        }
    }
}

impl<'a> Turns<'a> {
    /// Waits for a turn.
    pub async fn wait_for(self, turn: Turn) -> Result<Held<'a>, NoTurn> {
        let given = self.cut_short(self.permits.permit(self.host, turn)).await.map_err(NoTurn::Cut)?;
        match given {
            Ok(permit) => Ok(Held { permit, turns: self, became: Some(Became::Unused) }),
            Err(NoPermit::GaveUp(why)) => {
                self.desk.gave_up(why.clone());
                Err(NoTurn::Other(JobError::stopped(why)))
            }
            Err(NoPermit::Trouble(why)) => Err(NoTurn::Other(JobError::surroundings(why))),
        }
    }

    /// Waits this long, or less if the run stops or the time of the item is up.
    pub async fn pause(self, wait: Duration) -> Result<(), Cut> {
        self.cut_short(tokio::time::sleep(wait)).await
    }

    async fn cut_short<T>(self, wait: impl Future<Output = T>) -> Result<T, Cut> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Cut::Stopped),
            () = self.cancelled.cancelled() => Err(Cut::OutOfTime),
            came = wait => Ok(came),
        }
    }
}

/// A turn that was given. Dropped, it is told of as far as it got: a host that is asked one call at a time waits to hear of it.
pub(super) struct Held<'a> {
    permit: Permit,
    turns: Turns<'a>,
    /// `None` once it was told.
    became: Option<Became>,
}

#[derive(Clone, Copy)]
enum Became {
    Unused,
    Sent,
}

impl Held<'_> {
    pub fn is_stale(&self) -> bool {
        self.permit.is_stale()
    }

    /// From now on something may arrive at the host.
    pub fn sending(&mut self) {
        self.became = Some(Became::Sent);
    }

    /// Tells what was heard.
    pub fn heard(mut self, heard: Heard<'_>) {
        self.became = None;
        self.turns.permits.heard(self.turns.host, heard);
    }

    /// Somebody else will tell what was heard.
    pub fn hand_over(mut self) {
        self.became = None;
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        match self.became {
            Some(Became::Unused) => self.turns.permits.heard(self.turns.host, Heard::Unused),
            Some(Became::Sent) => self.turns.permits.heard(self.turns.host, Heard::Silent),
            None => {}
        }
    }
}

/// What an answer says to everyone who calls the host.
pub(super) fn answered(answer: &Answer) -> Heard<'_> {
    Heard::Answer { status: answer.status, headers: &answer.headers }
}

/// What it says to everyone who calls the host that no whole answer came.
pub(super) fn no_answer(no_answer: &NoAnswer) -> Heard<'_> {
    match no_answer {
        NoAnswer::NotSent(why) | NoAnswer::Surroundings(why) => Heard::Unreachable(why),
        NoAnswer::Lost(_) | NoAnswer::TimedOut(_) => Heard::Silent,
        NoAnswer::Unusable { status, .. } => Heard::Answer { status: *status, headers: &[] },
        NoAnswer::Refused(_) => Heard::Unused,
    }
}
