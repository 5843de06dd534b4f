//! [`Execution`]: one execution of a workflow's state machine; [`Arn`], its name on AWS.

use std::fmt;

use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::Value;

use super::clients::Clients;
use super::trouble::{Asked, code};
use crate::error::{Error, Result};

/// `arn:aws:states:REGION:ACCOUNT:execution:MACHINE:NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arn {
    text: String,
    pub region: String,
    pub machine: String,
    pub name: String,
}

impl Arn {
    /// Reads one.
    ///
    /// # Errors
    /// It is something else.
    pub fn read(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        match parts[..] {
            ["arn", _, "states", region, _, "execution", machine, .., name] if !region.is_empty() => Ok(Self {
                text: text.to_string(),
                region: region.to_string(),
                machine: machine.to_string(),
                name: name.to_string(),
            }),
            _ => Err(Error::refused(format!("`{text}` is not the ARN of an execution"))
                .hint("such as arn:aws:states:eu-west-1:123456789012:execution:resize-photos:20261123-8f3c")),
        }
    }

    /// The execution of this name of the state machine with this ARN.
    pub fn of(machine: &str, name: &str) -> String {
        format!("{}:{name}", machine.replacen(":stateMachine:", ":execution:", 1))
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One execution, as `DescribeExecution` tells of it.
#[derive(Debug, Clone)]
pub(crate) struct Execution {
    pub arn: String,
    pub name: String,
    /// The ARN of the state machine.
    pub machine: String,
    pub status: ExecutionStatus,
    /// Milliseconds since 1970.
    pub started_ms: i64,
    pub ended_ms: Option<i64>,
    pub error: Option<String>,
    pub cause: Option<String>,
    pub input: Input,
}

/// What an execution was started with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Input {
    pub params: Value,
    /// The run that it goes on with, if it did not begin one.
    pub run: Option<String>,
    /// What it was given as `redrive`, if it runs items again, and the round.
    pub redrive: Option<(u32, Value)>,
}

impl Input {
    pub(super) fn read(text: &str) -> Self {
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        let redrive = value.get("redrive").filter(|redrive| redrive.is_object()).cloned();
        let round = |redrive: &Value| redrive.get("round").and_then(Value::as_u64).and_then(|round| round.try_into().ok());
        Self {
            params: value.get("params").cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new())),
            run: ["resume", "redrive"].iter().find_map(|key| value.get(key)?.get("run")?.as_str()).map(str::to_string),
            redrive: redrive.and_then(|redrive| Some((round(&redrive)?, redrive))),
        }
    }
}

impl Execution {
    /// The execution of this ARN; `None` if there is none, or none any more: they are forgotten after 90 days.
    pub async fn find(clients: &Clients, arn: &str) -> Result<Option<Self>, Asked> {
        match clients.sfn.describe_execution().execution_arn(arn).send().await {
            Ok(found) => Ok(Some(Self {
                name: found.name.clone().unwrap_or_else(|| arn.rsplit(':').next().unwrap_or_default().to_string()),
                arn: found.execution_arn,
                machine: found.state_machine_arn,
                status: found.status,
                started_ms: found.start_date.to_millis().unwrap_or_default(),
                ended_ms: found.stop_date.and_then(|date| date.to_millis().ok()),
                error: found.error,
                cause: found.cause,
                input: Input::read(found.input.as_deref().unwrap_or_default()),
            })),
            Err(error) if code(&error) == Some("ExecutionDoesNotExist") => Ok(None),
            Err(error) => Err(Asked::of(format_args!("the execution `{arn}` cannot be looked up"), &error)),
        }
    }

    /// The name of the run that it works on.
    pub fn run(&self) -> &str {
        self.input.run.as_deref().unwrap_or(&self.name)
    }

    /// The round that it works on: 0, or that of its redrive.
    pub fn round(&self) -> u32 {
        self.input.redrive.as_ref().map_or(0, |(round, _)| *round)
    }

    pub fn is_running(&self) -> bool {
        matches!(self.status, ExecutionStatus::Running | ExecutionStatus::PendingRedrive)
    }

    /// Whether the gate judged it: then the report in the bucket is its own.
    pub fn is_judged(&self) -> bool {
        let by_gate = matches!(self.error.as_deref(), Some("Fanfold.BeyondTolerance" | "Fanfold.Stopped"));
        self.status == ExecutionStatus::Succeeded || self.status == ExecutionStatus::Failed && by_gate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_says_where_an_execution_is() {
        let text = "arn:aws:states:eu-west-1:123456789012:execution:resize-photos:20261123-8f3c";
        let arn = Arn::read(text).unwrap();
        assert_eq!(
            (arn.region.as_str(), arn.machine.as_str(), arn.name.as_str()),
            ("eu-west-1", "resize-photos", "20261123-8f3c")
        );
        assert_eq!(arn.to_string(), text);
        assert_eq!(Arn::of("arn:aws:states:eu-west-1:123456789012:stateMachine:resize-photos", "20261123-8f3c"), text);
        for other in ["arn:aws:states:eu-west-1:1:stateMachine:x", "20261123-8f3c", "arn:aws:s3:::bucket", ""] {
            assert!(Arn::read(other).is_err(), "{other}");
        }
    }

    #[test]
    fn an_execution_says_which_run_it_works_on() {
        let input = Input::read(r#"{"params":{"a":1},"redrive":{"run":"R","round":2,"items":{"bucket":"b","key":"k"}}}"#);
        assert_eq!((input.run.as_deref(), input.redrive.as_ref().map(|(round, _)| *round)), (Some("R"), Some(2)));
        let input = Input::read(r#"{"params":{},"resume":{"run":"R"}}"#);
        assert_eq!((input.run.as_deref(), input.redrive.is_none()), (Some("R"), true));
        assert!(Input::read("").params.is_object(), "one of the console may have nothing");
    }
}
