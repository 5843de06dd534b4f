//! `results`: how every item ended.

use std::fs::{File, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Surroundings, on_aws};
use crate::error::{Error, Result};
use crate::observe::say;
use crate::outcome::ItemStatus;

/// Shows how every item of a run ended, in input order, with the item itself.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  fanfold results 20261122-8f3c --failed\n  fanfold results 20261122-8f3c --failed --format csv -o failed.csv\n  fanfold results 20261122-8f3c | jq -r 'select(.output.width < 100) | .key'"
)]
pub(super) struct ResultsVerb {
    /// The run's id, or the ARN of an execution on AWS [default: the newest]
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
    /// How they are written; csv is for the rows of CSV files: as they are there, behind columns with the key, the line, the error and
    /// the reason. Repaired, the file goes into `redrive --items`
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// Write into this file, which is readable only for you
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    /// One JSON object a line
    Jsonl,
    /// A CSV file
    Csv,
}

impl ResultsVerb {
    pub fn go(self, at: &Surroundings) -> Result<u8> {
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
        if on_aws::is_there(&id, at)? {
            return self.go_on_aws(&id, &wanted, at);
        }
        let mut results = at.state().run(&id)?.results((!wanted.is_empty()).then_some(wanted), &at.jobs)?;
        if self.format == Format::Csv && self.output.is_none() && results.redacts() {
            return Err(Error::refused("`redact` hides parts of these items, and rows as they are written have them")
                .hint("`-o FILE` writes them into a file that only you can read"));
        }
        let csv = (self.format == Format::Csv).then(|| results.with_rows()).transpose()?;
        if let Some(warning) = results.warning() {
            say(format_args!("warning: {warning}"));
        }
        let mut out = self.out(at)?;
        if let Some(csv) = &csv
            && !is_wanted(out.write_all(&csv.header()))?
        {
            return Ok(0);
        }
        for result in results {
            let result = result?;
            let line = match (&csv, &result.row) {
                (Some(csv), Some(row)) => {
                    let (error, cause) =
                        (result.error.as_deref().unwrap_or_default(), result.cause.as_deref().unwrap_or_default());
                    csv.line(&result.key, error, cause, row)
                }
                _ => {
                    let mut line = serde_json::to_vec(&result).map_err(|error| Error::bug(error.to_string()))?;
                    line.push(b'\n');
                    line
                }
            };
            if !is_wanted(out.write_all(&line))? {
                return Ok(0);
            }
        }
        is_wanted(out.flush())?;
        Ok(0)
    }
}

impl ResultsVerb {
    fn go_on_aws(&self, run: &str, wanted: &[ItemStatus], at: &Surroundings) -> Result<u8> {
        if self.format == Format::Csv {
            return Err(Error::refused(
                "`--format csv` is for runs on this machine: rows as they are written stay in their file",
            )
            .hint("`--format jsonl` has the rows as objects"));
        }
        let mut out = self.out(at)?;
        on_aws::results(run, (!wanted.is_empty()).then_some(wanted), &mut *out, at)?;
        Ok(0)
    }

    fn out(&self, at: &Surroundings) -> Result<Box<dyn Write>> {
        Ok(match &self.output {
            Some(path) => Box::new(BufWriter::new(private(&at.here.join(path))?)),
            None => Box::new(BufWriter::new(std::io::stdout().lock())),
        })
    }
}

/// A file that only its owner can read: items may hold what is nobody else's business.
fn private(path: &std::path::Path) -> Result<File> {
    let made = File::options().write(true).create(true).truncate(true).mode(0o600).open(path).and_then(|file| {
        // One that was there keeps the mode it had.
        file.set_permissions(Permissions::from_mode(0o600)).map(|()| file)
    });
    made.map_err(|error| Error::surroundings(format!("`{}` cannot be written: {error}", path.display())))
}

/// Whether more is to be written: not if whoever reads has enough. Data that is missing for another reason is told.
pub(super) fn is_wanted(written: std::io::Result<()>) -> Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::surroundings(format!("the results cannot be written: {error}"))),
    }
}
