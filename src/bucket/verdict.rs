//! [`RunReport`]: what a run on AWS came to, as the gate writes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::outcome::{Counts, ItemStatus, RunStatus, Tolerance};

/// The file that it is written into.
pub(crate) const REPORT: &str = "report.json";

/// What a run came to. A record: other versions read it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunReport {
    /// The run's name.
    pub run: String,
    /// The workflow's name.
    pub workflow: String,
    /// The version of fanfold that judged it.
    pub fanfold: String,
    /// How often it was redriven.
    pub round: u32,
    /// `SUCCEEDED`, `FAILED`, or `STOPPED` if items have no outcome.
    pub status: RunStatus,
    /// Items by state.
    pub items: Counts,
    /// How many batches the input was cut into.
    pub batches: u64,
    /// All tries at all items.
    pub attempts: u64,
    /// What may fail.
    pub tolerated_failure: Tolerance,
    /// How often each error came, of failed and unknown items.
    pub errors: BTreeMap<String, u64>,
    /// The files with every item that is failed, unknown or blocked.
    pub failed: Vec<String>,
    /// When it was written, in milliseconds since 1970.
    pub ended_ms: i64,
}

impl RunReport {
    /// The counts in words: `8088 items: 8038 succeeded, 50 failed; tolerated: 0`.
    pub fn summary(&self) -> String {
        let counts: Vec<String> = ItemStatus::ALL
            .iter()
            .filter(|status| self.items.of(**status) > 0)
            .map(|status| format!("{} {status}", self.items.of(*status)))
            .collect();
        let tolerated = match self.tolerated_failure {
            Tolerance::Count(most) => most.to_string(),
            Tolerance::Percent(most) => format!("{most}%"),
        };
        format!("{} items: {}; tolerated: {tolerated}", self.items.total, counts.join(", "))
    }

    /// The verdict: items that have no outcome come before everything else, since what is said of the others is not the end.
    pub fn judge(items: &Counts, tolerance: &Tolerance) -> RunStatus {
        if items.pending > 0 { RunStatus::Stopped } else { RunStatus::judge(items, tolerance) }
    }
}
