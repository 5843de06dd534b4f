//! Redriving a run: its failed and blocked items are written into a file of their own, which a new execution reads instead of the source.

use futures_util::TryStreamExt;
use serde_json::{Value, json};

use super::execution::{Arn, Execution};
use super::outcomes::Outcomes;
use super::prune::PRUNED;
use super::resume::open_round;
use super::run::AwsRun;
use crate::bucket::{HandedItem, redrive_items};
use crate::error::{Error, Result};
use crate::outcome::ItemStatus;
use crate::storage::Location;

/// The error of items that the gate refused since another one has their key or destination. To do them again changes nothing.
const DUPLICATE: &str = "Item.Duplicate";

/// What is redriven.
#[derive(Debug)]
pub(crate) struct Redriven {
    pub items: u64,
    /// Those that stay as they are.
    pub duplicates: u64,
    /// Those whose data were removed.
    pub removed: u64,
    /// The ARN of the execution.
    pub execution: String,
}

impl AwsRun {
    /// Starts an execution over exactly the failed and blocked items, with the worker that is deployed now; batches of `batch` items,
    /// else as the workflow says.
    ///
    /// # Errors
    /// The run is going on, nothing failed, the items' data were removed; it cannot be started.
    pub async fn redrive(&self, batch: Option<u32>) -> Result<Redriven> {
        if batch == Some(0) {
            return Err(Error::refused("a batch of 0 items was asked for, a batch has at least 1").hint("`--batch 1`"));
        }
        let executions = self.executions().await?;
        self.check_idle(&executions)?;
        let deployed = self.deployed().await?;
        let Some(newest) = executions.newest() else {
            return Err(Error::refused(format!(
                "Step Functions knows no execution of run {} any more, and with them its params",
                self.id()
            ))
            .hint("results stay; `fanfold run` begins a new run"));
        };
        let mut file = Vec::new();
        let (mut items, mut duplicates, mut removed) = (0, 0, 0);
        let is_pruned = self.bucket.find(PRUNED).await?.is_some();
        let outcomes = Outcomes::of(self, &executions).await?;
        if let Some(round) = open_round(newest, &outcomes) {
            let what = if round == 0 { "its input".to_string() } else { format!("redrive {round} of it") };
            let detail = format!("run {} is not at its end: items of {what} are pending", self.id());
            return Err(Error::refused(detail).hint(format!("fanfold resume {}", self.id())));
        }
        let mut batches = std::pin::pin!(outcomes.batches());
        while let Some((files, mut lines)) = batches.try_next().await? {
            lines.retain(|line| matches!(line.status, ItemStatus::Failed | ItemStatus::Blocked));
            let all = lines.len();
            lines.retain(|line| line.error.as_deref() != Some(DUPLICATE));
            duplicates += (all - lines.len()) as u64;
            if lines.is_empty() {
                continue;
            }
            let mut values: std::collections::HashMap<u64, Value> =
                self.bucket.items(&files).await?.into_iter().map(|item| (item.index, item.value)).collect();
            for line in lines {
                let Some(value) = values.remove(&line.index).filter(|value| !(is_pruned && value.is_null())) else {
                    removed += 1;
                    continue;
                };
                // Values and texts cannot fail to be written.
                let _ = serde_json::to_writer(&mut file, &HandedItem { index: line.index, key: Some(line.key), value });
                file.push(b'\n');
                items += 1;
            }
        }
        if items == 0 && removed > 0 {
            return Err(Error::refused(format!(
                "the data of run {} were removed, so nothing of it can be done again",
                self.id()
            ))
            .hint("`fanfold run` begins a new run"));
        }
        let judged = outcomes.report.as_ref().map_or(0, |report| report.items.failed + report.items.blocked);
        if items == 0 && judged != duplicates {
            let detail = format!("nothing of run {} failed: workers ended after it was judged", self.id());
            return Err(Error::refused(detail).hint(format!("fanfold resume {} has it judged again", self.id())));
        }
        if items == 0 {
            let detail = format!("nothing of run {} failed or is blocked", self.id());
            return Err(match duplicates {
                0 => Error::refused(detail).hint(format!("fanfold status {}", self.id())),
                _ => Error::refused(format!("{detail} but items that have the key or destination of another one"))
                    .hint("those need another `items.key` or `name`, and a new run"),
            });
        }
        let round = self.next_round(executions.0.iter().map(|one| one.round()).max().unwrap_or(0)).await?;
        self.bucket.put(&redrive_items(round), file).await?;
        let mut redrive = self.redrive_input(round);
        if let Some(batch) = batch {
            redrive["batch"] = batch.into();
        }
        let input = json!({ "params": newest.input.params, "redrive": redrive });
        let execution = self.start_on(&deployed, &self.name("redrive", round), &input).await?;
        Ok(Redriven { items, duplicates, removed, execution })
    }

    /// The round of a new redrive: behind all that were handed out or have an execution. What has its execution's name may be of
    /// another run.
    async fn next_round(&self, known: u32) -> Result<u32> {
        let mut batches = self.bucket.redriven_batches();
        let mut last = known;
        while let Some(files) = batches.next().await? {
            last = last.max(files.name.round);
        }
        loop {
            last += 1;
            let name = Arn::of(&self.known.machine, &self.name("redrive", last));
            if Execution::find(&self.clients, &name).await?.is_none() {
                return Ok(last);
            }
        }
    }

    /// The last round of which there is a file with items.
    pub(super) async fn last_round(&self) -> Result<u32> {
        let folder = Location::s3(&self.known.bucket, format!("{}redrive/", self.prefix()));
        let mut pages = self.clients.storages.open(&folder).await?.list();
        let mut last = 0;
        while let Some(page) = pages.next().await? {
            let rounds = page.iter().filter_map(|object| object.name.split('/').next()?.parse().ok());
            last = rounds.fold(last, u32::max);
        }
        Ok(last)
    }
}
