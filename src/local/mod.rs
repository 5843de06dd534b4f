//! Runs on this machine: a Distributed Map in one process, crash-safe.
//!
//! A [`Run`] is begun or opened in a [`StateFolder`] and then goes on ([`Run::go`]): the list is frozen and cut into batches
//! once, a feeder hands out what is pending, children work it, one thread records how every item ended. State is a fold of the
//! record, kept nowhere else. Who looks (`observe/`) is told and never asked.

mod bundle;
mod calls;
mod control;
mod cut;
mod desk;
mod dry_run;
mod ending;
mod feeder;
mod lane_feeder;
mod lane_walk;
mod map_run;
mod marks;
mod names;
mod prune;
mod rates;
mod ready;
mod record;
mod recorder;
mod recover;
mod redrive;
mod renamed_steps;
mod repair;
mod resolve;
mod results;
mod row_ranges;
mod run;
mod session;
mod state;
mod statuses;
mod stop;
mod unknown;

#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) use dry_run::first_items;
pub use dry_run::{Preview, dry_run};
pub use redrive::Redrive;
pub use resolve::{Named, Resolution, Resolved};
pub use results::{ItemResult, Results};
pub use run::Run;
pub use session::Session;
pub use state::{RunFolder, StateFolder};
pub use unknown::CallResult;
