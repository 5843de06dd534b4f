//! `package`, `deploy` and `destroy`: a workflow is put on AWS, and taken off it again.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::aws_run::wait;
use super::definition::pair;
use super::{Surroundings, report};
use crate::aws::{self, Clients, Deployed, Package};
use crate::error::Result;
use crate::observe::{JsonLines, say};
use crate::workflow::Workflow;

/// Writes everything of a workflow that goes to AWS into a folder: for those who deploy otherwise than by `fanfold deploy`.
#[derive(Debug, Args)]
#[command(after_help = "worker.zip is this program and the workflow. What it needs and what it may is in the template:\n  \
                        aws s3 cp out/worker.zip s3://BUCKET/worker.zip\n  \
                        aws cloudformation deploy --stack-name fanfold-NAME --template-file out/template.json \\\n    \
                        --capabilities CAPABILITY_IAM --parameter-overrides CodeBucket=BUCKET CodeKey=worker.zip")]
pub(super) struct PackageVerb {
    #[command(flatten)]
    what: What,
    /// The folder that it is written into
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
}

/// Puts a workflow on AWS, or what has changed of it: shows the changes, makes them, and waits until they are made.
#[derive(Debug, Args)]
pub(super) struct Deploy {
    #[command(flatten)]
    what: What,
    /// Go back to what was deployed before
    #[arg(long, conflicts_with_all = ["param", "bootstrap"])]
    rollback: bool,
    /// Show what would be changed, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Takes a workflow off AWS. Its results bucket stays, with everything in it.
#[derive(Debug, Args)]
pub(super) struct Destroy {
    /// The workflow file
    workflow: PathBuf,
    /// Also if it is not known of items whether they happened
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
struct What {
    /// The workflow file
    workflow: PathBuf,
    /// A param that executions need not give; paths have to be known
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    param: Vec<(String, String)>,
    /// The program that the workers are, for Linux [default: this very program]
    #[arg(long, value_name = "FILE")]
    bootstrap: Option<PathBuf>,
}

impl What {
    fn load(&self, at: &Surroundings) -> Result<Workflow> {
        Workflow::load(&self.workflow, &at.jobs)
    }

    fn pack(&self, workflow: &Workflow, at: &Surroundings) -> Result<Package> {
        Package::of(workflow, &self.param, &at.here, self.bootstrap.as_deref())
    }
}

impl PackageVerb {
    pub fn go(self, at: &Surroundings) -> Result<u8> {
        let package = self.what.pack(&self.what.load(at)?, at)?;
        let files = package.write(&self.output)?;
        if at.json {
            JsonLines::line(&json!({ "deployment": package.hash(), "files": files, "worker_bytes": package.zip.len() }));
        } else {
            for file in files {
                report::data(at.shown(&file).display());
            }
        }
        let megabytes = package.zip.len() as f64 / 1e6;
        say(format_args!("deployment {}: the worker has {megabytes:.1} MB packed", package.hash()));
        Ok(0)
    }
}

impl Deploy {
    pub fn go(self, at: &Surroundings) -> Result<u8> {
        let workflow = self.what.load(at)?;
        let package = if self.rollback { None } else { Some(self.what.pack(&workflow, at)?) };
        let (name, mut tell) = (workflow.name.clone(), |text: String| say(text));
        let put = wait(async {
            let clients = Clients::load(workflow.aws_region()).await?;
            match &package {
                Some(package) => aws::deploy(&clients, &workflow, package, self.dry_run, &mut tell).await,
                None => aws::rollback(&clients, &name, self.dry_run, &mut tell).await,
            }
        })?;
        if !put.changed {
            say(format_args!("`{name}` is on AWS as it is here; nothing to change"));
        } else if self.dry_run {
            say("nothing was changed");
        }
        if let Some(deployed) = &put.deployed {
            let file = self.what.workflow.display();
            match &package {
                None if put.changed => say(format_args!(
                    "`{name}` is on AWS as it was before; `fanfold run {file} --on aws` takes it once the file is as it was then, too"
                )),
                Some(package) if put.changed => {
                    let given = package.machine.open_examples().iter().map(|example| format!(" -p {example}"));
                    say(format_args!("`{name}` is on AWS: fanfold run {file} --on aws{}", given.collect::<String>()));
                    if let [_, ..] = package.machine.open_params() {
                        let names = crate::nearest::list(package.machine.open_params().iter().map(String::as_str), 12);
                        say(format_args!("each run has to give {names}"));
                    }
                }
                _ => {}
            }
            show(&name, deployed, put.changed, at);
        }
        Ok(0)
    }
}

/// Where it is, for programs and for people.
fn show(name: &str, deployed: &Deployed, changed: bool, at: &Surroundings) {
    if at.json {
        JsonLines::line(&json!({
            "workflow": name,
            "changed": changed,
            "deployment": deployed.hash,
            "stack": deployed.stack,
            "state_machine": deployed.machine,
            "alias": deployed.alias,
            "results_bucket": deployed.bucket,
        }));
    } else {
        report::data(&deployed.alias);
    }
}

impl Destroy {
    pub fn go(self, at: &Surroundings) -> Result<u8> {
        let workflow = Workflow::load(&self.workflow, &at.jobs)?;
        let name = &workflow.name;
        let mut tell = |text: String| say(text);
        let gone = wait(async {
            let clients = Clients::load(workflow.aws_region()).await?;
            aws::destroy(&clients, name, self.force, &mut tell).await
        })?;
        match &gone {
            None => say(format_args!("`{name}` is not on AWS; nothing to take off")),
            Some(bucket) if bucket.is_empty() => say(format_args!("`{name}` is off AWS")),
            Some(bucket) => {
                say(format_args!(
                    "`{name}` is off AWS; its results and deployments stay in s3://{bucket}/{name}/, and `aws.results_bucket: {bucket}` uses the bucket again"
                ));
            }
        }
        if at.json {
            JsonLines::line(
                &json!({ "workflow": name, "destroyed": gone.is_some(), "results_bucket": gone.filter(|name| !name.is_empty()) }),
            );
        }
        Ok(0)
    }
}
