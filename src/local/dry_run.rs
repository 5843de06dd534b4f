//! A dry run: the list is read and cut as a run would, and nothing is done or kept.

use serde::Serialize;

use super::cut::Cutter;
use crate::error::{Error, Result};
use crate::expression::Scope;
use crate::job::{AnyJob, Jobs, Setup};
use crate::reader::{self, Input, Position, Row, Selected, Selection};
use crate::storage::Storages;
use crate::workflow::{Bound, Workflow};

/// What a run would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// Items in the list.
    pub items: u64,
    /// Batches they would be cut into.
    pub batches: u64,
    /// Items that would be left out.
    pub skipped: u64,
    /// Items that would fail before the job sees them.
    pub failed: u64,
    /// The first items, as many as were asked for.
    pub first: Vec<PreviewItem>,
}

/// What a run would do with one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PreviewItem {
    /// Its key.
    pub key: String,
    /// What the job would write, if it writes something of its own for each item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// Why it would be left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// Why it would fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// Reads the list and says what a run would do; `first` items in detail. Nothing is done and no run begins.
///
/// # Errors
/// As a run would be refused.
pub async fn dry_run(workflow: &Workflow, bound: &Bound, jobs: &Jobs, first: usize) -> Result<Preview> {
    let settings = &bound.settings;
    let kind = jobs.get(&settings.job.name).ok_or_else(|| Error::bug("a checked job is not registered"))?;
    let scratch = Scratch::new()?;
    let storages = Storages::new("dry-run");
    let setup = Setup {
        workflow: workflow.name().into(),
        run: "dry-run".into(),
        params: bound.params.value().clone().into(),
        source: settings.items.location().cloned(),
        storages: storages.clone(),
    };
    let job = kind.make(settings.job.config.clone(), &setup).map_err(|error| workflow.place_config_error(kind, &error))?;
    let input = reader::freeze(&settings.items, &storages, &scratch.0).await?;
    let selection = settings.items.selection(&input)?;
    let publisher = kind.publishes.then_some(&*job);
    tokio::task::block_in_place(|| read(&input, &selection, bound, publisher, first))
}

fn read(input: &Input, selection: &Selection, bound: &Bound, publisher: Option<&dyn AnyJob>, first: usize) -> Result<Preview> {
    let batch = &bound.settings.batch;
    let mut cutter = Cutter::new(batch.max_items, batch.max_bytes);
    let mut preview = Preview::default();
    let mut rows = input.rows(Position::default())?;
    while let Some(row) = rows.next()? {
        preview.items += 1;
        if cutter.begins_new(row.json_len()) || preview.batches == 0 {
            preview.batches += 1;
        }
        let item = look_at(&row, selection, bound, publisher);
        preview.skipped += u64::from(item.skipped.is_some());
        preview.failed += u64::from(item.failed.is_some());
        if preview.first.len() < first {
            preview.first.push(item);
        }
    }
    Ok(preview)
}

fn look_at(row: &Row<'_>, selection: &Selection, bound: &Bound, publisher: Option<&dyn AnyJob>) -> PreviewItem {
    let position = selection.position(row.index).to_string();
    let failed = |key: String, why: String| PreviewItem { key, destination: None, skipped: None, failed: Some(why) };
    let value = match row.value() {
        Ok(value) => value,
        Err(failure) => return failed(position, failure.to_string()),
    };
    let scope = Scope::params(&bound.params).with_item(&value);
    let key = match selection.key(&value, row.index, &scope) {
        Ok(key) => key.to_string(),
        Err(failure) => return failed(position, failure.to_string()),
    };
    match selection.judge(&value, &scope) {
        Err(failure) => failed(key, failure.to_string()),
        Ok(Selected::Out(why)) => PreviewItem { key, destination: None, skipped: Some(why), failed: None },
        Ok(Selected::In) => match publisher.map(|job| job.destination(&value, &scope)).transpose() {
            Err(error) => failed(key, error.to_string()),
            Ok(destination) => PreviewItem { key, destination: destination.flatten(), skipped: None, failed: None },
        },
    }
}

/// A folder for the list that is gone afterwards.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("fanfold-dry-run-{}-{:08x}", std::process::id(), fastrand::u32(..)));
        std::fs::create_dir(&path).map_err(|error| Error::surroundings(format!("{} cannot be made: {error}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left in the temporary folder of the system does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
