//! `stop` and `throttle`: speak to the process that works on a run.

use std::time::Duration;

use clap::Args;

use super::{Surroundings, on_aws, report};
use crate::error::{Error, Result};
use crate::observe::{JsonLines, batches, rate_words, say};
use crate::units::parse_rate;

/// Asks the process that works on a run to stop, and waits until it has: nothing new is started, what is in flight ends.
#[derive(Debug, Args)]
pub(super) struct Stop {
    /// The run's id, or the ARN of an execution on AWS
    run: String,
}

/// Sets how fast a run calls others, and how many batches it works on at once. A process that works on it hears of it within a
/// second; it stays for a resume.
#[derive(Debug, Args)]
pub(super) struct Throttle {
    /// The run's id, or the ARN of an execution on AWS
    run: String,
    /// Batches at once, in place of the workflow's `max_concurrency`
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    concurrency: Option<u32>,
    /// Calls to one host in a time, in place of the workflow's `rate`: `20/s` for all hosts without a rate of their own,
    /// `api.example.com=600/m` for one; `workflow` for what the workflow says
    #[arg(long, value_name = "[HOST=]RATE", value_parser = AskedRate::parse)]
    rate: Vec<AskedRate>,
}

/// What `--rate` says.
#[derive(Debug, Clone)]
struct AskedRate {
    host: Option<String>,
    /// `None`: as the workflow says.
    limit: Option<f64>,
}

impl AskedRate {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        let (host, rate) = match text.split_once('=') {
            Some(("", _)) => return Err("there is no host in front of `=`".into()),
            Some((host, rate)) => (Some(host.to_string()), rate),
            None => (None, text),
        };
        let limit = if rate == "workflow" { None } else { Some(parse_rate(rate)?) };
        Ok(Self { host, limit })
    }
}

impl Stop {
    pub fn go(self, at: &Surroundings) -> Result<u8> {
        if on_aws::is_there(&self.run, at)? {
            return on_aws::stop(&self.run, at);
        }
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
        if on_aws::is_there(&self.run, at)? {
            return on_aws::throttle(&self.run, self.concurrency, !self.rate.is_empty(), at);
        }
        let folder = at.state().run(&self.run)?;
        if self.concurrency.is_none() && self.rate.is_empty() {
            return Err(Error::refused("nothing was said of how fast")
                .hint("`--rate 20/s`, `--rate api.example.com=5/s` or `--concurrency 10`"));
        }
        let mut told = serde_json::json!({ "run": self.run });
        let when = if folder.is_busy() { "from now on" } else { "when it is resumed" };
        if let Some(concurrency) = self.concurrency {
            folder.throttle(concurrency)?;
            told["concurrency"] = concurrency.into();
            if !at.json {
                say(format_args!("run {}: at most {} at once, {when}", self.run, batches(concurrency.into())));
            }
        }
        for AskedRate { host, limit } in &self.rate {
            folder.throttle_rate(host.as_deref(), *limit)?;
        }
        if !self.rate.is_empty() {
            let rates = folder.rates()?;
            told["rate"] = serde_json::to_value(&rates).unwrap_or_default();
            if !at.json {
                let rates = rate_words(&rates).unwrap_or_else(|| "as fast as it goes: the workflow has no `rate`".to_string());
                say(format_args!("run {}: {rates}, {when}", self.run));
            }
        }
        if at.json {
            JsonLines::line(&told);
        }
        Ok(0)
    }
}
