//! Who may call now: every call to a host waits here for its turn.
//!
//! A host's rate, the pauses that it asks for and its outages are everybody's who calls it, in this process and, for a run on this
//! machine, in all processes of the user.
//!
//! Each host has a queue of those who wait, served by one task ([`dispenser`]) that asks a pure state machine ([`gate`]) whether the
//! host may be called and governor ([`limiter`]) whether it is time. What they go by ([`state`]) is shared through a small locked
//! file ([`shared`]).

mod breaker;
mod budget;
mod clock;
mod dispenser;
mod gate;
mod headers;
mod hosts;
mod limiter;
mod pace;
mod shared;
mod state;
mod store;
#[cfg(test)]
mod tests;
mod unlimited;
mod waiting;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

#[cfg(feature = "lambda")]
pub(crate) use gate::without_usual_port;
pub(crate) use hosts::HostPermits;
pub(crate) use unlimited::Unlimited;

/// The turn of one call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Permit {
    /// When it was given. One that was not used at once is stale: see [`Permit::is_stale`].
    pub given: Instant,
}

impl Permit {
    /// Calls that hold their permits back and then use them together would break the rate.
    pub const GOOD_FOR: Duration = Duration::from_millis(50);

    /// Whether it is too old to be used; then another one is needed.
    pub fn is_stale(&self) -> bool {
        self.given.elapsed() > Self::GOOD_FOR
    }
}

/// Why a call is made: retries have a budget of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is new, or what came before it was not the host's fault or is not to be counted.
    First,
    /// The last try at the same call failed.
    Retry,
}

/// What became of a call that had a permit, for everyone who calls the host.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Heard<'a> {
    /// It answered, with this status and these header fields (names in lowercase).
    Answer { status: u16, headers: &'a [(String, String)] },
    /// It could not be reached: nothing was sent.
    Unreachable(&'a str),
    /// It was sent and not answered.
    Silent,
    /// No call was made: the permit was stale, or the run stopped.
    Unused,
}

/// Why no permit comes any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoPermit {
    /// The host has been away for longer than `outage.give_up_after`. In words.
    GaveUp(String),
    /// The permits cannot be kept (the shared file of this machine). In words.
    Trouble(String),
}

/// Gives permits. Hosts are `name:port`, in lowercase.
pub(crate) trait Permits: Send + Sync + std::fmt::Debug {
    /// Waits for a turn: first come, first served.
    ///
    /// Cancel safe: dropped while it waits, no turn is used up.
    fn permit<'a>(&'a self, host: &'a str, turn: Turn) -> Pin<Box<dyn Future<Output = Result<Permit, NoPermit>> + Send + 'a>>;

    /// Tells what became of a call that had a permit. Every permit is told of exactly once, also one that was not used: while a host
    /// is away, nobody else is let through before.
    fn heard(&self, host: &str, heard: Heard<'_>);

    /// Whether the host has answered anyone well (not by 429, 502, 503 or 504) since then: if so a failure is the call's own, if
    /// not it is the host's, and eats no attempt.
    fn has_answered_since(&self, host: &str, since: Instant) -> bool;

    /// Whether the time that an answer of this status asks for (`Retry-After`) is spent in the queue for a turn: whoever gives the turns
    /// wants to see who waits. If not, it is waited for before a turn is asked for.
    fn holds_pauses_of(&self, _status: u16) -> bool {
        false
    }
}

/// Whether an answer shows that the host is there and bears to be called.
pub(crate) fn answers_well(status: u16) -> bool {
    !matches!(status, 429 | 502..=504)
}
