//! [`Jobs`]: the jobs a binary knows by name. Typed in front, erased behind.
//!
//! Registered one by one: after a crash, and inside Lambda, only the *name* of a job survives, so the list from name to code
//! has to be made again by the program itself.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Attempt, ConfigError, Ending, Fleet, Job, JobError, Repeat, RowsAttempt, Setup, Within, Work};
use crate::expression::Scope;

/// The jobs a binary knows, by name.
///
/// ```
/// # #[cfg(feature = "image")]
/// assert!(fanfold::Jobs::builtin().names().any(|name| name == "image_resize"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Jobs(Vec<JobKind>);

impl Jobs {
    /// The jobs that come with fanfold.
    pub fn builtin() -> Self {
        let jobs = Self::default();
        #[cfg(feature = "image")]
        let jobs = jobs.with::<super::image_resize::ImageResize>();
        #[cfg(feature = "http")]
        let jobs = jobs.with::<super::http_chain::HttpChain>();
        #[cfg(any(feature = "sqlite", feature = "postgres"))]
        let jobs = jobs.with::<super::csv_import::CsvImport>();
        jobs
    }

    /// Adds a job.
    ///
    /// # Panics
    /// If a job of this name is there already: a mistake in the program, found at its first start.
    #[must_use]
    pub fn with<J: Job>(mut self) -> Self {
        assert!(self.get(J::NAME).is_none(), "a job named `{}` is registered twice", J::NAME);
        self.0.push(JobKind::of::<J>());
        self
    }

    /// The names, in the order of registration.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|kind| kind.name)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&JobKind> {
        self.0.iter().find(|kind| kind.name == name)
    }

    pub(crate) fn kinds(&self) -> impl Iterator<Item = &JobKind> {
        self.0.iter()
    }
}

type Make = fn(Value, &Setup) -> Result<Arc<dyn AnyJob>, ConfigError>;
type StepsOf = fn(Value, &Within) -> Result<Vec<(String, bool)>, ConfigError>;
type FleetOf = fn(Value, &Within) -> Result<Fleet, ConfigError>;
type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What is known of a job before it is made.
#[derive(Clone, Copy)]
pub(crate) struct JobKind {
    pub name: &'static str,
    pub repeat: Repeat,
    pub work: Work,
    pub whole_batch: bool,
    pub takes_rows: bool,
    pub publishes: bool,
    pub finishes: bool,
    pub errors: &'static [(&'static str, &'static str)],
    pub config_schema: SchemaOf,
    /// The whole schema of an item, and of what is kept of a success.
    pub input_schema: fn() -> Schema,
    pub output_schema: fn() -> Schema,
    check: fn(&Value, &Within) -> Result<(), ConfigError>,
    steps: StepsOf,
    fleet: FleetOf,
    make: Make,
}

impl JobKind {
    fn of<J: Job>() -> Self {
        Self {
            name: J::NAME,
            repeat: J::REPEAT,
            work: J::WORK,
            whole_batch: J::WHOLE_BATCH,
            takes_rows: J::TAKES_ROWS && J::WHOLE_BATCH && matches!(J::REPEAT, Repeat::Recorded),
            publishes: J::PUBLISHES,
            finishes: J::FINISHES,
            errors: J::ERRORS,
            config_schema: J::Config::json_schema,
            input_schema: whole_schema::<J::Input>,
            output_schema: whole_schema::<J::Output>,
            check: check::<J>,
            steps: |config, within| Ok(J::steps(&typed::<J>(config, within)?)),
            fleet: |config, within| J::fleet(&typed::<J>(config, within)?),
            make: make::<J>,
        }
    }

    /// Whether settings with every expression over `params` resolved are what the job takes. Nothing is made or opened.
    pub fn check(&self, config: &Value, within: &Within) -> Result<(), ConfigError> {
        (self.check)(config, within)
    }

    /// The steps that have an effect: see [`Job::steps`]. Nothing is made or opened.
    pub fn steps(&self, config: Value, within: &Within) -> Result<Vec<(String, bool)>, ConfigError> {
        (self.steps)(config, within)
    }

    /// What it needs where many workers do it: see [`Job::fleet`]. Nothing is made or opened.
    pub fn fleet(&self, config: Value, within: &Within) -> Result<Fleet, ConfigError> {
        (self.fleet)(config, within)
    }

    /// Makes the job from its settings, with every expression over `params` resolved.
    pub fn make(&self, config: Value, setup: &Setup) -> Result<Arc<dyn AnyJob>, ConfigError> {
        (self.make)(config, setup)
    }
}

impl fmt::Debug for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobKind({})", self.name)
    }
}

fn whole_schema<T: JsonSchema>() -> Schema {
    SchemaGenerator::default().into_root_schema_for::<T>()
}

