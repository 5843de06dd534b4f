//! [`Store`]: where the state of a host is kept, for this process alone or for all of the user's.

use std::time::Duration;

use super::clock::Clock;
use super::shared::SharedFile;
use super::state::HostState;
use crate::rate::Rate;

/// Keeps the state of one host.
#[derive(Debug)]
pub(super) enum Store {
    /// For this process alone.
    Memory(HostState),
    /// For all processes of the user.
    Shared(Box<SharedFile>),
}

impl Store {
    /// How long what was seen of the others holds without another look.
    pub fn holds(&self) -> Duration {
        match self {
            Self::Memory(_) => Duration::MAX,
            Self::Shared(_) => Duration::from_millis(250),
        }
    }

    /// Takes the state in hand, until [`Store::leave`]; nobody else can meanwhile. Gives the rate in force as well: `own`, or that
    /// of another run if it is lower.
    ///
    /// # Errors
    /// It cannot be taken, in words.
    pub async fn enter(&mut self, own: Option<Rate>, clock: Clock) -> Result<(HostState, Option<Rate>), String> {
        match self {
            Self::Memory(state) => Ok((*state, own)),
            Self::Shared(file) => file.enter(own, clock).await,
        }
    }

    /// Keeps the state and lets the others have it.
    ///
    /// # Errors
    /// It cannot be kept, in words. What was done on the strength of it is not known to the others.
    pub fn leave(&mut self, new: &HostState) -> Result<(), String> {
        match self {
            Self::Memory(state) => *state = *new,
            Self::Shared(file) => file.leave(new)?,
        }
        Ok(())
    }
}
