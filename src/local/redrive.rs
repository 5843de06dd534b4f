//! Redrive: the items that failed or were blocked become pending again. Never those that are unknown.

use rusqlite::{Transaction, params};
use serde_json::{Map, Value};

use super::lane_walk::{Redriving, before_redrive};
use super::prune::PRUNED_CALLS;
use super::record::{BatchRow, batch_row, set_fact};
use super::recorder::write_batch;
use super::resolve::GIVEN_UP;
use super::run::{Run, StoredWorkflow};
use super::session::UNCLAIMED;
use crate::error::{Error, Result};
use crate::job::Jobs;
use crate::workflow::Workflow;

/// How a run is redriven.
#[derive(Debug, Clone, Default)]
pub struct Redrive {
    /// Items of a batch from now on; default as the workflow says.
    pub batch: Option<u32>,
    /// Take the workflow file as it is now, instead of as it was when the run began.
    pub accept: bool,
    /// Run failed items again although their lanes went on behind them (`order.on_failure: continue`). Without it such items refuse
    /// the redrive.
    pub out_of_order: bool,
}

impl Run {
    /// Makes every failed and blocked item pending again, to be taken as it is now, and says how many there are.
    /// [`Run::go`] then runs them, and nothing that succeeded.
    ///
    /// # Errors
    /// The source is gone, has changed or was pruned. With `accept`: the changed workflow has mistakes, or reads other items.
    /// Nothing is changed then.
    pub fn redrive(&mut self, redrive: &Redrive, jobs: &Jobs) -> Result<u64> {
        if redrive.batch == Some(0) {
            return Err(Error::refused("a batch of 0 items was asked for, a batch has at least 1").hint("`--batch 1`"));
        }
        if redrive.batch.is_some() && self.bound.settings.order.is_some() {
            return Err(Error::refused("`--batch` is for runs without `order:`, whose batches are whole lanes"));
        }
        if let Some(input) = self.input()? {
            let pruned = self.record.fact::<bool>("pruned")?.unwrap_or(false);
            let needs_calls = self.record.fact::<bool>(PRUNED_CALLS)?.unwrap_or(false);
            if pruned && input.copy().is_some() || needs_calls {
                return Err(Error::refused(format!("the items' data of run {} was removed by `prune`", self.id()))
                    .hint("begin a new run"));
            }
            // A source that is gone or changed is told before anything is pending again.
            input.open(self.folder.path())?;
        }
        // What was in flight at a crash is judged by the job it was in flight with, and before its item is pending again.
        let last = self.record.read(|db| db.query_row("SELECT coalesce(max(id), 0) FROM sessions", [], |row| row.get(0)))?;
        drop(self.recover(last)?);
        let lanes = before_redrive(&self.record, &self.folder)?;
        if lanes.out_of_order > 0 && !redrive.out_of_order {
            return Err(out_of_order(&lanes, self.id()));
        }
        if redrive.accept {
            self.accept(jobs)?;
        }
        if let Some(batch) = redrive.batch {
            self.bound.settings.batch.max_items = Some(batch);
        }
        self.record.write("be written", |db| {
            let items: Vec<u64> = db
                .prepare("SELECT item FROM outcomes WHERE status IN (3, 5) AND error IS NOT ?1 ORDER BY item")?
                .query_map([GIVEN_UP], |row| row.get::<_, i64>(0))?
                .map(|item| item.map(|item| item as u64))
                .filter(|item| item.as_ref().map_or(true, |item| lanes.held.binary_search(item).is_err()))
                .collect::<rusqlite::Result<_>>()?;
            pend(db, &items, 1)?;
            Ok(items.len() as u64)
        })
    }

    /// Whether the workflow file differs from what the run was begun with. A file that is gone does not differ.
    pub fn is_workflow_changed(&self) -> bool {
        let now = StoredWorkflow::of(&self.workflow).path().and_then(|path| std::fs::read_to_string(path).ok());
        now.is_some_and(|now| now != self.workflow.text)
    }

