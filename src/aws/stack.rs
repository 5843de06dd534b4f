//! [`Deployed`]: where a workflow runs on AWS, from the outputs of its stack.

use aws_sdk_cloudformation::types::{Stack, StackStatus};

use super::clients::Clients;
use super::trouble::{code, trouble};
use crate::error::{Error, Result};

/// A workflow on AWS.
#[derive(Debug, Clone)]
pub(crate) struct Deployed {
    pub stack: String,
    /// The ARN of the state machine.
    pub machine: String,
    /// The ARN of its alias, which runs are started on.
    pub alias: String,
    /// The results bucket.
    pub bucket: String,
    /// The hash of what was deployed.
    pub hash: String,
}

/// The tag of a stack that says which workflow it is of.
pub(super) const WHOSE: &str = "fanfold:workflow";

/// The workflow that a stack is of.
pub(super) fn whose(stack: &Stack) -> Option<&str> {
    stack.tags().iter().find(|tag| tag.key() == Some(WHOSE))?.value()
}

/// What a stack gives out under this name.
pub(super) fn output(stack: &Stack, key: &str) -> Option<String> {
    stack.outputs().iter().find(|output| output.output_key() == Some(key))?.output_value().map(str::to_string)
}

/// The stack of a workflow.
pub(crate) fn stack_name(workflow: &str) -> String {
    // Names of stacks have no underscores.
    format!("fanfold-{}", workflow.replace('_', "-"))
}

impl Deployed {
    /// Looks a workflow up; `None` if it is not on AWS.
    ///
    /// # Errors
    /// CloudFormation cannot be asked; the stack is not (yet) one that runs can be started on.
    pub async fn find(clients: &Clients, workflow: &str) -> Result<Option<Self>> {
        let name = stack_name(workflow);
        let Some(stack) = describe(clients, &name).await? else { return Ok(None) };
        let output = |key| output(&stack, key);
        let outputs = (output("StateMachineArn"), output("StateMachineAlias"), output("ResultsBucket"), output("Deployment"));
        let status = stack.stack_status().map_or("in an unknown state", StackStatus::as_str);
        match outputs {
            (Some(machine), Some(alias), Some(bucket), Some(hash)) => {
                Ok(Some(Self { stack: name, machine, alias, bucket, hash }))
            }
            _ if status == "DELETE_COMPLETE" || status == "REVIEW_IN_PROGRESS" => Ok(None),
            _ if status.ends_with("_IN_PROGRESS") => {
                Err(Error::surroundings(format!("the stack `{name}` is {status}")).hint("wait until it is there, then try again"))
            }
            _ => Err(Error::refused(format!("the stack `{name}` is {status} and no workflow of fanfold"))
                .hint("`fanfold deploy` puts it right, or says what is in the way")),
        }
    }
}

/// The stack of this name; `None` if there is none.
///
/// # Errors
/// CloudFormation cannot be asked.
pub(super) async fn describe(clients: &Clients, name: &str) -> Result<Option<Stack>> {
    match clients.cloudformation.describe_stacks().stack_name(name).send().await {
        Ok(answer) => Ok(answer.stacks.unwrap_or_default().into_iter().next()),
        // CloudFormation has no error of its own for a stack that is not there.
        Err(error) if code(&error) == Some("ValidationError") && format!("{error:?}").contains("does not exist") => Ok(None),
        Err(error) => Err(trouble(format_args!("the stack `{name}` cannot be looked up"), &error)),
    }
}
