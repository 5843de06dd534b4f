//! The suite: one crate, one file per capability.

mod csv;
mod reader;
mod s3;
mod s3_server;
mod storage;
