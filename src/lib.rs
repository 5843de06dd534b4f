//! *Fan* out the items, *fold* each chain.

mod error;
pub mod expression;
mod item;
pub mod job;
pub mod limits;
mod nearest;
mod outcome;
pub mod reader;
mod retry;
pub mod storage;
pub mod units;
pub mod workflow;

pub use error::{Error, ErrorKind, Place, Result};
pub use expression::Setting;
pub use item::{Item, ItemKey};
pub use job::{Attempt, ConfigError, Job, JobError, Jobs, Repeat, Setup, Work};
pub use outcome::{Counts, Failure, ItemStatus, Outcome, RunStatus, Tolerance};
pub use retry::{Jitter, Retry};
pub use workflow::Workflow;
