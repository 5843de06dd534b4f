//! What fanfold does, seen from outside: one file for each capability.

mod attempts;
mod bad;
mod csv;
mod reader;
mod prune;
mod redrive;
mod results;
mod readme;
mod resume;
mod run;
mod s3;
mod s3_server;
mod schema;
mod stage;
mod storage;
mod status;
mod stop;
mod workflow;
mod workflows;
