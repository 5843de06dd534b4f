//! [`AwsRun`]: a run on AWS, by its id or the ARN of an execution.

use sha2::{Digest, Sha256};

use super::clients::Clients;
use super::deployment::Deployment;
use super::execution::{Arn, Execution};
use super::memory::{Memory, Remembered};
use super::stack::{Deployed, stack_name};
use crate::bucket::{RunBucket, run_prefix};
use crate::error::{Error, Result};

/// The most characters of an execution's name.
const NAME_LIMIT: usize = 80;

/// What of a run's name is part of the names of its later executions: those have ` -resume-` or `-redrive-` and a number behind it.
const STEM_LIMIT: usize = 64;

/// A run on AWS.
#[derive(Debug, Clone)]
pub(crate) struct AwsRun {
    pub clients: Clients,
    pub known: Remembered,
    pub bucket: RunBucket,
}

/// The executions of a run, oldest first. After 90 days Step Functions forgets them.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunExecutions(pub Vec<Execution>);

impl RunExecutions {
    /// The one that began last.
    pub fn newest(&self) -> Option<&Execution> {
        self.0.last()
    }

    /// The one that is going on.
    pub fn running(&self) -> Option<&Execution> {
        self.0.iter().rev().find(|execution| execution.is_running())
    }

    /// How long they took together, in milliseconds.
    pub fn elapsed_ms(&self, now_ms: i64) -> u64 {
        self.0.iter().map(|one| (one.ended_ms.unwrap_or(now_ms) - one.started_ms).max(0) as u64).sum()
    }
}

impl AwsRun {
    /// Finds a run: one that is remembered, or the one that the execution with this ARN works on, whoever started it. From then on it is
    /// remembered.
    ///
    /// # Errors
    /// There is no such run, or AWS cannot be asked.
    pub async fn find(memory: &Memory, run: &str) -> Result<Self> {
        if run.starts_with("arn:") {
            return Self::by_arn(memory, &Arn::read(run)?).await;
        }
        let Some(known) = memory.get(run)? else {
            return Err(Error::refused(format!("there is no run `{run}` on AWS that is known here"))
                .hint("a run that was begun elsewhere is named by the ARN of its execution"));
        };
        Self::open(Clients::load(Some(&known.region)).await?, known).await
    }

    async fn by_arn(memory: &Memory, arn: &Arn) -> Result<Self> {
        if arn.machine.contains('/') {
            return Err(Error::refused(format!("`{arn}` is a child execution, one batch of a run"))
                .hint("a run is named by the execution that its map run belongs to"));
        }
        let clients = Clients::load(Some(&arn.region)).await?;
        let Some(execution) = Execution::find(&clients, &arn.to_string()).await? else {
            return Err(Error::refused(format!("there is no execution `{arn}`"))
                .hint("executions are forgotten 90 days after they ended; a run that is remembered here is known by its id"));
        };
        let (run, workflow) = (execution.run().to_string(), arn.machine.clone());
        if let Some(known) = memory.get(&run)?.filter(|known| known.machine == execution.machine) {
            return Self::open(clients, known).await;
        }
        let Some(deployed) = Deployed::find(&clients, &workflow).await?.filter(|stack| stack.machine == execution.machine) else {
            return Err(Error::refused(format!(
                "`{arn}` is no run of fanfold: there is no stack `{}` with its state machine",
                stack_name(&workflow)
            )));
        };
        let known = Remembered {
            execution: Arn::of(&execution.machine, &run),
            run,
            workflow,
            region: clients.region.clone(),
            machine: execution.machine,
            bucket: deployed.bucket,
            deployment: deployed.hash,
            begun_ms: execution.started_ms,
        };
        memory.add(&known)?;
        Self::open(clients, known).await
    }

    /// A run of which everything is known.
    ///
    /// # Errors
    /// S3 cannot be used.
    pub async fn open(clients: Clients, known: Remembered) -> Result<Self> {
        let bucket = RunBucket::open(&clients.storages, &known.bucket, &run_prefix(&known.workflow, &known.run)).await?;
        Ok(Self { clients, known, bucket })
    }

