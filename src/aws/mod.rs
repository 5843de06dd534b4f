//! A workflow on AWS: putting it there, starting and watching its runs.
//!
//! [`Clients`] speak to AWS; every other file here is handed one. Nothing here prints, and nothing does an item's work: that is for the
//! workers there.

#![allow(dead_code, unused_imports, reason = "while the room is being built")]

mod clients;
mod deployment;
mod execution;
mod map_run;
mod stack;
mod trouble;

pub(crate) use clients::Clients;
pub(crate) use deployment::Deployment;
pub(crate) use stack::{Deployed, stack_name};
