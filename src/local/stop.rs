//! Why a run stops before its end: [`Why`], and the rules that the order of ending decides, [`StopRule`].

use std::fmt;

use crate::error::Error;
use crate::outcome::Outcome;

/// Why a run stops early. What is pending stays pending.
#[derive(Debug, Clone)]
pub(crate) enum Why {
    /// The first items to end all failed with one error.
    FirstFailed { items: u64, error: String, cause: String },
    /// As many failed as `stop.after` allows.
    TooManyFailed { items: u64 },
    /// The user said so: Ctrl-C, SIGTERM or `fanfold stop`.
    Asked,
    /// `--limit` items are done, or the one of `--only`.
    Enough(String),
    /// Who is called has been away for longer than `outage.give_up_after`.
    Away(String),
    /// The record or what every item needs is in the way.
    Trouble(Error),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstFailed { items, error, cause } => {
                write!(f, "the first {items} items to end all failed with `{error}` (`stop.if_first`): {cause}")
            }
            Self::TooManyFailed { items } => write!(f, "{items} items failed (`stop.after`)"),
            Self::Asked => f.write_str("asked to stop"),
            Self::Enough(what) | Self::Away(what) => f.write_str(what),
            Self::Trouble(error) => write!(f, "{}", error.detail()),
        }
    }
}

/// Decides in the order of ending whether a run goes on. Each session of a run begins anew: after a repair it is given its chance.
#[derive(Debug, Default)]
pub(crate) struct StopRule {
    after: Option<u64>,
    if_first: u64,
    ended: u64,
    failed: u64,
    first_error: Option<String>,
}

impl StopRule {
    /// `if_first` 0 switches that rule off.
    pub fn new(after: Option<u64>, if_first: u64) -> Self {
        Self { after, if_first, ..Self::default() }
    }

    /// Sees how the next item ended. Items left out on purpose say nothing.
    pub fn see(&mut self, outcome: &Outcome) -> Option<Why> {
        let failure = match outcome {
            Outcome::Skipped(_) | Outcome::Blocked(_) => return None,
            Outcome::Succeeded(_) => None,
            Outcome::Failed(failure) | Outcome::Unknown(failure) => Some(failure),
        };
        self.ended += 1;
        let Some(failure) = failure else {
            self.if_first = 0;
            return None;
        };
        self.failed += 1;
        if self.after == Some(self.failed) {
            return Some(Why::TooManyFailed { items: self.failed });
        }
        if self.first_error.get_or_insert_with(|| failure.error.clone()) != &failure.error {
            self.if_first = 0;
        }
        (self.ended == self.if_first).then(|| Why::FirstFailed {
            items: self.ended,
            error: failure.error.clone(),
            cause: failure.cause.clone(),
        })
    }

    /// Sees that so many items succeeded.
    pub fn see_succeeded(&mut self, items: u64) {
        self.ended += items;
        self.if_first = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Failure;

    fn failed(error: &str) -> Outcome {
        Outcome::Failed(Failure::new(error, "no"))
    }

    #[test]
    fn twenty_equal_failures_at_the_start_stop_it_and_nothing_less() {
        let mut rule = StopRule::new(None, 20);
        assert!((0..19).all(|_| rule.see(&failed("A")).is_none()));
        assert!(rule.see(&Outcome::Skipped("left out".into())).is_none());
        assert!(matches!(rule.see(&failed("A")), Some(Why::FirstFailed { items: 20, .. })));
        let mut rule = StopRule::new(None, 20);
        assert!((0..5).all(|_| rule.see(&failed("A")).is_none()));
        assert!(rule.see(&failed("B")).is_none());
        assert!((0..40).all(|_| rule.see(&failed("A")).is_none()));
        let mut rule = StopRule::new(None, 2);
        assert!(rule.see(&Outcome::Succeeded(serde_json::Value::Null)).is_none());
        assert!((0..9).all(|_| rule.see(&failed("A")).is_none()));
    }

    #[test]
    fn after_counts_every_failure_of_the_session() {
        let mut rule = StopRule::new(Some(3), 0);
        assert!(rule.see(&failed("A")).is_none());
        assert!(rule.see(&Outcome::Succeeded(serde_json::Value::Null)).is_none());
        assert!(rule.see(&failed("B")).is_none());
        assert!(matches!(rule.see(&failed("A")), Some(Why::TooManyFailed { items: 3 })));
        assert!(rule.see(&failed("A")).is_none());
    }
}
