//! Freezes the objects of a folder or an S3 prefix: one line each, in the shape in which Step Functions lists them.

use serde::Serialize;

use super::freeze::{Plan, blocking};
use super::input::{Format, Input, InputFile};
use super::rows::INVALID_NAME;
use super::spool::{ITEMS, Spool};
use crate::storage::{Location, Object, Storages};
use crate::{Error, Result};

/// An object as an item.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed<'o> {
    etag: &'o str,
    key: &'o str,
    last_modified: i64,
    size: u64,
    storage_class: &'o str,
}

pub(super) async fn freeze(location: &Location, storages: &Storages, plan: Plan) -> Result<Input> {
    let storage = storages.open(location).await?;
    let (bucket, prefix) = match location {
        Location::Folder(_) => (None, String::new()),
        Location::S3 { bucket, prefix } => (Some(bucket.clone()), prefix.clone()),
    };
    let run_dir = plan.run_dir.clone();
    let mut spool = blocking(move || Spool::new(&run_dir)).await?;
    let mut pages = storage.list();
    let mut cut = false;
    while let Some(mut page) = pages.next().await? {
        let room = usize::try_from(plan.limit - spool.count).unwrap_or(usize::MAX);
        cut = page.len() > room;
        page.truncate(room);
        let prefix = prefix.clone();
        spool = blocking(move || {
            page.iter().try_for_each(|object| push(&mut spool, &prefix, object))?;
            Ok(spool)
        })
        .await?;
        if cut {
            break;
        }
    }
    blocking(move || {
        let count = spool.finish()?;
        let file = InputFile::Kept(ITEMS.to_string());
        let mut input = plan.input(file, Format::Objects { bucket }, 0)?;
        (input.count, input.cut) = (count, cut);
        Ok(input)
    })
    .await
}

fn push(spool: &mut Spool, prefix: &str, object: &Object) -> Result<()> {
    let key = format!("{prefix}{}", object.name);
    if object.not_utf8 {
        // A name may have a line break in it.
        let shown = key.replace('\n', "\\x0a");
        return spool.push(&[INVALID_NAME, shown.as_bytes()].concat());
    }
    let listed = Listed {
        etag: &object.etag,
        key: &key,
        last_modified: object.last_modified,
        size: object.size,
        storage_class: &object.storage_class,
    };
    let line =
        serde_json::to_vec(&listed).map_err(|error| Error::bug(format!("an object cannot be written as JSON: {error}")))?;
    spool.push(&line)
}
