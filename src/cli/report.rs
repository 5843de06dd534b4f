//! Errors and ends of runs as text, and as JSON where that is asked for.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::asl::Finding;
use crate::error::{Error, ErrorKind, Place};
use crate::observe::{JsonLines, count, say, shown, summary};
use crate::outcome::RunStatus;
use crate::report::{Report, UnknownCall};
use crate::workflow::Warning;

pub(super) use crate::observe::data;

/// How this program is called, with the state folder that was given: what a hint has to say for the command to work.
static CALLED: OnceLock<String> = OnceLock::new();

/// Remembers how the program was called.
pub(super) fn called(state_dir: Option<&Path>) {
    let program = std::env::args_os().next().map(PathBuf::from);
    let mut name =
        program.as_deref().and_then(Path::file_name).map_or("fanfold".into(), |name| name.to_string_lossy().into_owned());
    if let Some(folder) = state_dir {
        name.push_str(&format!(" --state-dir {}", folder.display()));
    }
    let _ = CALLED.set(name);
}

/// The text with every command in it as it has to be typed here.
pub(super) fn typed_here(text: &str) -> String {
    const VERBS: [&str; 10] = ["deploy", "resume", "redrive", "resolve", "results", "status", "stop", "run", "explain", "check"];
    let called = CALLED.get().map_or("fanfold", String::as_str);
    VERBS.iter().fold(text.to_string(), |text, verb| text.replace(&format!("fanfold {verb}"), &format!("{called} {verb}")))
}

/// Tells every mistake, one a line.
pub(super) fn errors(error: &Error, json: bool) {
    for error in error.each() {
        let text = typed_here(&error.to_string());
        say(format_args!("{} {text}", console::style("error:").red().bold().for_stderr()));
        if json {
            JsonLines::line(&object(error));
        }
    }
    let found = error.each().count();
    if found > 1 {
        say(format_args!("{} mistakes", count(found as u64)));
    }
}

/// An error as JSON.
pub(super) fn object(error: &Error) -> Value {
    let kind = match error.kind() {
        ErrorKind::Refused => "refused",
        ErrorKind::Stopped => "stopped",
        ErrorKind::Surroundings => "surroundings",
        _ => "bug",
    };
    json!({
        "event": "error", "kind": kind, "message": error.detail(), "hint": error.hint_text().map(typed_here),
        "place": error.place().map(place),
    })
}

/// Names what is unknown, with the command that decides it.
pub(super) fn unknown(report: &Report) {
    for UnknownCall { item, step, call } in &report.unknown_calls {
        let (run, key) = (&report.run, quoted(item));
        let which = if *call == 0 { String::new() } else { format!(" --call {call}") };
        say(typed_here(&format!(
            "unknown: {} at `{step}`; hint: fanfold resolve {run} {key} {step}{which} --happened JSON, --did-not-happen or --give-up",
            shown(item)
        )));
    }
    let named = report.unknown_calls.iter().map(|call| &call.item).collect::<HashSet<_>>().len() as u64;
    if named > 0 && report.items.unknown > named {
        let left = crate::observe::items(report.items.unknown - named);
        say(typed_here(&format!("and {left} more; hint: fanfold results {} --unknown shows them all", report.run)));
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:#@%+=,".contains(c);
    if !word.is_empty() && !word.starts_with('#') && word.chars().all(is_plain) {
        return shown(word).to_string();
    }
    format!("'{}'", shown(word).to_string().replace('\'', "'\\''"))
}

/// A warning of a workflow as JSON.
pub(super) fn warning(warning: &Warning) -> Value {
    json!({ "message": warning.detail, "hint": warning.hint, "place": place(&warning.place) })
}

/// What of a definition is most likely not meant, as JSON.
pub(super) fn finding(finding: &Finding) -> Value {
    json!({ "code": finding.rule.code, "message": finding.detail, "hint": finding.hint, "place": place(&finding.place) })
}

fn place(place: &Place) -> Value {
    json!({ "file": &*place.file, "line": place.line, "column": place.column })
}

/// Tells people how a run ended and what they can do next; gives the exit code.
pub(super) fn end(report: &Report) -> u8 {
    ended(report, true)
}

/// The same of a run on AWS, where nobody can decide what is unknown yet.
#[cfg(feature = "aws")]
pub(super) fn end_on_aws(report: &Report) -> u8 {
    ended(report, false)
}

fn ended(report: &Report, can_resolve: bool) -> u8 {
    let id = &report.run;
    say(summary(report));
    unknown(report);
    let items = &report.items;
    match report.status {
        RunStatus::Succeeded => {
            if items.not_done() > 0 {
                say(typed_here(&format!(
                    "done, within the tolerance; hint: fanfold results {id} --failed, fanfold redrive {id}"
                )));
            }
            0
        }
        RunStatus::Failed => {
            let next = match (items.failed, items.unknown) {
                (0, 0) => format!("fanfold redrive {id} runs them again"),
                (0, _) if !can_resolve => {
                    format!("fanfold results {id} --unknown shows what is to be looked up at the other side")
                }
                // Blocked items wait for those that are unknown.
                (0, _) => format!(
                    "fanfold results {id} --unknown shows what is to be decided, fanfold resolve {id} KEY STEP decides one"
                ),
                _ => format!("fanfold results {id} --failed shows them, fanfold redrive {id} runs them again"),
            };
            say(typed_here(&format!(
                "failed: {} not done, more than `tolerated_failure` allows; hint: {next}",
                crate::observe::items(items.not_done())
            )));
            1
        }
        RunStatus::Stopped | RunStatus::Running => {
            let why = report.stopped.as_deref().map_or(String::new(), |why| format!(" ({why})"));
            say(typed_here(&format!(
                "stopped{why}: {} of {} done, nothing lost; hint: fanfold resume {id}",
                count(items.ended()),
                crate::observe::items(items.total)
            )));
            3
        }
    }
}
