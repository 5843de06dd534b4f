//! fanfold with the jobs of its tests: they write what they do into a log of their own, which is the judge, and misbehave on demand.

mod asks;
mod pay;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use fanfold::expression::Scope;
use fanfold::{Attempt, ConfigError, Job, JobError, Jobs, Repeat, Setting, Setup, Work};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Appends `begin KEY` and `end KEY` to a log, and does to itself what the item says.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoteConfig {
    /// The log.
    log: PathBuf,
    /// Milliseconds that each item takes.
    #[serde(default)]
    takes_ms: u64,
    /// Whether the item's value is its output.
    #[serde(default)]
    echo: bool,
    /// While there is no such file, items whose `what` is `wait` go no further.
    gate: Option<PathBuf>,
    /// Whether the log says when the job is made, once for each process that works.
    #[serde(default)]
    made: bool,
    /// Whether the log says with what each item begins: `begin KEY PREVIOUS`.
    #[serde(default)]
    previous: bool,
    /// What an item says that never succeeds.
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "secrets"]))]
    says: Option<Setting<String>>,
    /// Once there is such a file, no item misbehaves any more.
    cure: Option<PathBuf>,
}

#[derive(Deserialize, JsonSchema)]
struct NoteItem {
    /// What it is called in the log.
    id: String,
    /// abort, panic, compute panic, hang, transient, throttled, permanent, unknown, skip, full, big, memory, wait; key gives its key
    #[serde(default)]
    what: String,
    /// Tries that go wrong before one succeeds; 0 is all of them.
    #[serde(default)]
    tries: u32,
    /// The name that only this item may write.
    to: Option<String>,
}

struct Note<const KIND: u8>(NoteConfig, Setup);

const SAFE: u8 = 0;
const UNSAFE: u8 = 1;
const WHOLE: u8 = 2;
const CPU: u8 = 3;
const PUBLISHING: u8 = 4;

impl<const KIND: u8> Note<KIND> {
    fn log(&self, what: &str, id: &str) -> Result<(), JobError> {
        let mut file = OpenOptions::new().append(true).create(true).open(&self.0.log).map_err(JobError::permanent)?;
        // One write: a line is in the log or not.
        file.write_all(format!("{what} {id}\n").as_bytes()).map_err(JobError::permanent)
    }

    fn says(&self, attempt: &Attempt<'_>) -> String {
        let scope = attempt.scope().with("secrets", self.1.secrets());
        let said = self.0.says.as_ref().map(|says| says.get(&scope));
        said.unwrap_or_else(|| Ok("never".to_string())).unwrap_or_else(|error| error.to_string())
    }

    fn is_there(path: Option<&PathBuf>) -> bool {
        path.is_some_and(|path| path.exists())
    }

    async fn until_the_gate_is_open(&self) {
        while !Self::is_there(self.0.gate.as_ref()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl<const KIND: u8> Job for Note<KIND> {
    const NAME: &'static str = match KIND {
        SAFE => "note",
        UNSAFE => "note_unsafe",
        WHOLE => "note_whole",
        CPU => "note_cpu",
        _ => "note_to",
    };
    const REPEAT: Repeat = if KIND == UNSAFE { Repeat::Unsafe } else { Repeat::Safe };
    const WORK: Work = if KIND == CPU { Work::Cpu } else { Work::Io };
    const WHOLE_BATCH: bool = KIND == WHOLE;
    const PUBLISHES: bool = KIND == PUBLISHING;
    const ERRORS: &'static [(&'static str, &'static str)] =
        if KIND == SAFE { &[("Note.Never", "The item says that it never succeeds.")] } else { &[] };

    type Config = NoteConfig;
    type Input = Value;
    type Output = Value;

    fn new(config: NoteConfig, setup: &Setup) -> Result<Self, ConfigError> {
        let job = Self(config, setup.clone());
        if job.0.made {
            job.log("made", setup.run()).map_err(|error| ConfigError::new("log", error.to_string()).surroundings())?;
        }
        Ok(job)
    }

    async fn run(&self, value: Value, attempt: &Attempt<'_>) -> Result<Value, JobError> {
        let item: NoteItem = serde_json::from_value(value.clone()).map_err(|e| JobError::permanent(e).named("Item.Invalid"))?;
        match self.0.previous {
            true => self.log("begin", &format!("{} {}", item.id, attempt.previous()))?,
            false => self.log("begin", &item.id)?,
        }
        tokio::time::sleep(Duration::from_millis(self.0.takes_ms)).await;
        if item.what == "wait" {
            self.until_the_gate_is_open().await;
        }
        if !Self::is_there(self.0.cure.as_ref()) && (item.tries == 0 || attempt.number() <= item.tries) {
            match item.what.as_str() {
                "abort" => std::process::abort(),
                "panic" => panic!("this item panics"),
                "compute panic" => attempt.compute(|| panic!("this item panics elsewhere")).await,
                "hang" => {
                    let _gone = Gone(self, &item.id);
                    std::future::pending::<()>().await;
                }
                "transient" => return Err(JobError::transient("try again")),
                "throttled" => return Err(JobError::throttled(Some(Duration::from_millis(20)), "slow down")),
                "permanent" => return Err(JobError::permanent(self.says(attempt)).named("Note.Never")),
                "unknown" => return Err(JobError::unknown("who knows")),
                "skip" => return Err(JobError::skipped("not this one")),
                "full" => return Err(JobError::surroundings("the disk of the partner is full")),
                "memory" => {
                    let mut hoard = Vec::new();
                    // Until whoever watches over the process ends it; 4 GiB are more than anybody gives.
                    for _ in 0..64 {
                        hoard.push(vec![1_u8; 64 << 20]);
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    return Err(JobError::permanent(format!("{} pieces, and nobody minds", hoard.len())));
                }
                "key" => return Ok(attempt.key("step").into()),
                "big" => return Ok(Value::String("x".repeat(70_000))),
                _ => {}
            }
        }
        self.log("end", &item.id)?;
        Ok(if self.0.echo { value } else { Value::Null })
    }

    async fn run_batch(&self, items: Vec<(Value, Attempt<'_>)>) -> Vec<Result<Value, JobError>> {
        if self.log("batch", &items.len().to_string()).is_err() {
            return Vec::new();
        }
        let mut results = Vec::with_capacity(items.len());
        for (value, attempt) in items {
            results.push(self.run(value, &attempt).await);
        }
        results
    }

    fn destination(&self, value: &Value, _: &Scope<'_>) -> Result<Option<String>, JobError> {
        let item: NoteItem = serde_json::from_value(value.clone()).map_err(JobError::permanent)?;
        Ok(item.to)
    }
}

/// Says in the log that work was given up.
struct Gone<'a, const KIND: u8>(&'a Note<KIND>, &'a str);

impl<const KIND: u8> Drop for Gone<'_, KIND> {
    fn drop(&mut self) {
        let _ = self.0.log("gone", self.1);
    }
}

fn main() -> ExitCode {
    let jobs = Jobs::builtin()
        .with::<Note<SAFE>>()
        .with::<Note<UNSAFE>>()
        .with::<Note<WHOLE>>()
        .with::<Note<CPU>>()
        .with::<Note<PUBLISHING>>()
        .with::<asks::Asks>()
        .with::<pay::Pay>();
    fanfold::main(jobs)
}
