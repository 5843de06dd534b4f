//! What fanfold does, seen from outside: one file for each capability.

mod bad;
mod csv;
mod reader;
mod s3;
mod s3_server;
mod schema;
mod storage;
mod workflow;
