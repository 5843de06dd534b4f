//! `test`: the tests of a workflow, played without network and secrets in virtual time.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::Surroundings;
use crate::error::{Error, Result};
use crate::nearest::{list, nearest};
use crate::observe::{JsonLines, count, duration, say};
use crate::rehearsal::{Difference, Rehearsal, cases, rehearse};
use crate::workflow::Workflow;

/// How wide a value is shown in a difference, in characters.
const WIDTH: usize = 200;

/// Plays the tests of a workflow: its items, answered as they say, in virtual time.
///
/// Nothing is sent and no secret is needed; hours of waiting take milliseconds. Exit code 1 if a test fails, 2 if there is a mistake
/// in the file.
#[derive(Debug, Args)]
pub(super) struct Test {
    /// The workflow file
    workflow: PathBuf,
    /// Play only the test with this name
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

impl Test {
    pub fn go(self, at: &Surroundings) -> Result<u8> {
        let workflow = Workflow::load(&self.workflow, &at.jobs)?;
        let cases = cases(&workflow)?;
        let is_wanted = |name: &str| self.only.as_ref().is_none_or(|only| only == name);
        if let Some(only) = self.only.as_deref().filter(|only| cases.iter().all(|case| case.name != *only)) {
            return Err(unknown(only, cases.iter().map(|case| case.name.as_str())));
        }
        let (mut played, mut failed, mut mistakes) = (0, 0, Vec::new());
        for (number, case) in cases.iter().enumerate().filter(|(_, case)| is_wanted(&case.name)) {
            match rehearse(&workflow, &at.jobs, number, case) {
                Ok(rehearsal) => {
                    played += 1;
                    failed += u64::from(!rehearsal.differences.is_empty());
                    if at.json { JsonLines::line(&object(&rehearsal)) } else { show(&rehearsal) }
                }
                Err(error) => mistakes.push(error),
            }
        }
        if let Some(error) = Error::all(mistakes) {
            return Err(error);
        }
        if !at.json {
            let tests = if played == 1 { "1 test".to_string() } else { format!("{} tests", count(played)) };
            match failed {
                0 => say(format_args!("{tests}, all passed")),
                failed => say(format_args!("{tests}, {} failed", count(failed))),
            }
        }
        Ok(u8::from(failed > 0))
    }
}

fn unknown<'n>(only: &str, names: impl Iterator<Item = &'n str> + Clone) -> Error {
    let error = Error::refused(format!("there is no test `{only}`"));
    match nearest(only, names.clone()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(format!("the tests are {}", list(names, 10))),
    }
}

fn show(rehearsal: &Rehearsal) {
    let requests: usize = rehearsal.calls.values().sum();
    let requests = if requests == 1 { "1 request".to_string() } else { format!("{} requests", count(requests as u64)) };
    let waited = duration(rehearsal.waited);
    if rehearsal.differences.is_empty() {
        say(format_args!("{} {} ({requests}, {waited})", console::style("passed").green().for_stderr(), rehearsal.name));
        return;
    }
    say(format_args!("{} {} ({requests}, {waited})", console::style("failed").red().bold().for_stderr(), rehearsal.name));
    for Difference { path, expected, found, note } in &rehearsal.differences {
        say(format_args!("  {path}: expected {}, found {}", shown(expected.as_ref()), shown(found.as_ref())));
        for line in note.iter().flat_map(|note| note.lines()) {
            say(format_args!("    {line}"));
        }
    }
}

/// A value in a line; nothing is `nothing`.
fn shown(value: Option<&Value>) -> String {
    let text = match value {
        None => return "nothing".to_string(),
        Some(value) => value.to_string(),
    };
    if text.chars().count() <= WIDTH { text } else { text.chars().take(WIDTH - 1).chain(['…']).collect() }
}

fn object(rehearsal: &Rehearsal) -> Value {
    let difference = |difference: &Difference| {
        let Difference { path, expected, found, note } = difference;
        json!({ "path": path, "expected": expected, "found": found, "note": note })
    };
    json!({
        "event": "test", "name": rehearsal.name, "passed": rehearsal.differences.is_empty(), "calls": rehearsal.calls,
        "waited_ms": u64::try_from(rehearsal.waited.as_millis()).unwrap_or(u64::MAX),
        "differences": rehearsal.differences.iter().map(difference).collect::<Vec<_>>(),
    })
}
