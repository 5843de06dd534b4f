//! `run`, `resume` and `redrive`: three ways to begin a session of a run.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Surroundings, on_aws, report};
use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::local::{Redrive, Run, RunFolder, Session, dry_run};
use crate::observe::{JsonLines, Watcher, calls, count, items, list, say, shown};
use crate::outcome::RunStatus;
use crate::workflow::{Bound, Workflow};

/// Items that a dry run shows in detail.
const SHOWN: usize = 10;

/// Runs a workflow to its end. The run's id is printed first, on stdout.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  fanfold run thumbnails.yaml\n  fanfold run thumbnails.yaml -p source=photos/2026 -p destination=/tmp/small\n  \
    fanfold run thumbnails.yaml --as 2026-W47     begins it, goes on with it, or does nothing if it is done: for cron\n  \
    fanfold run thumbnails.yaml --dry-run          shows what would be done"
)]
pub(super) struct RunVerb {
    /// The workflow file
    workflow: PathBuf,
    /// A value for one of the workflow's params; relative paths are relative to the current folder
    #[arg(short, long = "param", value_name = "NAME=VALUE")]
    param: Vec<String>,
    /// Where it runs: here, or on AWS, where `fanfold deploy` put the workflow
    #[arg(long, value_enum, value_name = "WHERE", default_value_t = On::Local)]
    on: On,
    /// Name the run: begins it, goes on with it, or does nothing if it is done
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    /// Pause after so many items; `resume` does the rest
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Do only the item with this key; `resume` does the rest
    #[arg(long, value_name = "KEY")]
    only: Option<String>,
    /// Show what would be done, and do nothing
    #[arg(long, conflicts_with_all = ["name", "limit", "only"])]
    dry_run: bool,
}

/// Where a workflow runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum On {
    /// On this machine
    Local,
    /// As an execution of the workflow's state machine; it goes on there whatever happens here
    Aws,
}

/// Goes on with a run where it stands, with the workflow and the params it was begun with.
#[derive(Debug, Args)]
pub(super) struct Resume {
    /// The run's id, or the ARN of an execution on AWS
    run: String,
    /// Pause after so many items
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Do only the item with this key
    #[arg(long, value_name = "KEY")]
    only: Option<String>,
}

/// Runs the failed and blocked items of a run again, as they are now, and goes on with what is pending.
///
/// Items that succeeded are not touched. Nor are those that are unknown: an effect of theirs may have happened.
#[derive(Debug, Args)]
pub(super) struct RedriveVerb {
    /// The run's id, or the ARN of an execution on AWS
    run: String,
    /// Items of a batch, this time
    #[arg(long, value_name = "N")]
    batch: Option<u32>,
    /// Take the workflow file as it is now, where it was changed since the run began
    #[arg(long)]
    accept: bool,
    /// Take the repaired rows of this CSV file in place of those that failed; `results --failed --format csv` writes it
    #[arg(long, value_name = "FILE")]
    items: Option<PathBuf>,
    /// With `order.on_failure: continue`: run failed items again although later ones of their lanes are done
    #[arg(long)]
    out_of_order: bool,
}

impl RunVerb {
    pub fn go(self, at: &Surroundings) -> Result<u8> {
        let given = self.param.iter().map(|text| param(text)).collect::<Result<Vec<_>>>()?;
        let workflow = Workflow::load(&self.workflow, &at.jobs)?;
        if self.on == On::Aws {
            self.check_for_aws()?;
            return on_aws::run(&workflow, &self.workflow, &given, self.name.as_deref(), at);
        }
        let bound = workflow.bind(&given, &at.here)?;
        if let Some(name) = &self.name
            && on_aws::is_there(name, at)?
        {
            return Err(
                Error::refused(format!("the run `{name}` is one on AWS")).hint("`--on aws`, or another name after `--as`")
            );
        }
        if let Some(name) = &self.name
            && let Some(code) = self.go_on_with(name, &workflow.name, &given, &bound, at)?
        {
            return Ok(code);
        }
        if self.dry_run {
            return preview(&workflow, &bound, at);
        }
        let run = Run::begin(&at.state(), workflow, bound, &at.jobs, self.name.as_deref())?;
        work(run, self.limit, self.only, at)
    }

    /// What Step Functions has no way to do.
    fn check_for_aws(&self) -> Result<()> {
        if self.dry_run {
            return Err(Error::refused("`--dry-run` is for this machine: Step Functions reads the items only when it runs them")
                .hint("leave out `--on aws`: what would be done to an item is the same"));
        }
        no_part_on_aws(self.limit, self.only.as_deref())
    }

