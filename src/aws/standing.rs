//! [`Standing`]: how a run on AWS stands, from its executions and its bucket.

use std::time::Duration;

use aws_sdk_sfn::types::ExecutionStatus;

use super::execution::Execution;
use super::map_run::MapRun;
use super::outcomes::Outcomes;
use super::run::{AwsRun, RunExecutions};
use crate::bucket::{REPORT, RunReport};
use crate::error::{Error, Result};
use crate::outcome::{Counts, RunStatus};
use crate::report::Report;

/// How a run stands.
#[derive(Debug)]
pub(crate) struct Standing {
    pub report: Report,
    /// Its newest execution, if Step Functions still knows it.
    pub execution: Option<Execution>,
    /// The map run of that one, if it has begun.
    pub map_run: Option<MapRun>,
    /// What is in its way, if it was not items that ended it.
    pub trouble: Option<Error>,
}

impl Standing {
    /// Asks how the run stands.
    ///
    /// # Errors
    /// AWS cannot be asked; there is no such run.
    pub async fn of(run: &AwsRun, now_ms: i64) -> Result<Self> {
        let executions = run.executions().await?;
        let elapsed = Duration::from_millis(executions.elapsed_ms(now_ms));
        let execution = executions.running().or(executions.newest()).cloned();
        let map_run = match &execution {
            Some(execution) => MapRun::of(&run.clients, &execution.arn).await?,
            None => None,
        };
        let report = Report { elapsed, ..empty(run) };
        let mut standing = Self { report, execution, map_run, trouble: None };
        match &standing.execution {
            Some(execution) if execution.is_running() => standing.take_map_run(),
            Some(execution) if !execution.is_judged() => {
                let execution = execution.clone();
                standing.take_outcomes(run, &execution, &executions).await?;
            }
            _ => standing.take_report(run).await?,
        }
        Ok(standing)
    }

    /// It is going on: what Step Functions counts.
    fn take_map_run(&mut self) {
        let report = &mut self.report;
        if let Some(map_run) = &self.map_run {
            (report.items, report.batches) = (map_run.counts(), map_run.executions.total);
        }
    }

    /// It was judged: what the gate wrote.
    async fn take_report(&mut self, run: &AwsRun) -> Result<()> {
        let Some(judged) = run.bucket.find_json::<RunReport>(REPORT).await? else {
            if let Some(execution) = &self.execution {
                let (name, execution) = (run.bucket.address(REPORT), &execution.name);
                return Err(Error::surroundings(format!("`{name}` is not there, though the execution `{execution}` was judged")));
            }
            self.report.status = RunStatus::Stopped;
            self.report.stopped = Some("it was never begun, or its executions and its report are gone".into());
            return Ok(());
        };
        let report = &mut self.report;
        (report.status, report.items) = (judged.status, judged.items);
        (report.batches, report.attempts) = (judged.batches, judged.attempts);
        if judged.status == RunStatus::Stopped
            && let Some(map_run) = &self.map_run
            // Who may not list the children is not told why, and all the rest.
            && let Ok(Some((error, cause))) = map_run.first_failure(&run.clients).await
        {
            self.report.stopped = Some(one_line(&error, &cause));
        }
        Ok(())
    }

    /// It was cut off: what workers left in the bucket.
    async fn take_outcomes(&mut self, run: &AwsRun, execution: &Execution, executions: &RunExecutions) -> Result<()> {
        let outcomes = Outcomes::of(run, executions).await?;
        let tally = outcomes.tally().await?;
        let mut items = tally.items;
        let read = match &self.map_run {
            // A redrive reads its own items only.
            Some(map_run) if execution.round() == 0 => map_run.items.total,
            _ => 0,
        };
        let known = outcomes.report.as_ref().map_or(0, |report| report.items.total);
        let unseen = read.max(known).saturating_sub(items.total);
        (items.total, items.pending) = (items.total + unseen, items.pending + unseen);
        let report = &mut self.report;
        (report.status, report.items, report.attempts) = (RunStatus::Stopped, items, tally.attempts);
        report.batches = tally.batches.max(outcomes.report.map_or(0, |report| report.batches));
        let (error, cause) = (execution.error.as_deref().unwrap_or_default(), execution.cause.as_deref().unwrap_or_default());
        match execution.status {
            ExecutionStatus::Aborted => {
                self.report.stopped =
                    Some(if cause.is_empty() { "in the console or by StopExecution".into() } else { cause.into() })
            }
            ExecutionStatus::TimedOut => self.report.stopped = Some("the execution timed out".into()),
            _ => self.trouble = Some(trouble(error, cause, executions.0.len())),
        }
        Ok(())
    }
}

fn empty(run: &AwsRun) -> Report {
    Report {
        run: run.id().to_string(),
        workflow: run.known.workflow.clone(),
        status: RunStatus::Running,
        items: Counts::default(),
        batches: 0,
        lanes: None,
        attempts: 0,
        elapsed: Duration::ZERO,
        stopped: None,
        unknown_calls: Vec::new(),
    }
}

/// `Worker.Refused: the workflow does not load`, of one line.
fn one_line(error: &str, cause: &str) -> String {
    // Lambda gives its causes as JSON.
    let said = serde_json::from_str::<serde_json::Value>(cause).ok();
    let said = said.as_ref().and_then(|value| value.get("errorMessage")?.as_str()).unwrap_or(cause);
    let said: String = said.split_whitespace().collect::<Vec<_>>().join(" ");
    if said.is_empty() { error.to_string() } else { format!("{error}: {said}") }
}

/// What ended an execution that neither its items nor a person did, and what to do.
fn trouble(error: &str, cause: &str, executions: usize) -> Error {
    let failed = Error::surroundings(format!("the execution failed: {}", one_line(error, cause)));
    let again = if executions > 1 { "then resume it again" } else { "then resume it" };
    failed.hint(match error {
        "States.ItemReaderFailed" => {
            format!("the items cannot be read: is the source there, and was the workflow deployed for its bucket? {again}")
        }
        "States.ResultWriterFailed" => {
            format!("the results bucket cannot be written: see the role of the state machine, {again}")
        }
        "States.Permissions" => format!("a role lacks a permission: `fanfold deploy` sets both, {again}"),
        "States.DataLimitExceeded" => format!("an item or the params are larger than 256 KiB: {again}"),
        "States.Runtime" => {
            let split = r#"a source is {"bucket": …, "prefix": …}"#;
            format!("params that the machine cannot read stay as they are in a resume: start a new execution; {split}")
        }
        "States.ExceedToleratedFailureThreshold" | "States.Timeout" => {
            format!("the execution's events in the console say where: {again}")
        }
        "Lambda.ResourceNotFoundException" | "Lambda.Unknown" => {
            format!("the worker's function cannot be invoked: `fanfold deploy` puts it there, {again}")
        }
        _ => format!("put right what it says, {again}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_an_execution_is_one_line_with_what_to_do() {
        let cause = r#"{"errorMessage":"`workflow.yaml`: no\n such job","errorType":"Worker.Refused"}"#;
        assert_eq!(one_line("Worker.Refused", cause), "Worker.Refused: `workflow.yaml`: no such job");
        assert_eq!(one_line("States.Timeout", ""), "States.Timeout");
        let told = trouble("States.ItemReaderFailed", "Access Denied", 1).to_string();
        assert!(
            told.starts_with("the execution failed: States.ItemReaderFailed: Access Denied; hint: the items cannot be read"),
            "{told}"
        );
    }
}
