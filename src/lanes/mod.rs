//! The ordering planner: which items follow which.
//!
//! Items with one key form a lane. The input is read once; an external sort of fixed-size records (a hash of the key, the item's
//! index, where it begins) brings lanes together, a second one puts the largest first. What comes of it is three files in the folder
//! of the run, a permutation of the input and never a copy of its data. They are read a few records at a time; memory does not grow
//! with the input.

mod key;
mod numbers;
mod pack;
mod plan;
mod planner;
mod sort;

pub(crate) use key::LaneKey;
pub(crate) use pack::{Packer, bundles_for};
pub(crate) use plan::{Lane, Plan};
pub(crate) use planner::Planner;
pub(crate) use sort::Sorter;
