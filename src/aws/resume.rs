//! Resuming a run: which round of it is open, and a new execution that does what has no outcome there.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::execution::{Arn, Execution};
use super::outcomes::Outcomes;
use super::run::{AwsRun, RunExecutions};
use crate::bucket::{BatchName, Folded, OutcomeLine, redrive_items};
use crate::error::{Error, Result};
use crate::outcome::RunStatus;

/// A line of the file with the items of a redrive, without what is not needed to count it.
#[derive(Deserialize)]
struct Asked {
    index: u64,
    key: Option<String>,
}

impl AwsRun {
    /// Goes on with the run: a new execution that does what has no outcome in the round that is open. `None` if nothing is open: then
    /// none is started.
    ///
    /// # Errors
    /// It is going on already, or was never begun; its items would be read or cut otherwise; it cannot be started.
    pub async fn resume(&self) -> Result<Option<String>> {
        let executions = self.executions().await?;
        self.check_idle(&executions)?;
        let deployed = self.deployed().await?;
        let Some(newest) = executions.newest() else {
            return Err(Error::refused(format!("Step Functions knows no execution of run {} (any more)", self.id()))
                .hint("`fanfold run` with `--as` and another name begins a new run"));
        };
        let outcomes = Outcomes::of(self, &executions).await?;
        let round = match (open_round(newest, &outcomes), &outcomes.report) {
            (Some(round), _) => round,
            // What workers left after the gate had judged is to be judged again.
            (None, Some(report)) if outcomes.tally().await?.items == report.items => return Ok(None),
            (None, report) => report.as_ref().map_or(0, |report| report.round),
        };
        if let Some(begun) = executions.0.iter().rfind(|one| one.round() == round) {
            self.check_cut(&deployed, begun).await?;
        }
        if round == 0 {
            self.check_source().await?;
        }
        let mut input = json!({ "params": newest.input.params });
        match round {
            0 => input["resume"] = json!({ "run": self.id() }),
            _ => input["redrive"] = self.redrive_of(&executions, round),
        }
        self.start_on(&deployed, &self.next_resume(&executions).await?, &input).await.map(Some)
    }

    /// What an execution of this round is given.
    fn redrive_of(&self, executions: &RunExecutions, round: u32) -> Value {
        let known = executions.0.iter().filter_map(|one| one.input.redrive.as_ref());
        let known = known.filter(|(of, _)| *of == round).map(|(_, redrive)| redrive.clone()).next_back();
        // Of one that was forgotten the file is still there.
        known.unwrap_or_else(|| self.redrive_input(round))
    }

    pub(super) fn redrive_input(&self, round: u32) -> Value {
        let key = format!("{}{}", self.prefix(), redrive_items(round));
        json!({ "run": self.id(), "round": round, "items": { "bucket": self.known.bucket, "key": key } })
    }

    /// The first name of a resume that no execution has.
    async fn next_resume(&self, executions: &RunExecutions) -> Result<String> {
        let resumed = executions.0.iter().filter(|one| one.name.starts_with(&self.name_before("resume"))).count();
        let mut n = u32::try_from(resumed).unwrap_or(u32::MAX);
        loop {
            n = n.saturating_add(1);
            let name = self.name("resume", n);
            if Execution::find(&self.clients, &Arn::of(&self.known.machine, &name)).await?.is_none() {
                return Ok(name);
            }
        }
    }

    /// Adds the items of redrives that no worker was handed yet: they are pending, whatever the round before says.
    pub(super) async fn add_asked(&self, executions: &RunExecutions, later: &mut HashMap<u64, Folded>) -> Result<()> {
        let handed = later.values().map(|item| item.batch.round);
        // A file whose execution could not be started was never begun.
        let begun: std::collections::BTreeSet<u32> = executions.0.iter().map(Execution::round).chain(handed).collect();
        for round in begun.into_iter().filter(|round| *round > 0) {
            let name = redrive_items(round);
            let Some(file) = self.bucket.find(&name).await? else { continue };
            for asked in serde_json::Deserializer::from_slice(&file).into_iter::<Asked>() {
                let Asked { index, key } = asked.map_err(|error| {
                    Error::surroundings(format!("`{}` is not what fanfold wrote: {error}", self.bucket.address(&name)))
                })?;
                let before = later.get(&index);
                if before.is_some_and(|item| item.batch.round >= round) {
                    continue;
                }
                let attempts = before.map_or(0, |item| item.line.attempts);
                let line = OutcomeLine { attempts, ..OutcomeLine::pending(index, key) };
                later.insert(index, Folded { index, batch: BatchName { round, first: index }, line });
            }
        }
        Ok(())
    }
}

/// The round that is to be resumed before anything else: the first with items that have no outcome, or that of an execution which
/// ended before the gate had judged.
pub(super) fn open_round(newest: &Execution, outcomes: &Outcomes) -> Option<u32> {
    if !newest.is_judged() && newest.round() == 0 {
        return Some(0);
    }
    let report = outcomes.report.as_ref();
    let is_open = || !newest.is_judged() || report.is_none_or(|report| report.status == RunStatus::Stopped);
    outcomes.open_redrive().or_else(|| is_open().then(|| if newest.is_judged() { 0 } else { newest.round() }))
}
