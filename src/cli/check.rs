//! `check`: every mistake of workflows, and of definitions of state machines, at once.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{Surroundings, report};
use crate::asl;
use crate::error::{Error, Result};
use crate::observe::{JsonLines, say};
use crate::workflow::Workflow;

/// Checks workflows, and definitions of Step Functions (`.json`), without running anything. Exit code 2 if there is a mistake.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The workflow files; a `.json` file is a definition in the Amazon States Language
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

impl Check {
    pub fn go(self, at: &Surroundings) -> Result<u8> {
        let mut mistakes = Vec::new();
        for file in &self.files {
            if let Some(text) = definition(file)? {
                match check_definition(file, &text, at) {
                    Ok(()) => {}
                    Err(error) => mistakes.push(error),
                }
                continue;
            }
            match Workflow::load(file, &at.jobs) {
                Ok(workflow) => {
                    for warning in workflow.warnings() {
                        say(format_args!("warning: {warning}"));
                    }
                    if at.json {
                        let warnings: Vec<_> = workflow.warnings().iter().map(report::warning).collect();
                        JsonLines::line(
                            &json!({ "event": "checked", "file": file, "workflow": workflow.name, "warnings": warnings }),
                        );
                    } else {
                        say(format_args!("{}: no mistake found", at.shown(file).display()));
                    }
                }
                Err(error) => mistakes.push(error),
            }
        }
        match Error::all(mistakes) {
            Some(error) => Err(error),
            None => Ok(0),
        }
    }
}

/// The text of a file that holds the definition of a state machine. A workflow may be written as JSON too: it has `fanfold`.
fn definition(file: &Path) -> Result<Option<String>> {
    if file.extension().is_none_or(|ending| !ending.eq_ignore_ascii_case("json")) {
        return Ok(None);
    }
    let shown = file.display();
    let wrong = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::refused(format!("there is no file `{shown}`")),
        std::io::ErrorKind::IsADirectory => Error::refused(format!("`{shown}` is a folder, expected a file")),
        _ => Error::surroundings(format!("`{shown}` cannot be read: {error}")),
    };
    let bytes = std::fs::read(file).map_err(wrong)?;
    let text = String::from_utf8(bytes)
        .map_err(|error| Error::refused(format!("`{shown}`: byte {} is not UTF-8", error.utf8_error().valid_up_to())))?;
    let is_workflow = serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|value| value.get("fanfold").is_some());
    Ok((!is_workflow).then_some(text))
}

/// Tells every rule that a definition does not keep.
fn check_definition(file: &Path, text: &str, at: &Surroundings) -> Result<()> {
    let findings = asl::check(text, &file.display().to_string());
    let (warnings, errors): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| finding.rule.warning);
    for warning in &warnings {
        say(format_args!("warning: {warning}"));
    }
    if let Some(error) = Error::all(errors.into_iter().map(asl::Finding::error).collect()) {
        return Err(error);
    }
    if at.json {
        let warnings: Vec<_> = warnings.into_iter().map(report::finding).collect();
        JsonLines::line(&json!({ "event": "checked", "file": file, "rules": asl::RULES.len(), "warnings": warnings }));
    } else {
        let shown = at.shown(file).display();
        say(format_args!("{shown}: no mistake found, held to {} rules", asl::RULES.len()));
    }
    Ok(())
}
