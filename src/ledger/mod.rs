//! What was sent to others and what was answered, kept so that nothing is lost and nothing is repeated blindly.
//!
//! One [`CallRow`] for each call of each step of each item. The worker writes it; where it is kept differs: in the record of a run on
//! this machine, in memory in a rehearsal.

mod memory;
pub(crate) mod sqlite;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub(crate) use memory::Memory;

use crate::call::Answer;
use crate::error::Error;

/// One call as the ledger knows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CallRow {
    /// The item's index; for a step that is done once for a lane, that of the lane's first item.
    pub owner: u64,
    /// The step's name.
    pub step: Arc<str>,
    /// Which call of the step, from 0.
    pub call: u32,
    /// The index of the item that made it last: that of the owner, unless it belongs to the lane.
    pub item: u64,
    /// Whether it belongs to the lane, not to one item: it outlives its item.
    pub lane: bool,
    /// Where it stands.
    pub state: CallState,
    /// How often the idempotency key was made anew: after a definite refusal, or by `resolve --did-not-happen`.
    pub generation: u32,
    /// How often its item had been redriven when this was written.
    pub redrive: u32,
    /// The idempotency key of this generation.
    pub key: Arc<str>,
    /// STARTs of this generation: how often it may have been sent.
    pub starts: u32,
    /// The last of them, as many in a row, of which nothing came back, not even that no answer came: the process died with them.
    pub unheard: u32,
    /// When it was first sent in this generation, in milliseconds since 1970: the age of its key.
    pub first_ms: i64,
    /// When it was last sent.
    pub last_ms: i64,
    /// What was sent, for people: method, URL and the start of the body, without secrets.
    pub sent: Arc<str>,
    /// What was answered last, if it was answered.
    pub answer: Option<Arc<Answer>>,
}

/// Where a call stands. The numbers are those of the record and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum CallState {
    /// Nothing of it is under way: it was certainly not sent, or certainly refused without an effect.
    NotSent = 0,
    /// START is written: it may have been sent, and there is no answer that settles it.
    Started = 1,
    /// DONE is written, with the answer.
    Answered = 2,
}

impl CallState {
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::NotSent, Self::Started, Self::Answered].into_iter().find(|state| *state as u8 == number)
    }
}

pub(crate) type Written<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// Keeps calls. An error is the end of the session: what cannot be recorded is not sent.
pub(crate) trait Ledger: Send + Sync {
    /// Everything that is kept of this owner's calls. Asked once, when an item (or a lane) begins.
    fn rows(&self, owner: u64) -> Written<'_, Vec<CallRow>>;

    /// Writes the row over the one of the same call. Once this returns it survives a loss of power.
    fn start(&self, row: CallRow) -> Written<'_, ()>;

    /// Writes the row as well, and returns once it is on its way: it is durable before anything that is written later, so nothing
    /// that follows from it is sent or recorded before it is.
    fn note(&self, row: CallRow) -> Written<'_, ()>;
}
