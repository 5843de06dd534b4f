//! [`Run`]: a run of a workflow, begun or opened, ready to go on.

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Transaction;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::control::Control;
use super::cut::LANES;
use super::ending::UNFINISHED;
use super::record::{Record, set_fact};
use super::session::GOING_ON;
use super::state::{Lock, RunFolder, StateFolder};
use super::unknown::unknown_calls;
use crate::error::{Error, Result};
use crate::job::{JobKind, Jobs, Setup};
use crate::outcome::{Counts, RunStatus};
use crate::reader::Input;
use crate::report::Report;
use crate::secrets::{self, Secrets};
use crate::storage::Storages;
use crate::workflow::{Bound, Workflow};

/// The workflow as it is kept with a run: its text, and what its relative paths are relative to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredWorkflow {
    pub name: String,
    pub text: String,
    /// The file as the user named it, for messages.
    pub file: String,
    /// The folder that relative paths are relative to.
    pub base: PathBuf,
}

impl StoredWorkflow {
    pub fn of(workflow: &Workflow) -> Self {
        let Workflow { name, text, file, base, .. } = workflow.clone();
        Self { name, text, file: file.to_string(), base }
    }

    /// Checks the text again with the jobs of this program.
    pub fn parse(&self, jobs: &Jobs) -> Result<Workflow> {
        Workflow::parse(&self.text, &self.file, &self.base, jobs)
    }

    /// Where the file is, if it was one.
    pub fn path(&self) -> Option<PathBuf> {
        std::path::Path::new(&self.file).file_name().map(|name| self.base.join(name))
    }
}

/// A run that this process works on: nobody else does while it lives.
#[derive(Debug)]
pub struct Run {
    pub(super) folder: RunFolder,
    pub(super) record: Record,
    pub(super) workflow: Workflow,
    pub(super) bound: Bound,
    pub(super) kind: JobKind,
    pub(super) resumed: bool,
    pub(super) _lock: Lock,
}

impl Run {
    /// Begins a run: its folder and its record are there afterwards, and nothing has been read or done.
    ///
    /// `id` names it; without one it is called after the day and four random digits. A run of this name whose list was never made,
    /// because it was refused or killed before, is begun anew.
    ///
    /// # Errors
    /// The name cannot be one or is taken, or the state folder cannot be written.
    pub fn begin(state: &StateFolder, workflow: Workflow, bound: Bound, jobs: &Jobs, id: Option<&str>) -> Result<Self> {
        let kind = kind_of(&bound, jobs)?;
        let folder = state.new_run(id)?;
        let lock = folder.lock()?;
        let path = folder.record_path();
        let facts = |db: &Transaction<'_>| {
            set_fact(db, "workflow", &StoredWorkflow::of(&workflow))?;
            set_fact(db, "params", bound.params.value())?;
            set_fact(db, "tolerance", &bound.settings.tolerated_failure)?;
            // Unlike any other run's, of whatever state folder: what one publishes no other may sweep away.
            set_fact(db, "scratch", &format!("{}-{:08x}", folder.id(), fastrand::u32(..)))?;
            set_fact(db, "fanfold", &env!("CARGO_PKG_VERSION"))
        };
        if path.exists() {
            let mut record = Record::open(&path)?;
            if record.fact::<Input>("input")?.is_some() {
                let id = folder.id();
                return Err(Error::refused(format!("there is a run `{id}` already")).hint(format!("fanfold resume {id}")));
            }
            record.write("be written", facts)?;
            return Ok(Self { folder, record, workflow, bound, kind, resumed: false, _lock: lock });
        }
        // What a crash left before the run began is no record yet.
        let new = folder.path().join("run.db.new");
        let _ = std::fs::remove_file(&new);
        let mut record = Record::create(&new)?;
        record.write("be written", facts)?;
        drop(record);
        std::fs::rename(&new, &path)
            .map_err(|error| Error::surroundings(format!("{} cannot be written: {error}", path.display())))?;
        let record = Record::open(&path)?;
        Ok(Self { folder, record, workflow, bound, kind, resumed: false, _lock: lock })
    }

    /// Opens a run to go on with it, with the workflow text and the params it was begun with.
    ///
    /// # Errors
    /// There is no such run, another process is working on it, or its job is not registered.
    pub fn open(state: &StateFolder, id: &str, jobs: &Jobs) -> Result<Self> {
        let folder = state.run(id)?;
        let lock = folder.lock()?;
        let record = Record::open(&folder.record_path())?;
        let (workflow, bound) = begun_with(&record, jobs)?;
        let kind = kind_of(&bound, jobs)?;
        Ok(Self { folder, record, workflow, bound, kind, resumed: true, _lock: lock })
    }

    /// The run's id.
    pub fn id(&self) -> &str {
        self.folder.id()
    }

    /// Its folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// The workflow's name.
    pub fn workflow_name(&self) -> &str {
        &self.workflow.name
    }

    /// How the run stands.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn report(&self) -> Result<Report> {
        let mut report = fold(self.id(), &self.record)?;
        if report.status == RunStatus::Running {
            report.status = RunStatus::Stopped;
        }
        Ok(report)
    }

    pub(super) fn setup(&self) -> Result<Setup> {
        let scratch: Option<String> = self.record.fact("scratch")?;
        let counts = if self.input()?.is_some() { self.record.counts()? } else { Counts::default() };
        Ok(Setup {
            workflow: self.workflow.name.as_str().into(),
            run: self.id().into(),
            params: Arc::new(self.bound.params.value().clone()),
            source: self.bound.settings.items.location().cloned(),
            storages: Storages::new(scratch.as_deref().unwrap_or(self.id())),
            within: self.workflow.within(),
            succeeded: if counts.pending > 0 { counts.succeeded } else { 0 },
            secrets: Arc::new(self.secrets()?),
            wire: None,
            one_of_many: false,
        })
    }

    /// The secrets that the workflow names, if there is anything left to do with them.
    fn secrets(&self) -> Result<Secrets> {
        let declared = &self.bound.settings.secrets;
        if self.record.fact::<Input>("input")?.is_some() && self.record.counts()?.pending == 0 {
            return Ok(Secrets::pretended(declared.keys().map(String::as_str)));
        }
        secrets::resolve(declared, &self.bound.secrets, |variable| std::env::var_os(variable))
    }

    pub(super) fn input(&self) -> Result<Option<Input>> {
        self.record.fact("input")
    }
}

