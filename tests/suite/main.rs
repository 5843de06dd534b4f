//! What fanfold does, seen from outside: one file for each capability.

mod bad;
mod schema;
mod workflow;
