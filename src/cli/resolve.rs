//! `resolve`: a person decides what is unknown.

use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use super::{Surroundings, on_aws, report};
use crate::error::{Error, Result};
use crate::local::{Named, Resolution, Resolved};
use crate::observe::{JsonLines, items, say};
use crate::outcome::ItemStatus;

/// Says what became of a call that may have had its effect, so that its item can go on.
///
/// `fanfold results RUN --unknown` shows the calls, with what was sent, when, and under which idempotency key: ask the other side
/// about it. Nothing is sent by this command; `fanfold resume` goes on.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("what").required(true)),
    after_help = "Examples:\n  fanfold resolve 20261122-8f3c o17 invoice --happened '{\"id\": \"inv-9\", \"number\": 9}'\n  \
        fanfold resolve 20261122-8f3c o17 invoice --did-not-happen\n  fanfold resolve 20261122-8f3c o17 invoice --give-up"
)]
pub(super) struct Resolve {
    /// The run's id
    run: String,
    /// The item's key
    key: String,
    /// The step at which it is unknown; left out for jobs without steps
    step: Option<String>,
    /// It happened: this JSON stands for the body of the answer that was lost
    #[arg(long, value_name = "JSON", group = "what", value_parser = json_value)]
    happened: Option<Value>,
    /// It did not happen: it is sent again, under a new idempotency key
    #[arg(long, group = "what")]
    did_not_happen: bool,
    /// Nobody will know: the item is failed, and redrive leaves it alone; its lane too, if the step is done once for the lane
    #[arg(long, group = "what")]
    give_up: bool,
    /// Which call of the step, where several are unknown
    #[arg(long, value_name = "N")]
    call: Option<u32>,
}

impl Resolve {
    pub fn go(self, at: &Surroundings) -> Result<u8> {
        if on_aws::is_there(&self.run, at)? {
            return Err(Error::refused("`resolve` is for runs on this machine: workers on AWS keep no ledger of calls yet")
                .hint(format!("fanfold results {} --unknown shows what is to be looked up at the other side", self.run)));
        }
        let folder = at.state().run(&self.run)?;
        let resolution = match (self.happened, self.give_up, self.did_not_happen) {
            (Some(body), ..) => Resolution::Happened(body),
            (None, true, _) => Resolution::GiveUp,
            (None, false, true) => Resolution::DidNotHappen,
            (None, false, false) => {
                return Err(Error::refused("one of `--happened`, `--did-not-happen` and `--give-up` is needed"));
            }
        };
        let named = Named { item: &self.key, step: self.step.as_deref(), call: self.call };
        let resolved = folder.resolve(&named, &resolution, &at.jobs)?;
        if at.json {
            let Resolved { call, status, unblocked, .. } = resolved;
            let (step, call) = call.unzip();
            JsonLines::line(&json!({
                "run": self.run, "item": self.key, "step": step, "call": call, "status": status, "unblocked": unblocked,
            }));
            return Ok(0);
        }
        say(told(&self.key, &resolution, &resolved));
        let run = &self.run;
        let left = folder.report()?.items;
        let next = match resolved.status {
            _ if left.pending > 0 => format!("fanfold resume {run}"),
            ItemStatus::Failed if left.blocked > 0 && !resolved.ends_lane => {
                format!("fanfold redrive {run} runs what is blocked")
            }
            _ => format!("fanfold status {run}"),
        };
        say(report::typed_here(&format!("hint: {next}")));
        Ok(0)
    }
}

fn told(key: &str, resolution: &Resolution, resolved: &Resolved) -> String {
    let place = match &resolved.call {
        None => format!("item `{key}`"),
        Some((step, 0)) => format!("item `{key}`, step `{step}`"),
        Some((step, call)) => format!("item `{key}`, step `{step}`, call {call}"),
    };
    let what = match resolution {
        Resolution::Happened(_) => "happened",
        Resolution::DidNotHappen if resolved.call.is_some() => "did not happen, it is sent again under a new idempotency key",
        Resolution::DidNotHappen => "did not happen, it is done again",
        Resolution::GiveUp => "given up",
    };
    let blocked = match resolved.unblocked {
        0 if resolved.ends_lane => ", and its lane ends there: the step is done once for the lane".to_string(),
        0 => String::new(),
        n => format!(", and so {} behind it", if n == 1 { "is 1 item".to_string() } else { format!("are {}", items(n)) }),
    };
    format!("{place}: {what}; the item is {}{blocked}", resolved.status)
}

fn json_value(text: &str) -> std::result::Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}
