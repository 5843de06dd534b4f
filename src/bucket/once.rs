//! Every item of the first round once: batches that overlap are put together.
//!
//! They do if a run was resumed with batches that were cut in another way. Then an item has outcomes in two of them.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;

use futures_util::stream::{self, Stream, TryStreamExt};

use super::listing::{BatchFiles, Batches};
use super::run::{Folded, RunBucket};
use crate::error::{Error, Result};

/// A batch with how those of its items stand that are in no earlier one.
pub(crate) type Batch = (BatchFiles, Vec<Folded>);

/// Batches as they were read.
type Read<'a> = Pin<Box<dyn Stream<Item = Result<Batch>> + 'a>>;

impl RunBucket {
    /// The batches of the first round that are `listed`, in input order, `at_once` of them read at once. Those that overlap come together,
    /// and each item comes once, with the outcome that says more of what was done.
    ///
    /// # Errors
    /// The bucket cannot be read, or a file is not what a worker wrote.
    pub fn first_round(&self, listed: Batches, at_once: usize) -> impl Stream<Item = Result<Vec<Batch>>> + '_ {
        let listed = stream::try_unfold(listed, |mut listed| async move {
            let next = listed.next().await?.filter(|files| files.name.round == 0);
            Ok::<_, Error>(next.map(|files| (files, listed)))
        });
        let read = listed.map_ok(move |files| async move {
            let folded = self.folded(&files).await?;
            Ok((files, folded))
        });
        let read: Read<'_> = Box::pin(read.try_buffered(at_once));
        stream::try_unfold((read, VecDeque::new(), false), |(mut read, mut open, mut over)| async move {
            while !over {
                match read.try_next().await? {
                    Some(batch) if overlaps(&open, &batch) => open.push_back(batch),
                    Some(batch) => {
                        let whole = open.drain(..).collect::<Vec<_>>();
                        open.push_back(batch);
                        if !whole.is_empty() {
                            return Ok(Some((once(whole), (read, open, over))));
                        }
                    }
                    None => over = true,
                }
            }
            let whole = open.drain(..).collect::<Vec<_>>();
            Ok((!whole.is_empty()).then(|| (once(whole), (read, open, over))))
        })
    }
}

/// Whether a batch begins before the items of those that are open end.
fn overlaps(open: &VecDeque<Batch>, (files, _): &Batch) -> bool {
    let last = open.iter().filter_map(|(_, items)| items.last()).map(|item| item.index).max();
    last.is_some_and(|last| files.name.first <= last)
}

/// Leaves each item in the first batch that has it, as it stands over all of them.
fn once(mut batches: Vec<Batch>) -> Vec<Batch> {
    if batches.len() < 2 {
        return batches;
    }
    let mut best: HashMap<u64, Folded> = HashMap::new();
    for item in batches.iter_mut().flat_map(|(_, items)| std::mem::take(items)) {
        match best.get_mut(&item.index) {
            Some(known) => {
                let attempts = known.line.attempts + item.line.attempts;
                if item.line.is_more_than(&known.line) {
                    known.line = item.line;
                }
                known.line.attempts = attempts;
            }
            None => drop(best.insert(item.index, item)),
        }
    }
    for item in best.into_values() {
        if let Some((_, items)) = batches.iter_mut().find(|(files, _)| files.name == item.batch) {
            items.push(item);
        }
    }
    batches.iter_mut().for_each(|(_, items)| items.sort_unstable_by_key(|item| item.index));
    batches
}
