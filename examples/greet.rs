//! A complete job of one's own: greets people. The program has the whole command line of fanfold.
//!
//! ```text
//! cargo run --example greet -- new hello --job greet --from people.jsonl
//! cargo run --example greet -- run hello.yaml
//! cargo run --example greet -- explain greet
//! ```

use std::process::ExitCode;

use fanfold::{Attempt, ConfigError, Job, JobError, Jobs, Setup};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A job is made once and shared by everything that runs at once.
struct Greet {
    config: GreetConfig,
}

/// Greets each person by name.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GreetConfig {
    /// What to say in front of the name.
    greeting: String,
    /// How often an answer is asked for before nobody is taken to be at home. Default 3.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 10))]
    knocks: u32,
}

fn three() -> u32 {
    3
}

/// What an item must look like.
#[derive(Deserialize, JsonSchema)]
struct Person {
    name: String,
    /// At how many knocks the person opens; nobody is deaf by default.
    #[serde(default)]
    opens_at: u32,
}

/// What is kept of a success.
#[derive(Serialize, JsonSchema)]
struct Greeting {
    text: String,
}

impl Job for Greet {
    const NAME: &'static str = "greet";
    const ERRORS: &'static [(&'static str, &'static str)] =
        &[("Greet.NoName", "The person has no name. Write one into the source and begin a new run.")];

    type Config = GreetConfig;
    type Input = Person;
    type Output = Greeting;

    fn new(config: GreetConfig, _: &Setup) -> Result<Self, ConfigError> {
        if config.greeting.trim().is_empty() {
            return Err(ConfigError::new("greeting", "is empty, expected some words").hint("for example `greeting: Hello`"));
        }
        Ok(Self { config })
    }

    async fn run(&self, person: Person, attempt: &Attempt<'_>) -> Result<Greeting, JobError> {
        if person.name.is_empty() {
            return Err(JobError::permanent("the name is empty").named("Greet.NoName"));
        }
        if attempt.number() < person.opens_at.min(self.config.knocks) {
            return Err(JobError::transient("nobody opened"));
        }
        Ok(Greeting { text: format!("{}, {}!", self.config.greeting, person.name) })
    }
}

fn main() -> ExitCode {
    fanfold::main(Jobs::builtin().with::<Greet>())
}
