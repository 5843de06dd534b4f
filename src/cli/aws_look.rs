//! `status`, `results`, `stop`, `throttle` and `prune` of runs on AWS.

use std::collections::HashMap;
use std::io::Write;

use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};

use super::aws_run::{memory, told, wait, watch, watcher};
use super::{Surroundings, report};
use crate::aws::{AwsRun, Clients, Execution, Results, Standing, follow, now_ms};
use crate::error::{Error, Result};
use crate::event::Unobserved;
use crate::observe::{JsonLines, batches, count, ended, far, items, say, summary};
use crate::outcome::{ItemStatus, RunStatus};

/// Runs that are asked for at once.
const AT_ONCE: usize = 8;

/// Shows how one run stands.
pub(super) fn status(run: &str, at: &Surroundings) -> Result<u8> {
    wait(async {
        let run = AwsRun::find(&memory(at), run).await?;
        let standing = Standing::of(&run, now_ms()).await?;
        show(&run, &standing, at);
        if let Some(trouble) = &standing.trouble {
            report::errors(trouble, at.json);
        }
        Ok(0)
    })
}

/// Shows how every run stands that is remembered. Gives what is in the way of looking at some.
pub(super) fn status_of_all(at: &Surroundings) -> Result<Vec<Error>> {
    let all = memory(at).all()?;
    if all.is_empty() {
        return Ok(Vec::new());
    }
    wait(async {
        let mut regions: HashMap<String, Result<Clients>> = HashMap::new();
        for known in &all {
            if !regions.contains_key(&known.region) {
                regions.insert(known.region.clone(), Clients::load(Some(&known.region)).await);
            }
        }
        let mut wrong: Vec<Error> = regions.values().filter_map(|clients| clients.as_ref().err().cloned()).collect();
        let known = all.into_iter().filter_map(|known| Some((regions.get(&known.region)?.as_ref().ok()?.clone(), known)));
        let mut looked = stream::iter(known)
            .map(|(clients, known)| async move {
                let run = AwsRun::open(clients, known).await?;
                let standing = Standing::of(&run, now_ms()).await?;
                Ok::<_, Error>((run, standing))
            })
            .buffered(AT_ONCE);
        while let Some(looked) = looked.next().await {
            match looked {
                Ok((run, standing)) => show(&run, &standing, at),
                Err(error) => wrong.push(error),
            }
        }
        Ok(wrong)
    })
}

fn show(run: &AwsRun, standing: &Standing, at: &Surroundings) {
    let report = &standing.report;
    if at.json {
        let mut told = serde_json::to_value(report).unwrap_or_default();
        told["on"] = json!({
            "region": run.known.region,
            "results": format!("s3://{}/{}/{}/", run.known.bucket, run.known.workflow, run.id()),
            "execution": standing.execution.as_ref().map(execution),
            "map_run": standing.map_run.as_ref().map(|map_run| json!({
                "arn": map_run.arn, "status": map_run.status.as_str(), "max_concurrency": map_run.max_concurrency,
                "item_counts": map_run.items, "execution_counts": map_run.executions,
            })),
        });
        if report.status == RunStatus::Running {
            told["items"] = ended(&report.items);
        }
        return JsonLines::line(&told);
    }
    let how = match (&standing.map_run, report.status) {
        (Some(map_run), RunStatus::Running) => far(&report.items, &map_run.executions),
        (None, RunStatus::Running) => "the list is not read yet".to_string(),
        _ => summary(report),
    };
    let why = report.stopped.as_deref().map_or(String::new(), |why| format!(" ({why})"));
    report::data(format!("{}  {}  {}{why}  {how}; on AWS, {}", run.id(), report.workflow, report.status, run.known.region));
}

fn execution(execution: &Execution) -> Value {
    json!({
        "arn": execution.arn, "status": execution.status.as_str(), "error": execution.error, "cause": execution.cause,
    })
}

/// Watches a run until it ends.
pub(super) fn follow_run(run: &str, at: &Surroundings) -> Result<u8> {
    wait(async {
        let run = AwsRun::find(&memory(at), run).await?;
        match run.executions().await?.running() {
            Some(running) => watch(&run, Ok(running.arn.clone()), watcher(at), at).await.map(|_| 0),
            None => told(&Standing::of(&run, now_ms()).await?, at).map(|_| 0),
        }
    })
}

