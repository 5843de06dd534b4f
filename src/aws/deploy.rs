//! [`deploy`] and [`rollback`]: a workflow is put on AWS, or what was there before.

use aws_sdk_cloudformation::types::Stack;
use serde_json::Value;

use super::change::{Changes, Tell, Wanted};
use super::clients::Clients;
use super::deployment::Deployment;
use super::package::Package;
use super::quotas::{fits, idle};
use super::stack::{Deployed, WHOSE, describe, output, stack_name, whose};
use super::template::WORKER_ZIP;
use crate::bucket::RunBucket;
use crate::error::{Error, Result};
use crate::units::count;
use crate::workflow::Workflow;

/// Files of a deployment beside the worker and [`Deployment`] itself.
const TEMPLATE: &str = "template.json";
const BEFORE: &str = "before";

/// How a deployment ended.
#[derive(Debug)]
pub(crate) struct Put {
    /// Whether anything was changed, or would be.
    pub changed: bool,
    /// Where it runs; `None` if it was only shown.
    pub deployed: Option<Deployed>,
}

/// Puts a package on AWS. With `shown`, what it would change is told and nothing is.
///
/// # Errors
/// What does not fit into the account's quotas, a stack that is somebody else's or is being changed, and whatever AWS refuses.
pub(crate) async fn deploy(
    clients: &Clients,
    workflow: &Workflow,
    package: &Package,
    shown: bool,
    tell: Tell<'_>,
) -> Result<Put> {
    let (settings, name) = (package.machine.settings(), package.machine.name());
    if let Some(warning) = fits(clients, workflow, settings).await? {
        tell(format!("warning: {warning}"));
    }
    let (kind, why) = package.machine.children();
    let ends = if kind == "EXPRESS" { "express, at most 5 minutes each" } else { "standard" };
    let most = count(settings.max_concurrency.into());
    tell(format!("one child execution for each batch ({ends}), at most {most} at once: {why}"));
    if let Some(idle) = idle(settings) {
        tell(idle);
    }
    let stack = stack_name(name);
    let changes = Changes { clients, stack: &stack };
    let mut found = ready(&changes, name, shown, tell).await?;
    let old = found.as_ref().and_then(|stack| output(stack, "Deployment"));
    if old.as_deref() == Some(package.hash()) {
        return Ok(Put { changed: false, deployed: Deployed::find(clients, name).await? });
    }
    let mut tags: Vec<(String, String)> = settings.aws.tags.clone().into_iter().collect();
    tags.push((WHOSE.to_string(), name.to_string()));
    let mut bucket = settings.aws.results_bucket.clone();
    if bucket.is_none() {
        bucket = found.as_ref().and_then(|stack| output(stack, "ResultsBucket"));
    }
    if let (None, Some(alone), false) = (&bucket, &package.template.bucket_alone, shown) {
        tell("the results bucket, which the worker is put into:".to_string());
        let new = found.is_none();
        let wanted = Wanted { template: alone, address: None, parameters: Vec::new(), tags: tags.clone(), hash: "bucket", new };
        changes.make(wanted, false, tell).await?;
        found = describe(clients, &stack).await?;
        bucket = found.as_ref().and_then(|stack| output(stack, "ResultsBucket"));
        if bucket.is_none() {
            return Err(Error::surroundings(format!("the stack `{stack}` does not say what its results bucket is called")));
        }
    }
    let address = match &bucket {
        Some(bucket) if !shown => Some(upload(clients, bucket, package, old.as_deref(), tell).await?),
        _ => None,
    };
    tell(if shown { "it would change:".to_string() } else { format!("deployment {}:", package.hash()) });
    let bucket = bucket.unwrap_or_else(|| "the-results-bucket".to_string());
    let wanted = Wanted {
        template: &package.template.whole,
        address,
        parameters: vec![("CodeBucket", bucket)],
        tags,
        hash: package.hash(),
        new: found.is_none(),
    };
    let new = wanted.new;
    let changed = changes.make(wanted, shown, tell).await?;
    if shown {
        if new {
            // A stack that has only a change set is an empty shell.
            let _ = clients.cloudformation.delete_stack().stack_name(&stack).send().await;
        }
        return Ok(Put { changed, deployed: None });
    }
    Ok(Put { changed, deployed: Deployed::find(clients, name).await? })
}

