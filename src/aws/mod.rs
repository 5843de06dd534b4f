//! A workflow on AWS: putting it there, starting and watching its runs.
//!
//! [`Clients`] speak to AWS; every other file here is handed one. Nothing here prints, and nothing does an item's work: that is for the
//! workers there.

#![allow(dead_code, unused_imports, reason = "while the room is being built")]

mod clients;
mod trouble;

pub(crate) use clients::Clients;
