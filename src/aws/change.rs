//! [`Changes`]: changes of a stack by change sets, shown before they are made, and followed to their end.

use std::collections::HashSet;
use std::time::Duration;

use aws_sdk_cloudformation::types::{
    Capability, ChangeAction, ChangeSetStatus, ChangeSetType, Parameter, Replacement, ResourceChange, StackEvent, Tag,
};
use serde_json::Value;

use super::clients::Clients;
use super::stack::describe;
use super::trouble::{code, trouble};
use crate::error::{Error, Result};

/// The longest template that a request may hold; longer ones lie in S3 (CloudFormation quotas, checked 2026-10-07; hard).
const TEMPLATE_BYTES: usize = 51_200;

/// How long to wait before AWS is asked again how far it is; grows from the one to the other.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Told to people while it goes on.
pub(crate) type Tell<'a> = &'a mut (dyn FnMut(String) + Send);

/// The stack that is changed.
pub(super) struct Changes<'a> {
    pub clients: &'a Clients,
    pub stack: &'a str,
}

/// What a stack is changed to.
pub(super) struct Wanted<'a> {
    pub template: &'a Value,
    /// Where the template lies in S3: `https://…`.
    pub address: Option<String>,
    pub parameters: Vec<(&'static str, String)>,
    pub tags: Vec<(String, String)>,
    /// Names the change set: the same change is the same one.
    pub hash: &'a str,
    /// Whether the stack is not there yet.
    pub new: bool,
}

impl Changes<'_> {
    /// Says what a change would do, and does it unless it is only `shown`. Whether there was something to change.
    ///
    /// # Errors
    /// AWS refuses the change; it fails: then everything is as it was before.
    pub async fn make(&self, wanted: Wanted<'_>, shown: bool, tell: Tell<'_>) -> Result<bool> {
        let body = wanted.template.to_string();
        let name = format!("fanfold-{}", wanted.hash);
        // One that was left behind by somebody who was interrupted.
        self.forget(&name).await;
        let parameters =
            wanted.parameters.iter().map(|(key, value)| Parameter::builder().parameter_key(*key).parameter_value(value).build());
        let tags = wanted.tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
        let mut asked = self
            .clients
            .cloudformation
            .create_change_set()
            .stack_name(self.stack)
            .change_set_name(&name)
            .change_set_type(if wanted.new { ChangeSetType::Create } else { ChangeSetType::Update })
            .capabilities(Capability::CapabilityIam)
            .set_parameters(Some(parameters.collect()))
            .set_tags(Some(tags.collect()));
        asked = match wanted.address.filter(|_| body.len() > TEMPLATE_BYTES) {
            Some(address) => asked.template_url(address),
            None => asked.template_body(body),
        };
        let made = asked.send().await.map_err(|error| self.refused("be changed", &error))?;
        let id = made.id.unwrap_or(name);
        let stack = made.stack_id.unwrap_or_else(|| self.stack.to_string());
        let changes = match self.created(&id).await {
            Ok(Some(changes)) => changes,
            Ok(None) => {
                self.forget(&id).await;
                return Ok(false);
            }
            Err(error) => {
                self.forget(&id).await;
                return Err(error);
            }
        };
        for change in &changes {
            tell(words(change));
        }
        if shown {
            self.forget(&id).await;
            return Ok(true);
        }
        let before = self.events(&stack).await?.into_iter().filter_map(|event| event.event_id).collect();
        let executed = self.clients.cloudformation.execute_change_set().change_set_name(&id).send().await;
        executed.map_err(|error| self.refused("be changed", &error))?;
        self.follow(&stack, before, &["CREATE_COMPLETE", "UPDATE_COMPLETE"], tell).await?;
        Ok(true)
    }

    /// Removes the stack.
    ///
    /// # Errors
    /// AWS refuses it, or something cannot be removed.
    pub async fn remove(&self, stack: &str, tell: Tell<'_>) -> Result<()> {
        let before = self.events(stack).await?.into_iter().filter_map(|event| event.event_id).collect();
        let asked = self.clients.cloudformation.delete_stack().stack_name(stack).send().await;
        asked.map_err(|error| self.refused("be removed", &error))?;
        self.follow(stack, before, &["DELETE_COMPLETE"], tell).await
    }

    /// The changes of a change set once it is made; `None` if there are none.
    async fn created(&self, id: &str) -> Result<Option<Vec<ResourceChange>>> {
        let mut pause = FIRST_PAUSE;
        loop {
            let (mut changes, mut token) = (Vec::new(), None);
            let (mut status, mut reason) = (None, None);
            // A long set comes in several pages.
            loop {
                let asked = self.clients.cloudformation.describe_change_set().change_set_name(id).set_next_token(token);
                let page = asked.send().await.map_err(|error| trouble("the changes cannot be read", &error))?;
                changes.extend(page.changes.unwrap_or_default().into_iter().filter_map(|change| change.resource_change));
                (status, reason) = (page.status.or(status), page.status_reason.or(reason));
                token = page.next_token;
                if token.is_none() {
                    break;
                }
            }
            let reason = reason.unwrap_or_default();
            match status {
                Some(ChangeSetStatus::CreateComplete) => return Ok(Some(changes)),
                Some(ChangeSetStatus::Failed) if says_nothing_to_do(&reason) => return Ok(None),
                Some(ChangeSetStatus::Failed) => {
                    return Err(Error::surroundings(format!("the stack `{}` cannot be changed: {reason}", self.stack)));
                }
                _ => wait(&mut pause).await,
            }
        }
    }

    /// Follows a stack until it is at rest, and tells of every resource that is done.
    async fn follow(&self, stack: &str, mut told: HashSet<String>, good: &[&str], tell: Tell<'_>) -> Result<()> {
        let mut pause = FIRST_PAUSE;
        let mut failures = Vec::new();
        loop {
            let found = describe(self.clients, stack).await?;
            let status = found.as_ref().and_then(|stack| stack.stack_status.as_ref()).map_or("DELETE_COMPLETE", |it| it.as_str());
            let mut quiet = true;
            for event in self.events(stack).await?.into_iter().rev() {
                if told.insert(event.event_id.clone().unwrap_or_default()) {
                    quiet = false;
                    failures.extend(failure(&event));
                    if let Some(text) = progress(&event) {
                        tell(text);
                    }
                }
            }
            if !status.ends_with("_IN_PROGRESS") {
                if good.contains(&status) {
                    return Ok(());
                }
                let why = if failures.is_empty() { "no reason is told".to_string() } else { failures.join("; ") };
                let name = self.stack;
                let error = Error::surroundings(format!("the stack `{name}` could not be changed, it is {status} now: {why}"));
                return Err(match status {
                    "UPDATE_ROLLBACK_COMPLETE" => error.hint("everything is as it was before; put it right and deploy again"),
                    "DELETE_FAILED" => error.hint("put it right and `fanfold destroy` again"),
                    _ => error.hint("put it right and deploy again"),
                });
            }
            if !quiet {
                pause = FIRST_PAUSE;
            }
            wait(&mut pause).await;
        }
    }

    /// The events of a stack, the newest first. Only the newest page: what happens between two looks fits into it.
    async fn events(&self, stack: &str) -> Result<Vec<StackEvent>> {
        match self.clients.cloudformation.describe_stack_events().stack_name(stack).send().await {
            Ok(page) => Ok(page.stack_events.unwrap_or_default()),
            Err(error) if code(&error) == Some("ValidationError") => Ok(Vec::new()),
            Err(error) => Err(trouble(format_args!("the events of the stack `{}` cannot be read", self.stack), &error)),
        }
    }

    async fn forget(&self, change_set: &str) {
        let asked = self.clients.cloudformation.delete_change_set().stack_name(self.stack).change_set_name(change_set);
        // One that stays is in nobody's way: it is removed before the same change is made again.
        let _ = asked.send().await;
    }

    fn refused<E>(
        &self,
        what: &str,
        error: &aws_sdk_cloudformation::error::SdkError<E, aws_sdk_cloudformation::config::http::HttpResponse>,
    ) -> Error
    where
        E: std::error::Error + aws_sdk_cloudformation::error::ProvideErrorMetadata + 'static,
    {
        trouble(format_args!("the stack `{}` cannot {what}", self.stack), error)
    }
}

