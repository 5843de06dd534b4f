//! What fanfold does, seen from outside: one file for each capability.

mod attempts;
mod bad;
mod csv;
mod reader;
mod run;
mod s3;
mod s3_server;
mod schema;
mod stage;
mod storage;
mod workflow;
