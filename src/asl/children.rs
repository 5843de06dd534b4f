//! [`Children`]: whether the child executions are express or standard ones, and why.

use super::given::Given;
use crate::error::Error;
use crate::job::Fleet;
use crate::workflow::{ExecutionType, Workflow};

/// What of the 5 minutes of an express child is planned with, in seconds; the rest is for starting and for tries again.
const EXPRESS_SECONDS: f64 = 240.0;

/// What the child executions are, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Children {
    pub kind: ExecutionType,
    pub why: String,
}

impl Children {
    /// By what the workflow says, else by its job: who calls others may be asked to pause for longer than an express child lives.
    ///
    /// # Errors
    /// Express children that were asked for, and are too short for a batch.
    pub fn of(workflow: &Workflow, given: &Given, fleet: &Fleet) -> Result<Self, Error> {
        let settings = &given.bound.settings;
        let job = &settings.job.name;
        let calls = fleet.calls;
        let many = if calls == 1 { "call" } else { "calls" };
        let (kind, why) = match (settings.aws.execution_type, calls) {
            (Some(kind), _) => (kind, "the workflow says so".to_string()),
            (None, 0) => {
                (ExecutionType::Express, format!("`{job}` calls nobody who could ask for a pause of more than 5 minutes"))
            }
            (None, _) => {
                let why = format!("`{job}` makes {calls} {many} an item, and may be asked to pause for more than 5 minutes");
                (ExecutionType::Standard, why)
            }
        };
        if kind == ExecutionType::Express && calls > 0 {
            Self::fits(workflow, given, calls)?;
        }
        Ok(Self { kind, why })
    }

    fn fits(workflow: &Workflow, given: &Given, calls: u32) -> Result<(), Error> {
        let settings = &given.bound.settings;
        let slowest = settings.rate.hosts.values().map(|rate| rate.limit).chain(settings.rate.limit).reduce(f64::min);
        let (Some(limit), Some(items)) = (slowest, settings.batch.max_items) else { return Ok(()) };
        let share = limit / f64::from(settings.max_concurrency);
        let seconds = f64::from(items) * f64::from(calls) / share;
        if seconds <= EXPRESS_SECONDS {
            return Ok(());
        }
        let most = (EXPRESS_SECONDS * share / f64::from(calls)).floor();
        let detail = format!(
            "a batch of {items} items needs about {:.0} min at a child's share of {share:.2} calls a second, express children end at 5 min",
            (seconds / 60.0).ceil()
        );
        let hint = match most {
            most if most < 1.0 => "`aws.execution_type: standard`".to_string(),
            most => format!("`batch.max_items: {most:.0}`, or `aws.execution_type: standard`"),
        };
        Err(Error::refused(detail).at(Some(workflow.place_of("aws.execution_type"))).hint(hint))
    }

    /// In the words of the States Language.
    pub fn word(&self) -> &'static str {
        match self.kind {
            ExecutionType::Express => "EXPRESS",
            ExecutionType::Standard => "STANDARD",
        }
    }
}
