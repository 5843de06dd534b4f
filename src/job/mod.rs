//! What is done to an item: the [`Job`] trait, what a job is handed ([`Attempt`], [`Setup`]) and the list of jobs ([`Jobs`]).
//!
//! A job sees one item (or, where it does better, a whole batch), never a workflow, a run or another job.

mod attempt;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub mod csv_import;
mod ending;
mod error;
mod fleet;
#[cfg(feature = "http")]
pub mod http_chain;
#[cfg(feature = "image")]
pub mod image_resize;
pub(crate) mod in_job;
mod registry;
mod rows;
mod step;
mod wire;

use std::future::Future;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use attempt::Attempt;
pub use ending::Ending;
pub(crate) use ending::{Amended, EndingPort};
pub(crate) use error::JobErrorKind;
pub use error::{ConfigError, JobError};
pub use fleet::Fleet;
pub use registry::Jobs;
pub(crate) use registry::{AnyJob, JobKind};
pub use rows::RowsAttempt;
#[cfg(test)]
pub(crate) use step::NoServices;
pub use step::{Call, OnUnknown, Probed, Sender, Sent, StepPolicy, StepRepeat};
pub(crate) use step::{Kept, Services};
pub(crate) use wire::{Wire, WireRequest};

use crate::expression::Scope;
use crate::secrets::Secrets;
use crate::storage::{Location, Storages};

