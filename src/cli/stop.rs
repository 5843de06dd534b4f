//! `stop` and `throttle`: speak to the process that works on a run.

use std::time::Duration;

use clap::Args;

use super::{Surroundings, report};
use crate::error::Result;
use crate::observe::{JsonLines, batches, say};

/// Asks the process that works on a run to stop, and waits until it has: nothing new is started, what is in flight ends.
#[derive(Debug, Args)]
pub(super) struct Stop {
    /// The run's id
    run: String,
}

/// Sets how many batches a run works on at once. A process that works on it hears of it within a second; it stays for a resume.
#[derive(Debug, Args)]
pub(super) struct Throttle {
    /// The run's id
    run: String,
    /// Batches at once, in place of the workflow's `max_concurrency`
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    concurrency: u32,
}

impl Stop {
    pub fn go(self, at: &Surroundings) -> Result<u8> {
        let folder = at.state().run(&self.run)?;
        if folder.is_busy() {
            folder.ask_to_stop()?;
            say(format_args!("asked; waiting for what is in flight"));
            while folder.is_busy() {
                std::thread::sleep(Duration::from_millis(100));
                // A process that has just begun forgets old wishes, and this one may have looked old to it.
                folder.ask_to_stop()?;
            }
        } else {
            say(format_args!("no process is working on run {}", self.run));
        }
        let report = folder.report()?;
        if at.json {
            JsonLines::line(&serde_json::to_value(&report).unwrap_or_default());
        } else {
            report::end(&report);
        }
        Ok(0)
    }
}

impl Throttle {
    pub fn go(self, at: &Surroundings) -> Result<u8> {
        let folder = at.state().run(&self.run)?;
        folder.throttle(self.concurrency)?;
        if at.json {
            JsonLines::line(&serde_json::json!({ "run": self.run, "concurrency": self.concurrency }));
        } else {
            let when = if folder.is_busy() { "from now on" } else { "when it is resumed" };
            say(format_args!("run {}: at most {} at once, {when}", self.run, batches(self.concurrency.into())));
        }
        Ok(0)
    }
}
