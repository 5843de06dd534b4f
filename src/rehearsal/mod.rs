//! `fanfold test`: the tests of a workflow, played by the real worker with answers from a script, in virtual time.
//!
//! Without network, without secrets and without a record. Items and lanes come one after another, so that the answers of a step, which
//! are given in order, are for whom one thinks they are.

mod compare;
mod desk;
mod judge;
mod lanes;
mod play;
mod script;
#[cfg(test)]
mod storms;

pub(crate) use compare::Difference;
pub(crate) use play::{Rehearsal, cases, rehearse};
