//! [`Fleet`]: what a job needs of others where many workers do it, as on AWS.

use crate::storage::Location;

/// What a job needs of others where it is done by many workers that share no ledger, as on AWS. Made by [`Job::fleet`](super::Job::fleet).
///
/// ```
/// use fanfold::Fleet;
/// let fleet = Fleet::default().calling(2).writing("s3://bucket/thumbnails/".parse().unwrap());
/// assert_eq!(fleet.calls, 2);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fleet {
    /// How many calls to others an item makes, about; 0 if nobody is called. Whoever is called may ask for long pauses, and then needs
    /// children that may take longer than 5 minutes.
    pub calls: u32,
    /// What it reads, beside the items' own objects. The role of the workers may read there.
    pub reads: Vec<Location>,
    /// What it writes. The role of the workers may write there.
    pub writes: Vec<Location>,
}

impl Fleet {
    /// So many calls to others for an item.
    #[must_use]
    pub fn calling(mut self, calls: u32) -> Self {
        self.calls = calls;
        self
    }

    /// Reads there as well.
    #[must_use]
    pub fn reading(mut self, location: Location) -> Self {
        self.reads.push(location);
        self
    }

    /// Writes there.
    #[must_use]
    pub fn writing(mut self, location: Location) -> Self {
        self.writes.push(location);
        self
    }
}
