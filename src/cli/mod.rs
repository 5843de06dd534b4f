//! Words in, text and exit codes out: one file per verb.
//!
//! stdout is data, stderr is for people. Nothing else in fanfold prints, but `observe/`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this room and no other speaks to people and programs")]

#[cfg(feature = "aws")]
mod aws_look;
#[cfg(feature = "aws")]
mod aws_run;
mod check;
mod completions;
mod definition;
#[cfg(feature = "aws")]
mod deploy;
mod explain;
mod glossary;
mod new;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod new_import;
mod prune;
mod report;
mod resolve;
mod results;
mod run;
mod schema;
mod status;
mod stop;
mod test;
mod worker;

#[cfg(feature = "aws")]
mod on_aws;
#[cfg(not(feature = "aws"))]
#[path = "without_aws.rs"]
mod on_aws;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::error::Result;
use crate::job::Jobs;
use crate::local::StateFolder;

/// Runs a job over many items: reads what the items are, does the job to each, and is right about every single one.
///
/// A workflow is one YAML file: where the items come from, what is done to each, what happens on failure. `fanfold run` does it on
/// this machine. Kill it at any instant and `fanfold resume` goes on: nothing is lost, nothing finished is done again.
#[derive(Debug, Parser)]
#[command(
    name = "fanfold",
    version,
    max_term_width = 110,
    disable_help_subcommand = true,
    after_help = "Begin with:\n  fanfold new thumbnails --job image_resize --from photos/\n  fanfold check thumbnails.yaml\n  fanfold run thumbnails.yaml\n\n\
        Exit codes: 0 done; 1 more items failed than is tolerated; 2 the workflow or the command is wrong; 3 stopped, can be resumed;\n\
        4 the surroundings are in the way (access, disk); 101 a mistake of fanfold's own."
)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Args)]
struct Common {
    /// Write JSON objects, one a line, on stdout
    #[arg(long, global = true)]
    json: bool,
    /// Where runs are kept [default: FANFOLD_STATE, else the nearest `.fanfold` here or above]
    #[arg(long, global = true, value_name = "FOLDER")]
    state_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Find every mistake of workflows, and of definitions for Step Functions, at once, without running anything
    Check(check::Check),
    /// Play the tests of a workflow, without network and in virtual time
    Test(test::Test),
    /// Explain a job, a setting, an error name or a word
    Explain(explain::Explain),
    /// Print the JSON Schema of workflows, for editors
    Schema(schema::SchemaVerb),
    /// Write a new workflow that runs
    New(new::New),
    /// Run a workflow to its end
    Run(run::RunVerb),
    /// Go on with a run that was stopped or killed
    Resume(run::Resume),
    /// Run again what failed, and nothing that succeeded
    Redrive(run::RedriveVerb),
    /// Decide what is unknown: say whether it happened
    Resolve(resolve::Resolve),
    /// Stop a run: nothing new is started, what is in flight ends
    Stop(stop::Stop),
    /// Change how fast a run calls others or how much it does at once, now and after a resume
    Throttle(stop::Throttle),
    /// Show how runs stand
    Status(status::Status),
    /// Show how every item ended
    Results(results::ResultsVerb),
    /// Remove the data of a run's items; keep their keys and outcomes
    Prune(prune::Prune),
    /// Print the state machine that runs a workflow on AWS
    Definition(definition::DefinitionVerb),
    /// Write what goes to AWS into a folder, for those who deploy otherwise
    #[cfg(feature = "aws")]
    Package(deploy::PackageVerb),
    /// Put a workflow on AWS, or what has changed of it
    #[cfg(feature = "aws")]
    Deploy(deploy::Deploy),
    /// Take a workflow off AWS; its results stay
    #[cfg(feature = "aws")]
    Destroy(deploy::Destroy),
    /// Take batches from AWS Lambda, which starts this program by itself
    Worker(worker::WorkerVerb),
    /// Print a completion script for a shell
    Completions(completions::Completions),
}

/// What every verb may use.
struct Surroundings {
    jobs: Jobs,
    here: PathBuf,
    json: bool,
    state_dir: Option<PathBuf>,
}

impl Surroundings {
    fn state(&self) -> StateFolder {
        StateFolder::find(self.state_dir.as_deref(), &self.here)
    }

    /// The id given, or that of the newest run.
    fn run_or_newest(&self, id: Option<&str>) -> Result<String> {
        if let Some(id) = id {
            return Ok(id.to_string());
        }
        let (state, there) = (self.state(), on_aws::newest(self)?);
        match (state.newest(), there) {
            (Ok(here), Some((there, begun_ms))) => Ok(if state.begun_ms(&here) > begun_ms { here } else { there }),
            (Err(_), Some((there, _))) => Ok(there),
            (here, None) => here,
        }
    }

    /// The path as it is shown: relative to here if it is below.
    fn shown<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.here).unwrap_or(path)
    }
}

/// FANFOLD_STATE, if it says something.
fn state_from_environment() -> Option<PathBuf> {
    std::env::var_os("FANFOLD_STATE").filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

/// Runs the command line of a program that knows these jobs.
pub(crate) fn main(jobs: Jobs) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap's own: help and version go to stdout with 0, mistakes to stderr with 2.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    crate::worker::keep_quiet();
    let json = cli.common.json;
    report::called(cli.common.state_dir.as_deref());
    let answer = std::env::current_dir()
        .map_err(|error| crate::Error::surroundings(format!("the current folder cannot be read: {error}")))
        .and_then(|here| {
            let surroundings = Surroundings { jobs, here, json, state_dir: cli.common.state_dir.or_else(state_from_environment) };
            match cli.verb {
                Verb::Check(verb) => verb.go(&surroundings),
                Verb::Test(verb) => verb.go(&surroundings),
                Verb::Explain(verb) => verb.go(&surroundings),
                Verb::Schema(verb) => verb.go(&surroundings),
                Verb::New(verb) => verb.go(&surroundings),
                Verb::Run(verb) => verb.go(&surroundings),
                Verb::Resume(verb) => verb.go(&surroundings),
                Verb::Redrive(verb) => verb.go(&surroundings),
                Verb::Resolve(verb) => verb.go(&surroundings),
                Verb::Stop(verb) => verb.go(&surroundings),
                Verb::Throttle(verb) => verb.go(&surroundings),
                Verb::Status(verb) => verb.go(&surroundings),
                Verb::Results(verb) => verb.go(&surroundings),
                Verb::Prune(verb) => verb.go(&surroundings),
                Verb::Definition(verb) => verb.go(&surroundings),
                #[cfg(feature = "aws")]
                Verb::Package(verb) => verb.go(&surroundings),
                #[cfg(feature = "aws")]
                Verb::Deploy(verb) => verb.go(&surroundings),
                #[cfg(feature = "aws")]
                Verb::Destroy(verb) => verb.go(&surroundings),
                Verb::Worker(verb) => verb.go(&surroundings),
                Verb::Completions(verb) => verb.go(Cli::command()),
            }
        });
    let answer = match (answer, crate::observe::trouble()) {
        (Ok(_), Some(error)) => Err(crate::Error::surroundings(format!("the output cannot be written: {error}"))),
        (answer, _) => answer,
    };
    match answer {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            report::errors(&error, json);
            ExitCode::from(error.exit_code())
        }
    }
}
