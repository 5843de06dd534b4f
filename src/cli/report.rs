//! Errors and ends of runs as text, and as JSON where that is asked for.

use serde_json::{Value, json};

use crate::error::{Error, ErrorKind};
use crate::observe::{JsonLines, count, summary};
use crate::outcome::RunStatus;
use crate::report::Report;

/// Writes a line of data. A reader that has gone away (`| head`) ends nothing.
pub(super) fn data(text: impl std::fmt::Display) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Tells every mistake, one a line.
pub(super) fn errors(error: &Error, json: bool) {
    for error in error.each() {
        eprintln!("{} {error}", console::style("error:").red().bold().for_stderr());
        if json {
            JsonLines::line(&object(error));
        }
    }
    let found = error.each().count();
    if found > 1 {
        eprintln!("{} mistakes", count(found as u64));
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
        "event": "error", "kind": kind, "message": error.detail(), "hint": error.hint_text(),
        "place": error.place().map(|place| json!({ "file": &*place.file, "line": place.line, "column": place.column })),
    })
}

/// Tells people how a run ended and what they can do next; gives the exit code.
pub(super) fn end(report: &Report) -> u8 {
    let id = &report.run;
    eprintln!("{}", summary(report));
    let items = &report.items;
    match report.status {
        RunStatus::Succeeded => {
            if items.not_done() > 0 {
                eprintln!("done, within the tolerance; hint: fanfold results {id} --failed, fanfold redrive {id}");
            }
            0
        }
        RunStatus::Failed => {
            let next = if items.failed + items.blocked > 0 {
                format!("fanfold results {id} --failed shows them, fanfold redrive {id} runs them again")
            } else {
                format!("fanfold results {id} --unknown shows them")
            };
            eprintln!(
                "failed: {} not done, more than `tolerated_failure` allows; hint: {next}",
                crate::observe::items(items.not_done())
            );
            1
        }
        RunStatus::Stopped | RunStatus::Running => {
            let why = report.stopped.as_deref().map_or(String::new(), |why| format!(" ({why})"));
            eprintln!(
                "stopped{why}: {} of {} done, nothing lost; hint: fanfold resume {id}",
                count(items.ended()),
                crate::observe::items(items.total)
            );
            3
        }
    }
}
