//! `check`: every mistake of workflows at once.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{Surroundings, report};
use crate::error::{Error, Result};
use crate::observe::{JsonLines, say};
use crate::workflow::Workflow;

/// Checks workflows without running anything. Exit code 2 if there is a mistake.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The workflow files
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

impl Check {
    pub fn go(self, at: &Surroundings) -> Result<u8> {
        let mut mistakes = Vec::new();
        for file in &self.files {
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