impl RunFolder {
    /// Asks the process that works on the run to stop.
    ///
    /// # Errors
    /// The run's folder cannot be written.
    pub fn ask_to_stop(&self) -> Result<()> {
        Control::at(self.control_path()).ask(|wishes| wishes.stop = true)
    }

    /// Sets how many batches are worked at once, now and after a resume.
    ///
    /// # Errors
    /// The run's folder cannot be written.
    pub fn throttle(&self, concurrency: u32) -> Result<()> {
        Control::at(self.control_path()).ask(|wishes| wishes.concurrency = Some(concurrency))
    }

    /// The params that the run was begun with, if its list was made.
    ///
    /// # Errors
    /// The record cannot be read.
    pub(crate) fn listed_with(&self) -> Result<Option<Value>> {
        let record = self.look()?;
        let listed = record.fact::<Input>("input")?.is_some();
        if listed { record.known_fact("params").map(Some) } else { Ok(None) }
    }

    /// Whether the last session was cut off, so that a resume has something to put in order even if every item has ended.
    ///
    /// # Errors
    /// The record cannot be read.
    pub(crate) fn was_cut_off(&self) -> Result<bool> {
        Ok(!self.is_busy() && self.look()?.fact::<Value>(GOING_ON)?.is_some())
    }

    /// Removes the run, if its list was never made: nothing was done, and there is nothing to go on with.
    ///
    /// # Errors
    /// A process is working on it, or the folder cannot be removed.
    pub(crate) fn remove_unlisted(&self) -> Result<()> {
        let _lock = self.lock()?;
        if Record::open(&self.record_path())?.fact::<Input>("input")?.is_some() {
            return Ok(());
        }
        std::fs::remove_dir_all(self.path())
            .map_err(|error| Error::surroundings(format!("{} cannot be removed: {error}", self.path().display())))
    }

    /// How the run stands, without working on it.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn report(&self) -> Result<Report> {
        // Asked before the record is read: a run that ends in between is then seen as ended.
        let busy = self.is_busy();
        let mut report = fold(self.id(), &self.look()?)?;
        if report.status == RunStatus::Running && !busy {
            report.status = RunStatus::Stopped;
        }
        Ok(report)
    }
}

/// The state of a run as its record tells it. A run with pending items is taken to be running.
pub(super) fn fold(id: &str, record: &Record) -> Result<Report> {
    let stored: StoredWorkflow = record.known_fact("workflow")?;
    let items = record.counts()?;
    let listed = record.fact::<Value>("input")?.is_some();
    let finished = record.fact::<bool>(UNFINISHED)?.is_none();
    let status = match record.fact("tolerance")? {
        Some(tolerance) if listed && finished && items.pending == 0 => RunStatus::judge(&items, &tolerance),
        _ => RunStatus::Running,
    };
    let stopped = if status == RunStatus::Running { record.fact("stopped")? } else { None };
    let (elapsed, _) = record.worked()?;
    Ok(Report {
        run: id.to_string(),
        workflow: stored.name,
        status,
        items,
        batches: record.batch_count()?,
        lanes: record.fact(LANES)?,
        attempts: record.attempts()?,
        elapsed,
        stopped,
        unknown_calls: unknown_calls(record, &items)?,
    })
}

/// The workflow and the params that the run was begun with, checked again with the jobs of this program.
pub(super) fn begun_with(record: &Record, jobs: &Jobs) -> Result<(Workflow, Bound)> {
    let workflow = record.known_fact::<StoredWorkflow>("workflow")?.parse(jobs)?;
    let bound = workflow.rebind(&record.known_fact("params")?)?;
    Ok((workflow, bound))
}

fn kind_of(bound: &Bound, jobs: &Jobs) -> Result<JobKind> {
    let name = &bound.settings.job.name;
    jobs.get(name).copied().ok_or_else(|| {
        let names: Vec<_> = jobs.names().collect();
        Error::refused(format!("the job `{name}` is not in this program, which has: {}", names.join(", ")))
    })
}
