//! [`Batches`]: the batches of a run as they are found in its listing, one after another; [`BatchFiles`]: the files of one.

use std::collections::VecDeque;

use super::names::{BatchName, Entry, parse, parse_file};
use crate::error::Result;
use crate::storage::{Object, Pages};

/// The files of one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BatchFiles {
    pub name: BatchName,
    /// The file with the items that were handed out, and how many; `None` if there is none (yet).
    pub items: Option<(String, u64)>,
    /// The files with outcomes, the earliest worker's first.
    pub parts: Vec<String>,
    /// The items that were run alone, each time of each.
    pub alone: Vec<(u64, u32)>,
    /// Those of them whose worker lived on.
    pub alive: Vec<(u64, u32)>,
}

impl BatchFiles {
    pub fn none(name: BatchName) -> Self {
        Self { name, items: None, parts: Vec::new(), alone: Vec::new(), alive: Vec::new() }
    }

    /// How often the item was run alone.
    pub fn times_alone(&self, index: u64) -> u32 {
        self.alone.iter().filter(|(of, _)| *of == index).map(|(_, times)| *times).max().unwrap_or(0)
    }

    /// How often the worker died when the item was run alone.
    pub fn deaths_alone(&self, index: u64) -> usize {
        self.alone.iter().filter(|mark| mark.0 == index && !self.alive.contains(mark)).count()
    }

    /// Takes a file of its folder.
    pub(super) fn take(&mut self, file: &str) {
        if let Some(entry) = parse_file(file) {
            self.add(format!("{}{file}", self.name.folder()), entry);
        }
    }

    fn add(&mut self, name: String, entry: Entry) {
        match entry {
            // Of two the larger one: a batch was handed out whole before its rest was.
            Entry::Items { count } if self.items.as_ref().is_none_or(|(_, other)| *other < count) => {
                self.items = Some((name, count));
            }
            Entry::Items { .. } => {}
            Entry::Part => self.parts.push(name),
            Entry::Alone { index, times } => self.alone.push((index, times)),
            Entry::Alive { index, times } => self.alive.push((index, times)),
        }
    }
}

/// The batches of a run, by round and first item.
pub(crate) struct Batches {
    pages: Pages,
    page: VecDeque<Object>,
    next: Option<BatchFiles>,
}

impl Batches {
    pub(super) fn new(pages: Pages) -> Self {
        Self { pages, page: VecDeque::new(), next: None }
    }

    /// The next batch.
    ///
    /// # Errors
    /// The bucket cannot be listed.
    pub async fn next(&mut self) -> Result<Option<BatchFiles>> {
        loop {
            let Some(object) = self.page.pop_front() else {
                match self.pages.next().await? {
                    Some(page) => self.page = page.into(),
                    None => return Ok(self.next.take()),
                }
                continue;
            };
            let Some((name, entry)) = parse(&object.name) else { continue };
            let mut ready = None;
            if self.next.as_ref().is_none_or(|batch| batch.name != name) {
                ready = self.next.replace(BatchFiles::none(name));
            }
            if let Some(batch) = &mut self.next {
                batch.add(object.name, entry);
            }
            if ready.is_some() {
                return Ok(ready);
            }
        }
    }
}
