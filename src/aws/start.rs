//! Starting executions: [`Ready`], a workflow that is on AWS and the params of a run; then one execution after another.

use std::path::Path;

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::clients::Clients;
use super::deployment::{Deployment, joined};
use super::execution::{Arn, Execution};
use super::memory::{Memory, Remembered};
use super::run::{AwsRun, check_name};
use super::stack::Deployed;
use super::trouble::{code, trouble};
use crate::asl::Machine;
use crate::bucket::{REPORT, RunReport};
use crate::error::{Error, Result};
use crate::outcome::RunStatus;
use crate::reader::ItemsSource;
use crate::workflow::Workflow;

/// A workflow that is on AWS as it is here, and the params of a run of it.
#[derive(Debug)]
pub(crate) struct Ready {
    clients: Clients,
    deployed: Deployed,
    workflow: String,
    /// The params as an execution is given them.
    params: Value,
    /// Where the items come from.
    source: ItemsSource,
}

/// How a run of a name stands.
#[derive(Debug)]
pub(crate) enum Found {
    /// It was never begun.
    Nothing,
    /// The execution with this ARN goes on.
    Running(String),
    /// It can be resumed.
    Stopped,
    /// All its items have ended.
    Done,
}

impl Ready {
    /// Looks the workflow up, and holds what was given against what it was deployed with. `file` is the workflow as people name it.
    ///
    /// # Errors
    /// It is not deployed, or not as it is here; a param has no value, or another one than the roles were made for; AWS cannot be asked.
    pub async fn of(clients: Clients, workflow: &Workflow, file: &str, given: &[(String, String)], here: &Path) -> Result<Self> {
        let name = &workflow.name;
        let Some(deployed) = Deployed::find(&clients, name).await? else {
            return Err(Error::refused(format!("`{name}` is not on AWS in {}", clients.region)).hint(deploy(file, &[])));
        };
        let Some(deployment) = Deployment::find(&clients, &deployed.bucket, name, &deployed.hash).await? else {
            let detail = format!("what was deployed as `{name}` is not in the bucket `{}` any more", deployed.bucket);
            return Err(Error::refused(detail).hint(deploy(file, &[])));
        };
        if deployment.workflow != workflow.text {
            let params = deployment.given();
            return Err(Error::refused(format!("`{name}` on AWS is not what `{file}` says now"))
                .hint(deploy(file, &params.iter().collect::<Vec<_>>())));
        }
        let bound = deployment.given();
        let machine = Machine::of(workflow, &over(&bound, given), here)?;
        let roles = |machine: &Machine| (machine.machine_policy().clone(), machine.worker_policy().clone());
        let deployed_roles = roles(&Machine::of(workflow, &bound, here)?);
        if roles(&machine) != deployed_roles {
            let is_bound = |one: &&(String, String)| {
                Machine::of(workflow, &over(&bound, std::slice::from_ref(one)), here).is_ok_and(|it| roles(&it) != deployed_roles)
            };
            let others: Vec<_> = given.iter().filter(is_bound).collect();
            // What it was deployed with besides stays.
            let kept = bound.iter().filter(|(name, _)| !others.iter().any(|(other, _)| other == name));
            let names = crate::nearest::list(others.iter().map(|(name, _)| name.as_str()), 12);
            let detail =
                format!("the roles on AWS were made for another value of {names}: buckets and prefixes are bound by `deploy`");
            return Err(Error::refused(detail).hint(deploy(file, &kept.chain(others.iter().copied()).collect::<Vec<_>>())));
        }
        if let ([first, ..], [example, ..]) = (machine.open_params(), machine.open_examples()) {
            let names = crate::nearest::list(machine.open_params().iter().map(String::as_str), 12);
            return Err(Error::refused(format!("no value of use on AWS is known of {names}"))
                .hint(format!("`-p {first}=…` gives one, for example `-p {example}`")));
        }
        let params = machine.input()["params"].clone();
        let source = machine.settings().items.source.clone();
        Ok(Self { clients, deployed, workflow: name.clone(), params, source })
    }

    /// The run of this name, or a new one with a name that no other has. It is remembered, and not started.
    ///
    /// # Errors
    /// The name is none, AWS cannot be asked, the state folder cannot be written.
    pub async fn run(&self, memory: &Memory, name: Option<&str>) -> Result<AwsRun> {
        let run = match name {
            Some(name) => name.to_string(),
            None => self.new_name().await?,
        };
        check_name(&run)?;
        if let Some(known) = memory.get(&run)? {
            if known.machine != self.deployed.machine {
                let detail = format!("the run `{run}` is one of the workflow `{}` in {}", known.workflow, known.region);
                return Err(Error::refused(detail).hint("another name after `--as`"));
            }
            return AwsRun::open(self.clients.clone(), known).await;
        }
        let known = Remembered {
            execution: Arn::of(&self.deployed.machine, &run),
            run,
            workflow: self.workflow.clone(),
            region: self.clients.region.clone(),
            machine: self.deployed.machine.clone(),
            bucket: self.deployed.bucket.clone(),
            deployment: self.deployed.hash.clone(),
            begun_ms: now_ms(),
        };
        memory.put(&known)?;
        AwsRun::open(self.clients.clone(), known).await
    }

