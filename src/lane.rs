//! [`Lanes`]: how the items of a run lie in lanes, as it is told before the run starts.

use serde::{Deserialize, Serialize};

/// How the items of a run lie in lanes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Lanes {
    /// How many lanes there are.
    pub lanes: u64,
    /// Items of the longest one: so many come one after another, whatever runs beside them.
    pub longest: u64,
    /// Its key; empty if there is no lane.
    pub longest_key: String,
    /// Items that are in no lane: damaged or left out, they end before a lane is asked for.
    pub without: u64,
    /// How many bundles the lanes are packed into, one for each child execution.
    pub bundles: u64,
}
