//! [`Packer`]: how lanes are put together into bundles, one for each child execution.

/// The fewest bundles for each child execution that may run at once, so that all of them are busy until near the end.
const FOR_EACH_CHILD: u64 = 8;

/// The most items of a bundle of several lanes, as long as there are not too many bundles.
const MOST_ITEMS: u64 = 5000;

/// The most bundles that are aimed at.
const MOST_BUNDLES: u64 = 10_000;

/// How many bundles so many items are to be packed into.
pub(crate) fn bundles_for(items: u64, max_concurrency: u32) -> u64 {
    (FOR_EACH_CHILD * u64::from(max_concurrency)).max(items / MOST_ITEMS).clamp(1, MOST_BUNDLES)
}

/// Packs lanes in their order, largest first: a lane that is larger than a bundle should be has one to itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packer {
    /// Items of a bundle.
    most: u64,
    items: u64,
    bundles: u64,
}

impl Packer {
    /// For so many items in about so many bundles.
    pub fn new(items: u64, bundles: u64) -> Self {
        Self { most: items.div_ceil(bundles.max(1)).max(1), items: 0, bundles: 0 }
    }

    /// Whether a lane of so many items begins a new bundle; it is counted either way.
    pub fn begins_new(&mut self, items: u64) -> bool {
        let new = self.bundles == 0 || self.items.saturating_add(items) > self.most;
        if new {
            self.items = 0;
            self.bundles += 1;
        }
        self.items = self.items.saturating_add(items);
        new
    }

    /// How many bundles were begun.
    pub fn bundles(&self) -> u64 {
        self.bundles
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_enough_bundles_for_all_children_and_never_too_many() {
        assert_eq!(bundles_for(1000, 100), 800);
        assert_eq!(bundles_for(10_000_000, 100), 2000);
        assert_eq!(bundles_for(1_000_000_000, 100), 10_000);
        assert_eq!(bundles_for(10, 10_000), 10_000);
    }

    #[test]
    fn a_long_lane_is_alone_and_short_ones_share() {
        let mut packer = Packer::new(100, 10);
        let begins: Vec<bool> = [50, 10, 6, 4, 4, 4, 1, 1].into_iter().map(|items| packer.begins_new(items)).collect();
        assert_eq!(begins, [true, true, true, false, true, false, false, false]);
        assert_eq!(packer.bundles(), 4);
    }
}
