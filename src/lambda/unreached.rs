//! Batches that no worker ever began: their items are handed out in the bucket, so that they are known to be pending.

use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::bucket::{BatchName, HandedItem, RunBucket, items_name};
use crate::error::Result;
use crate::reader::elements_of;
use crate::storage::{Location, Storage, Storages};

/// Says what an item is called.
pub(super) type Key<'a> = &'a (dyn Fn(&HandedItem) -> String + Sync);

/// Batches that wait to be written.
const WAITING: usize = 64;

/// What Step Functions writes of a map run.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Manifest {
    result_files: ResultFiles,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct ResultFiles {
    #[serde(default)]
    failed: Vec<ResultFile>,
    #[serde(default)]
    pending: Vec<ResultFile>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResultFile {
    key: String,
}

/// A child as it is listed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Child {
    /// What it was given, as JSON in a text.
    input: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ChildInput {
    items: Vec<HandedItem>,
}

/// Hands out, in the bucket, the items of children that ended without a worker: Lambda was full for too long, or not allowed. `map` is
/// what the map run ended with, `called` says what an item is called.
///
/// # Errors
/// What Step Functions wrote cannot be read, or is not what is documented; the bucket cannot be written.
pub(super) async fn hand_out_unreached(
    storages: &Storages,
    bucket: &RunBucket,
    round: u32,
    map: &Value,
    called: Key<'_>,
) -> Result<()> {
    let details = &map["ResultWriterDetails"];
    let (Some(name), Some(key)) = (details["Bucket"].as_str(), details["Key"].as_str()) else { return Ok(()) };
    let storage = storages.open(&Location::s3(name, "")).await?;
    let address = storage.location().address(key);
    let manifest: Manifest = serde_json::from_slice(&storage.get(key, None).await?)
        .map_err(|error| crate::Error::surroundings(format!("`{address}` is no manifest: {error}")))?;
    let files = manifest.result_files;
    for file in files.failed.into_iter().chain(files.pending) {
        hand_out_of(&storage, &file.key, bucket, round, called).await?;
    }
    Ok(())
}

async fn hand_out_of(storage: &Storage, file: &str, bucket: &RunBucket, round: u32, called: Key<'_>) -> Result<()> {
    let (sender, mut batches) = mpsc::channel::<Vec<HandedItem>>(WAITING);
    let read = elements_of(storage, file, move |element| {
        // Whatever else is listed was not handed out by us.
        if let Ok(child) = serde_json::from_slice::<Child>(element)
            && let Ok(input) = serde_json::from_str::<ChildInput>(&child.input)
        {
            // Nobody takes them any more only if nobody waits for this either.
            let _ = sender.blocking_send(input.items);
        }
        Ok(())
    });
    let write = async {
        while let Some(mut items) = batches.recv().await {
            let Some(first) = items.first().map(|item| item.index) else { continue };
            let name = format!("{}{}", BatchName { round, first }.folder(), items_name(items.len()));
            items.iter_mut().for_each(|item| item.key = Some(called(item)));
            // A worker that began has written it.
            bucket.put_new(&name, HandedItem::write_all(&items)).await?;
        }
        Ok(())
    };
    tokio::try_join!(read, write).map(|_| ())
}
