//! [`Deployment`]: what was deployed, as it lies in the results bucket beside its package.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::clients::Clients;
use crate::bucket::RunBucket;
use crate::error::Result;
use crate::job::Jobs;
use crate::storage::joined_url;
use crate::workflow::{Bound, Workflow};

/// The workflow's text and what `deploy` was given. A record: other versions read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deployment {
    /// The text of the workflow file.
    pub workflow: String,
    /// What was given by `-p`, as absolute texts.
    pub params: BTreeMap<String, String>,
}

impl Deployment {
    /// Where everything of one deployment lies in the results bucket, with a `/` at its end.
    pub fn folder(workflow: &str, hash: &str) -> String {
        format!("{workflow}/deployments/{hash}/")
    }

    /// What was deployed; `None` if the bucket does not have it.
    ///
    /// # Errors
    /// It cannot be read, or is something else.
    pub async fn find(clients: &Clients, bucket: &str, workflow: &str, hash: &str) -> Result<Option<Self>> {
        RunBucket::open(&clients.storages, bucket, &Self::folder(workflow, hash)).await?.find_json(FILE).await
    }

    /// Writes it beside the package.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn write(&self, clients: &Clients, bucket: &str, workflow: &str, hash: &str) -> Result<()> {
        let folder = RunBucket::open(&clients.storages, bucket, &Self::folder(workflow, hash)).await?;
        // Texts cannot fail to be written.
        folder.put(FILE, serde_json::to_vec(self).unwrap_or_default()).await
    }

    /// What `deploy` was given, as [`Workflow::bind`] takes it.
    pub fn given(&self) -> Vec<(String, String)> {
        self.params.iter().map(|(name, text)| (name.clone(), text.clone())).collect()
    }

    /// The workflow with the params of an execution, as its workers have it.
    ///
    /// # Errors
    /// The text is no workflow for these jobs, or a param does not fit.
    pub fn bound(&self, params: &Value, jobs: &Jobs) -> Result<(Workflow, Bound)> {
        let workflow = Workflow::parse(&self.workflow, "the workflow as it was deployed", Path::new("/"), jobs)?;
        let mut given = self.params.clone();
        for (name, value) in params.as_object().into_iter().flatten() {
            given.insert(name.clone(), joined(value));
        }
        let bound = workflow.bind(&given.into_iter().collect::<Vec<_>>(), Path::new("/"))?;
        Ok((workflow, bound))
    }
}

const FILE: &str = "deployment.json";

/// A param of an execution as people give it: the source's bucket and prefix, or key, are one URL again.
pub(super) fn joined(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => joined_url(other).unwrap_or_else(|| other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn params_of_an_execution_are_as_they_were_given() {
        assert_eq!(joined(&json!({ "bucket": "b", "prefix": "p/" })), "s3://b/p/");
        assert_eq!(joined(&json!({ "bucket": "b", "key": "p/x.csv" })), "s3://b/p/x.csv");
        assert_eq!(joined(&json!("2026-11")), "2026-11");
        assert_eq!(joined(&json!(7)), "7");
        assert_eq!(joined(&json!(true)), "true");
    }
}
