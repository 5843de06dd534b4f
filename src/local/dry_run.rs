//! A dry run: the list is read and cut as a run would, and nothing is done or kept.

use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::cut::{Cut, Cutter, LANES, Ordering};
use super::record::Record;
use super::session::as_written;
use super::stop::Why;
use crate::error::{Error, Result};
use crate::expression::Scope;
use crate::job::{AnyJob, Jobs, Setup};
use crate::lane::{Calls, Lanes};
use crate::reader::{self, Judged, Position, Row, Selection};
use crate::secrets::Secrets;
use crate::storage::Storages;
use crate::workflow::{Bound, Workflow};

/// What a run would do.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Preview {
    /// Items in the list.
    pub items: u64,
    /// Batches they would be cut into.
    pub batches: u64,
    /// How the items would lie in lanes, if they are in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lanes: Option<Lanes>,
    /// How many calls that makes at least, if the job calls others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<Calls>,
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
    /// What the job would do first, if it says so: without secrets, and without what the workflow redacts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
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
        workflow: workflow.name.as_str().into(),
        run: "dry-run".into(),
        params: bound.params.value().clone().into(),
        source: settings.items.location().cloned(),
        storages: storages.clone(),
        within: workflow.within(),
        succeeded: 0,
        secrets: Arc::new(Secrets::pretended(settings.secrets.keys().map(String::as_str))),
        wire: None,
        one_of_many: false,
    };
    let job = kind.make(settings.job.config.clone(), &setup).map_err(|error| workflow.place_config_error(&error))?;
    let shown = as_written(&settings.items, workflow);
    let input = reader::freeze(&settings.items, &storages, &scratch.0, &shown).await?;
    let selection = Selection::new(&settings.items, &input, &bound.params);
    let open = input.open(&scratch.0)?;
    let publisher = kind.publishes.then_some(&job);
    tokio::task::block_in_place(|| {
        // Cut as a run cuts it, so that what would refuse the run refuses this as well.
        let mut record = Record::create(&scratch.0.join("run.db"))?;
        let stop = CancellationToken::new();
        let order = Ordering::of(bound);
        let order = order.as_ref();
        let cut =
            Cut { input: &open, selection: &selection, params: &bound.params, publisher, folder: &scratch.0, order, stop: &stop };
        cut.write(&mut record, Cutter::of(&settings.batch)).map_err(|why| match why {
            Why::Trouble(error) => error,
            other => Error::bug(other.to_string()),
        })?;
        let mut preview = Preview { batches: record.batch_count()?, lanes: record.fact(LANES)?, ..Preview::default() };
        let mut rows = open.rows(Position::START)?;
        while let Some(row) = rows.next()? {
            let item = look_at(&row, &selection, bound, &job, publisher.is_some());
            preview.items += 1;
            preview.skipped += u64::from(item.skipped.is_some());
            preview.failed += u64::from(item.failed.is_some());
            if preview.first.len() < first {
                preview.first.push(item);
            }
        }
        let done = preview.items - preview.skipped - preview.failed;
        preview.calls = Calls::of(done, preview.lanes.as_ref(), (job.calls(), job.calls_per_lane()), &settings.rate);
        Ok(preview)
    })
}

fn look_at(row: &Row<'_>, selection: &Selection, bound: &Bound, job: &Arc<dyn AnyJob>, publishes: bool) -> PreviewItem {
    let item = |key: String| PreviewItem { key, destination: None, request: None, skipped: None, failed: None };
    let failed = |key: String, why: String| PreviewItem { failed: Some(why), ..item(key) };
    let value = match row.value() {
        Ok(value) => value,
        Err(failure) => return failed(selection.key_of_invalid(row).to_string(), failure.to_string()),
    };
    let key = match selection.key_of(row, &value) {
        Ok(key) => key.to_string(),
        Err(failure) => return failed(selection.key_of_invalid(row).to_string(), failure.to_string()),
    };
    match selection.judge(&value) {
        Err(failure) => return failed(key, failure.to_string()),
        Ok(Judged::LeftOut(why)) => return PreviewItem { skipped: Some(why), ..item(key) },
        Ok(Judged::Selected) => {}
    }
    let redact = &bound.settings.redact;
    let said = |text: String| match redact.is_empty() {
        true => text,
        false => redact.hide(&mut value.clone()).scrub(&text).into_owned(),
    };
    let scope = Scope::params(&bound.params).with_item(&value);
    let destination = if publishes { job.destination(&value, &scope) } else { Ok(None) };
    match destination.and_then(|destination| Ok((destination, job.preview(&value, &scope)?))) {
        Err(error) => failed(key, said(error.to_string())),
        Ok((destination, request)) => PreviewItem { destination, request: request.map(said), ..item(key) },
    }
}

/// The first items that are none of the damaged ones, at most so many.
///
/// # Errors
/// The source cannot be read.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) async fn first_items(
    items: &reader::ItemsConfig,
    shown: &str,
    most: usize,
) -> Result<(Vec<String>, Vec<serde_json::Value>)> {
    let scratch = Scratch::new()?;
    let input = reader::freeze(items, &Storages::new("sample"), &scratch.0, shown).await?;
    let open = input.open(&scratch.0)?;
    tokio::task::block_in_place(|| {
        let mut rows = open.rows(Position::START)?;
        let mut found = Vec::new();
        while found.len() < most
            && let Some(row) = rows.next()?
        {
            found.extend(row.value().ok());
        }
        Ok((input.columns().to_vec(), found))
    })
}

/// A folder for the list that is gone afterwards.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("fanfold-dry-run-{}-{:08x}", std::process::id(), fastrand::u32(..)));
        // The list may hold what is nobody else's business.
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| Error::surroundings(format!("{} cannot be made: {error}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left in the temporary folder of the system does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
