//! What fanfold does, seen from outside: one file for each capability.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that misses something has failed, and says by which seed"
)]

mod attempts;
mod aws_engine;
mod aws_engine_runs;
#[cfg(feature = "aws")]
mod aws_resume;
mod aws_rig;
mod aws_runs;
#[cfg(feature = "aws")]
mod aws_server;
mod bad;
mod csv;
mod csv_damage;
mod csv_sources;
mod cut;
mod definition;
mod definition_rules;
mod definition_validators;
#[cfg(feature = "aws")]
mod deploy;
mod failed_csv;
mod full_disk;
mod golden;
mod house;
mod http_chain;
mod import_postgres;
mod import_proxy;
mod import_server;
mod import_shop;
mod import_sqlite;
mod import_storm;
mod import_trouble;
mod import_values;
mod inventory;
mod lambda_jobs;
mod lambda_runtime;
mod lambda_worker;
mod misbehaviour;
mod new_import;
mod order;
mod partner;
mod plugin;
mod prune;
mod rate;
mod reader;
mod readme;
mod redrive;
mod rehearsal;
mod results;
mod resume;
mod run;
mod s3;
mod s3_server;
mod schema;
mod secrecy;
#[cfg(feature = "aws")]
mod stack_server;
mod stage;
mod status;
mod steps;
mod stop;
mod storage;
mod storm;
mod third_party;
mod workflow;
mod workflows;
