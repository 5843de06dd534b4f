//! What fanfold does, seen from outside: one file for each capability.

mod attempts;
mod bad;
mod resume;
mod run;
mod schema;
mod stage;
mod workflow;
