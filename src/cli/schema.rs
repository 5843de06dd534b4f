//! `schema`: the JSON Schema of workflows, made from the Rust types.

use clap::Args;

use super::{Surroundings, report};
use crate::error::Result;
use crate::observe::JsonLines;
use crate::workflow;

/// Prints the JSON Schema of workflows with every job of this program, for editors.
#[derive(Debug, Args)]
#[command(
    after_help = "Put it beside your workflows and name it in their first line:\n  fanfold schema > schema.json\n  # yaml-language-server: $schema=./schema.json"
)]
pub(super) struct SchemaVerb {}

impl SchemaVerb {
    pub fn go(self, at: &Surroundings) -> Result<u8> {
        let schema = workflow::schema(&at.jobs);
        if at.json {
            JsonLines::line(&schema)
        } else {
            report::data(format!("{schema:#}"))
        }
        Ok(0)
    }
}
