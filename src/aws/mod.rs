//! A workflow on AWS: putting it there, starting and watching its runs.
//!
//! [`Clients`] speak to AWS; every other file here is handed one. Nothing here prints, and nothing does an item's work: that is for the
//! workers there.

mod change;
mod clients;
mod control;
mod deploy;
mod deployment;
mod destroy;
mod execution;
mod follow;
mod map_run;
mod memory;
mod outcomes;
mod package;
mod program;
mod prune;
mod quotas;
mod redrive;
mod results;
mod resume;
mod run;
mod stack;
mod standing;
mod start;
mod template;
mod trouble;
mod unchanged;

pub(crate) use clients::Clients;
pub(crate) use deploy::{deploy, rollback};
pub(crate) use destroy::destroy;
pub(crate) use execution::Execution;
pub(crate) use follow::follow;
pub(crate) use memory::Memory;
pub(crate) use package::Package;
pub(crate) use results::Results;
pub(crate) use run::AwsRun;
pub(crate) use stack::Deployed;
pub(crate) use standing::Standing;
pub(crate) use start::{Found, Ready, now_ms};
