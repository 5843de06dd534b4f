//! What a test expects, held against what was played.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::compare::{Difference, compare};
use super::script::{RanOut, Step};
use crate::outcome::{ItemStatus, Outcome};
use crate::units::write_duration;
use crate::workflow::TestAssert;

/// What was played.
#[derive(Debug, Default)]
pub(super) struct Played {
    /// Every item by its key, in input order; `None` if it is pending.
    pub items: Vec<(String, Option<Outcome>)>,
    pub steps: BTreeMap<String, Step>,
    pub ran_out: Option<RanOut>,
    /// Why it came to a stop before its end.
    pub stopped: Option<String>,
    /// How long it took in virtual time.
    pub waited: Duration,
}

/// Every place at which it was not as expected.
pub(super) fn judge(expected: &TestAssert, played: &Played) -> Vec<Difference> {
    if let Some(RanOut { step, request, what }) = &played.ran_out {
        // What came after it means nothing.
        let written = played.steps.get(step).map_or(0, |step| step.answers.len());
        let difference = Difference::new(format!("answers.{step}"), written, *request);
        let note = format!("no answer is left for request {request} of the step, {what}");
        let mut differences = vec![difference.note(note)];
        differences.extend(what_was_sent(expected, played, true));
        return differences;
    }
    let mut differences = Vec::new();
    if let Some(why) = &played.stopped {
        differences.push(Difference::new("run", "goes on to its end", "stopped").note(why));
    }
    differences.extend(outcomes(expected, played));
    differences.extend(results(expected, played));
    for (name, calls) in &expected.calls {
        let found = played.steps.get(name).map_or(0, |step| step.sent.len() as u64);
        if *calls != found {
            differences.push(Difference::new(format!("calls.{name}"), *calls, found));
        }
    }
    differences.extend(what_was_sent(expected, played, false));
    for (name, step) in &played.steps {
        if step.sent.len() < step.answers.len() {
            let left = step.answers.len() - step.sent.len();
            let note = if left == 1 { "1 answer is left over".to_string() } else { format!("{left} answers are left over") };
            differences.push(Difference::new(format!("answers.{name}"), step.answers.len(), step.sent.len()).note(note));
        }
    }
    let (least, most) = (expected.waited_at_least, expected.waited_at_most);
    if let Some(least) = least.filter(|least| played.waited < *least) {
        differences.push(Difference::new("waited_at_least", write_duration(least), rounded(played.waited)));
    }
    if let Some(most) = most.filter(|most| played.waited > *most) {
        differences.push(Difference::new("waited_at_most", write_duration(most), rounded(played.waited)));
    }
    differences
}

fn outcomes(expected: &TestAssert, played: &Played) -> Vec<Difference> {
    let mut differences = Vec::new();
    for (name, outcome) in &expected.outcomes {
        let path = format!("outcomes.{name}");
        if let (Some(status), Some(count)) = (status(name), outcome.as_u64()) {
            let found = played.items.iter().filter(|(_, outcome)| status_of(outcome.as_ref()) == status).count() as u64;
            if count != found {
                let others = played.items.iter().filter(|(_, outcome)| status_of(outcome.as_ref()) != status);
                let others: Vec<_> = others.take(5).map(|(key, outcome)| in_words(key, outcome.as_ref())).collect();
                let difference = Difference::new(path, count, found);
                differences.push(if others.is_empty() { difference } else { difference.note(others.join("\n")) });
            }
            continue;
        }
        match found(played, name) {
            None => differences.push(missing(path, outcome, played)),
            Some(found) => {
                let word = status_of(found).word();
                if outcome.as_str() != Some(word) {
                    differences.push(Difference::new(path, outcome.clone(), word).note(in_words(name, found)));
                }
            }
        }
    }
    differences
}

fn results(expected: &TestAssert, played: &Played) -> Vec<Difference> {
    let mut differences = Vec::new();
    for (key, error) in &expected.errors {
        let path = format!("errors.{key}");
        match found(played, key) {
            None => differences.push(missing(path, &json!(error), played)),
            Some(Some(Outcome::Failed(failure) | Outcome::Unknown(failure))) if failure.error == *error => {}
            Some(outcome) => {
                let found = match outcome {
                    Some(Outcome::Failed(failure) | Outcome::Unknown(failure)) => json!(failure.error),
                    _ => Value::Null,
                };
                differences.push(Difference::new(path, error.as_str(), found).note(in_words(key, outcome)));
            }
        }
    }
    for (key, output) in &expected.outputs {
        let path = format!("outputs.{key}");
        match found(played, key) {
            None => differences.push(missing(path, output, played)),
            Some(Some(Outcome::Succeeded(found))) => differences.extend(compare(&path, output, found)),
            Some(outcome) => {
                let difference = Difference { path, expected: Some(output.clone()), found: None, note: None };
                differences.push(difference.note(in_words(key, outcome)));
            }
        }
    }
    differences
}

/// Holds requests against what they have to be like. `begun`: there may be fewer than were expected.
fn what_was_sent(expected: &TestAssert, played: &Played, begun: bool) -> Vec<Difference> {
    let mut differences = Vec::new();
    for (name, pattern) in &expected.sent {
        let path = format!("sent.{name}");
        let sent = played.steps.get(name).map_or(&[][..], |step| &step.sent);
        match pattern {
            Value::Array(patterns) => {
                if patterns.len() != sent.len() && !begun {
                    differences.push(Difference::new(&path, patterns.len(), sent.len()).note("requests of the step"));
                }
                for (index, (pattern, sent)) in patterns.iter().zip(sent).enumerate() {
                    differences.extend(compare(&format!("{path}[{index}]"), pattern, sent));
                }
            }
            pattern => {
                if sent.is_empty() && !begun {
                    differences.push(Difference::new(&path, 1, 0).note("requests of the step"));
                }
                for (index, sent) in sent.iter().enumerate() {
                    differences.extend(compare(&format!("{path}[{index}]"), pattern, sent));
                }
            }
        }
    }
    differences
}

