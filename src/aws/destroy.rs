//! [`destroy`]: a workflow is taken off AWS. What it left in its bucket stays.

use aws_sdk_sfn::types::ExecutionStatus;

use super::change::{Changes, Tell};
use super::clients::Clients;
use super::execution::Execution;
use super::stack::{Deployed, describe, output, stack_name, whose};
use super::trouble::trouble;
use crate::bucket::{REPORT, RunBucket, RunReport, run_prefix};
use crate::error::{Error, Result};

/// Takes a workflow off AWS, and gives the bucket back that its data stays in; `None` if it was not there. With `force`, also where its
/// last run has items of which it is not known whether they happened.
///
/// # Errors
/// Runs go on, or the last one left unknowns behind; AWS refuses it.
pub(crate) async fn destroy(clients: &Clients, workflow: &str, force: bool, tell: Tell<'_>) -> Result<Option<String>> {
    let name = stack_name(workflow);
    let Some(stack) = describe(clients, &name).await? else { return Ok(None) };
    let whose = whose(&stack);
    if whose != Some(workflow) {
        return Err(Error::refused(format!("the stack `{name}` is not that of the workflow `{workflow}`")));
    }
    // One that is half made or half removed has no state machine that could run.
    if output(&stack, "StateMachineArn").is_some()
        && let Ok(Some(deployed)) = Deployed::find(clients, workflow).await
    {
        at_rest(clients, &deployed, workflow).await?;
        if !force {
            nothing_unknown(clients, &deployed, workflow).await?;
        }
    }
    let bucket = output(&stack, "ResultsBucket");
    let id = stack.stack_id.clone().unwrap_or_else(|| name.clone());
    Changes { clients, stack: &name }.remove(&id, tell).await?;
    Ok(Some(bucket.unwrap_or_default()))
}

async fn at_rest(clients: &Clients, deployed: &Deployed, workflow: &str) -> Result<()> {
    let asked = clients.sfn.list_executions().state_machine_arn(&deployed.machine).status_filter(ExecutionStatus::Running);
    let running = asked.send().await.map_err(|error| trouble("the executions cannot be listed", &error))?.executions;
    let Some(first) = running.first() else { return Ok(()) };
    let all = match running.len() {
        1 => format!("the run `{}` of `{workflow}` goes on", first.name),
        many => format!("{many} runs of `{workflow}` go on, `{}` among them", first.name),
    };
    Err(Error::refused(all).hint(format!("wait for its end, or `fanfold stop {}`", first.execution_arn)))
}

async fn nothing_unknown(clients: &Clients, deployed: &Deployed, workflow: &str) -> Result<()> {
    let asked = clients.sfn.list_executions().state_machine_arn(&deployed.machine).max_results(1).send().await;
    let last = asked.map_err(|error| trouble("the executions cannot be listed", &error))?.executions.into_iter().next();
    let Some(last) = last else { return Ok(()) };
    let Some(execution) = Execution::find(clients, &last.execution_arn).await? else { return Ok(()) };
    let bucket = RunBucket::open(&clients.storages, &deployed.bucket, &run_prefix(workflow, execution.run())).await?;
    let unknown = bucket.find_json::<RunReport>(REPORT).await?.map_or(0, |report| report.items.unknown);
    if unknown == 0 {
        return Ok(());
    }
    let detail = format!("the run `{}` has {unknown} items of which it is not known whether they happened", execution.run());
    Err(Error::refused(detail).hint(format!("look at them, `fanfold results {} --unknown`; then `--force`", last.execution_arn)))
}