    pub fn id(&self) -> &str {
        &self.known.run
    }

    /// Every execution of the run that Step Functions still knows.
    ///
    /// # Errors
    /// AWS cannot be asked.
    pub async fn executions(&self) -> Result<RunExecutions> {
        let find = |name: String| async move { Execution::find(&self.clients, &Arn::of(&self.known.machine, &name)).await };
        let mut found: Vec<Execution> = Execution::find(&self.clients, &self.known.execution).await?.into_iter().collect();
        for n in 1.. {
            match find(self.name("resume", n)).await? {
                Some(execution) => found.push(execution),
                None => break,
            }
        }
        for round in 1..=self.last_round().await? {
            // A redrive that could not be started has no execution.
            found.extend(find(self.name("redrive", round)).await?);
        }
        // Somebody may have called another run so.
        found.retain(|execution| execution.run() == self.id());
        found.sort_by_key(|execution| execution.started_ms);
        Ok(RunExecutions(found))
    }

    /// What was deployed when the run was begun, or first seen from here.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn deployment(&self) -> Result<Option<Deployment>> {
        let Remembered { bucket, workflow, deployment, .. } = &self.known;
        Deployment::find(&self.clients, bucket, workflow, deployment).await
    }

    /// The name of a later execution.
    pub fn name(&self, kind: &str, n: u32) -> String {
        format!("{}{n}", self.name_before(kind))
    }

    /// The name of later executions without their number.
    pub(super) fn name_before(&self, kind: &str) -> String {
        format!("{}-{kind}-", stem(self.id()))
    }

    /// What lies in the bucket below this is the run's.
    pub(super) fn prefix(&self) -> String {
        run_prefix(&self.known.workflow, self.id())
    }
}

/// What of a run's name fits in front of `-redrive-12`. Names that EventBridge gives are long; what is cut off is told apart by a hash.
fn stem(run: &str) -> String {
    if run.len() <= STEM_LIMIT {
        return run.to_string();
    }
    let hash = hex::encode(Sha256::digest(run.as_bytes()));
    format!("{}-{}", &run[..run.floor_char_boundary(STEM_LIMIT - 9)], &hash[..8])
}

/// Whether this can name a run on AWS.
///
/// # Errors
/// It cannot.
pub(super) fn check_name(run: &str) -> Result<()> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if run.is_empty() || run.len() > NAME_LIMIT || run.starts_with('.') || !run.chars().all(fine) {
        return Err(Error::refused(format!(
            "`{run}` cannot name a run on AWS: at most {NAME_LIMIT} letters, digits, `-`, `_` and `.`, no `.` in front"
        )));
    }
    let (before, n) = run.rsplit_once('-').unwrap_or_default();
    let is_number = !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit());
    let of = ["resume", "redrive"].iter().find_map(|kind| before.strip_suffix(kind)?.strip_suffix('-'));
    if let Some(of) = of.filter(|_| is_number) {
        return Err(Error::refused(format!("`{run}` cannot name a run on AWS: so are later executions of a run `{of}` called")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_later_executions_fit_and_are_told_apart() {
        assert_eq!(stem("20261123-8f3c"), "20261123-8f3c");
        let long = |end: &str| format!("{}{end}", "a".repeat(72));
        let (one, other) = (stem(&long("1")), stem(&long("2")));
        assert_ne!(one, other);
        assert_eq!(one.len(), STEM_LIMIT);
        assert!(format!("{one}-redrive-9999").len() <= NAME_LIMIT);
        for wrong in ["", "../x", ".x", "a b", &"a".repeat(81), "q-resume-1", "q-redrive-12"] {
            assert!(check_name(wrong).is_err(), "{wrong}");
        }
        for fine in ["2026-W47", "q-resume", "resume-1", "q-resume-x"] {
            assert!(check_name(fine).is_ok(), "{fine}");
        }
    }
}
