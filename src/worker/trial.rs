//! [`Trial`]: a job tried on single items, through the same attempts as in a run, without a workflow and without waiting.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Begun, Clock, Desk, Ended, Worker, WorkerSettings};
use crate::batch::Batch;
use crate::expression::Params;
use crate::item::{Item, ItemKey};
use crate::job::{ConfigError, Job, JobError, Jobs, Repeat, Setup, Within};
use crate::ledger::Memory;
use crate::outcome::Outcome;
use crate::permits::Unlimited;
use crate::retry::Retry;
use crate::storage::Storages;

/// Tries a job on single items, for its tests.
///
/// ```
/// use fanfold::{Attempt, ConfigError, Job, JobError, Outcome, Setup, Trial};
/// use serde_json::{Value, json};
///
/// struct Halve;
/// impl Job for Halve {
///     const NAME: &'static str = "halve";
///     type Config = Value;
///     type Input = u32;
///     type Output = u32;
///     fn new(_: Value, _: &Setup) -> Result<Self, ConfigError> {
///         Ok(Halve)
///     }
///     async fn run(&self, n: u32, attempt: &Attempt<'_>) -> Result<u32, JobError> {
///         match (n % 2, attempt.number()) {
///             (0, 1) => Err(JobError::transient("not at the first try")),
///             (0, _) => Ok(n / 2),
///             _ => Err(JobError::permanent("odd").named("Halve.Odd")),
///         }
///     }
/// }
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let trial = Trial::of::<Halve>(json!({}))?;
/// let tried = trial.item(json!(8)).await;
/// assert_eq!((tried.outcome, tried.attempts), (Some(Outcome::Succeeded(json!(4))), 2));
/// let tried = trial.item(json!(7)).await;
/// assert!(matches!(tried.outcome, Some(Outcome::Failed(failure)) if failure.error == "Halve.Odd"));
/// # Ok::<(), ConfigError>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Trial(Worker);

/// How a trial of one item ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    /// How the item ended; `None` if the job said that the surroundings fail, and it stays pending.
    pub outcome: Option<Outcome>,
    /// After how many tries.
    pub attempts: u32,
}

impl Trial {
    /// A trial of a job with these settings; retries as by default, without waiting between them.
    ///
    /// # Errors
    /// The settings are not what the job takes.
    pub fn of<J: Job>(config: Value) -> Result<Self, ConfigError> {
        Self::with::<J>(config, Value::Object(serde_json::Map::new()), None)
    }

    /// The same with the workflow's params and `item_timeout`.
    ///
    /// # Errors
    /// The settings are not what the job takes.
    pub fn with<J: Job>(config: Value, params: Value, item_timeout: Option<Duration>) -> Result<Self, ConfigError> {
        let jobs = Jobs::default().with::<J>();
        let kind = jobs.get(J::NAME).copied().ok_or_else(|| ConfigError::new("", "the job has no name"))?;
        let setup = Setup {
            workflow: "trial".into(),
            run: "trial".into(),
            params: Arc::new(params.clone()),
            source: None,
            storages: Storages::new("trial"),
            within: Within::default(),
            succeeded: 0,
            secrets: Arc::new(crate::secrets::Secrets::new(Default::default())),
            wire: None,
            one_of_many: false,
        };
        let settings = WorkerSettings {
            workflow: "trial".into(),
            run: "trial".into(),
            params: Params::new(params),
            retry: Retry { initial_interval: Duration::ZERO, max_interval: Duration::ZERO, ..Retry::default() },
            item_timeout,
            concurrency: None,
            clock: Clock::of_this_machine(),
            ledger: Arc::new(Memory::default()),
            permits: Arc::new(Unlimited),
        };
        let job = kind.make(config, &setup)?;
        Ok(Self(Worker::new(&kind, job, settings, CancellationToken::new())))
    }

    /// Runs one item to its end.
    pub async fn item(&self, value: Value) -> Tried {
        let item = Item { index: 0, key: ItemKey::Name("trial".to_string()), value };
        let batch = Batch { id: 0, items: vec![item], redriven: Arc::default() };
        let desk = TrialDesk::default();
        self.0.run(&batch, &desk).await;
        let ended = desk.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        match ended {
            Some(Ended { outcome, attempts, .. }) => Tried { outcome: Some(outcome), attempts },
            None => Tried { outcome: None, attempts: 1 },
        }
    }
}

/// Remembers how the one item ended.
#[derive(Debug, Default)]
struct TrialDesk(Mutex<Option<Ended>>);

impl Desk for TrialDesk {
    fn beginning(&self, _: &Batch, _: Repeat) -> Begun {
        Begun::Together(0)
    }

    fn starting<'a>(&'a self, _: &'a Item, _: Repeat) -> Pin<Box<dyn Future<Output = Option<usize>> + Send + 'a>> {
        Box::pin(std::future::ready(Some(0)))
    }

    fn ended_now(&self, _: &Item, ended: Ended, _: Repeat) -> Result<bool, Ended> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
        Ok(true)
    }

    fn ended<'a>(&'a self, _: &'a Item, _: Ended, _: Repeat) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(std::future::ready(true))
    }

    fn left(&self, _: usize) {}

    fn surroundings(&self, _: &Item, _: JobError) {}

    fn gave_up(&self, _: String) {}
}