    /// A run of this name that is there already is resumed, or left alone if it is done.
    fn go_on_with(
        &self,
        name: &str,
        workflow: &str,
        given: &[(String, String)],
        bound: &Bound,
        at: &Surroundings,
    ) -> Result<Option<u8>> {
        let Ok(folder) = at.state().run(name) else { return Ok(None) };
        let report = folder.report()?;
        if report.workflow != workflow {
            return Err(Error::refused(format!(
                "the run `{name}` is one of the workflow `{}`, not of `{workflow}`",
                report.workflow
            ))
            .hint("another name after `--as`"));
        }
        let Some(begun_with) = folder.listed_with()? else {
            // Nothing was listed, so nothing was done: it is begun as the file is now.
            return Ok(None);
        };
        if let Some((param, _)) = given.iter().find(|(param, _)| begun_with[param] != bound.params.value()[param]) {
            let was = &begun_with[param];
            return Err(Error::refused(format!("the run `{name}` was begun with other params: `{param}` is {was}"))
                .hint("another name after `--as`, or the params it was begun with"));
        }
        if matches!(report.status, RunStatus::Succeeded | RunStatus::Failed) && !folder.was_cut_off()? {
            if at.json {
                JsonLines::event(&Event::Started { run: name.to_string(), workflow: workflow.to_string(), resumed: true });
            } else {
                report::data(name);
            }
            say(format_args!("run {name} is done already; nothing to do"));
            return Ok(Some(finished(&report, at)));
        }
        let run = Run::open(&at.state(), name, &at.jobs)?;
        tell_change(&run);
        work(run, self.limit, self.only.clone(), at).map(Some)
    }
}

impl Resume {
    pub fn go(self, at: &Surroundings) -> Result<u8> {
        if on_aws::is_there(&self.run, at)? {
            no_part_on_aws(self.limit, self.only.as_deref())?;
            return on_aws::resume(&self.run, at);
        }
        let run = Run::open(&at.state(), &self.run, &at.jobs)?;
        tell_change(&run);
        work(run, self.limit, self.only, at)
    }
}

impl RedriveVerb {
    pub fn go(self, at: &Surroundings) -> Result<u8> {
        if on_aws::is_there(&self.run, at)? {
            self.check_for_aws()?;
            return on_aws::redrive(&self.run, self.batch, at);
        }
        let mut run = Run::open(&at.state(), &self.run, &at.jobs)?;
        if !self.accept && run.is_workflow_changed() {
            say(format_args!("note: the workflow file was changed since the run began; `--accept` takes it as it is now"));
        }
        let redrive = Redrive { batch: self.batch, accept: self.accept, items: self.items, out_of_order: self.out_of_order };
        let redriven = run.redrive(&redrive, &at.jobs)?;
        say(format_args!("{} to redrive", items(redriven)));
        work(run, None, None, at)
    }
}

impl RedriveVerb {
    /// What is for runs on this machine only.
    fn check_for_aws(&self) -> Result<()> {
        if self.accept {
            return Err(Error::refused("`--accept` is for runs on this machine: on AWS a redrive takes what is deployed now")
                .hint("`fanfold deploy` puts the changed workflow there"));
        }
        if self.items.is_some() {
            return Err(Error::refused("`--items` is for runs on this machine: on AWS a redrive takes the items as they were")
                .hint("a new run over the repaired file, with `-p`"));
        }
        if self.out_of_order {
            return Err(Error::refused("`--out-of-order` is for workflows with `order`, which run on this machine only"));
        }
        Ok(())
    }
}

/// Parts of a run are for this machine.
fn no_part_on_aws(limit: Option<u64>, only: Option<&str>) -> Result<()> {
    let detail = |option| format!("`{option}` is for runs on this machine: on AWS all items are handed out at once");
    if limit.is_some() {
        return Err(
            Error::refused(detail("--limit")).hint("`items.limit` in the workflow reads fewer; `fanfold stop` pauses a run")
        );
    }
    match only {
        Some(_) => Err(Error::refused(detail("--only")).hint("leave out `--on aws` to do one item here")),
        None => Ok(()),
    }
}

fn tell_change(run: &Run) {
    if run.is_workflow_changed() {
        say(format_args!("note: the workflow file was changed since the run began; the run goes on as it was begun"));
    }
}

