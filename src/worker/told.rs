//! [`Told`]: what was heard of a call, in words and with the name that it is recorded by.

use std::sync::Arc;

use crate::call::{Answer, NoAnswer};
use crate::ledger::CallRow;

/// The most characters of a body that are shown.
const SHOWN: usize = 200;

/// What was heard.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// The error name, without the family in front unless it is one of the worker's own.
    pub name: String,
    /// A fragment for people.
    pub what: String,
}

impl Told {
    pub fn of(heard: &Result<Arc<Answer>, NoAnswer>, times: u32) -> Self {
        match heard {
            Ok(answer) if times > 1 => {
                let told = Self::of_answer(answer);
                Self { what: format!("{} ({times} times)", told.what), ..told }
            }
            Ok(answer) => Self::of_answer(answer),
            Err(none) => Self::of_none(none),
        }
    }

    pub fn of_answer(answer: &Answer) -> Self {
        let body = String::from_utf8_lossy(&answer.body);
        let mut start: String = body.trim().chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
        if body.trim().chars().count() > SHOWN {
            start.push('…');
        }
        let status = answer.status;
        let what = if start.is_empty() { format!("answered {status}") } else { format!("answered {status}: {start}") };
        Self { name: format!("Status.{status}"), what }
    }

    /// A probe was not answered.
    pub fn of_probe(none: &NoAnswer) -> Self {
        let Self { name, what } = Self::of_none(none);
        Self { name, what: format!("it was not answered, and whether it happened cannot be found out: {what}") }
    }

    fn of_none(none: &NoAnswer) -> Self {
        let (name, what) = match none {
            NoAnswer::NotSent(why) => ("Unreachable", why.clone()),
            NoAnswer::Lost(why) | NoAnswer::TimedOut(why) => ("NoAnswer", why.clone()),
            NoAnswer::Unusable { status, cause } => ("BadAnswer", format!("answered {status}, which cannot be kept: {cause}")),
            NoAnswer::Surroundings(why) => ("Unreachable", why.clone()),
            NoAnswer::Refused(why) => ("NotAllowed", why.clone()),
        };
        Self { name: name.to_string(), what }
    }
}

/// What an earlier process left of a call that may have had its effect.
pub(super) fn of_kept(row: &CallRow) -> Told {
    match &row.answer {
        _ if row.unheard > 0 => {
            Told { name: "Worker.Crashed".to_string(), what: "the process died before an answer was recorded".to_string() }
        }
        Some(answer) => Told::of_answer(answer),
        None => Told { name: "NoAnswer".to_string(), what: "it was not answered".to_string() },
    }
}
