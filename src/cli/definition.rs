//! `definition`: a workflow as the state machine that AWS runs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::{Surroundings, report};
use crate::asl::{self, Machine};
use crate::error::{Error, Result};
use crate::observe::{JsonLines, say};
use crate::workflow::Workflow;

/// Prints the definition of the state machine that runs a workflow on AWS, in the Amazon States Language. What AWS cannot do is refused.
#[derive(Debug, Args)]
#[command(
    after_help = "The state machine, ready to be created:\n  fanfold definition photos.yaml --set WorkerArn=arn:aws:lambda:… --set ResultsBucket=my-results > machine.json\n  \
                  fanfold check machine.json"
)]
pub(super) struct DefinitionVerb {
    /// The workflow file
    workflow: PathBuf,
    /// A param that executions need not give
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    param: Vec<(String, String)>,
    /// Print something else that belongs to it
    #[arg(long, value_enum, value_name = "WHAT")]
    print: Option<Print>,
    /// Put a value in place of `${NAME}`
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
}

/// What belongs to a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Print {
    /// The policy of the role that the state machine takes
    MachinePolicy,
    /// The policy of the role that the workers take
    WorkerPolicy,
    /// The input of an execution
    Input,
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_string(), value.to_string())),
        _ => Err("expected NAME=VALUE".to_string()),
    }
}

impl DefinitionVerb {
    pub fn go(self, at: &Surroundings) -> Result<u8> {
        let workflow = Workflow::load(&self.workflow, &at.jobs)?;
        for warning in workflow.warnings() {
            say(format_args!("warning: {warning}"));
        }
        let machine = Machine::of(&workflow, &self.param, &at.here)?;
        let mut value = match self.print {
            None => machine.definition(),
            Some(Print::MachinePolicy) => machine.machine_policy().clone(),
            Some(Print::WorkerPolicy) => machine.worker_policy().clone(),
            Some(Print::Input) => machine.input().clone(),
        };
        let names = asl::to_fill(&value);
        if let Some((name, _)) = self.set.iter().find(|(name, _)| !names.contains(name)) {
            let error = Error::refused(format!("`--set {name}`: there is no `${{{name}}}` in it"));
            return Err(error.hint(match names.is_empty() {
                true => "nothing is left to be set".to_string(),
                false => format!("to be set are {}", crate::nearest::list(names.iter().map(String::as_str), 12)),
            }));
        }
        asl::fill(&mut value, &self.set);
        let text = format!("{value:#}");
        if self.print.is_none() {
            // What is printed is held to the rules like any other definition.
            let findings = asl::check(&text, "the definition");
            if let Some(finding) = findings.iter().find(|finding| !finding.rule.warning) {
                return Err(Error::bug(format!("the definition breaks a rule of its language: {finding}")));
            }
        }
        if at.json {
            JsonLines::line(&value);
        } else {
            report::data(text);
        }
        self.tell(&machine, &value);
        Ok(0)
    }

    /// What people should know of it.
    fn tell(&self, machine: &Machine, value: &Value) {
        if self.print.is_none() {
            let (kind, why) = machine.children();
            say(format_args!("{} children: {why}", kind.to_lowercase()));
        }
        if !machine.open_params().is_empty() && self.print.is_none_or(|print| print == Print::Input) {
            let names = crate::nearest::list(machine.open_params().iter().map(String::as_str), 12);
            let first = &machine.open_params()[0];
            say(format_args!(
                "each execution has to give {names}, no value of use on AWS is known; hint: -p {first}=… makes one known"
            ));
        }
        let left = asl::to_fill(value);
        if !left.is_empty() {
            let names: Vec<String> = left.iter().map(|name| format!("${{{name}}}")).collect();
            say(format_args!("to be filled in: {}; hint: --set {}=…", names.join(", "), left[0]));
        }
    }
}