    async fn new_name(&self) -> Result<String> {
        let today = OffsetDateTime::now_utc().date();
        loop {
            let (month, day, random) = (u8::from(today.month()), today.day(), fastrand::u16(..));
            let name = format!("{:04}{month:02}{day:02}-{random:04x}", today.year());
            if Execution::find(&self.clients, &Arn::of(&self.deployed.machine, &name)).await?.is_none() {
                return Ok(name);
            }
        }
    }

    /// How the run of this name stands: begun or not, going on or over.
    ///
    /// # Errors
    /// It was begun with other params; AWS cannot be asked.
    pub async fn look(&self, run: &AwsRun, given: &[(String, String)]) -> Result<Found> {
        let executions = run.executions().await?;
        if let Some(first) = executions.0.first() {
            let differs = |name: &str| first.input.params.get(name).is_some_and(|was| joined(was) != joined(&self.params[name]));
            if let Some((name, _)) = given.iter().find(|(name, _)| differs(name)) {
                let was = joined(&first.input.params[name]);
                let detail = format!("the run `{}` was begun with other params: `{name}` is {was}", run.id());
                return Err(Error::refused(detail).hint("another name after `--as`, or the params it was begun with"));
            }
        }
        if let Some(running) = executions.running() {
            return Ok(Found::Running(running.arn.clone()));
        }
        let report: Option<RunReport> = run.bucket.find_json(REPORT).await?;
        let is_done = report.is_some_and(|report| report.status != RunStatus::Stopped);
        Ok(match executions.newest() {
            Some(newest) if !(newest.is_judged() && is_done) => Found::Stopped,
            None if !is_done => Found::Nothing,
            // Also one whose executions are forgotten.
            _ => Found::Done,
        })
    }

    /// Starts the first execution of a run.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn start(&self, run: &AwsRun) -> Result<String> {
        run.check_bucket(&self.deployed)?;
        run.note_source(&self.source).await?;
        run.start_on(&self.deployed, run.id(), &json!({ "params": self.params })).await
    }
}

impl AwsRun {
    /// Starts an execution, on what is deployed now. One of this name with this input that is going on is the same one.
    pub(super) async fn start_on(&self, deployed: &Deployed, name: &str, input: &Value) -> Result<String> {
        let request = self.clients.sfn.start_execution().state_machine_arn(&deployed.alias).name(name).input(input.to_string());
        match request.send().await {
            Ok(started) => Ok(started.execution_arn),
            Err(error) if code(&error) == Some("ExecutionAlreadyExists") => {
                let detail = format!("there is an execution `{name}` of the workflow `{}` already", self.known.workflow);
                Err(Error::refused(detail).hint(format!("fanfold status {}", self.id())))
            }
            Err(error) => Err(trouble(format_args!("the execution `{name}` cannot be started"), &error)),
        }
    }

    /// Where the workflow is deployed now.
    pub(super) async fn deployed(&self) -> Result<Deployed> {
        let found = Deployed::find(&self.clients, &self.known.workflow).await?;
        let found = found.filter(|deployed| deployed.machine == self.known.machine).ok_or_else(|| {
            let Remembered { workflow, region, .. } = &self.known;
            Error::refused(format!("the workflow `{workflow}` is not on AWS in {region} any more"))
                .hint("`fanfold deploy` puts it there again")
        })?;
        self.check_bucket(&found)?;
        Ok(found)
    }

    /// Refuses to start what would not find the outcomes of the run: it would do everything again.
    fn check_bucket(&self, deployed: &Deployed) -> Result<()> {
        let (was, is) = (&self.known.bucket, &deployed.bucket);
        if was == is {
            return Ok(());
        }
        let detail =
            format!("run {} is in the bucket `{was}`, `{}` on AWS has another one now, `{is}`", self.id(), self.known.workflow);
        Err(Error::refused(detail).hint(format!("set `aws.results_bucket: {was}` in the workflow and deploy it")))
    }

    /// Refuses to work on a run that is being worked on.
    pub(super) fn check_idle(&self, executions: &super::run::RunExecutions) -> Result<()> {
        let Some(running) = executions.running() else { return Ok(()) };
        let detail = format!("run {} is going on: the execution `{}` is running", self.id(), running.name);
        Err(Error::refused(detail).hint(format!("fanfold status {} --follow, or fanfold stop {}", self.id(), self.id())))
    }
}

/// What was given, before what is known.
fn over(known: &[(String, String)], given: &[(String, String)]) -> Vec<(String, String)> {
    let kept = known.iter().filter(|(name, _)| !given.iter().any(|(other, _)| other == name));
    kept.chain(given).cloned().collect()
}

fn deploy(file: &str, params: &[&(String, String)]) -> String {
    let params: String = params.iter().map(|(name, value)| format!(" -p {name}={value}")).collect();
    format!("fanfold deploy {file}{params}")
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    (OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).try_into().unwrap_or(i64::MAX)
}
