//! [`RunBucket`]: a run's files in the bucket.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::de::DeserializeOwned;

use super::batch::BatchOutcomes;
use super::line::{HandedItem, OutcomeLine};
use super::listing::{BatchFiles, Batches};
use super::names::{BatchName, added_name};
use crate::error::{Error, Result};
use crate::storage::{Location, OnExists, Storage, StorageErrorKind, Storages};

/// Files of one batch that are read at once. A batch has more than a few only if its workers took long.
const PARTS_AT_ONCE: usize = 16;

/// A run's files. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct RunBucket {
    storages: Storages,
    storage: Storage,
}

/// How one item stands, over all rounds.
#[derive(Debug, Clone)]
pub(crate) struct Folded {
    pub index: u64,
    /// The batch that it was handed out in first.
    pub batch: BatchName,
    /// How it ended; of one that has not ended only the key may be known.
    pub line: OutcomeLine,
}

impl RunBucket {
    /// The files of a run below its prefix.
    ///
    /// # Errors
    /// S3 cannot be used.
    pub async fn open(storages: &Storages, bucket: &str, prefix: &str) -> Result<Self> {
        Self::at(storages, &Location::s3(bucket, prefix)).await
    }

    /// The files of a run at a location that is its own.
    ///
    /// # Errors
    /// It cannot be used.
    pub async fn at(storages: &Storages, location: &Location) -> Result<Self> {
        Ok(Self { storages: storages.clone(), storage: storages.open(location).await? })
    }

    /// A file as people write it.
    pub fn address(&self, name: &str) -> String {
        self.storage.location().address(name)
    }

    /// Every batch of every round, in their order.
    pub fn batches(&self) -> Batches {
        Batches::new(self.storage.list_after("batches/"))
    }

    /// The batches behind this one.
    pub fn batches_after(&self, batch: BatchName) -> Batches {
        // Behind everything in the folder: `~` comes after all that files of it begin with.
        Batches::new(self.storage.list_after(&format!("{}~", batch.folder())))
    }

    /// The batches of every round but the first.
    pub fn redriven_batches(&self) -> Batches {
        Batches::new(self.storage.list_after(&format!("{}~", BatchName::round_folder(0))))
    }

    /// The files of one batch.
    ///
    /// # Errors
    /// The bucket cannot be listed.
    pub async fn files(&self, batch: BatchName) -> Result<BatchFiles> {
        let folder = match self.storage.location() {
            Location::S3 { bucket, prefix } => Location::s3(bucket, format!("{prefix}{}", batch.folder())),
            Location::Folder(path) => Location::Folder(path.join(batch.folder())),
        };
        let mut pages = self.storages.open(&folder).await?.list();
        let mut files = BatchFiles::none(batch);
        while let Some(page) = pages.next().await? {
            page.iter().for_each(|object| files.take(&object.name));
        }
        Ok(files)
    }

    /// What the workers of a batch came to.
    ///
    /// # Errors
    /// A file cannot be read, or is not what a worker wrote.
    pub async fn outcomes(&self, files: &BatchFiles) -> Result<BatchOutcomes> {
        let mut parts = stream::iter(&files.parts).map(|part| self.lines(part)).buffered(PARTS_AT_ONCE);
        let mut outcomes = BatchOutcomes::default();
        while let Some(lines) = parts.try_next().await? {
            lines.into_iter().for_each(|line| outcomes.take(line));
        }
        Ok(outcomes)
    }

    /// The items that were handed out with a batch; none if no worker got that far.
    ///
    /// # Errors
    /// The file cannot be read, or is not what a worker wrote.
    pub async fn items(&self, files: &BatchFiles) -> Result<Vec<HandedItem>> {
        match &files.items {
            Some((name, _)) => HandedItem::read_all(&self.get(name).await?, &self.address(name)),
            None => Ok(Vec::new()),
        }
    }

    /// How every item stands that was handed out in a batch, in input order.
    ///
    /// # Errors
    /// A file cannot be read, or is not what a worker wrote.
    pub async fn folded(&self, files: &BatchFiles) -> Result<Vec<Folded>> {
        let outcomes = self.outcomes(files).await?;
        let handed = files.items.as_ref().map_or(0, |(_, count)| *count);
        let folded = |line: OutcomeLine| (line.index, Folded { index: line.index, batch: files.name, line });
        if outcomes.len() as u64 >= handed {
            return Ok(outcomes.into_lines().map(|line| folded(line).1).collect());
        }
        let mut all: BTreeMap<u64, Folded> =
            self.items(files).await?.into_iter().map(|item| folded(OutcomeLine::pending(item.index, item.key))).collect();
        all.extend(outcomes.into_lines().map(folded));
        Ok(all.into_values().collect())
    }

    /// How the items stand that were redriven, by index: what the last round says of them, after the tries of all rounds but the first.
    ///
    /// # Errors
    /// A file cannot be read, or is not what a worker wrote.
    pub async fn redriven(&self) -> Result<HashMap<u64, Folded>> {
        let mut batches = self.redriven_batches();
        let mut redriven: HashMap<u64, Folded> = HashMap::new();
        // Rounds come in their order.
        while let Some(files) = batches.next().await? {
            for mut item in self.folded(&files).await? {
                item.line.attempts += redriven.get(&item.index).map_or(0, |earlier| earlier.line.attempts);
                redriven.insert(item.index, item);
            }
        }
        Ok(redriven)
    }

    /// The outcomes that the gate of a round added, by index. They hold for items that no later round did.
    ///
    /// # Errors
    /// The file cannot be read, or is not what a gate wrote.
    pub async fn added(&self, round: u32) -> Result<HashMap<u64, OutcomeLine>> {
        let name = added_name(round);
        let Some(file) = self.find(&name).await? else { return Ok(HashMap::new()) };
        Ok(OutcomeLine::read(&file, &self.address(&name))?.into_iter().map(|line| (line.index, line)).collect())
    }

    /// A file; `None` if there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn find(&self, name: &str) -> Result<Option<Bytes>> {
        match self.storage.get(name, None).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == StorageErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A file of JSON; `None` if there is none.
    ///
    /// # Errors
    /// It cannot be read, or is something else.
    pub async fn find_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let Some(bytes) = self.find(name).await? else { return Ok(None) };
        let read = serde_json::from_slice(&bytes);
        read.map(Some)
            .map_err(|error| Error::surroundings(format!("`{}` is not what fanfold wrote: {error}", self.address(name))))
    }

    /// A file.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn get(&self, name: &str) -> Result<Bytes> {
        Ok(self.storage.get(name, None).await?)
    }

    /// Writes a file.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn put(&self, name: &str, bytes: impl Into<Bytes>) -> Result<()> {
        self.storage.put(name, bytes.into(), OnExists::Overwrite).await?;
        Ok(())
    }

    /// Writes a file unless there is one.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn put_new(&self, name: &str, bytes: impl Into<Bytes>) -> Result<()> {
        self.storage.put(name, bytes.into(), OnExists::Skip).await?;
        Ok(())
    }

    async fn lines(&self, part: &str) -> Result<Vec<OutcomeLine>> {
        OutcomeLine::read(&self.get(part).await?, &self.address(part))
    }
}
