//! What fanfold does, seen from outside: one file for each capability.

mod attempts;
mod bad;
mod cut;
mod full_disk;
mod golden;
mod house;
mod plugin;
mod prune;
mod redrive;
mod results;
mod resume;
mod run;
mod schema;
mod stage;
mod status;
mod stop;
mod workflow;
