//! Whether a changed workflow would do again, under another name, what was done already: calls are known by the names of their steps.

use std::collections::{BTreeMap, BTreeSet};

use super::cut::LANES;
use super::lane_walk::each;
use super::record::Record;
use super::resolve::GIVEN_UP;
use super::state::RunFolder;
use super::statuses::Statuses;
use crate::error::{Error, Result};
use crate::lane::Lanes;
use crate::lanes::Plan;
use crate::ledger::sqlite;
use crate::outcome::ItemStatus;

/// A step that has an effect: its name, and whether it is done once for a lane.
type Role = (String, bool);

/// # Errors
/// The changed workflow sends something that the old one did not, and lacks a step of the old one that may have had its effect for an
/// item that is not done.
pub(super) fn check(record: &Record, folder: &RunFolder, old: &[Role], new: &[Role]) -> Result<()> {
    let gone: BTreeSet<&Role> = old.iter().filter(|role| !new.contains(role)).collect();
    if gone.is_empty() || new.iter().all(|role| old.contains(role)) {
        return Ok(());
    }
    let statuses = Statuses::load(record)?;
    let given_up: BTreeSet<u64> = record.read(|db| {
        let mut statement = db.prepare("SELECT item FROM outcomes WHERE error = ?1")?;
        statement.query_map([GIVEN_UP], |row| row.get::<_, i64>(0).map(|item| item as u64))?.collect()
    })?;
    let is_done =
        |item: u64| given_up.contains(&item) || matches!(statuses.of(item), ItemStatus::Succeeded | ItemStatus::Skipped);
    let mut lost = BTreeSet::new();
    let mut of_lanes: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    record.read(|db| {
        sqlite::each_effect(db, |effect| {
            let role = (effect.step, effect.lane);
            // A lane whose own call was given up has ended.
            let is_over = if effect.lane { effect.in_doubt && given_up.contains(&effect.item) } else { is_done(effect.owner) };
            if is_over || !gone.contains(&role) {
                return;
            }
            if effect.lane {
                of_lanes.entry(effect.owner).or_default().push(role.0);
            } else {
                lost.insert(role.0);
            }
        })
    })?;
    if !of_lanes.is_empty() && record.fact::<Lanes>(LANES)?.is_some() {
        lost.extend(of_open_lanes(&Plan::open(folder.path())?, of_lanes, is_done)?);
    }
    if lost.is_empty() { Ok(()) } else { Err(refused(&lost)) }
}

/// The steps of the lanes in which something is left to do.
fn of_open_lanes(plan: &Plan, mut steps: BTreeMap<u64, Vec<String>>, is_done: impl Fn(u64) -> bool) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        let lanes = plan.some_lanes(at)?;
        if lanes.is_empty() {
            return Ok(found);
        }
        at += lanes.len() as u64;
        for lane in &lanes {
            let Some(done) = steps.remove(&lane.first) else { continue };
            let mut is_open = false;
            each(plan, lane, |_, position| {
                is_open = !is_done(position.index);
                !is_open
            })?;
            if is_open {
                found.extend(done);
            }
        }
    }
}

fn refused(steps: &BTreeSet<String>) -> Error {
    let names = steps.iter().map(|step| format!("`{step}`")).collect::<Vec<_>>().join(", ");
    let (noun, pronoun) = if steps.len() == 1 { ("step", "it") } else { ("steps", "they") };
    Error::refused(format!(
        "the changed workflow lacks the {noun} {names} as {pronoun} had an effect for items that are not done: under another name, or \
         with another `once_per`, {pronoun} would have it again"
    ))
    .hint("keep the name and the `once_per` of the step, and change the rest")
}
