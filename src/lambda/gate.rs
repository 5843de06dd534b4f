//! [`Gate`]: judges a run when all its batches are done: folds the outcomes of all items, writes `report.json` and `failed.jsonl`.

use std::pin::pin;

use futures_util::stream::TryStreamExt;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use super::claims::Claims;
use super::fold::Fold;
use super::unreached::{Key, hand_out_unreached};
use crate::bucket::{BatchName, REPORT, RunBucket, RunReport, added_name};
use crate::error::Result;
use crate::outcome::{Counts, RunStatus, Tolerance};
use crate::storage::Storages;

/// Batches that are read at once: S3 answers in some 30 ms, and allows 5,500 reads a second below one prefix.
const BATCHES_AT_ONCE: usize = 64;

/// What the gate is about.
pub(crate) struct Gate<'a> {
    pub storages: &'a Storages,
    pub bucket: &'a RunBucket,
    pub workflow: &'a str,
    pub run: &'a str,
    /// How often the run was redriven by now.
    pub round: u32,
    pub tolerance: Tolerance,
    /// Whether the workflow names its items itself (`items.key`), so that two may have one name.
    pub named_keys: bool,
    /// Says what an item is called that no worker has seen.
    pub key: Key<'a>,
    /// When to stop reading, and to be asked to go on.
    pub until: Instant,
    /// Milliseconds since 1970.
    pub now_ms: i64,
}

/// What the gate answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Verdict {
    /// There was no time for all of it: it is to be asked again, with this.
    Rest { rest: Box<Fold>, summary: String },
    Judged {
        /// `succeeded`, `failed`, or `stopped` where items have no outcome.
        verdict: &'static str,
        summary: String,
        items: Counts,
    },
}

impl Gate<'_> {
    /// Judges the run, or as much of it as there is time for: `rest` is what an earlier gate gave back. `map` is what the map run ended
    /// with.
    ///
    /// # Errors
    /// The bucket cannot be read or written. Asked again, it begins anew.
    pub async fn judge(&self, map: &Value, rest: Option<Fold>) -> Result<Verdict> {
        let mut fold = match rest {
            Some(rest) => rest,
            None => {
                hand_out_unreached(self.storages, self.bucket, self.round, map, self.key).await?;
                Fold::default()
            }
        };
        let later = self.bucket.redriven().await?;
        // Whoever resumes an earlier round judges what later ones did as well.
        let round = later.values().map(|item| item.batch.round).fold(self.round, u32::max);
        let mut claims = Claims::new(self.named_keys);
        let listed = match fold.after {
            Some(first) => self.bucket.batches_after(BatchName { round: 0, first }),
            None => self.bucket.batches(),
        };
        let mut read = pin!(self.bucket.first_round(listed, BATCHES_AT_ONCE));
        while let Some(batches) = read.try_next().await? {
            for (files, items) in batches {
                claims.begin(files.name.first);
                for item in &items {
                    let redriven = later.get(&item.index);
                    claims.of(redriven.unwrap_or(item));
                    fold.take(item, redriven);
                }
                fold.after = Some(files.name.first);
                fold.batches += 1;
            }
            if fold.is_full() {
                fold.flush(self.bucket).await?;
            }
            if Instant::now() >= self.until {
                claims.spill(self.bucket, round, &mut fold).await?;
                fold.flush(self.bucket).await?;
                let summary = format!("{} items read, more to read", fold.items.total);
                return Ok(Verdict::Rest { rest: Box::new(fold), summary });
            }
        }
        claims.load(self.bucket, round, &fold).await?;
        let mut added = Vec::new();
        for (item, why) in claims.doubles(self.bucket, &later).await? {
            fold.refuse(item, why).write(&mut added);
        }
        self.bucket.put(&added_name(round), added).await?;
        self.end(fold, round).await
    }

    /// Writes down what the run came to.
    async fn end(&self, mut fold: Fold, round: u32) -> Result<Verdict> {
        fold.flush(self.bucket).await?;
        let status = RunReport::judge(&fold.items, &self.tolerance);
        let report = RunReport {
            run: self.run.to_string(),
            workflow: self.workflow.to_string(),
            fanfold: env!("CARGO_PKG_VERSION").to_string(),
            round,
            status,
            items: fold.items,
            batches: fold.batches,
            attempts: fold.attempts,
            tolerated_failure: self.tolerance,
            errors: fold.errors,
            failed: fold.files,
            ended_ms: self.now_ms,
        };
        self.bucket.put(REPORT, serde_json::to_vec_pretty(&report).unwrap_or_default()).await?;
        let verdict = match status {
            RunStatus::Succeeded => "succeeded",
            RunStatus::Failed => "failed",
            RunStatus::Stopped | RunStatus::Running => "stopped",
        };
        Ok(Verdict::Judged { verdict, summary: report.summary(), items: report.items })
    }
}
