//! fanfold: one job over many items, and one true outcome for each. *Fan* out the items; *fold* each chain.
//!
//! A [workflow](Workflow) is one YAML file: where the items come from, what [job](Job) is done to each, how fast, what happens on
//! failure. It is run on this machine, crash-safe: kill it at any instant, resume, and every item has exactly one outcome. Built in are
//! [`job::http_chain`], ordered calls to third parties that are never lost and never blindly repeated, [`job::csv_import`], files into
//! databases with every bad row given back, and [`job::image_resize`].
//!
//! ```text
//!               workflow.yaml
//!                    |  workflow/            YAML -> checked types, every mistake at once with line:column and a hint
//!                    v
//!                 local/                     who hands out the batches
//!               reader -> (lanes) -> batcher -> map run -> record
//!                    |
//!                 worker/                    THE SEAM: a batch in, an outcome for every item
//!                    |                       attempts, permits, backoff, ledger
//!                  job/                      one item; or a whole batch where the job does better
//!                    |
//!                storage/                    bytes by name: folder, s3://
//! ```
//!
//! Files directly in `src/` are *words*: plain values, without I/O, clock or randomness. Folders are *rooms*:
//!
//! - [`expression`]: `{{ }}` in workflow values
//! - `secrets`: by name, looked up late, taken out of everything that is kept or shown
//! - [`storage`]: bytes by name, in a folder or a bucket
//! - [`reader`]: where items come from
//! - [`job`]: what is done to an item; write one of your own there
//! - `ledger`: what was sent and what was answered
//! - `permits`: who may call now
//! - `worker`: attempts, waits, steps, deadlines; behind [`Trial`] for testing a job
//! - [`workflow`]: the YAML file
//! - [`asl`]: a workflow as AWS runs it, and the rules of its language
//! - `aws`: putting a workflow there, starting and watching its runs
//! - `bucket`: what workers on AWS leave in S3, and how it is put together
//! - `lambda`: the worker on AWS, and the gate that judges a run there
//! - `lanes`: which items come one after another
//! - [`local`]: runs on this machine and their record
//! - `rehearsal`: a workflow's own tests, in virtual time
//! - `observe`, `cli`: seeing a run, and the command line
//! - [`guide`]: how to use all of it
//!
//! # A program with a job of its own
//!
//! A job is a type with two methods; the program gets the whole command line: `run`, `resume`, `explain`, `schema`, ….
//! `examples/greet.rs` is a complete one.
//!
//! ```no_run
//! # use fanfold::{Attempt, ConfigError, Job, JobError, Jobs, Setup};
//! # struct Greet;
//! # impl Job for Greet {
//! #     const NAME: &'static str = "greet";
//! #     type Config = serde_json::Value;
//! #     type Input = serde_json::Value;
//! #     type Output = ();
//! #     fn new(_: serde_json::Value, _: &Setup) -> Result<Self, ConfigError> { Ok(Greet) }
//! #     async fn run(&self, _: serde_json::Value, _: &Attempt<'_>) -> Result<(), JobError> { Ok(()) }
//! # }
//! fn main() -> std::process::ExitCode {
//!     fanfold::main(Jobs::builtin().with::<Greet>())
//! }
//! ```

#![cfg_attr(
    not(all(feature = "http", feature = "lambda", feature = "aws")),
    allow(dead_code, unused_imports, reason = "what only one part uses is there without it as well")
)]

pub mod asl;
#[cfg(feature = "aws")]
mod aws;
mod batch;
#[cfg(any(feature = "lambda", feature = "aws"))]
mod bucket;
mod call;
mod cli;
mod crash;
mod error;
mod event;
pub mod expression;
pub mod guide;
mod item;
pub mod job;
#[cfg(feature = "lambda")]
mod lambda;
mod lane;
mod lanes;
mod ledger;
pub mod limits;
pub mod local;
mod nearest;
mod observe;
mod outcome;
mod permits;
mod rate;
pub mod reader;
mod redact;
mod rehearsal;
mod report;
mod retry;
mod row_block;
mod scrub;
mod secrets;
pub mod storage;
pub mod units;
mod worker;
pub mod workflow;

use std::path::Path;
use std::process::ExitCode;

pub use batch::Batch;
pub use call::{Answer, NoAnswer};
pub use error::{Error, ErrorKind, Place, Result};
pub use event::{Event, Executions, Observer, Progress, Unobserved, Waiting};
pub use expression::Setting;
pub use item::{Item, ItemKey};
pub use job::{Attempt, ConfigError, Ending, Fleet, Job, JobError, Jobs, Keys, Repeat, RowsAttempt, Setup, Within, Work};
pub use job::{Call, OnUnknown, Probed, Sender, Sent, StepPolicy, StepRepeat};
pub use lane::{Calls, Lanes};
pub use local::{Run, Session, StateFolder};
pub use outcome::{Counts, Failure, ItemStatus, Outcome, RunStatus, Tolerance};
pub use rate::{Outage, Rate, Rates};
pub use redact::Redact;
pub use report::{Report, UnknownCall};
pub use retry::{Jitter, Retry};
pub use row_block::RowBlock;
pub use secrets::SecretSource;
pub use worker::{Trial, Tried};
pub use workflow::Workflow;
// What a job's types are derived with, so that a plugin needs no versions of its own.
pub use {schemars, serde, serde_json};

/// The command line with these jobs: everything the `fanfold` binary can do.
///
/// Reads the program's arguments and gives the exit code: 0 done, 1 beyond tolerance, 2 the workflow or the command is wrong,
/// 3 stopped and resumable, 4 surroundings.
///
/// Started by AWS Lambda, it is the worker instead: it takes batches until Lambda ends it. See [`guide::definition`].
pub fn main(jobs: Jobs) -> ExitCode {
    #[cfg(feature = "lambda")]
    if lambda::is_asked_for() {
        return lambda::serve(jobs);
    }
    cli::main(jobs)
}

/// Runs a workflow file to its end with the defaults of its params, and says how it ended.
///
/// The run is kept in the nearest `.fanfold` folder, as by the command line. For params, names, stopping and watching use
/// [`Workflow::load`], [`Workflow::bind`], [`Run::begin`] and [`Run::go`].
///
/// # Errors
/// A mistake in the workflow, or surroundings that are in the way. Items that fail are no error: they are counted in the report.
///
/// # Cancel safety
/// Not cancel safe, but crash-safe: dropped half-way, `fanfold resume` goes on.
pub async fn run(workflow: impl AsRef<Path>, jobs: Jobs) -> Result<Report> {
    let here =
        std::env::current_dir().map_err(|error| Error::surroundings(format!("the current folder cannot be read: {error}")))?;
    let workflow = Workflow::load(workflow.as_ref(), &jobs)?;
    let bound = workflow.bind(&[], &here)?;
    Run::begin(&StateFolder::find(None, &here), workflow, bound, &jobs, None)?.go(Session::default()).await
}
