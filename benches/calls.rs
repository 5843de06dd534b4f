//! The ledger alone: fanfold with one more job, `calls`, whose items make steps that are answered at once. `benches/ledger.sh` measures it.

use std::process::ExitCode;

use fanfold::{
    Answer, Attempt, Call, ConfigError, Job, JobError, Jobs, NoAnswer, OnUnknown, Probed, Repeat, Sender, Sent, Setup,
    StepPolicy, StepRepeat,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

struct Calls(CallsConfig);

/// Makes steps that are answered at once.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CallsConfig {
    /// Calls of each item.
    calls: u32,
    /// Whether they have an effect, so that each has a START.
    effect: bool,
}

struct Nobody;

impl Sender for Nobody {
    fn describe(&self, call: &Call<'_>) -> String {
        format!("POST http://127.0.0.1:9090/invoices {{\"customer\":\"c1\",\"cents\":1999,\"sending\":{}}}", call.number)
    }

    fn send<'a>(&'a self, _: Call<'a>) -> Sent<'a, Result<Answer, NoAnswer>> {
        let headers = vec![("content-type".to_string(), "application/json".to_string())];
        let answer = Answer { status: 201, headers, body: "{\"id\":\"inv-000017\",\"number\":17,\"status\":\"open\"}".into() };
        Box::pin(std::future::ready(Ok(answer)))
    }

    fn probe<'a>(&'a self, _: Call<'a>) -> Sent<'a, Result<Probed, NoAnswer>> {
        Box::pin(std::future::ready(Ok(Probed::DidNotHappen)))
    }
}

impl Job for Calls {
    const NAME: &'static str = "calls";
    const REPEAT: Repeat = Repeat::Steps;
    type Config = CallsConfig;
    type Input = Value;
    type Output = ();

    fn new(config: CallsConfig, _: &Setup) -> Result<Self, ConfigError> {
        Ok(Self(config))
    }

    async fn run(&self, _: Value, attempt: &Attempt<'_>) -> Result<(), JobError> {
        let policy = StepPolicy {
            host: "127.0.0.1:9090",
            repeat: if self.0.effect { StepRepeat::Once } else { StepRepeat::Safe },
            on_unknown: OnUnknown::Hold,
            probe: None,
            retry: None,
            expected: &[],
            retried: &[],
            once_per_lane: false,
            fresh: false,
            family: "Calls",
        };
        for call in 0..self.0.calls {
            attempt.step("pay", call, &policy, &Nobody).await?;
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    fanfold::main(Jobs::builtin().with::<Calls>())
}
