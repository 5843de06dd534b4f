//! Pruning a run: the data of its items go from the bucket, keys and outcomes stay.

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::run::AwsRun;
use super::trouble::trouble;
use crate::bucket::{BatchFiles, HandedItem, OutcomeLine, redrive_items};
use crate::error::{Error, Result};
use crate::storage::Location;

/// The file that says that a run was pruned: a null item is one of which the data are gone.
pub(super) const PRUNED: &str = "pruned";

/// Batches, and files of results, that are cleared at once.
const AT_ONCE: usize = 16;

impl AwsRun {
    /// Removes the values and outputs of all items, and the results of the children, which have them too. Gives the bytes freed. To be
    /// called for a run that is at its end. Called again, it does what is left.
    ///
    /// # Errors
    /// The bucket cannot be read or written.
    pub async fn prune(&self) -> Result<u64> {
        self.bucket.put(PRUNED, "").await?;
        let listed = stream::try_unfold(self.bucket.batches(), |mut listed| async move {
            Ok::<_, Error>(listed.next().await?.map(|files| (files, listed)))
        });
        let cleared = listed.map_ok(|files| async move { self.clear(&files).await }).try_buffer_unordered(AT_ONCE);
        let mut freed: u64 = cleared.try_fold(0, |sum, freed| async move { Ok(sum + freed) }).await?;
        for round in 1..=self.last_round().await? {
            let name = redrive_items(round);
            if let Some(file) = self.bucket.find(&name).await? {
                let items: Vec<HandedItem> = serde_json::Deserializer::from_slice(&file)
                    .into_iter()
                    .collect::<Result<_, _>>()
                    .map_err(|error| Error::surroundings(format!("`{}`: {error}", self.bucket.address(&name))))?;
                let mut lines = Vec::new();
                for item in items.into_iter().map(emptied) {
                    // Texts and numbers cannot fail to be written.
                    let _ = serde_json::to_writer(&mut lines, &item);
                    lines.push(b'\n');
                }
                freed += self.replace(&name, &file, lines.into()).await?;
            }
        }
        Ok(freed + self.remove_results().await?)
    }

    /// Clears the files of one batch.
    async fn clear(&self, files: &BatchFiles) -> Result<u64> {
        let mut freed = 0;
        let mut keys = std::collections::HashMap::new();
        for part in &files.parts {
            let file = self.bucket.get(part).await?;
            let mut lines = OutcomeLine::read(&file, &self.bucket.address(part))?;
            keys.extend(lines.iter().map(|line| (line.index, line.key.clone())));
            if lines.iter().any(|line| line.output.is_some()) {
                let mut cleared = Vec::new();
                for line in &mut lines {
                    line.output = None;
                    line.write(&mut cleared);
                }
                freed += self.replace(part, &file, cleared.into()).await?;
            }
        }
        if let Some((name, _)) = &files.items {
            let file = self.bucket.get(name).await?;
            let items = HandedItem::read_all(&file, &self.bucket.address(name))?;
            // What an item is called may be in its data only.
            let named = |item: HandedItem| HandedItem { key: keys.remove(&item.index).or(item.key.clone()), ..emptied(item) };
            let items: Vec<HandedItem> = items.into_iter().map(named).collect();
            freed += self.replace(name, &file, HandedItem::write_all(&items)).await?;
        }
        Ok(freed)
    }

    async fn replace(&self, name: &str, was: &Bytes, is: Bytes) -> Result<u64> {
        if *was == is {
            return Ok(0);
        }
        let freed = (was.len() as u64).saturating_sub(is.len() as u64);
        self.bucket.put(name, is).await?;
        Ok(freed)
    }

    /// What Step Functions wrote of the children: it has their input.
    async fn remove_results(&self) -> Result<u64> {
        let prefix = format!("{}map/", self.prefix());
        let mut pages = self.clients.storages.open(&Location::s3(&self.known.bucket, prefix.clone())).await?.list();
        let mut freed = 0;
        while let Some(page) = pages.next().await? {
            freed += page.iter().map(|object| object.size).sum::<u64>();
            stream::iter(page)
                .map(|object| async move { Ok::<_, Error>(object) })
                .buffer_unordered(AT_ONCE)
                .try_for_each_concurrent(AT_ONCE, |object| {
                    let key = format!("{prefix}{}", object.name);
                    async move {
                        let asked = self.clients.s3.delete_object().bucket(&self.known.bucket).key(&key).send().await;
                        asked.map(drop).map_err(|error| {
                            trouble(format_args!("`s3://{}/{key}` cannot be removed", self.known.bucket), &error)
                        })
                    }
                })
                .await?;
        }
        Ok(freed)
    }
}

fn emptied(item: HandedItem) -> HandedItem {
    HandedItem { value: serde_json::Value::Null, ..item }
}
