//! [`BatchOutcomes`]: what the workers of one batch came to, put together.

use std::collections::BTreeMap;

use super::line::OutcomeLine;

/// How the items of one batch ended, by index. Where several workers did the same item, the outcome that says more of what was done
/// counts; of two that say the same, the earliest.
#[derive(Debug, Clone, Default)]
pub(crate) struct BatchOutcomes(BTreeMap<u64, OutcomeLine>);

impl BatchOutcomes {
    /// Takes a line; those of the earliest worker come first.
    pub fn take(&mut self, line: OutcomeLine) {
        match self.0.get(&line.index) {
            Some(known) if !line.is_more_than(known) => {}
            _ => drop(self.0.insert(line.index, line)),
        }
    }

    /// How the item ended, if anybody knows.
    pub fn of(&self, index: u64) -> Option<&OutcomeLine> {
        self.0.get(&index)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// All of them, in input order.
    pub fn into_lines(self) -> impl Iterator<Item = OutcomeLine> {
        self.0.into_values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Failure, Outcome};

    #[test]
    fn what_was_done_counts_whoever_says_so_and_whenever() {
        let succeeded = Outcome::Succeeded(serde_json::Value::Null);
        let failed = || Outcome::Failed(Failure::new("Item.Exists", "is there already"));
        let unknown = Outcome::Unknown(Failure::new("Http.NoAnswer", "no answer"));
        let line = |outcome: &Outcome, attempts| OutcomeLine::new(7, "k".into(), outcome, attempts);
        for (lines, status, attempts) in [
            (vec![line(&succeeded, 1), line(&failed(), 2)], "succeeded", 1),
            (vec![line(&failed(), 1), line(&succeeded, 2)], "succeeded", 2),
            (vec![line(&failed(), 1), line(&failed(), 2)], "failed", 1),
            (vec![line(&failed(), 1), line(&unknown, 2), line(&failed(), 3)], "unknown", 2),
            (vec![line(&unknown, 1), line(&succeeded, 2)], "succeeded", 2),
        ] {
            let mut outcomes = BatchOutcomes::default();
            lines.into_iter().for_each(|line| outcomes.take(line));
            let known = outcomes.of(7).unwrap();
            assert_eq!((known.status.word(), known.attempts, outcomes.len()), (status, attempts, 1));
        }
    }
}