/// Works on the run until it ends or is stopped, while people or programs watch.
fn work(run: Run, limit: Option<u64>, only: Option<String>, at: &Surroundings) -> Result<u8> {
    let folder = run.folder().clone();
    if !at.json {
        report::data(folder.id());
    }
    let runtime =
        tokio::runtime::Runtime::new().map_err(|error| Error::surroundings(format!("no threads can be started: {error}")))?;
    let watcher = if at.json { Watcher::for_programs() } else { Watcher::for_people() };
    let stop = CancellationToken::new();
    let session = Session { limit, only, stop: stop.clone(), observer: watcher.observer() };
    let ended = runtime.block_on(async {
        let at_once = CancellationToken::new();
        tokio::spawn(signals(stop, at_once.clone()));
        tokio::select! {
            ended = run.go(session) => Some(ended),
            () = at_once.cancelled() => None,
        }
    });
    watcher.finish();
    match ended {
        Some(Ok(report)) => Ok(if at.json { code(&report) } else { report::end(&report) }),
        Some(Err(error)) => {
            let Ok(report) = stopped(&folder) else { return Err(error) };
            if error.kind() == ErrorKind::Refused {
                // Nothing was done, so there is nothing to keep; that it could not be removed changes nothing.
                let _ = folder.remove_unlisted();
            }
            if at.json {
                // That the run is finished is the last line, whatever happened.
                report::errors(&error, true);
                finished(&report, at);
                return Ok(error.exit_code());
            }
            // A run that was refused before its list was made has nothing to tell, and nothing to resume.
            if report.items.total > 0 {
                report::end(&report);
            }
            Err(error)
        }
        None => {
            // What is in flight is dropped: for the record that is a crash, and a resume takes it so.
            runtime.shutdown_background();
            Ok(finished(&stopped(&folder)?, at))
        }
    }
}

/// The first Ctrl-C or SIGTERM stops the run, a second one at once.
async fn signals(stop: CancellationToken, at_once: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        return;
    };
    for (token, told) in
        [(stop, "stopping: what is in flight ends first; once more stops at once"), (at_once, "stopping at once")]
    {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        say(told);
        token.cancel();
    }
}

fn stopped(folder: &RunFolder) -> Result<crate::report::Report> {
    let mut report = folder.report()?;
    if report.status == RunStatus::Running {
        report.status = RunStatus::Stopped;
    }
    Ok(report)
}

fn finished(report: &crate::report::Report, at: &Surroundings) -> u8 {
    if !at.json {
        return report::end(report);
    }
    JsonLines::event(&Event::Finished(report.clone()));
    code(report)
}

fn code(report: &crate::report::Report) -> u8 {
    match report.status {
        RunStatus::Succeeded => 0,
        RunStatus::Failed => 1,
        RunStatus::Stopped | RunStatus::Running => 3,
    }
}

fn preview(workflow: &Workflow, bound: &Bound, at: &Surroundings) -> Result<u8> {
    let runtime =
        tokio::runtime::Runtime::new().map_err(|error| Error::surroundings(format!("no threads can be started: {error}")))?;
    let preview = runtime.block_on(dry_run(workflow, bound, &at.jobs, SHOWN))?;
    if at.json {
        JsonLines::line(&json!({ "event": "dry_run", "preview": preview }));
        return Ok(0);
    }
    for item in &preview.first {
        let what = match (&item.destination, &item.skipped, &item.failed) {
            (_, Some(why), _) => format!("skipped: {why}"),
            (_, _, Some(why)) => format!("fails: {why}"),
            (Some(destination), _, _) => format!("-> {destination}"),
            _ => String::new(),
        };
        report::data(format!("{} {}", shown(&item.key), shown(&what)).trim_end());
        item.request
            .iter()
            .flat_map(|request| request.lines())
            .for_each(|line| report::data(format!("  {}", shown(line)).trim_end()));
    }
    if preview.items > preview.first.len() as u64 {
        report::data(format!("and {} more", count(preview.items - preview.first.len() as u64)));
    }
    say(format_args!(
        "{}, {} left out, {} damaged; nothing was done",
        list(preview.items, preview.batches, preview.lanes.as_ref()),
        count(preview.skipped),
        count(preview.failed)
    ));
    if let Some(planned) = &preview.calls {
        say(calls(planned));
    }
    Ok(0)
}

fn param(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_string(), value.to_string())),
        _ => Err(Error::refused(format!("`-p {text}` is not NAME=VALUE")).hint("for example `-p source=photos/`")),
    }
}
