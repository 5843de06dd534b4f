//! `prune`: the data of a run's items goes, their keys and outcomes stay.

use clap::Args;

use super::{Surroundings, on_aws};
use crate::error::Result;
use crate::observe::{JsonLines, count, say};

/// Removes what a finished run keeps of its items' data and gives the disk back; keys, outcomes and the report stay.
#[derive(Debug, Args)]
pub(super) struct Prune {
    /// The run's id, or the ARN of an execution on AWS
    run: String,
}

impl Prune {
    pub fn go(self, at: &Surroundings) -> Result<u8> {
        if on_aws::is_there(&self.run, at)? {
            return on_aws::prune(&self.run, at);
        }
        let freed = at.state().run(&self.run)?.prune(&at.jobs)?;
        if at.json {
            JsonLines::line(&serde_json::json!({ "run": self.run, "freed_bytes": freed }));
        } else {
            say(format_args!("run {}: {} KiB given back; keys and outcomes are kept", self.run, count(freed.div_ceil(1024))));
        }
        Ok(0)
    }
}
