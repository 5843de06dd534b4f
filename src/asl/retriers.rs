//! `Retry` and `Catch`: which errors, how often, and what then.

use super::check::{Around, Checker};
use super::document::{Kind, Node, Spot};
use super::fields::{Field, Is, both, jsonata, path};
use super::rule;
use crate::nearest::nearest;

/// The errors of Step Functions itself.
const STATES_ERRORS: &[&str] = &[
    "States.ALL",
    "States.BranchFailed",
    "States.DataLimitExceeded",
    "States.ExceedToleratedFailureThreshold",
    "States.HeartbeatTimeout",
    "States.Http.Socket",
    "States.IntrinsicFailure",
    "States.ItemReaderFailed",
    "States.NoChoiceMatched",
    "States.ParameterPathFailure",
    "States.Permissions",
    "States.QueryEvaluationError",
    "States.ResultPathMatchFailure",
    "States.ResultWriterFailed",
    "States.Runtime",
    "States.TaskFailed",
    "States.Timeout",
];

const MOST: u64 = 99_999_999;

/// `MaxDelaySeconds` is less than this: a year and a day.
const DELAY_LIMIT: u64 = 31_622_400;

const RETRIER: &[Field] = &[
    both("ErrorEquals", Is::Texts),
    both("IntervalSeconds", Is::Whole(1, MOST, rule::RETRY_INTERVAL)),
    both("MaxAttempts", Is::Whole(0, MOST, rule::RETRY_ATTEMPTS)),
    both("BackoffRate", Is::Number(1.0, f64::MAX, rule::BACKOFF)),
    both("MaxDelaySeconds", Is::Whole(1, DELAY_LIMIT - 1, rule::MAX_DELAY)),
    both("JitterStrategy", Is::Word(&["FULL", "NONE"], rule::JITTER)),
    both("Comment", Is::Text),
];
const CATCHER: &[Field] = &[
    both("ErrorEquals", Is::Texts),
    both("Next", Is::Text),
    both("Comment", Is::Text),
    both("Assign", Is::Template),
    path("ResultPath", Is::ReferenceOrNull),
    jsonata("Output", Is::Template),
];

impl Checker {
    /// Checks the retriers of a state.
    pub fn retriers(&mut self, node: &Node, of: &str) {
        let retriers = node.get("Retry").map(Node::elements).unwrap_or_default();
        for (index, retrier) in retriers.iter().enumerate() {
            let name = format!("retrier {} of {of}", index + 1);
            if !self.fields(retrier, &name, &[RETRIER], Around::default()) {
                continue;
            }
            self.errors(retrier, &name, index + 1 == retriers.len());
            let seconds = |name| retrier.get(name).and_then(|node| Some((node.number()?, node.at)));
            let (interval, _) = seconds("IntervalSeconds").unwrap_or((1.0, retrier.at));
            if let Some((delay, at)) = seconds("MaxDelaySeconds").filter(|(delay, _)| *delay <= interval && *delay >= 1.0) {
                let detail = format!("`MaxDelaySeconds` of {delay} is not more than `IntervalSeconds` of {interval}");
                self.tell(rule::MAX_DELAY, at, detail);
            }
        }
    }

    /// Checks the catchers of a state.
    pub fn catchers(&mut self, node: &Node, of: &str, around: Around) {
        let catchers = node.get("Catch").map(Node::elements).unwrap_or_default();
        for (index, catcher) in catchers.iter().enumerate() {
            let name = format!("catcher {} of {of}", index + 1);
            if self.fields(catcher, &name, &[CATCHER], around) {
                self.required(catcher, &name, &["Next"]);
                self.errors(catcher, &name, index + 1 == catchers.len());
            }
        }
    }

    fn errors(&mut self, node: &Node, of: &str, is_last: bool) {
        self.required(node, of, &["ErrorEquals"]);
        let Some(errors) = node.entry("ErrorEquals") else { return };
        let names: Vec<(&str, Spot)> = errors.value.elements().iter().filter_map(|node| Some((node.text()?, node.at))).collect();
        if matches!(&errors.value.kind, Kind::List(list) if list.is_empty()) {
            self.tell(rule::NO_ERRORS, errors.key_at, format!("`ErrorEquals` of {of} names no error"))
                .hint("`States.ALL` means every error");
        }
        for (name, at) in &names {
            if *name == "States.ALL" && names.len() > 1 {
                self.tell(rule::ALL_ALONE, *at, format!("`States.ALL` of {of} stands beside other errors"))
                    .hint("it means all of them: remove the others");
            } else if *name == "States.ALL" && !is_last {
                self.tell(
                    rule::ALL_LAST,
                    *at,
                    format!("`States.ALL`: {of} is not the last one, those behind it are never reached"),
                )
                .hint("move it to the end");
            }
            if name.starts_with("States.") && !STATES_ERRORS.contains(name) {
                let told = self.tell(rule::ERROR_NAME, *at, format!("there is no error `{name}`"));
                if let Some(near) = nearest(name, STATES_ERRORS.iter().copied()) {
                    told.hint(format!("did you mean `{near}`?"));
                }
            }
        }
    }
}
