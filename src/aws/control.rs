//! Stopping a run on AWS, and changing how much of it is worked on at once.

use super::map_run::MapRun;
use super::run::AwsRun;
use super::trouble::trouble;
use crate::error::{Error, Result};
use crate::job::Jobs;

impl AwsRun {
    /// Stops an execution. Children that are at work are stopped between two states, or end by themselves.
    ///
    /// # Errors
    /// It cannot be stopped.
    pub async fn stop(&self, execution: &str) -> Result<()> {
        let request =
            self.clients.sfn.stop_execution().execution_arn(execution).error("Fanfold.Stopped").cause("by `fanfold stop`");
        request.send().await.map(drop).map_err(|error| trouble("the execution cannot be stopped", &error))
    }

    /// Changes how many children of the run work at once. Gives how many did before.
    ///
    /// # Errors
    /// It is not going on; with a `rate`, more children than it was shared between; AWS cannot be asked.
    pub async fn throttle(&self, concurrency: u32, jobs: &Jobs) -> Result<u64> {
        let executions = self.executions().await?;
        let Some(running) = executions.running() else {
            return Err(Error::refused(format!("no execution of run {} is running", self.id()))
                .hint("`max_concurrency` in the workflow, and `fanfold deploy`, are for the next one"));
        };
        let Some(map_run) = MapRun::of(&self.clients, &running.arn).await? else {
            return Err(Error::refused(format!("the map run of run {} has not begun", self.id())).hint("try again in a moment"));
        };
        // Each worker has its share of the rate: more workers would be more than was agreed.
        if let Some(deployment) = self.deployment().await?
            && let Ok((_, bound)) = deployment.bound(&running.input.params, jobs)
        {
            let settings = bound.settings;
            if !settings.rate.is_empty() && concurrency > settings.max_concurrency {
                return Err(Error::refused(format!(
                    "`--concurrency {concurrency}`: `rate` was shared between {} children, more would call more often than it says",
                    settings.max_concurrency
                ))
                .hint(format!("at most `--concurrency {}`", settings.max_concurrency)));
            }
        }
        map_run.throttle(&self.clients, concurrency).await?;
        Ok(u64::try_from(map_run.max_concurrency).unwrap_or(0))
    }
}
