//! What files of a run are called, relative to its prefix.

use std::fmt;

/// The prefix of a run in the bucket.
pub(crate) fn run_prefix(workflow: &str, run: &str) -> String {
    format!("{workflow}/{run}/")
}

/// Where the items of a round that are done again are listed: one line of JSON each, `{"index", "key", "value"}`.
pub(crate) fn redrive_items(round: u32) -> String {
    format!("redrive/{round:04}/items.jsonl")
}

/// Outcomes that the gate of a round adds: items of one key or one destination. They come before what workers say.
pub(crate) fn added_name(round: u32) -> String {
    format!("gate/{round:04}/added.jsonl")
}

/// What a batch is called: the round in which it was handed out (0, then 1 for the first redrive, …), and the index of the first item
/// that was in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BatchName {
    pub round: u32,
    pub first: u64,
}

impl BatchName {
    /// The folder that its files are in, with a `/` at its end.
    pub fn folder(self) -> String {
        format!("{}{:010}/", Self::round_folder(self.round), self.first)
    }

    /// The folder that the batches of a round are in.
    pub fn round_folder(round: u32) -> String {
        format!("batches/{round:04}/")
    }
}

impl fmt::Display for BatchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.round, self.first)
    }
}

/// The file that says which items were handed out, and in its name how many. Relative to the batch's folder.
pub(crate) fn items_name(count: usize) -> String {
    format!("items-{count:06}.json")
}

/// A file with outcomes: when the worker began, in milliseconds since 1970, which invocation it was, which file of it. Relative to the
/// batch's folder. In the order of their names the earliest worker's come first.
pub(crate) fn part_name(began_ms: i64, invocation: &str, part: u32) -> String {
    format!("{:013}-{}-{part:04}.jsonl", began_ms.max(0), invocation.replace('/', "_"))
}

/// The mark of an item that is run alone for the `times`th time. Relative to the batch's folder.
pub(crate) fn alone_name(index: u64, times: u32) -> String {
    format!("alone-{index:010}-{times}")
}

/// Beside that mark: the worker lived on, and had other reasons than the item to leave it without an outcome. Relative to the batch's folder.
pub(crate) fn alive_name(index: u64, times: u32) -> String {
    format!("alive-{index:010}-{times}")
}

/// A file of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    Items { count: u64 },
    Part,
    Alone { index: u64, times: u32 },
    Alive { index: u64, times: u32 },
}

/// Which batch a file belongs to, and what it is; `None` for what no worker wrote.
pub(super) fn parse(name: &str) -> Option<(BatchName, Entry)> {
    let mut parts = name.strip_prefix("batches/")?.split('/');
    let (round, first, file) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?);
    parts.next().is_none().then_some(())?;
    Some((BatchName { round, first }, parse_file(file)?))
}

/// What a file in a batch's folder is.
pub(super) fn parse_file(file: &str) -> Option<Entry> {
    if let Some(count) = file.strip_prefix("items-").and_then(|rest| rest.strip_suffix(".json")) {
        return count.parse().ok().map(|count| Entry::Items { count });
    }
    let mark = |kind: &str| {
        let (index, times) = file.strip_prefix(kind)?.split_once('-')?;
        Some((index.parse().ok()?, times.parse().ok()?))
    };
    if let Some((index, times)) = mark("alone-") {
        return Some(Entry::Alone { index, times });
    }
    if let Some((index, times)) = mark("alive-") {
        return Some(Entry::Alive { index, times });
    }
    file.ends_with(".jsonl").then_some(Entry::Part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_sort_as_they_came() {
        let batch = BatchName { round: 2, first: 1200 };
        assert_eq!(batch.folder(), "batches/0002/0000001200/");
        let full = |file: String| format!("{}{file}", batch.folder());
        assert_eq!(parse(&full(items_name(100))), Some((batch, Entry::Items { count: 100 })));
        assert_eq!(parse(&full(alone_name(1234, 2))), Some((batch, Entry::Alone { index: 1234, times: 2 })));
        assert_eq!(parse(&full(alive_name(1234, 2))), Some((batch, Entry::Alive { index: 1234, times: 2 })));
        let part = part_name(1_795_440_000_000, "8f507cfc-xmpl-4697", 3);
        assert_eq!(part, "1795440000000-8f507cfc-xmpl-4697-0003.jsonl");
        assert_eq!(parse(&full(part.clone())), Some((batch, Entry::Part)));
        assert!(part < part_name(1_795_440_000_001, "0", 0));
        for other in ["report.json", "batches/0000/x/items-1.json", "batches/0000/0000000000/notes.txt", "map/1/SUCCEEDED_0.json"]
        {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
