//! [`MapRun`]: the map run of an execution, as `DescribeMapRun` tells of it.

use aws_sdk_sfn::types::{ExecutionStatus, MapRunStatus};

use super::clients::Clients;
use super::execution::Execution;
use super::trouble::{Asked, trouble};
use crate::error::Result;
use crate::event::Executions;
use crate::outcome::Counts;

/// Counts of one of the SDK's two types for them, which have the same fields.
macro_rules! counted {
    ($counts:expr) => {{
        let n = |n: i64| u64::try_from(n).unwrap_or(0);
        let counts = $counts;
        Executions {
            total: n(counts.total),
            pending: n(counts.pending),
            running: n(counts.running),
            succeeded: n(counts.succeeded),
            failed: n(counts.failed),
            timed_out: n(counts.timed_out),
            aborted: n(counts.aborted),
        }
    }};
}

/// A map run.
#[derive(Debug, Clone)]
pub(crate) struct MapRun {
    pub arn: String,
    pub status: MapRunStatus,
    pub max_concurrency: i32,
    /// Items by the status of their child execution.
    pub items: Executions,
    /// Child executions by status.
    pub executions: Executions,
}

impl MapRun {
    /// The map run of an execution, if it has begun. A workflow's machine begins one in each execution.
    pub async fn arn_of(clients: &Clients, execution: &str) -> Result<Option<String>, Asked> {
        match clients.sfn.list_map_runs().execution_arn(execution).send().await {
            Ok(found) => Ok(found.map_runs.into_iter().next().map(|run| run.map_run_arn)),
            Err(error) => Err(Asked::of("the map run cannot be looked up", &error)),
        }
    }

    /// How the map run stands.
    pub async fn describe(clients: &Clients, arn: &str) -> Result<Self, Asked> {
        let found = clients.sfn.describe_map_run().map_run_arn(arn).send().await;
        let found = found.map_err(|error| Asked::of("the map run cannot be looked up", &error))?;
        Ok(Self {
            arn: found.map_run_arn,
            status: found.status,
            max_concurrency: found.max_concurrency,
            items: found.item_counts.as_ref().map(|counts| counted!(counts)).unwrap_or_default(),
            executions: found.execution_counts.as_ref().map(|counts| counted!(counts)).unwrap_or_default(),
        })
    }

    /// The map run of an execution, if it has begun.
    pub async fn of(clients: &Clients, execution: &str) -> Result<Option<Self>, Asked> {
        match Self::arn_of(clients, execution).await? {
            Some(arn) => Self::describe(clients, &arn).await.map(Some),
            None => Ok(None),
        }
    }

    /// Items as far as Step Functions knows: it counts those of a child that ended well as done, whatever became of each. The others
    /// may have an outcome or not.
    pub fn counts(&self) -> Counts {
        let (total, succeeded) = (self.items.total, self.items.succeeded);
        Counts { total, succeeded, pending: total.saturating_sub(succeeded), ..Counts::default() }
    }

    /// Changes how many children run at once.
    pub async fn throttle(&self, clients: &Clients, concurrency: u32) -> Result<()> {
        let most = i32::try_from(concurrency).unwrap_or(i32::MAX);
        let asked = clients.sfn.update_map_run().map_run_arn(&self.arn).max_concurrency(most).send().await;
        asked.map(drop).map_err(|error| trouble("the map run cannot be changed", &error))
    }

    /// Why the first of its children failed, if one did: `Worker.Refused: …`.
    pub async fn first_failure(&self, clients: &Clients) -> Result<Option<(String, String)>, Asked> {
        if self.executions.failed + self.executions.timed_out == 0 {
            return Ok(None);
        }
        for status in [ExecutionStatus::Failed, ExecutionStatus::TimedOut] {
            let asked = clients.sfn.list_executions().map_run_arn(&self.arn).status_filter(status).max_results(1).send().await;
            let found = asked.map_err(|error| Asked::of("the child executions cannot be listed", &error))?;
            let Some(child) = found.executions.first() else { continue };
            if let Some(child) = Execution::find(clients, &child.execution_arn).await? {
                let error = child.error.unwrap_or_else(|| child.status.as_str().to_string());
                return Ok(Some((error, child.cause.unwrap_or_default())));
            }
        }
        Ok(None)
    }
}
