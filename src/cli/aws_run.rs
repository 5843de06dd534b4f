//! `run --on aws`, `resume` and `redrive` of runs there: an execution is started, then followed to its end.

use std::future::Future;
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::{Surroundings, report};
use crate::asl::Machine;
use crate::aws::{AwsRun, Clients, Found, Memory, Ready, Standing, follow, now_ms};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::observe::{JsonLines, Watcher, items, say};
use crate::outcome::RunStatus;
use crate::workflow::Workflow;

/// The runs on AWS that are remembered here.
pub(super) fn memory(at: &Surroundings) -> Memory {
    Memory::of(at.state().path())
}

/// Whether the run is one on AWS: the ARN of an execution, or a run that is remembered as one.
///
/// # Errors
/// What is remembered cannot be read.
pub(super) fn is_there(run: &str, at: &Surroundings) -> Result<bool> {
    Ok(run.starts_with("arn:") || memory(at).get(run)?.is_some())
}

/// The run on AWS that was begun last, and when, in milliseconds since 1970.
///
/// # Errors
/// The state folder cannot be read.
pub(super) fn newest(at: &Surroundings) -> Result<Option<(String, i64)>> {
    Ok(memory(at).all()?.pop().map(|known| (known.run, known.begun_ms)))
}

/// Waits for what is asked of AWS.
pub(super) fn wait<T>(asked: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Runtime::new()
        .map_err(|error| Error::surroundings(format!("no threads can be started: {error}")))?
        .block_on(asked)
}

/// Begins a run of the workflow on AWS, or goes on with the one of this name, and follows it to its end.
pub(super) fn run(
    workflow: &Workflow,
    file: &Path,
    given: &[(String, String)],
    name: Option<&str>,
    at: &Surroundings,
) -> Result<u8> {
    if let Some(name) = name.filter(|name| at.state().run(name).is_ok()) {
        return Err(Error::refused(format!("the run `{name}` is one of this machine")).hint("another name after `--as`"));
    }
    // What AWS cannot do is told before anything is asked there.
    Machine::of(workflow, given, &at.here)?;
    wait(async {
        let clients = Clients::load(workflow.aws_region()).await?;
        let ready = Ready::of(clients, workflow, &file.display().to_string(), given, &at.here).await?;
        let memory = memory(at);
        let run = ready.run(&memory, name).await?;
        let found = match name {
            Some(_) => ready.look(&run, given).await?,
            None => Found::Nothing,
        };
        if let Found::Done = found {
            begin(&run, true, at, None);
            say(format_args!("run {} is done already; nothing to do", run.id()));
            return told(&Standing::of(&run, now_ms()).await?, at);
        }
        let watcher = watcher(at);
        begin(&run, !matches!(found, Found::Nothing), at, Some(&watcher));
        let started = match found {
            Found::Running(execution) => Ok(execution),
            Found::Stopped => match run.resume().await {
                Ok(None) => {
                    watcher.finish();
                    return nothing_pending(&run, at).await;
                }
                Ok(Some(execution)) => Ok(execution),
                Err(error) => Err(error),
            },
            _ => ready.start(&run).await.inspect_err(|_| {
                if name.is_none() {
                    memory.forget(run.id());
                }
            }),
        };
        watch(&run, started, watcher, at).await
    })
}

/// Goes on with a run.
pub(super) fn resume(run: &str, at: &Surroundings) -> Result<u8> {
    wait(async {
        let run = AwsRun::find(&memory(at), run).await?;
        let Some(started) = run.resume().await? else { return nothing_pending(&run, at).await };
        let watcher = watcher(at);
        begin(&run, true, at, Some(&watcher));
        watch(&run, Ok(started), watcher, at).await
    })
}

/// Tells how a run stands of which nothing can be resumed.
async fn nothing_pending(run: &AwsRun, at: &Surroundings) -> Result<u8> {
    say(format_args!("nothing of run {} is pending; nothing to do", run.id()));
    told(&Standing::of(run, now_ms()).await?, at)
}

/// Runs the failed and blocked items of a run again.
pub(super) fn redrive(run: &str, batch: Option<u32>, at: &Surroundings) -> Result<u8> {
    wait(async {
        let run = AwsRun::find(&memory(at), run).await?;
        let redriven = run.redrive(batch).await?;
        say(format_args!("{} to redrive", items(redriven.items)));
        if redriven.duplicates > 0 {
            let left = items(redriven.duplicates);
            say(format_args!("{left} with the key or destination of another one: not redriven, that would change nothing"));
        }
        if redriven.removed > 0 {
            say(format_args!("{} whose data were removed: not redriven", items(redriven.removed)));
        }
        let watcher = watcher(at);
        begin(&run, true, at, Some(&watcher));
        watch(&run, Ok(redriven.execution), watcher, at).await
    })
}

pub(super) fn watcher(at: &Surroundings) -> Watcher {
    if at.json { Watcher::for_programs() } else { Watcher::for_people() }
}

/// Says which run it is, before anything is started.
fn begin(run: &AwsRun, resumed: bool, at: &Surroundings, watcher: Option<&Watcher>) {
    let event = Event::Started { run: run.id().to_string(), workflow: run.known.workflow.clone(), resumed };
    if !at.json {
        report::data(run.id());
    }
    match watcher {
        Some(watcher) => watcher.observer().see(&event),
        None if at.json => JsonLines::event(&event),
        None => {}
    }
}

/// Follows the execution to its end, and tells how the run stands then. Whoever is interrupted leaves it running.
pub(super) async fn watch(run: &AwsRun, started: Result<String>, watcher: Watcher, at: &Surroundings) -> Result<u8> {
    let leave = CancellationToken::new();
    let signals = tokio::spawn(interrupted(leave.clone()));
    let followed = match started {
        Ok(execution) => follow(run, &execution, &*watcher.observer(), &leave).await,
        Err(error) => Err(error),
    };
    signals.abort();
    watcher.finish();
    match followed {
        Ok(Some(_)) => told(&Standing::of(run, now_ms()).await?, at),
        Ok(None) => {
            let id = run.id();
            say(report::typed_here(&format!(
                "run {id} goes on on AWS; hint: fanfold status {id} --follow goes on watching, fanfold stop {id} stops it"
            )));
            Ok(3)
        }
        Err(error) => Err(error),
    }
}

/// Tells how a run ended; gives the exit code.
pub(super) fn told(standing: &Standing, at: &Surroundings) -> Result<u8> {
    let report = &standing.report;
    if at.json {
        if let Some(trouble) = &standing.trouble {
            report::errors(trouble, true);
        }
        JsonLines::event(&Event::Finished(report.clone()));
    } else {
        // What did not even begin has nothing to sum up.
        if standing.trouble.is_none() || report.items.total > 0 {
            report::end_on_aws(report);
        }
        if let Some(trouble) = &standing.trouble {
            report::errors(trouble, false);
        }
    }
    Ok(match (&standing.trouble, report.status) {
        (Some(trouble), _) => trouble.exit_code(),
        (None, RunStatus::Succeeded) => 0,
        (None, RunStatus::Failed) => 1,
        (None, RunStatus::Stopped | RunStatus::Running) => 3,
    })
}

/// The first Ctrl-C or SIGTERM.
async fn interrupted(leave: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        return;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    leave.cancel();
}
