//! The engine alone: fanfold with one more job, `noop`, that does nothing. `benches/overhead.sh` measures it.

use std::process::ExitCode;

use fanfold::{Attempt, ConfigError, Job, JobError, Jobs, Setup};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

struct Noop;

/// Does nothing.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoopConfig {}

impl Job for Noop {
    const NAME: &'static str = "noop";
    type Config = NoopConfig;
    type Input = Value;
    type Output = ();

    fn new(_: NoopConfig, _: &Setup) -> Result<Self, ConfigError> {
        Ok(Self)
    }

    async fn run(&self, _: Value, _: &Attempt<'_>) -> Result<(), JobError> {
        Ok(())
    }
}

fn main() -> ExitCode {
    fanfold::main(Jobs::builtin().with::<Noop>())
}