async fn wait(pause: &mut Duration) {
    tokio::time::sleep(*pause).await;
    *pause = (*pause * 3 / 2).min(LONGEST_PAUSE);
}

/// CloudFormation calls it a failure if there is nothing to do.
fn says_nothing_to_do(reason: &str) -> bool {
    reason.contains("didn't contain changes") || reason.contains("No updates are to be performed")
}

/// `+ Worker (AWS::Lambda::Function)`.
fn words(change: &ResourceChange) -> String {
    let (sign, after) = match (&change.action, &change.replacement) {
        (Some(ChangeAction::Add), _) => ("+", ""),
        (Some(ChangeAction::Remove), _) => ("-", if is_kept(change) { ", is kept" } else { "" }),
        (_, Some(Replacement::True)) => ("~", ", a new one in its place"),
        _ => ("~", ""),
    };
    let (name, kind) = (change.logical_resource_id().unwrap_or_default(), change.resource_type().unwrap_or_default());
    format!("  {sign} {name} ({kind}){after}")
}

fn is_kept(change: &ResourceChange) -> bool {
    let name = change.logical_resource_id().unwrap_or_default();
    ["WorkerVersion", "MachineVersion", "Results"].iter().any(|kept| name.starts_with(kept))
}

/// A resource that is done, or could not be.
fn progress(event: &StackEvent) -> Option<String> {
    let status = event.resource_status()?.as_str();
    let whole = event.physical_resource_id() == event.stack_id();
    if whole || !(status.ends_with("_COMPLETE") || status.ends_with("_FAILED")) {
        return None;
    }
    let reason = event.resource_status_reason().filter(|_| status.ends_with("_FAILED"));
    let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
    Some(format!("  {} {status}{reason}", event.logical_resource_id().unwrap_or_default()))
}

/// Why a resource failed by itself. Others are cancelled with it, which says nothing.
fn failure(event: &StackEvent) -> Option<String> {
    let status = event.resource_status()?.as_str();
    let reason = event.resource_status_reason().unwrap_or_default();
    let by_itself =
        status.ends_with("_FAILED") && !reason.contains("cancelled") && event.physical_resource_id() != event.stack_id();
    by_itself.then(|| format!("{}: {reason}", event.logical_resource_id().unwrap_or_default()))
}