fn make<J: Job>(config: Value, setup: &Setup) -> Result<Arc<dyn AnyJob>, ConfigError> {
    Ok(Arc::new(J::new(typed::<J>(config, &setup.within)?, setup)?))
}

fn check<J: Job>(config: &Value, within: &Within) -> Result<(), ConfigError> {
    typed::<J>(config.clone(), within).map(drop)
}

fn typed<J: Job>(config: Value, within: &Within) -> Result<J::Config, ConfigError> {
    let config = serde_path_to_error::deserialize(config).map_err(|error| {
        let setting = match error.path().to_string().as_str() {
            "." => String::new(),
            path => path.to_string(),
        };
        ConfigError::new(setting, error.into_inner().to_string())
    })?;
    J::check(&config, within)?;
    Ok(config)
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A job whose types are forgotten: JSON in, JSON out.
pub(crate) trait AnyJob: Send + Sync {
    fn ready(&self) -> Answer<'_, Result<(), JobError>>;
    fn finish<'a>(&'a self, ending: &'a Ending<'a>) -> Answer<'a, Result<(), JobError>>;
    fn run<'a>(&'a self, attempt: &'a Attempt<'a>) -> Answer<'a, Result<Value, JobError>>;
    fn run_batch<'a>(&'a self, attempts: Vec<Attempt<'a>>) -> Answer<'a, Vec<Result<Value, JobError>>>;
    fn run_rows<'a>(&'a self, rows: &'a RowsAttempt<'a>) -> Answer<'a, Vec<(usize, JobError)>>;
    fn destination(&self, item: &Value, scope: &Scope<'_>) -> Result<Option<String>, JobError>;
    fn preview(&self, item: &Value, scope: &Scope<'_>) -> Result<Option<String>, JobError>;
    fn calls(&self) -> u32;
    fn calls_per_lane(&self) -> u32;
}

impl<J: Job> AnyJob for J {
    fn ready(&self) -> Answer<'_, Result<(), JobError>> {
        Box::pin(Job::ready(self))
    }

    fn finish<'a>(&'a self, ending: &'a Ending<'a>) -> Answer<'a, Result<(), JobError>> {
        Box::pin(Job::finish(self, ending))
    }

    fn run<'a>(&'a self, attempt: &'a Attempt<'a>) -> Answer<'a, Result<Value, JobError>> {
        Box::pin(async move { output::<J>(Job::run(self, input(attempt.item())?, attempt).await?) })
    }

    fn run_batch<'a>(&'a self, attempts: Vec<Attempt<'a>>) -> Answer<'a, Vec<Result<Value, JobError>>> {
        Box::pin(async move {
            let mut results = Vec::with_capacity(attempts.len());
            let mut asked = Vec::with_capacity(attempts.len());
            for attempt in attempts {
                match input(attempt.item()) {
                    Ok(input) => {
                        asked.push((input, attempt));
                        results.push(None);
                    }
                    Err(error) => results.push(Some(Err(error))),
                }
            }
            let mut answers = Job::run_batch(self, asked).await.into_iter();
            let missing = || Err(JobError::permanent("the job gave no answer for this item").named("Job.Broken"));
            results
                .into_iter()
                .map(|known| known.unwrap_or_else(|| answers.next().unwrap_or_else(missing).and_then(output::<J>)))
                .collect()
        })
    }

    fn run_rows<'a>(&'a self, rows: &'a RowsAttempt<'a>) -> Answer<'a, Vec<(usize, JobError)>> {
        Box::pin(Job::run_rows(self, rows))
    }

    fn destination(&self, item: &Value, scope: &Scope<'_>) -> Result<Option<String>, JobError> {
        Job::destination(self, &input(item)?, scope)
    }

    fn preview(&self, item: &Value, scope: &Scope<'_>) -> Result<Option<String>, JobError> {
        Job::preview(self, &input(item)?, scope)
    }

    fn calls(&self) -> u32 {
        Job::calls(self)
    }

    fn calls_per_lane(&self) -> u32 {
        Job::calls_per_lane(self)
    }
}

fn input<T: DeserializeOwned>(item: &Value) -> Result<T, JobError> {
    // The plain way first: keeping the path costs, and nearly every item is right.
    T::deserialize(item).map_err(|_| {
        let detail = match serde_path_to_error::deserialize::<_, T>(item) {
            Err(error) if error.path().to_string() != "." => format!("`{}`: {}", error.path(), error.inner()),
            Err(error) => error.to_string(),
            Ok(_) => "not what this job takes".to_string(),
        };
        JobError::permanent(detail).named("Item.Invalid")
    })
}

fn output<J: Job>(output: J::Output) -> Result<Value, JobError> {
    serde_json::to_value(output)
        .map_err(|error| JobError::permanent(format!("the output is not JSON: {error}")).named("Job.Broken"))
}
