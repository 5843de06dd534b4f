//! [`Ranges`]: which items were written, and the rule by which each is written once.
//!
//! # The rule
//! A transaction that writes rows writes one more, into `fanfold_batches`: the run's name, which no other run of any state folder has,
//! and the indexes of the items that it wrote (`0-99,101-199`). So the rows and the note of them are there together or not at all, in
//! the database itself. What is pending is cut into batches anew by every session; the note is therefore of items, never of batches.
//!
//! - **A session begins.** It waits until no connection of a session before it is left that could still commit (PostgreSQL: an advisory
//!   lock that every connection of the run holds; SQLite: its file is locked), then reads all notes of the run once. Items that are
//!   noted succeed without being written again: the process died between the commit there and the record here.
//! - **A further try, or a redrive**, looks into the notes once more, in its own transaction: a connection may have been lost after
//!   the server committed, a batch may have been given up by `item_timeout` while it was written.
//! - **An item that fails** is in no note, so that a redrive writes it.
//! - **A pause** (`--limit`, `stop`, a crash) changes nothing of this.
//! - **The end.** Once every item has an outcome that is durable here, and none can be redriven, the notes of the run are removed.

use std::collections::BTreeMap;
use std::fmt;

/// Sets of item indexes, as ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Reads `0-4,6`; what is no range is left out.
    pub fn parse(text: &str) -> Self {
        let mut ranges = Self::default();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            if let (Ok(first), Ok(last)) = (first.parse(), last.parse()) {
                ranges.add(first, last);
            }
        }
        ranges
    }

    /// Adds the items from `first` to `last`.
    pub fn add(&mut self, first: u64, last: u64) {
        if last < first {
            return;
        }
        let (mut start, mut end) = (first, last);
        // All that touch it become one with it.
        while let Some((from, to)) = self.0.range(..=end.saturating_add(1)).next_back().map(|(from, to)| (*from, *to)) {
            if to.saturating_add(1) < start {
                break;
            }
            self.0.remove(&from);
            start = start.min(from);
            end = end.max(to);
        }
        self.0.insert(start, end);
    }

    /// Adds all of the other's.
    pub fn merge(&mut self, other: &Ranges) {
        other.0.iter().for_each(|(first, last)| self.add(*first, *last));
    }

    /// Takes one item out.
    pub fn remove(&mut self, item: u64) {
        let Some((first, last)) = self.range_of(item) else { return };
        self.0.remove(&first);
        if first < item {
            self.0.insert(first, item - 1);
        }
        if item < last {
            self.0.insert(item + 1, last);
        }
    }

    /// How many items they are.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Whether the item is in it.
    pub fn has(&self, item: u64) -> bool {
        self.range_of(item).is_some()
    }

    fn range_of(&self, item: u64) -> Option<(u64, u64)> {
        self.0.range(..=item).next_back().map(|(first, last)| (*first, *last)).filter(|(_, last)| item <= *last)
    }

    /// The first and the last item.
    pub fn span(&self) -> Option<(u64, u64)> {
        Some((*self.0.first_key_value()?.0, *self.0.last_key_value()?.1))
    }
}

impl FromIterator<u64> for Ranges {
    fn from_iter<I: IntoIterator<Item = u64>>(items: I) -> Self {
        let mut ranges = Self::default();
        let mut open: Option<(u64, u64)> = None;
        for item in items {
            match &mut open {
                Some((_, last)) if *last + 1 == item => *last = item,
                _ => {
                    if let Some((first, last)) = open.replace((item, item)) {
                        ranges.add(first, last);
                    }
                }
            }
        }
        if let Some((first, last)) = open {
            ranges.add(first, last);
        }
        ranges
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (first, last)) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            if first == last { write!(f, "{comma}{first}")? } else { write!(f, "{comma}{first}-{last}")? }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ranges_hold_what_a_set_holds() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..300 {
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for _ in 0..random.usize(1..30) {
                let first = random.u64(0..60);
                let last = first + random.u64(0..9);
                if random.bool() {
                    ranges.add(first, last);
                    set.extend(first..=last);
                } else {
                    ranges.remove(first);
                    set.remove(&first);
                }
            }
            assert!((0..80).all(|item| ranges.has(item) == set.contains(&item)), "{ranges} {set:?}");
            assert_eq!(Ranges::parse(&ranges.to_string()), ranges);
            assert_eq!(set.iter().copied().collect::<Ranges>(), ranges);
            assert_eq!(ranges.count(), set.len() as u64);
            assert_eq!(ranges.span(), set.first().copied().zip(set.last().copied()));
        }
        assert_eq!([0, 1, 2, 4, 9].into_iter().collect::<Ranges>().to_string(), "0-2,4,9");
    }
}
