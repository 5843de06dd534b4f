//! [`AwsSettings`]: what of a workflow is for AWS only.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is for AWS only. Nothing of it changes a run on this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct AwsSettings {
    /// What the child executions are. Default by the job: `express`, which is cheap, starts 1,000 a second and ends after 5 minutes;
    /// `standard` for jobs that call others, since those may ask for a longer pause.
    #[schemars(with = "ExecutionType")]
    pub execution_type: Option<ExecutionType>,
}

/// What child executions are, in the words of Step Functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExecutionType {
    /// At most 5 minutes, up to 1,000 starts a second, paid by time.
    Express,
    /// Up to a year, up to 100 starts a second, paid by transition.
    Standard,
}