/// Writes how every item ended.
pub(super) fn results(run: &str, wanted: Option<&[ItemStatus]>, out: &mut dyn Write, at: &Surroundings) -> Result<()> {
    wait(async {
        let run = AwsRun::find(&memory(at), run).await?;
        let executions = run.executions().await?;
        let results = Results::of(&run, &executions, &at.jobs).await?;
        if let Some(warning) = &results.warning {
            say(format_args!("warning: {warning}"));
        }
        let mut has_enough = false;
        let shown = results
            .each(wanted, |item| {
                let mut line = serde_json::to_vec(item).map_err(|error| Error::bug(error.to_string()))?;
                line.push(b'\n');
                let more = super::results::is_wanted(out.write_all(&line))?;
                has_enough = !more;
                Ok(more)
            })
            .await?;
        let unseen = wanted.is_none_or(|wanted| wanted.contains(&ItemStatus::Pending)) && !has_enough;
        if unseen && let Some(newest) = executions.newest().filter(|newest| !newest.is_judged() || results.is_stopped()) {
            let what = if newest.is_running() { "is going on" } else { "was stopped" };
            let total = Standing::of(&run, now_ms()).await?.report.items.total;
            let others = if total > shown { count(total - shown) } else { "others".to_string() };
            let shown = items(shown);
            say(format_args!(
                "the run {what}: {shown} of it were handed to workers so far, {others} to nobody yet: pending, and not shown"
            ));
        }
        super::results::is_wanted(out.flush()).map(drop)
    })
}

/// Stops the execution that is going on.
pub(super) fn stop(run: &str, at: &Surroundings) -> Result<u8> {
    wait(async {
        let run = AwsRun::find(&memory(at), run).await?;
        match run.executions().await?.running() {
            Some(running) => {
                run.stop(&running.arn).await?;
                say(format_args!(
                    "asked; children that are at work end by themselves, within 5 minutes if they are express ones"
                ));
                follow(&run, &running.arn, &Unobserved, &tokio_util::sync::CancellationToken::new()).await?;
            }
            None => say(format_args!("no execution of run {} is running", run.id())),
        }
        let standing = Standing::of(&run, now_ms()).await?;
        if at.json {
            JsonLines::line(&serde_json::to_value(&standing.report).unwrap_or_default());
        } else {
            report::end_on_aws(&standing.report);
        }
        Ok(0)
    })
}

/// Changes how many children of a run work at once.
pub(super) fn throttle(run: &str, concurrency: Option<u32>, has_rate: bool, at: &Surroundings) -> Result<u8> {
    if has_rate {
        return Err(Error::refused(
            "`--rate` is for runs on this machine: on AWS each worker has its share of `rate` from when it began",
        )
        .hint("`--concurrency` with a lower number makes a run slower; a new `rate` takes `fanfold deploy`"));
    }
    let Some(concurrency) = concurrency else {
        return Err(Error::refused("nothing was said of how many at once").hint("`--concurrency 10`"));
    };
    wait(async {
        let run = AwsRun::find(&memory(at), run).await?;
        let was = run.throttle(concurrency, &at.jobs).await?;
        if at.json {
            JsonLines::line(&json!({ "run": run.id(), "concurrency": concurrency }));
        } else {
            let most = batches(concurrency.into());
            say(format_args!("run {}: at most {most} at once from now on, {} before", run.id(), count(was)));
        }
        Ok(0)
    })
}

/// Removes the data of a run's items from the bucket.
pub(super) fn prune(run: &str, at: &Surroundings) -> Result<u8> {
    wait(async {
        let run = AwsRun::find(&memory(at), run).await?;
        let standing = Standing::of(&run, now_ms()).await?;
        let (id, pending) = (run.id(), standing.report.items.pending);
        if standing.report.status == RunStatus::Running {
            return Err(Error::refused(format!("run {id} is going on")).hint(format!("fanfold status {id} --follow")));
        }
        if pending > 0 || standing.trouble.is_some() {
            return Err(Error::refused(format!("run {id} is not at its end: {} are pending", items(pending)))
                .hint(format!("fanfold resume {id}")));
        }
        let freed = run.prune().await?;
        if at.json {
            JsonLines::line(&json!({ "run": id, "freed_bytes": freed }));
        } else {
            say(format_args!("run {id}: {} KiB given back; keys and outcomes are kept", count(freed.div_ceil(1024))));
        }
        Ok(0)
    })
}