/// A kind of work: what is done to each item.
///
/// A job is made once per process and shared by everything that runs at once. It must be fine to run the same item again
/// after a crash, unless [`Job::REPEAT`] says otherwise.
///
/// ```
/// use fanfold::{Attempt, ConfigError, Job, JobError, Setup};
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
///
/// struct Greet { greeting: String }
///
/// /// Says hello to each person.
/// #[derive(Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct GreetConfig { greeting: String }
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Person { name: String }
///
/// #[derive(Serialize, JsonSchema)]
/// struct Greeting { text: String }
///
/// impl Job for Greet {
///     const NAME: &'static str = "greet";
///     type Config = GreetConfig;
///     type Input = Person;
///     type Output = Greeting;
///
///     fn new(config: GreetConfig, _: &Setup) -> Result<Self, ConfigError> {
///         Ok(Greet { greeting: config.greeting })
///     }
///
///     async fn run(&self, person: Person, _: &Attempt<'_>) -> Result<Greeting, JobError> {
///         Ok(Greeting { text: format!("{}, {}!", self.greeting, person.name) })
///     }
/// }
/// ```
pub trait Job: Sized + Send + Sync + 'static {
    /// The name in a workflow's `job:`, snake_case, unlike that of any other registered job.
    const NAME: &'static str;

    /// What a crash in the middle of an item means. Default [`Repeat::Safe`].
    const REPEAT: Repeat = Repeat::Safe;

    /// What the work mostly waits for; it decides how many items are worked on at once. Default [`Work::Io`].
    const WORK: Work = Work::Io;

    /// Whether [`Job::run_batch`] is called with all items of a batch instead of [`Job::run`] with each. Default no.
    const WHOLE_BATCH: bool = false;

    /// Whether [`Job::run_rows`] is called with rows of a CSV file as they were read, where nothing has to be made JSON of before;
    /// only with [`Job::WHOLE_BATCH`] and [`Repeat::Recorded`]. Default no.
    const TAKES_ROWS: bool = false;

    /// Whether [`Job::destination`] is asked for every item before a run starts. Default no.
    const PUBLISHES: bool = false;

    /// Whether [`Job::finish`] is called once every item of a run has ended. Default no.
    const FINISHES: bool = false;

    /// The error names of its own that the job may record, each with what it means and what to do: `fanfold explain` tells them.
    const ERRORS: &'static [(&'static str, &'static str)] = &[];

    /// The settings under the job's name in the workflow. Its doc comment is what `fanfold explain NAME` shows;
    /// use `#[serde(deny_unknown_fields)]`. Expressions over `params` are resolved before it is read; a field that may name
    /// `item` is a [`Setting`](crate::Setting).
    type Config: DeserializeOwned + JsonSchema;

    /// What an item must look like. An item that does not is failed: `Item.Invalid`. `serde_json::Value` takes any.
    type Input: DeserializeOwned + JsonSchema + Send;

    /// What is recorded of a success; at most 64 KiB of JSON. `()` is nothing.
    type Output: Serialize + JsonSchema + Send;

    /// What the settings' types cannot say of them, such as that one of two is needed. Asked by `fanfold check` as well, so
    /// nothing is opened here.
    ///
    /// # Errors
    /// Settings that cannot be: all of them, put together by [`ConfigError::and`].
    fn check(config: &Self::Config, within: &Within) -> Result<(), ConfigError> {
        let _ = (config, within);
        Ok(())
    }

    /// Makes the job, from settings that passed [`Job::check`]. Nothing is asked of a disk or the network yet: see [`Job::ready`].
    ///
    /// # Errors
    /// A setting that cannot be.
    fn new(config: Self::Config, setup: &Setup) -> Result<Self, ConfigError>;

    /// Opens what every item needs, once before the first item of a session. Without access there the session ends at once,
    /// before anything is done. The provided one needs nothing.
    ///
    /// # Errors
    /// What is in the way; of which kind the error is does not matter.
    fn ready(&self) -> impl Future<Output = Result<(), JobError>> + Send {
        std::future::ready(Ok(()))
    }

    /// One try at one item.
    ///
    /// # Errors
    /// [`JobError`] says whether another try is worth it.
    ///
    /// # Cancel safety
    /// The future is dropped when the item's time is up: work it started elsewhere looks at [`Attempt::cancelled`].
    fn run(&self, input: Self::Input, attempt: &Attempt<'_>) -> impl Future<Output = Result<Self::Output, JobError>> + Send;

    /// One try at several items, answered in their order; asked for only with [`Job::WHOLE_BATCH`].
    ///
    /// The provided one runs the items one after another.
    fn run_batch(
        &self,
        items: Vec<(Self::Input, Attempt<'_>)>,
    ) -> impl Future<Output = Vec<Result<Self::Output, JobError>>> + Send {
        async move {
            let mut results = Vec::with_capacity(items.len());
            for (input, attempt) in items {
                results.push(self.run(input, &attempt).await);
            }
            results
        }
    }

    /// One try at several rows of a table: the numbers in the block of those that did not succeed, each once, and why. The others
    /// succeeded, with nothing to keep of them. Asked for only with [`Job::TAKES_ROWS`]; the provided one does nothing and says so.
    fn run_rows(&self, rows: &RowsAttempt<'_>) -> impl Future<Output = Vec<(usize, JobError)>> + Send {
        let broken = |row| (row, JobError::permanent("the job takes no rows").named("Job.Broken"));
        std::future::ready(rows.rows().map(broken).collect())
    }

    /// Called once every item of the run has ended, and again after a redrive; only with [`Job::FINISHES`]. Until it has returned
    /// well the run is not at its end: a crash or an error in it is gone on from by calling it again, so that doing it twice has to
    /// be doing it once.
    ///
    /// # Errors
    /// What is in the way: the run stops, resumable. Of which kind the error is does not matter.
    fn finish(&self, ending: &Ending<'_>) -> impl Future<Output = Result<(), JobError>> + Send {
        let _ = ending;
        std::future::ready(Ok(()))
    }

    /// The name that only this item may write, if it writes one; asked for only with [`Job::PUBLISHES`].
    /// Two items of one name refuse the run before it starts.
    ///
    /// # Errors
    /// An item without a valid name is left to [`Job::run`], which fails it.
    fn destination(&self, input: &Self::Input, scope: &Scope<'_>) -> Result<Option<String>, JobError> {
        let _ = (input, scope);
        Ok(None)
    }

    /// What the job would do first about this item, for people, without secrets: `run --dry-run` shows it. Nothing is opened or asked
    /// for it.
    ///
    /// # Errors
    /// The item would fail before anything is done about it.
    fn preview(&self, input: &Self::Input, scope: &Scope<'_>) -> Result<Option<String>, JobError> {
        let _ = (input, scope);
        Ok(None)
    }

    /// The names of its steps that have an effect ([`Attempt::step`]), each with whether it is done once for a lane, from settings that
    /// passed [`Job::check`]. By them it is known whether changed settings would send again under another name what was sent before:
    /// a redrive refuses those. Default none: it is not checked.
    fn steps(config: &Self::Config) -> Vec<(String, bool)> {
        let _ = config;
        Vec::new()
    }

    /// What the job needs of others where many workers do it that share no ledger, as on AWS, from settings that passed
    /// [`Job::check`]. Asked by `fanfold definition`; nothing is opened here. The default one refuses what may not be done twice,
    /// [`Repeat::Steps`] and [`Repeat::Unsafe`]: AWS may run a worker twice.
    ///
    /// # Errors
    /// Settings that cannot be there: all of them, put together by [`ConfigError::and`].
    fn fleet(config: &Self::Config) -> Result<Fleet, ConfigError> {
        let _ = config;
        let refused = |detail: &str| Err(ConfigError::new("", detail).hint("run it here: `fanfold run`"));
        match Self::REPEAT {
            Repeat::Safe | Repeat::Keyed | Repeat::Recorded => Ok(Fleet::default()),
            Repeat::Steps => refused("its steps need a ledger that all workers share, which there is not on AWS yet"),
            Repeat::Unsafe => refused("doing an item twice may repeat an effect, and AWS may run a worker twice"),
        }
    }

    /// How many calls to others an item makes at least, for the plan. Default 0.
    fn calls(&self) -> u32 {
        0
    }

    /// How many calls to others are made once for each lane, beside those of its items, at least. Default 0.
    fn calls_per_lane(&self) -> u32 {
        0
    }
}

/// What a crash in the middle of an item means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Doing it again is as good as doing it once.
    Safe,
    /// Doing it again is safe because the effect carries [`Attempt::key`].
    Keyed,
    /// Everything that has an effect goes through [`Attempt::step`]: an item goes on at the step where it was.
    Steps,
    /// The effect and a note of it are one, where the effect is: the job itself sees what was done before a crash. Items are not
    /// marked as in flight, and none is suspected of the crash.
    Recorded,
    /// Doing it again may repeat an effect: an item in flight at a crash, cut off by its time or by a panic is *unknown*
    /// and never run again by itself.
    Unsafe,
}