    /// The params that a changed workflow has: as they were, and by their default where they are new.
    fn params_for(&self, workflow: &Workflow) -> Result<Value> {
        let mut params = Map::new();
        for param in &workflow.params {
            let name = &param.name;
            let Some(value) = self.bound.params.value().get(name).or(param.default.as_ref()) else {
                let detail =
                    format!("the changed workflow has a new param `{name}` without a default, and the run has no value for it");
                return Err(Error::refused(detail)
                    .at(Some(workflow.place_of(&format!("params.{name}"))))
                    .hint("give it a default, or begin a new run"));
            };
            params.insert(name.clone(), value.clone());
        }
        Ok(Value::Object(params))
    }

    fn accept(&mut self, jobs: &Jobs) -> Result<()> {
        let Some(path) = StoredWorkflow::of(&self.workflow).path() else {
            return Err(Error::refused("the run was not begun from a file, so there is no changed one to accept"));
        };
        let workflow = Workflow::load(&path, jobs)?;
        let params = self.params_for(&workflow)?;
        let bound = workflow.rebind(&params)?;
        if bound.settings.items != self.bound.settings.items {
            return Err(Error::refused("the changed workflow reads other items than the run was begun with")
                .at(Some(workflow.place_of("items")))
                .hint("begin a new run for other items; a redrive takes changes of everything else"));
        }
        if bound.settings.order != self.bound.settings.order {
            return Err(Error::refused("the changed workflow has another `order` than the run was begun with")
                .at(Some(workflow.place_of("order")))
                .hint("begin a new run for another order; a redrive takes changes of everything else"));
        }
        let stored = StoredWorkflow::of(&workflow);
        self.record.write("be written", |db| {
            set_fact(db, "tolerance", &bound.settings.tolerated_failure)?;
            set_fact(db, "params", &params)?;
            set_fact(db, UNCLAIMED, &true)?;
            set_fact(db, "workflow", &stored)
        })?;
        let name = &bound.settings.job.name;
        self.kind = *jobs.get(name).ok_or_else(|| Error::bug(format!("the job `{name}` was checked and is not there")))?;
        self.workflow = workflow;
        self.bound = bound;
        Ok(())
    }
}

/// Items whose lanes went on would run behind what came after them.
fn out_of_order(lanes: &Redriving, run: &str) -> Error {
    let detail = match lanes.out_of_order {
        1 => "1 failed item would run out of order: its lane went on behind it".to_string(),
        n => format!("{n} failed items would run out of order: their lanes went on behind them"),
    };
    Error::refused(detail).hint(format!(
        "fanfold redrive {run} --out-of-order runs them now, each with the output of the last one before it that succeeded"
    ))
}

/// Makes the items pending again; they keep their tries. `redrives` is how many more they have behind them now.
pub(super) fn pend(db: &Transaction<'_>, items: &[u64], redrives: u32) -> rusqlite::Result<()> {
    let mut outcome = db.prepare(
        "UPDATE outcomes SET status = 0, redrive = redrive + ?2, error = NULL, cause = NULL, output = NULL WHERE item = ?1",
    )?;
    let mut crashes = db.prepare("DELETE FROM crashes WHERE item = ?1")?;
    let mut find =
        db.prepare("SELECT first, count, position, ended, done FROM batches WHERE first <= ?1 ORDER BY first DESC LIMIT 1")?;
    let mut open: Option<BatchRow> = None;
    for item in items {
        outcome.execute(params![*item as i64, redrives])?;
        crashes.execute([*item as i64])?;
        let held = open.as_ref().is_some_and(|batch| item - batch.first < u64::from(batch.count));
        if !held {
            if let Some(batch) = &open {
                write_batch(db, batch)?;
            }
            open = Some(find.query_row(params![*item as i64], batch_row)?);
        }
        if let Some(batch) = &mut open {
            mark_pending(batch, *item);
        }
    }
    match &open {
        Some(batch) => write_batch(db, batch),
        None => Ok(()),
    }
}

fn mark_pending(batch: &mut BatchRow, item: u64) {
    let n = (item - batch.first) as usize;
    let full = batch.ended == batch.count;
    let bits = batch.done.get_or_insert_with(|| vec![if full { 0xff } else { 0 }; batch.count.div_ceil(8) as usize]);
    let bit = 1u8 << (n % 8);
    if let Some(byte) = bits.get_mut(n / 8).filter(|byte| **byte & bit != 0) {
        *byte &= !bit;
        batch.ended -= 1;
    }
}
