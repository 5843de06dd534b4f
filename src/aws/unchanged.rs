//! What has to be as it was when a run is resumed: how its items are read and cut into batches, and the file that they are in.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::clients::Clients;
use super::execution::Execution;
use super::run::AwsRun;
use super::stack::Deployed;
use super::trouble::{code, trouble};
use crate::error::{Error, Result};
use crate::reader::{ItemsSource, SourceFile};

/// The file that says which file the items were in when the run began.
const SOURCE: &str = "source.json";

/// What of a Map says which items there are, and which are in a batch.
const CUT_BY: [&str; 3] = ["ItemReader", "ItemSelector", "ItemBatcher"];

/// A file of items, as it was when a run began. A record: other versions read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SourceVersion {
    bucket: String,
    key: String,
    etag: Option<String>,
    /// Bytes.
    size: i64,
}

impl AwsRun {
    /// Notes which version of its file a run reads. Who may not look at the file leaves that out.
    ///
    /// # Errors
    /// The results bucket cannot be written.
    pub(super) async fn note_source(&self, source: &ItemsSource) -> Result<()> {
        let Some((bucket, key)) = file_of(source) else { return Ok(()) };
        // That it is not there is told by the execution itself.
        let Ok(Some(version)) = version_of(&self.clients, bucket, key).await else { return Ok(()) };
        // Texts and numbers cannot fail to be written.
        self.bucket.put(SOURCE, serde_json::to_vec(&version).unwrap_or_default()).await
    }

    /// Refuses to read another file than the run began with: other items would be at the same indexes.
    ///
    /// # Errors
    /// It has changed or is gone, or cannot be looked at.
    pub(super) async fn check_source(&self) -> Result<()> {
        let Some(was) = self.bucket.find_json::<SourceVersion>(SOURCE).await? else { return Ok(()) };
        let file = format!("s3://{}/{}", was.bucket, was.key);
        let Some(is) = version_of(&self.clients, &was.bucket, &was.key).await? else {
            return Err(Error::surroundings(format!("`{file}` is gone since the run began"))
                .hint("put the file back, or start a new run"));
        };
        if was == is {
            return Ok(());
        }
        let difference = match was.size == is.size {
            true => "its bytes are others".to_string(),
            false => format!("it had {} bytes, now it has {}", was.size, is.size),
        };
        Err(Error::surroundings(format!("`{file}` has changed since the run began: {difference}"))
            .hint("put the file back as it was, or start a new run"))
    }

    /// Refuses to go on with batches that are cut otherwise: items would be done twice, or by nobody. `begun` is an execution of the
    /// round that is resumed.
    ///
    /// # Errors
    /// What is deployed now reads or cuts them otherwise; AWS cannot be asked.
    pub(super) async fn check_cut(&self, deployed: &Deployed, begun: &Execution) -> Result<()> {
        let sfn = &self.clients.sfn;
        let asked = sfn.describe_state_machine_for_execution().execution_arn(&begun.arn).send().await;
        let was = asked.map_err(|error| trouble("the state machine of an execution cannot be looked up", &error))?.definition;
        let asked = sfn.describe_state_machine().state_machine_arn(&deployed.machine).send().await;
        let is = asked.map_err(|error| trouble("the state machine cannot be looked up", &error))?.definition;
        let map = if begun.round() == 0 { "Map" } else { "Redriven" };
        let Some(differs) = difference(&was, &is, map) else { return Ok(()) };
        let detail = format!(
            "what is deployed now reads or cuts the items of run {} otherwise than it began: `{differs}` of the state `{map}` differs",
            self.id()
        );
        Err(Error::refused(detail)
            .hint("deploy it with `items` and `batch` as they were (`fanfold deploy --rollback` for the deployment before), then resume"))
    }
}

/// The file that items are read from, if it is one on S3. Listings may change; what is listed then is named by its key.
fn file_of(source: &ItemsSource) -> Option<(&str, &str)> {
    let file = match source {
        ItemsSource::Objects(_) => return None,
        ItemsSource::Csv(csv) => &csv.source,
        ItemsSource::Json(json) => &json.source,
        ItemsSource::Jsonl(jsonl) => &jsonl.source,
        ItemsSource::Inventory(inventory) => &inventory.source,
    };
    match file {
        SourceFile::S3 { bucket, key } => Some((bucket, key)),
        SourceFile::Path(_) | SourceFile::Stdin => None,
    }
}

async fn version_of(clients: &Clients, bucket: &str, key: &str) -> Result<Option<SourceVersion>> {
    match clients.s3.head_object().bucket(bucket).key(key).send().await {
        Ok(found) => Ok(Some(SourceVersion {
            bucket: bucket.to_string(),
            key: key.to_string(),
            etag: found.e_tag,
            size: found.content_length.unwrap_or_default(),
        })),
        Err(error) if matches!(code(&error), Some("NotFound" | "NoSuchKey")) => Ok(None),
        Err(error) => Err(trouble(format_args!("`s3://{bucket}/{key}` cannot be looked at"), &error)),
    }
}

/// What of a map differs between two definitions. What workers are told besides their items does not matter.
fn difference(was: &str, is: &str, map: &str) -> Option<&'static str> {
    let state = |text: &str| {
        let definition: Value = serde_json::from_str(text).unwrap_or_default();
        let mut state = definition["States"][map].clone();
        if let Some(batcher) = state.get_mut("ItemBatcher").and_then(Value::as_object_mut) {
            batcher.remove("BatchInput");
        }
        state
    };
    let (was, is) = (state(was), state(is));
    CUT_BY.into_iter().find(|part| was.get(part) != is.get(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_reads_and_cuts_items_has_to_be_as_it_was() {
        let machine = |items: u32, input: u32, label: &str| {
            serde_json::json!({ "States": {
                "Map": { "Label": label, "ItemReader": {}, "ItemBatcher": { "MaxItemsPerBatch": items, "BatchInput": { "n": input } } },
                "Redriven": { "ItemBatcher": { "MaxItemsPerBatch": 1 } },
            } })
            .to_string()
        };
        assert_eq!(difference(&machine(10, 1, "a"), &machine(10, 2, "b"), "Map"), None);
        assert_eq!(difference(&machine(10, 1, "a"), &machine(20, 1, "a"), "Map"), Some("ItemBatcher"));
        assert_eq!(difference(&machine(10, 1, "a"), &machine(20, 1, "a"), "Redriven"), None);
    }
}