/// What the work mostly waits for. It sets the default of `batch.concurrency` and how many items one process works on at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// The network or a disk: `batch.concurrency` is 16.
    Io,
    /// The processor: `batch.concurrency` is the number of cores, and one process has at most 32 items a core in flight.
    Cpu,
}

/// What a job may know of the workflow around it when its settings are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Within {
    /// Whether there is an `order:`, so that there are lanes.
    pub ordered: bool,
    /// What the items are called.
    pub keys: Keys,
}

/// What the items of a workflow are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// By their address, or as `items.key` says: the same in every run.
    Named,
    /// By their position in a file, and the workflow says so: `items.key: position`.
    Position,
    /// By their position in a file, since the workflow says nothing.
    Unsaid,
}

impl Default for Within {
    fn default() -> Self {
        Self { ordered: false, keys: Keys::Named }
    }
}

/// What a job may use from its making on. Cheap to clone.
#[derive(Clone)]
pub struct Setup {
    pub(crate) workflow: Arc<str>,
    pub(crate) run: Arc<str>,
    pub(crate) params: Arc<Value>,
    pub(crate) source: Option<Location>,
    pub(crate) storages: Storages,
    pub(crate) within: Within,
    /// Items that succeeded in sessions before this one, while others are pending; else 0.
    pub(crate) succeeded: u64,
    pub(crate) secrets: Arc<Secrets>,
    /// How requests are sent, if not over the network.
    pub(crate) wire: Option<Arc<dyn Wire>>,
    /// Whether other processes do items of the same run at the same time.
    pub(crate) one_of_many: bool,
}

impl Setup {
    /// The workflow's name.
    pub fn workflow(&self) -> &str {
        &self.workflow
    }

    /// The run's id.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// The workflow's params as they are in this run, by name.
    pub fn params(&self) -> &Value {
        &self.params
    }

    /// The secrets that the workflow names, by name: what expressions name `secrets`, given to a scope by
    /// [`Scope::with`](crate::expression::Scope::with). What is made of it must never be kept or shown; causes of failures are gone
    /// over once more.
    pub fn secrets(&self) -> &Value {
        self.secrets.value()
    }

    /// Where the items' objects are, if the workflow's `items` are `objects`.
    pub fn source(&self) -> Option<&Location> {
        self.source.as_ref()
    }

    /// Opens folders and buckets.
    pub fn storages(&self) -> &Storages {
        &self.storages
    }
}

#[cfg(test)]
impl Setup {
    /// One that names nothing.
    pub(crate) fn for_tests() -> Self {
        Self {
            workflow: "w".into(),
            run: "r".into(),
            params: Arc::new(Value::Object(serde_json::Map::new())),
            source: None,
            storages: Storages::new("r"),
            within: Within::default(),
            succeeded: 0,
            secrets: Arc::new(Secrets::new(Default::default())),
            wire: None,
            one_of_many: false,
        }
    }
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup").field("workflow", &self.workflow).field("run", &self.run).finish_non_exhaustive()
    }
}
