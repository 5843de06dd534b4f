//! `results`: how every item ended.

use clap::Args;

use super::Surroundings;
use crate::error::{Error, Result};
use crate::observe::say;
use crate::outcome::ItemStatus;

/// Shows how every item of a run ended, one JSON object a line, in input order, with the item itself.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  fanfold results 20261122-8f3c --failed\n  fanfold results 20261122-8f3c | jq -r 'select(.output.width < 100) | .key'"
)]
pub(super) struct ResultsVerb {
    /// The run's id [default: the newest]
    run: Option<String>,
    /// Only items that failed
    #[arg(long)]
    failed: bool,
    /// Only items of which an effect may have happened
    #[arg(long)]
    unknown: bool,
    /// Only items that wait behind another one of their lane
    #[arg(long)]
    blocked: bool,
    /// Only items that succeeded
    #[arg(long)]
    succeeded: bool,
    /// Only items that were left out
    #[arg(long)]
    skipped: bool,
    /// Only items that have not ended
    #[arg(long)]
    pending: bool,
}

impl ResultsVerb {
    pub fn go(self, at: &Surroundings) -> Result<u8> {
        use std::io::{BufWriter, Write};
        let id = at.run_or_newest(self.run.as_deref())?;
        let asked = [
            (self.failed, ItemStatus::Failed),
            (self.unknown, ItemStatus::Unknown),
            (self.blocked, ItemStatus::Blocked),
            (self.succeeded, ItemStatus::Succeeded),
            (self.skipped, ItemStatus::Skipped),
            (self.pending, ItemStatus::Pending),
        ];
        let wanted: Vec<ItemStatus> = asked.into_iter().filter(|(asked, _)| *asked).map(|(_, status)| status).collect();
        let results = at.state().run(&id)?.results((!wanted.is_empty()).then_some(wanted), &at.jobs)?;
        if let Some(warning) = results.warning() {
            say(format_args!("warning: {warning}"));
        }
        let mut out = BufWriter::new(std::io::stdout().lock());
        for result in results {
            let line = serde_json::to_string(&result?).map_err(|error| Error::bug(error.to_string()))?;
            if !is_wanted(writeln!(out, "{line}"))? {
                return Ok(0);
            }
        }
        is_wanted(out.flush())?;
        Ok(0)
    }
}

/// Whether more is to be written: not if whoever reads has enough. Data that is missing for another reason is told.
fn is_wanted(written: std::io::Result<()>) -> Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::surroundings(format!("the results cannot be written: {error}"))),
    }
}
