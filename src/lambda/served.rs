//! [`Served`]: what a worker keeps from one invocation to the next, for as long as Lambda keeps its process.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{Mutex, OnceCell};

use super::aws::KeptSecrets;
use super::event::BatchEvent;
use super::params::joined;
use super::refused::Refused;
use super::waits::Waits;
use crate::job::{AnyJob, JobKind, Jobs, Setup};
use crate::reader::Selection;
use crate::secrets::Secrets;
use crate::storage::Storages;
use crate::workflow::{Bound, Workflow};

/// Where Lambda unpacks what was packed.
const ROOT: &str = "LAMBDA_TASK_ROOT";

/// The workflow beside the program.
const FILE: &str = "workflow.yaml";

/// Runs that are kept ready at once: a process is handed batches of whichever run is going on.
const RUNS: usize = 4;

/// What a worker keeps.
#[derive(Debug)]
pub(super) struct Served {
    jobs: Jobs,
    workflow: OnceCell<Arc<Workflow>>,
    storages: OnceCell<Storages>,
    secrets: KeptSecrets,
    /// The one that was used last is the last.
    runs: Mutex<VecDeque<(String, Arc<Prepared>)>>,
}

/// The job of one run, open and ready.
pub(super) struct Prepared {
    pub bound: Bound,
    pub kind: JobKind,
    pub job: Arc<dyn AnyJob>,
    pub selection: Selection,
    pub secrets: Arc<Secrets>,
    pub waits: Arc<Waits>,
}

impl Served {
    /// Nothing is read or opened before the first invocation.
    pub fn new(jobs: Jobs) -> Self {
        let (workflow, storages, secrets, runs) = (OnceCell::new(), OnceCell::new(), KeptSecrets::default(), Mutex::default());
        Self { jobs, workflow, storages, secrets, runs }
    }

    /// The workflow that was packed beside the program.
    ///
    /// # Errors
    /// It is not there, or there is a mistake in it.
    pub async fn workflow(&self) -> Result<&Arc<Workflow>, Refused> {
        let load = async || {
            let root = std::env::var_os(ROOT).ok_or_else(|| Refused::new(format!("{ROOT} is not set")))?;
            let workflow = Workflow::load(&PathBuf::from(root).join(FILE), &self.jobs);
            workflow.map(Arc::new).map_err(|error| Refused::all(&error))
        };
        self.workflow.get_or_try_init(load).await
    }

    /// The workflow with the params of an execution.
    ///
    /// # Errors
    /// The params are not those of the workflow, or do not fit.
    pub async fn bound(&self, params: &Value) -> Result<Bound, Refused> {
        self.workflow().await?.rebind(&joined(params)).map_err(|error| Refused::all(&error))
    }

    /// Opens buckets.
    pub async fn storages(&self) -> &Storages {
        self.storages.get_or_init(|| std::future::ready(Storages::new("worker"))).await
    }

    /// The job of the run that the batch is of, made if it was not by an earlier invocation.
    ///
    /// # Errors
    /// The params do not fit, a secret is missing, or what every item needs is not there.
    pub async fn prepared(&self, event: &BatchEvent) -> Result<Arc<Prepared>, Refused> {
        let mut runs = self.runs.lock().await;
        let input = &event.input;
        let called = format!("{}\n{}{}\n{}", input.run, input.results.bucket, input.results.prefix, input.params);
        if let Some(at) = runs.iter().position(|(known, _)| *known == called)
            && let Some(found) = runs.remove(at)
        {
            let prepared = Arc::clone(&found.1);
            runs.push_back(found);
            return Ok(prepared);
        }
        let prepared = Arc::new(self.prepare(event).await?);
        while runs.len() >= RUNS {
            runs.pop_front();
        }
        runs.push_back((called, Arc::clone(&prepared)));
        Ok(prepared)
    }

    async fn prepare(&self, event: &BatchEvent) -> Result<Prepared, Refused> {
        let input = &event.input;
        let workflow = self.workflow().await?;
        let bound = self.bound(&input.params).await?;
        let settings = &bound.settings;
        let kind = workflow.job().copied();
        let kind = kind.ok_or_else(|| Refused::new(format!("the job `{}` is not in this program", settings.job.name)))?;
        let secrets = self.secrets.resolve(&settings.secrets, &bound.secrets).await.map_err(|error| Refused::all(&error))?;
        let secrets = Arc::new(secrets);
        let setup = Setup {
            workflow: workflow.name.as_str().into(),
            run: input.run.as_str().into(),
            params: Arc::new(bound.params.value().clone()),
            source: settings.items.location().cloned(),
            // Unlike that of any run anywhere: a bucket is in one account only.
            storages: self.storages().await.for_run(&format!("{}-{}-{}", input.results.bucket, workflow.name, input.run)),
            within: workflow.within(),
            succeeded: 0,
            secrets: Arc::clone(&secrets),
            wire: None,
            one_of_many: true,
        };
        let job = kind.make(settings.job.config.clone(), &setup);
        let job = job.map_err(|error| Refused::all(&workflow.place_config_error(&error)))?;
        job.ready().await.map_err(|error| Refused::new(secrets.scrub(error.cause()).into_owned()))?;
        let share = settings.rate.share(settings.max_concurrency);
        let waits = Arc::new(Waits::new(share, phase(&event.child.name), &settings.outage));
        let selection = Selection::elsewhere(&settings.items, &bound.params);
        Ok(Prepared { bound, kind, job, selection, secrets, waits })
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// A number from 0 to 1 of a child's own.
fn phase(child: &str) -> f64 {
    let mut hasher = DefaultHasher::new();
    child.hash(&mut hasher);
    // The upper 53 bits are a whole number that a float can be.
    (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_spread_over_the_time_between_two_calls() {
        let mut tenths = [0; 10];
        for child in 0..1000 {
            tenths[(phase(&format!("d5f6-{child}")) * 10.0) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (60..140).contains(count)), "{tenths:?}");
    }
}
