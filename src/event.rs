//! [`Event`]: what can be seen of a run while it goes on, and [`Observer`], who sees it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::item::ItemKey;
use crate::lane::{Calls, Lanes};
use crate::outcome::{Counts, Outcome};
use crate::report::Report;

/// Something that happened in a run. New kinds may come.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// Work is about to begin; nothing has been done yet.
    Started {
        /// The run's id.
        run: String,
        /// The workflow's name.
        workflow: String,
        /// Whether an earlier process worked on it before.
        resumed: bool,
    },
    /// The list of items is known and cut into batches.
    Listed {
        /// How the items stand now: all pending in a new run.
        counts: Counts,
        /// How many batches there are; with lanes, how many bundles of them.
        batches: u64,
        /// How the items lie in lanes, if they are in order.
        lanes: Option<Lanes>,
        /// How many calls what is pending makes at least, if the job calls others.
        calls: Option<Calls>,
    },
    /// Something that the user should know and that stops nothing.
    Warning(String),
    /// More items have ended; told a few times a second at most while many do.
    Progress(Progress),
    /// An item failed or is unknown.
    Item {
        /// The item.
        key: ItemKey,
        /// How it ended.
        outcome: Outcome,
        /// After how many tries.
        attempts: u32,
    },
    /// Calls to a host wait, because it asked for a pause or is away; told when it begins, at most once a second, and when it is
    /// over. Waits of less than a second and those that only keep the rate are not told.
    Waiting(Waiting),
    /// The run came to its end or was stopped.
    Finished(Report),
}

/// What calls to a host wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// The host, with its port if that is not the usual one.
    pub host: Arc<str>,
    /// Why, in a few words: `429, Retry-After`, `connection refused`.
    pub why: String,
    /// Whether it is away and tried again now and then. If not, it asked for a pause.
    pub away: bool,
    /// How long that has lasted.
    pub lasted: Duration,
    /// How long until the pause ends, or until the host is tried again; nothing while it is tried.
    pub left: Duration,
    /// How many calls wait. Each item waits with one call at most.
    pub calls: u64,
    /// Whether it is over.
    pub over: bool,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Progress {
    /// Items by state.
    pub counts: Counts,
    /// All tries so far.
    pub attempts: u64,
    /// Child executions by status, of a run on AWS. There the items of a child that ended well count as succeeded until the end, when it
    /// is known what became of each; people and programs are told how many have ended, and not how.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executions: Option<Executions>,
}

/// How many child executions are in which state, in the words of `DescribeMapRun`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Executions {
    /// All of them, as far as they are known.
    pub total: u64,
    /// Not begun.
    pub pending: u64,
    /// Being worked on.
    pub running: u64,
    /// Ended well.
    pub succeeded: u64,
    /// Ended with an error.
    pub failed: u64,
    /// Took too long.
    pub timed_out: u64,
    /// Stopped.
    pub aborted: u64,
}

impl Executions {
    /// Those that have ended.
    pub fn ended(&self) -> u64 {
        self.succeeded + self.failed + self.timed_out + self.aborted
    }
}

/// Sees a run. It is beside the run, not in it: it cannot fail it, and it must not wait.
pub trait Observer: Send + Sync + fmt::Debug {
    /// Something happened. Called from the thread that records; returns at once.
    fn see(&self, event: &Event);
}

/// Looks away.
#[derive(Debug, Clone, Copy)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn see(&self, _: &Event) {}
}
