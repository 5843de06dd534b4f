//! [`SecretSource`]: where a secret is kept. Its value never stands in a workflow.

use schemars::JsonSchema;
use serde::Deserialize;

/// Where one secret is kept: at least one of `env` and `aws`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SecretSource {
    /// The environment variable that holds it on this machine, such as `BILLING_TOKEN`.
    #[serde(default)]
    #[schemars(length(min = 1), with = "String")]
    pub env: Option<String>,
    /// What it is called on AWS: the name or ARN of a secret of Secrets Manager, such as `billing/api-token`, or of a parameter,
    /// such as `ssm:/billing/api-token`.
    #[serde(default)]
    #[schemars(length(min = 1), with = "String")]
    pub aws: Option<String>,
}
