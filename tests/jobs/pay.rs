//! `pay`: a chain of steps whose third party is the log itself. Every request that arrives is one line, every effect another.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use fanfold::{
    Answer, Attempt, Call, ConfigError, Job, JobError, NoAnswer, OnUnknown, Probed, Repeat, Sender, Sent, Setup, StepPolicy,
    StepRepeat,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// Sends a request for each step, one after another.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PayConfig {
    log: PathBuf,
    /// How many steps there are: s1, s2, ….
    steps: u32,
    /// safe, idempotent, keyed, once
    repeat: String,
    /// retry, probe, hold
    on_unknown: String,
    /// Once there is such a file, nothing misbehaves any more.
    cure: Option<PathBuf>,
    /// While there is no such file, requests that `wait` go no further.
    gate: Option<PathBuf>,
    /// Milliseconds until an answer comes.
    #[serde(default)]
    takes_ms: u64,
    /// Whether s1 is done once for a lane.
    #[serde(default)]
    once_per_lane: bool,
    /// Bytes of every answer's body.
    #[serde(default)]
    pad: usize,
}

#[derive(Deserialize, JsonSchema)]
pub struct PayItem {
    id: String,
    /// The step that goes wrong.
    #[serde(default)]
    at: String,
    /// abort before, abort after, lost, refuse, break, wait, unreachable
    #[serde(default)]
    what: String,
}

pub struct Pay(PayConfig);

impl Pay {
    fn lines(&self) -> String {
        fs::read_to_string(&self.0.log).unwrap_or_default()
    }

    fn log(&self, line: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(&self.0.log).expect("the log");
        // One write: a line is in the log or not.
        file.write_all(format!("{line}\n").as_bytes()).expect("the log");
    }
}

struct Request<'a> {
    pay: &'a Pay,
    item: &'a PayItem,
    step: &'a str,
    what: &'a str,
}

impl Request<'_> {
    /// The effect of this key, if it happened. A third party that knows keys has it once.
    fn effect(&self, key: &str) -> Option<Answer> {
        let line = format!("effect {} {} {key}", self.item.id, self.step);
        self.pay.lines().lines().any(|found| found == line).then(|| self.answer(201))
    }

    fn answer(&self, status: u16) -> Answer {
        let body = json!({ "step": self.step, "pad": "x".repeat(self.pay.0.pad) });
        Answer { status, headers: vec![("content-type".into(), "application/json".into())], body: body.to_string().into() }
    }
}

impl Sender for Request<'_> {
    fn describe(&self, call: &Call<'_>) -> String {
        format!("POST /{} for {}, sending {}", self.step, self.item.id, call.number)
    }

    fn send<'a>(&'a self, call: Call<'a>) -> Sent<'a, Result<Answer, NoAnswer>> {
        Box::pin(async move {
            let Self { pay, item: PayItem { id, .. }, step, what } = self;
            match *what {
                "abort before" => std::process::abort(),
                "unreachable" => return Err(NoAnswer::NotSent("connection refused".into())),
                "wait" => {
                    pay.log(&format!("waits {id} {step}"));
                    while !pay.0.gate.as_ref().is_some_and(|gate| gate.exists()) {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                }
                _ => {}
            }
            pay.log(&format!("arrived {id} {step} {}", call.key));
            match *what {
                "refuse" => return Ok(self.answer(404)),
                "break" => return Ok(self.answer(500)),
                _ => {}
            }
            let known = pay.0.repeat == "keyed" && self.effect(call.key).is_some();
            if !known {
                pay.log(&format!("effect {id} {step} {}", call.key));
            }
            match *what {
                "abort after" => std::process::abort(),
                "lost" => return Err(NoAnswer::Lost("connection reset".into())),
                _ => {}
            }
            tokio::time::sleep(Duration::from_millis(pay.0.takes_ms)).await;
            Ok(self.answer(201))
        })
    }

    fn probe<'a>(&'a self, call: Call<'a>) -> Sent<'a, Result<Probed, NoAnswer>> {
        self.pay.log(&format!("probed {} {}", self.item.id, self.step));
        let found = self.effect(call.key).map_or(Probed::DidNotHappen, Probed::Happened);
        Box::pin(std::future::ready(Ok(found)))
    }
}

impl Job for Pay {
    const NAME: &'static str = "pay";
    const REPEAT: Repeat = Repeat::Steps;

    type Config = PayConfig;
    type Input = PayItem;
    type Output = Value;

    fn new(config: PayConfig, _: &Setup) -> Result<Self, ConfigError> {
        Ok(Self(config))
    }

    async fn run(&self, item: PayItem, attempt: &Attempt<'_>) -> Result<Value, JobError> {
        let repeat = match self.0.repeat.as_str() {
            "safe" => StepRepeat::Safe,
            "idempotent" => StepRepeat::Idempotent,
            "keyed" => StepRepeat::Keyed { ttl: Some(Duration::from_secs(86_400)) },
            _ => StepRepeat::Once,
        };
        let on_unknown = match self.0.on_unknown.as_str() {
            "retry" => OnUnknown::RetrySameKey,
            "probe" => OnUnknown::Probe { wait: Duration::from_millis(1) },
            _ => OnUnknown::Hold,
        };
        let mut bodies = Vec::new();
        for step in (1..=self.0.steps).map(|n| format!("s{n}")) {
            let cured = self.0.cure.as_ref().is_some_and(|cure| cure.exists());
            let what = if !cured && item.at == step { item.what.as_str() } else { "" };
            let request = Request { pay: self, item: &item, step: &step, what };
            let policy = StepPolicy {
                host: "pay.test:443",
                repeat,
                on_unknown,
                probe: None,
                retry: None,
                expected: &[],
                retried: &[],
                once_per_lane: self.0.once_per_lane && step == "s1",
                fresh: false,
                family: "Pay",
            };
            let answer = attempt.step(&step, 0, &policy, &request).await?;
            if answer.status >= 400 {
                return Err(
                    JobError::permanent(format!("answered {}", answer.status)).named(format!("Pay.Status.{}", answer.status))
                );
            }
            let body: Value = serde_json::from_slice(&answer.body).map_err(JobError::permanent)?;
            bodies.push(body["step"].clone());
        }
        self.log(&format!("end {}", item.id));
        Ok(Value::Array(bodies))
    }
}
