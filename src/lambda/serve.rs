//! [`serve`]: takes invocations from Lambda, one after another, for as long as there are any.

use std::process::ExitCode;
use std::sync::Arc;

use lambda_runtime::{Context, LambdaEvent, Runtime, service_fn};
use serde_json::Value;

use super::event::{Event, GateEvent};
use super::figures::of_run;
use super::gate::{Gate, Verdict};
use super::refused::Refused;
use super::served::Served;
use super::time::{Time, now_ms};
use super::work::{Invocation, Work};
use crate::bucket::RunBucket;
use crate::error::Result;
use crate::job::Jobs;
use crate::observe::{Level, Log};
use crate::reader::{KeyConfig, Selection};
use crate::worker::keep_quiet;

/// What Lambda gives to every function in its environment, and a worker needs.
pub(crate) const NEEDED: &[&str] = &[
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "LAMBDA_TASK_ROOT",
];

/// Threads that wait for the network. One would do, if no job ever kept it busy; what computes has threads of its own.
const THREADS: usize = 2;

/// Whether this program was started by Lambda, or by what stands for it.
pub(crate) fn is_asked_for() -> bool {
    NEEDED.first().is_some_and(|name| std::env::var_os(name).is_some())
}

/// Serves until Lambda ends the process. Gives an exit code only if it cannot.
pub(crate) fn serve(jobs: Jobs) -> ExitCode {
    let log = Log::default();
    let ended = |why: String| {
        log.line(Level::Error, &why);
        ExitCode::from(4)
    };
    let missing: Vec<_> = NEEDED.iter().filter(|name| std::env::var(name).is_err()).copied().collect();
    if !missing.is_empty() {
        return ended(format!("the environment of Lambda is not whole: {} is not set", missing.join(", ")));
    }
    keep_quiet();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ended(format!("no threads can be started: {error}")),
    };
    let served = Arc::new(Served::new(jobs));
    let handler = service_fn(move |event: LambdaEvent<Value>| {
        let served = Arc::clone(&served);
        async move { answer(&served, event.payload, &event.context).await }
    });
    match runtime.block_on(Runtime::new(handler).run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ended(format!("Lambda gives no further invocation: {error}")),
    }
}

async fn answer(served: &Served, event: Value, context: &Context) -> Result<Value, Refused> {
    let log = Log::default().with("requestId", context.request_id.as_str());
    let answer = match Event::read(event) {
        Ok(Event::Batch(batch)) => {
            let time = Time::of(context.deadline, &batch.child);
            let log = log.with("run", batch.input.run.as_str());
            let invocation = Invocation { request: context.request_id.clone(), time, log };
            let worked = async {
                let workflow = served.workflow().await?.name.clone();
                Work::open(served, *batch, &invocation).await?.go(&workflow).await
            };
            worked.await.map(|answer| serde_json::to_value(answer).unwrap_or_default())
        }
        Ok(Event::Gate(gate)) => judge(served, *gate, context.deadline).await,
        Err(refused) => Err(refused),
    };
    if let Err(refused) = &answer {
        log.with("errorType", refused.name).line(Level::Error, &refused.cause);
    }
    answer
}

/// Judges a run.
async fn judge(served: &Served, mut event: GateEvent, deadline_ms: u64) -> Result<Value, Refused> {
    let time = Time::of(deadline_ms, &super::event::Child::default());
    let bound = served.bound(&event.params).await?;
    let storages = served.storages().await;
    let interrupted = |error| Refused::interrupted(&error);
    let bucket = RunBucket::open(storages, &event.results.bucket, &event.results.prefix).await.map_err(interrupted)?;
    let rest = event.take_rest();
    let workflow = &served.workflow().await?.name;
    let selection = Selection::elsewhere(&bound.settings.items, &bound.params);
    let gate = Gate {
        storages,
        bucket: &bucket,
        workflow,
        run: &event.run,
        round: event.round,
        tolerance: bound.settings.tolerated_failure,
        named_keys: matches!(bound.settings.items.key, KeyConfig::Named(_)),
        key: &|item| selection.called(&item.value, item.index).to_string(),
        until: time.last_begin,
        now_ms: now_ms(),
    };
    let verdict = gate.judge(&event.map, rest).await.map_err(interrupted)?;
    if let Verdict::Judged { items, .. } = &verdict {
        Log::object_line(&of_run(workflow, &event.run, items, now_ms()));
    }
    Ok(serde_json::to_value(verdict).unwrap_or_default())
}