/// Puts the deployment back that was there before the present one. Runs that go on keep the version that they began with.
///
/// # Errors
/// There is none, and whatever AWS refuses.
pub(crate) async fn rollback(clients: &Clients, workflow: &str, shown: bool, tell: Tell<'_>) -> Result<Put> {
    let name = stack_name(workflow);
    let changes = Changes { clients, stack: &name };
    let stack = ready(&changes, workflow, true, tell).await?;
    let (Some(stack), Some(now)) = (stack, Deployed::find(clients, workflow).await?) else {
        return Err(
            Error::refused(format!("`{workflow}` is not on AWS in {}", clients.region)).hint("`fanfold deploy` puts it there")
        );
    };
    let of = |hash: &str| Deployment::folder(workflow, hash);
    let before = folder(clients, &now.bucket, &of(&now.hash)).await?.find(BEFORE).await?;
    let before = before.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok()).filter(|hash| !hash.is_empty());
    let Some(before) = before else {
        return Err(Error::refused(format!("there was no deployment of `{workflow}` before {}", now.hash))
            .hint("deploy the workflow as it is meant to be: `fanfold deploy`"));
    };
    let kept = folder(clients, &now.bucket, &of(&before)).await?;
    let Some(template) = kept.find_json::<Value>(TEMPLATE).await? else {
        let detail = format!("the deployment {before} is not in the results bucket any more: {}", kept.address(TEMPLATE));
        return Err(Error::refused(detail).hint("deploy the workflow as it was then"));
    };
    tell(format!("from deployment {} back to {before}:", now.hash));
    let tags = stack.tags().iter().filter_map(|tag| Some((tag.key()?.to_string(), tag.value()?.to_string()))).collect();
    let wanted = Wanted {
        template: &template,
        address: Some(address(clients, &now.bucket, &of(&before))),
        parameters: vec![("CodeBucket", now.bucket.clone())],
        tags,
        hash: &before,
        new: false,
    };
    let changed = changes.make(wanted, shown, tell).await?;
    let deployed = if shown { None } else { Deployed::find(clients, workflow).await? };
    Ok(Put { changed, deployed })
}

/// The stack as it is, if it can be changed. One that could never be made is removed first, unless changes are only `shown`.
async fn ready(changes: &Changes<'_>, workflow: &str, shown: bool, tell: Tell<'_>) -> Result<Option<Stack>> {
    let name = changes.stack;
    let Some(stack) = describe(changes.clients, name).await? else { return Ok(None) };
    let status = stack.stack_status.as_ref().map_or("", |status| status.as_str());
    if matches!(status, "REVIEW_IN_PROGRESS" | "DELETE_COMPLETE") {
        return Ok(None);
    }
    let whose = whose(&stack);
    if whose != Some(workflow) {
        let what = whose.map_or("is not one of fanfold".to_string(), |whose| format!("is that of the workflow `{whose}`"));
        return Err(Error::refused(format!("the stack `{name}` {what}")).hint("another `name` for the workflow"));
    }
    match status {
        "ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" if !shown => {
            tell(format!("the stack `{name}` could not be made the last time ({status}), what is left of it is removed first"));
            let id = stack.stack_id.clone().unwrap_or_else(|| name.to_string());
            changes.remove(&id, tell).await?;
            Ok(None)
        }
        status if status.ends_with("_IN_PROGRESS") => {
            Err(Error::surroundings(format!("the stack `{name}` is being changed already ({status})"))
                .hint("wait until it is done, then try again"))
        }
        "UPDATE_ROLLBACK_FAILED" => Err(Error::surroundings(format!("the stack `{name}` is {status}"))
            .hint(format!("aws cloudformation continue-update-rollback --stack-name {name}"))),
        "DELETE_FAILED" => Err(Error::surroundings(format!("the stack `{name}` is half removed ({status})"))
            .hint("`fanfold destroy` goes on with it")),
        _ => Ok(Some(stack)),
    }
}

/// Puts everything of a package into the results bucket. The address of the template there.
async fn upload(clients: &Clients, bucket: &str, package: &Package, before: Option<&str>, tell: Tell<'_>) -> Result<String> {
    let path = Deployment::folder(package.machine.name(), package.hash());
    let to = folder(clients, bucket, &path).await?;
    tell(format!("the worker ({:.1} MB) is put into {}", package.zip.len() as f64 / 1e6, to.address(WORKER_ZIP)));
    to.put(WORKER_ZIP, package.zip.clone()).await?;
    to.put(TEMPLATE, package.template.whole.to_string().into_bytes()).await?;
    to.put(BEFORE, before.unwrap_or_default().to_string().into_bytes()).await?;
    package.deployment.write(clients, bucket, package.machine.name(), package.hash()).await?;
    Ok(address(clients, bucket, &path))
}

async fn folder(clients: &Clients, bucket: &str, prefix: &str) -> Result<RunBucket> {
    RunBucket::open(&clients.storages, bucket, prefix).await
}

fn address(clients: &Clients, bucket: &str, folder: &str) -> String {
    format!("https://{bucket}.s3.{}.amazonaws.com/{folder}{TEMPLATE}", clients.region)
}
