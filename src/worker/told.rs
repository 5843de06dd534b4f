//! [`Told`]: what was heard of a call, in words and with the name that it is recorded by.

use std::sync::Arc;

use crate::call::{Answer, NoAnswer};
use crate::ledger::CallRow;

/// The most characters of a body that are shown.
const SHOWN: usize = 200;

/// What was heard.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// The error name.
    pub name: String,
    /// A fragment for people.
    pub what: String,
}

impl Told {
    /// `family` is what the names begin with; `times` how often in a row the very same answer came.
    pub fn of(family: &str, heard: &Result<Arc<Answer>, NoAnswer>, times: u32) -> Self {
        match heard {
            Ok(answer) => {
                let mut told = Self::of_answer(family, answer);
                if times > 1 {
                    told.what.push_str(&format!(" ({times} times)"));
                }
                told
            }
            Err(none) => Self::of_none(family, none),
        }
    }

    pub fn of_answer(family: &str, answer: &Answer) -> Self {
        let body = String::from_utf8_lossy(&answer.body);
        let mut start: String = body.trim().chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
        if body.trim().chars().count() > SHOWN {
            start.push('…');
        }
        let status = answer.status;
        let what = if start.is_empty() { format!("answered {status}") } else { format!("answered {status}: {start}") };
        Self { name: format!("{family}.Status.{status}"), what }
    }

    /// A probe was not answered.
    pub fn of_probe(family: &str, none: &NoAnswer) -> Self {
        let Self { what, .. } = Self::of_none(family, none);
        let what = format!("there is no answer, and whether it happened cannot be found out: {what}");
        Self { name: format!("{family}.ProbeFailed"), what }
    }

    /// What an earlier process left of a call that may have had its effect.
    pub fn of_kept(family: &str, row: &CallRow) -> Self {
        match &row.answer {
            _ if row.unheard > 0 => {
                Self { name: "Worker.Crashed".to_string(), what: "the process died before an answer was recorded".to_string() }
            }
            Some(answer) => Self::of_answer(family, answer),
            None => Self { name: format!("{family}.NoAnswer"), what: "there was no answer".to_string() },
        }
    }

    fn of_none(family: &str, none: &NoAnswer) -> Self {
        let (name, what) = match none {
            NoAnswer::NotSent(why) | NoAnswer::Surroundings(why) => ("Unreachable", why.clone()),
            NoAnswer::Lost(why) | NoAnswer::TimedOut(why) => ("NoAnswer", why.clone()),
            NoAnswer::Unusable { status, cause } => ("BadAnswer", format!("answered {status}, which cannot be kept: {cause}")),
            NoAnswer::Refused(why) => ("NotAllowed", why.clone()),
        };
        Self { name: format!("{family}.{name}"), what }
    }
}