fn found<'p>(played: &'p Played, key: &str) -> Option<Option<&'p Outcome>> {
    played.items.iter().find(|(found, _)| found == key).map(|(_, outcome)| outcome.as_ref())
}

fn missing(path: String, expected: &Value, played: &Played) -> Difference {
    let keys: Vec<_> = played.items.iter().take(5).map(|(key, _)| format!("`{key}`")).collect();
    let difference = Difference { path, expected: Some(expected.clone()), found: None, note: None };
    difference.note(format!("there is no such item; the items are {}", keys.join(", ")))
}

/// The status of this word.
pub(super) fn status(word: &str) -> Option<ItemStatus> {
    ItemStatus::ALL.into_iter().find(|status| status.word() == word)
}

fn status_of(outcome: Option<&Outcome>) -> ItemStatus {
    outcome.map_or(ItemStatus::Pending, Outcome::status)
}

fn in_words(key: &str, outcome: Option<&Outcome>) -> String {
    match outcome {
        None => format!("{key} is pending"),
        Some(Outcome::Succeeded(Value::Null)) => format!("{key} succeeded"),
        Some(Outcome::Succeeded(output)) => format!("{key} succeeded: {output}"),
        Some(Outcome::Skipped(why)) => format!("{key} was skipped: {why}"),
        Some(Outcome::Failed(failure)) => format!("{key} failed: {failure}"),
        Some(Outcome::Unknown(failure)) => format!("{key} is unknown: {failure}"),
        Some(Outcome::Blocked(why)) => format!("{key} is blocked {why}"),
    }
}

/// In milliseconds, as a duration is written in a workflow.
fn rounded(time: Duration) -> String {
    write_duration(Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Failure;

    fn played() -> Played {
        let step = Step { answers: Vec::new(), sent: vec![json!({ "path": "/a" }), json!({ "path": "/b" })] };
        Played {
            items: vec![
                ("o1".to_string(), Some(Outcome::Succeeded(json!({ "number": 7, "id": "i" })))),
                ("o2".to_string(), Some(Outcome::Failed(Failure::new("Http.Status.400", "the card has expired")))),
            ],
            steps: BTreeMap::from([("pay".to_string(), step)]),
            waited: Duration::from_secs(90),
            ..Played::default()
        }
    }

    fn of<T>(values: impl IntoIterator<Item = (&'static str, T)>) -> BTreeMap<String, T> {
        values.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
    }

    fn paths(expected: TestAssert) -> Vec<String> {
        judge(&expected, &played()).into_iter().map(|difference| difference.path).collect()
    }

    #[test]
    fn what_is_so_is_no_difference() {
        let expected = TestAssert {
            outcomes: of([("succeeded", json!(1)), ("failed", json!(1)), ("pending", json!(0)), ("o2", json!("failed"))]),
            errors: of([("o2", "Http.Status.400".to_string())]),
            outputs: of([("o1", json!({ "number": 7 }))]),
            calls: of([("pay", 2), ("never", 0)]),
            sent: of([("pay", json!([{ "path": "/a" }, { "path": "/b" }]))]),
            waited_at_least: Some(Duration::from_secs(90)),
            waited_at_most: Some(Duration::from_secs(90)),
        };
        assert_eq!(judge(&expected, &played()), []);
        assert_eq!(judge(&TestAssert::default(), &played()), []);
    }

    #[test]
    fn everything_that_is_not_so_is_told_at_its_path() {
        let expected = TestAssert {
            outcomes: of([("succeeded", json!(2)), ("o1", json!("failed")), ("o3", json!("failed"))]),
            errors: of([("o1", "Http.Status.400".to_string()), ("o2", "Http.Status.500".to_string())]),
            outputs: of([("o1", json!({ "number": 8 })), ("o2", json!({}))]),
            calls: of([("pay", 1)]),
            sent: of([("pay", json!({ "path": "/a" })), ("never", json!({}))]),
            waited_at_least: Some(Duration::from_secs(91)),
            waited_at_most: Some(Duration::from_secs(89)),
        };
        assert_eq!(
            paths(expected),
            [
                "outcomes.o1",
                "outcomes.o3",
                "outcomes.succeeded",
                "errors.o1",
                "errors.o2",
                "outputs.o1.number",
                "outputs.o2",
                "calls.pay",
                "sent.never",
                "sent.pay[1].path",
                "waited_at_least",
                "waited_at_most"
            ]
        );
    }

    #[test]
    fn answers_that_are_left_over_or_ran_out_are_told() {
        let mut played = played();
        let answer =
            crate::rehearsal::script::Scripted { takes: Duration::ZERO, what: crate::rehearsal::script::What::DropAfter };
        played.steps.get_mut("pay").unwrap().answers = vec![answer; 3];
        let differences = judge(&TestAssert::default(), &played);
        assert_eq!(differences[0].path, "answers.pay");
        assert_eq!(differences[0].note.as_deref(), Some("1 answer is left over"));
        played.ran_out = Some(RanOut { step: "pay".to_string(), request: 4, what: "GET /x".to_string() });
        let differences = judge(&TestAssert { outcomes: of([("failed", json!(7))]), ..TestAssert::default() }, &played);
        assert_eq!(differences.len(), 1, "what follows from it is not told: {differences:?}");
    }
}
