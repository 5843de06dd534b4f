//! The results bucket: what the workers of a run on AWS leave there, and how it is put together.
//!
//! A run is what lies below its prefix, `WORKFLOW/RUN/`. Workers write outcomes as lines of JSON, each worker into files of its own, so
//! that a worker that dies takes nothing along and two that do the same never write over each other. What a run came to is a fold of
//! these files and is kept nowhere else; who reads later reads more.
//!
//! # Why
//! S3 has no append and no transaction that costs little. Files that are written once and read together need neither (2026-11-23).

mod batch;
mod line;
mod listing;
mod names;
mod once;
mod run;
mod verdict;

pub(crate) use batch::BatchOutcomes;
pub(crate) use line::{HandedItem, OutcomeLine};
pub(crate) use listing::BatchFiles;
pub(crate) use names::{BatchName, added_name, alive_name, alone_name, items_name, part_name, redrive_items, run_prefix};
pub(crate) use run::{Folded, RunBucket};
pub(crate) use verdict::{REPORT, RunReport};
