//! [`Part`]: one of several files whose copies stand one behind the other in the folder of a run.

use serde::{Deserialize, Serialize};

/// One of several files in a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// What the file is called.
    pub source: String,
    /// The index of its first item.
    pub index: u64,
    /// Where it begins in the copy.
    pub begin: u64,
    /// Where its first item begins: behind its header.
    pub start: u64,
}

/// The part that the item with this index is in; `None` if there are none.
pub(super) fn part_of(parts: &[Part], index: u64) -> Option<&Part> {
    // Of parts that begin with the same item, all but the last are empty.
    let behind = parts.partition_point(|part| part.index <= index);
    parts.get(behind.checked_sub(1)?)
}

/// The index of the first item behind that with this index that is in another part.
pub(super) fn next_part(parts: &[Part], index: u64) -> u64 {
    parts.get(parts.partition_point(|part| part.index <= index)).map_or(u64::MAX, |part| part.index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_in_the_last_part_that_begins_at_it() {
        let part = |source: &str, index| Part { source: source.to_string(), index, begin: 0, start: 0 };
        let parts = [part("a", 0), part("b", 2), part("c", 2), part("d", 5)];
        let found: Vec<_> = (0..7).map(|index| part_of(&parts, index).unwrap().source.as_str()).collect();
        assert_eq!(found, ["a", "a", "c", "c", "c", "d", "d"]);
        assert_eq!([next_part(&parts, 0), next_part(&parts, 2), next_part(&parts, 5)], [2, 5, u64::MAX]);
        assert_eq!((part_of(&[], 3), next_part(&[], 3)), (None, u64::MAX));
    }
}
