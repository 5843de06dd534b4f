//! What fanfold does, seen from outside: one file for each capability.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that finds nothing there has failed")]
#![allow(clippy::print_stdout, reason = "the seed of a test that fails")]

mod attempts;
mod bad;
mod csv;
mod cut;
mod full_disk;
mod golden;
mod house;
mod plugin;
mod prune;
mod reader;
mod readme;
mod redrive;
mod results;
mod resume;
mod run;
mod s3;
mod s3_server;
mod schema;
mod stage;
mod status;
mod stop;
mod storage;
mod workflow;
mod workflows;
