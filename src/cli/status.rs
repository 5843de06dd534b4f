//! `status`: how runs stand.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use super::{Surroundings, on_aws, report};
use crate::error::{Error, Result};
use crate::event::{Event, Progress};
use crate::local::RunFolder;
use crate::observe::{JsonLines, Watcher, rate_words, say, summary};
use crate::outcome::RunStatus;

/// Shows how all runs stand, or one of them.
#[derive(Debug, Args)]
pub(super) struct Status {
    /// The run's id, or the ARN of an execution on AWS [default: all runs; with --follow the newest]
    run: Option<String>,
    /// Go on showing it until it ends or stops
    #[arg(long, short)]
    follow: bool,
}

impl Status {
    pub fn go(self, at: &Surroundings) -> Result<u8> {
        let state = at.state();
        if self.follow {
            let id = at.run_or_newest(self.run.as_deref())?;
            if on_aws::is_there(&id, at)? {
                return on_aws::follow_run(&id, at);
            }
            return follow(&state.run(&id)?, at.json);
        }
        if let Some(id) = &self.run
            && on_aws::is_there(id, at)?
        {
            return on_aws::status(id, at);
        }
        let is_one = self.run.is_some();
        let ids = match self.run {
            Some(id) => vec![id],
            None => state.runs()?,
        };
        if ids.is_empty() && on_aws::newest(at)?.is_none() {
            say(format_args!("no runs in {}", at.shown(state.path()).display()));
        }
        let mut unreadable = Vec::new();
        for id in ids {
            // One record that cannot be read does not hide the other runs.
            let looked = state.run(&id).and_then(|folder| Ok((folder.report()?, folder.rates()?)));
            let (report, rates) = match looked {
                Ok(looked) => looked,
                Err(error) => {
                    unreadable.push(error);
                    continue;
                }
            };
            if at.json {
                let mut told = serde_json::to_value(&report).unwrap_or(Value::Null);
                if let (Some(told), false) = (told.as_object_mut(), rates.is_empty()) {
                    told.insert("rate".into(), serde_json::to_value(&rates).unwrap_or(Value::Null));
                }
                JsonLines::line(&told);
            } else {
                let rates = rate_words(&rates).map(|words| format!("; {words}")).unwrap_or_default();
                report::data(format!("{id}  {}  {}  {}{rates}", report.workflow, report.status, summary(&report)));
                if is_one {
                    report::unknown(&report);
                }
            }
        }
        if !is_one {
            unreadable.extend(on_aws::status_of_all(at)?);
        }
        Error::all(unreadable).map_or(Ok(0), Err)
    }
}

fn follow(folder: &RunFolder, json: bool) -> Result<u8> {
    let watcher = if json { Watcher::for_programs() } else { Watcher::for_people() };
    let observer = watcher.observer();
    let mut report = folder.report()?;
    let mut last = Instant::now();
    observer.see(&Event::Listed { counts: report.items, batches: report.batches, lanes: report.lanes.clone(), calls: None });
    while report.status == RunStatus::Running {
        std::thread::sleep(Duration::from_millis(250).saturating_sub(last.elapsed()));
        last = Instant::now();
        report = folder.report()?;
        observer.see(&Event::Progress(Progress { counts: report.items, attempts: report.attempts, executions: None }));
    }
    observer.see(&Event::Finished(report.clone()));
    watcher.finish();
    if !json {
        report::end(&report);
    }
    Ok(0)
}
