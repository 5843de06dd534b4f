//! [`Results`]: how every item of a run on AWS ended, flat, in input order, joined with the item itself.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::outcomes::Outcomes;
use super::run::{AwsRun, RunExecutions};
use crate::bucket::OutcomeLine;
use crate::error::Result;
use crate::job::Jobs;
use crate::outcome::{ItemStatus, RunStatus};
use crate::redact::{Hidden, Redact};

/// How one item stands; the same fields as of a run on this machine.
#[derive(Debug, Serialize)]
pub(crate) struct AwsItem {
    #[serde(flatten)]
    line: OutcomeLine,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<Value>,
}

/// The results of a run.
#[derive(Debug)]
pub(crate) struct Results {
    outcomes: Outcomes,
    run: AwsRun,
    /// What is not to be shown; `None` if that is not known, then nothing of the items is.
    redact: Option<Redact>,
    /// What the reader should know.
    pub warning: Option<String>,
}

impl Results {
    /// Gets ready to read them.
    ///
    /// # Errors
    /// The bucket cannot be read.
    pub async fn of(run: &AwsRun, executions: &RunExecutions, jobs: &Jobs) -> Result<Self> {
        let outcomes = Outcomes::of(run, executions).await?;
        let params = executions.newest().map(|newest| newest.input.params.clone()).unwrap_or_default();
        let bound = match run.deployment().await? {
            Some(deployed) => deployed.bound(&params, jobs).map_err(|error| error.detail().to_string()),
            None => Err("what was deployed is not in the bucket any more".to_string()),
        };
        let (redact, warning) = match bound {
            Ok((_, bound)) => (Some(bound.settings.redact), None),
            Err(why) => (None, Some(format!("the items themselves are not shown, what to hide of them is not known: {why}"))),
        };
        Ok(Self { outcomes, run: run.clone(), redact, warning })
    }

    /// Whether the gate found items without an outcome when it judged the run last.
    pub fn is_stopped(&self) -> bool {
        self.outcomes.report.as_ref().is_some_and(|report| report.status == RunStatus::Stopped)
    }

    /// Hands over those with one of these statuses, or all, until `take` has enough. Gives how many items there are.
    ///
    /// # Errors
    /// The bucket cannot be read; those of `take`.
    pub async fn each(&self, wanted: Option<&[ItemStatus]>, mut take: impl FnMut(&AwsItem) -> Result<bool>) -> Result<u64> {
        let is_wanted = |line: &OutcomeLine| wanted.is_none_or(|wanted| wanted.contains(&line.status));
        let mut batches = std::pin::pin!(self.outcomes.batches());
        let mut all = 0;
        while let Some((files, lines)) = batches.try_next().await? {
            all += lines.len() as u64;
            if !lines.iter().any(is_wanted) {
                continue;
            }
            let mut items: HashMap<u64, Value> = match &self.redact {
                Some(_) => self.run.bucket.items(&files).await?.into_iter().map(|item| (item.index, item.value)).collect(),
                None => HashMap::new(),
            };
            for line in lines.into_iter().filter(is_wanted) {
                let item = items.remove(&line.index).filter(|value| !value.is_null());
                if !take(&self.shown(line, item))? {
                    return Ok(all);
                }
            }
        }
        Ok(all)
    }

    /// Without what is redacted.
    fn shown(&self, line: OutcomeLine, mut item: Option<Value>) -> AwsItem {
        let redact = self.redact.as_ref().filter(|redact| !redact.is_empty());
        let hidden = redact.zip(item.as_mut()).map(|(redact, item)| redact.hide(item));
        // Without the item it is not known what to hide of an output.
        let is_hidden = item.is_none() && self.redact.as_ref().is_none_or(|redact| !redact.is_empty());
        let cause = line.cause.map(|cause| hidden.as_ref().map_or(cause.clone(), |hidden| hidden.scrub(&cause).into_owned()));
        let output = line.output.filter(|_| !is_hidden).and_then(|output| shown_output(output, hidden.as_ref()));
        // Where a job wrote to is in its output.
        AwsItem { line: OutcomeLine { cause, output, to: None, ..line }, item }
    }
}

fn shown_output(output: Box<RawValue>, hidden: Option<&Hidden>) -> Option<Box<RawValue>> {
    let Some(hidden) = hidden else { return Some(output) };
    let mut value: Value = serde_json::from_str(output.get()).ok()?;
    hidden.scrub_value(&mut value);
    serde_json::value::to_raw_value(&value).ok()
}
