//! [`Report`]: how a run stands, in one value.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::lane::Lanes;
use crate::outcome::{Counts, RunStatus};

/// How a run stands: its verdict and its counts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The run's id.
    pub run: String,
    /// The workflow's name.
    pub workflow: String,
    /// The verdict, or that it is running or stopped.
    pub status: RunStatus,
    /// Items by state.
    pub items: Counts,
    /// How many batches the input was cut into; with lanes, how many bundles of them.
    pub batches: u64,
    /// How the items lie in lanes, if they are in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lanes: Option<Lanes>,
    /// All tries at all items.
    pub attempts: u64,
    /// Time spent on it, over all its sessions, in milliseconds.
    #[serde(rename = "elapsed_ms", serialize_with = "millis")]
    pub elapsed: Duration,
    /// Why it stopped before its end, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// The first calls that may have had their effect, for a person to decide.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown_calls: Vec<UnknownCall>,
}

/// A call that may have had its effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnknownCall {
    /// The item's key.
    pub item: String,
    /// The step.
    pub step: String,
    /// Which call of the step, from 0.
    pub call: u32,
}

fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_millis().try_into().unwrap_or(u64::MAX))
}
