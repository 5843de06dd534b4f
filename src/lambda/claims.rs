//! [`Claims`]: what items are called and where they were written to, so that two that have the same are found.
//!
//! On this machine they are refused before a run begins. On AWS nobody has seen all items before; the gate has when it is over.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::fold::Fold;
use crate::bucket::{BatchName, Folded, RunBucket};
use crate::error::{Error, Result};
use crate::outcome::ItemStatus;

/// What is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Key,
    Destination,
}

/// The claims of a run: 16 bytes each, and 8 for each batch.
#[derive(Debug)]
pub(super) struct Claims {
    named_keys: bool,
    /// The hash of what is claimed, and who claims it.
    all: Vec<(u64, u64)>,
    /// The first items of the batches, in order.
    firsts: Vec<u64>,
}

impl Claims {
    /// No claims yet. Keys are looked at only if the workflow gives them: all others are addresses.
    pub fn new(named_keys: bool) -> Self {
        Self { named_keys, all: Vec::new(), firsts: Vec::new() }
    }

    /// The next items are of the batch that begins with this one.
    pub fn begin(&mut self, first: u64) {
        self.firsts.push(first);
    }

    /// Takes what an item claims. One that was left out or has not ended claims nothing.
    pub fn of(&mut self, item: &Folded) {
        let claims = claims(item, self.named_keys);
        self.all.extend(claims.map(|(kind, text)| (hash(kind, text), item.index)));
    }

    /// Writes them down for a later gate.
    ///
    /// # Errors
    /// They cannot be written.
    pub async fn spill(&mut self, bucket: &RunBucket, round: u32, fold: &mut Fold) -> Result<()> {
        let mut file = Vec::with_capacity(8 + 8 * self.firsts.len() + 16 * self.all.len());
        file.extend((self.firsts.len() as u64).to_le_bytes());
        file.extend(self.firsts.drain(..).flat_map(u64::to_le_bytes));
        file.extend(self.all.drain(..).flat_map(|(hash, index)| [hash.to_le_bytes(), index.to_le_bytes()]).flatten());
        bucket.put(&file_name(round, fold.claims), file).await?;
        fold.claims += 1;
        Ok(())
    }

    /// Adds those that earlier gates wrote down.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn load(&mut self, bucket: &RunBucket, round: u32, fold: &Fold) -> Result<()> {
        for part in 0..fold.claims {
            let name = file_name(round, part);
            let file = bucket.get(&name).await?;
            self.read_file(&file).ok_or_else(|| {
                Error::surroundings(format!("`{}` is not what a gate wrote", bucket.address(&name)))
                    .hint("remove it, and resume the run")
            })?;
        }
        self.firsts.sort_unstable();
        Ok(())
    }

    /// Takes a file that an earlier gate wrote; `None` if it is something else.
    fn read_file(&mut self, file: &[u8]) -> Option<()> {
        let (batches, rest) = file.split_first_chunk::<8>()?;
        let (firsts, claims) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*batches)).ok()?.checked_mul(8)?)?;
        let (firsts, _) = firsts.as_chunks::<8>();
        let (claims, []) = claims.as_chunks::<8>() else { return None };
        let (claims, []) = claims.as_chunks::<2>() else { return None };
        self.firsts.extend(firsts.iter().map(|first| u64::from_le_bytes(*first)));
        self.all.extend(claims.iter().map(|claim| (u64::from_le_bytes(claim[0]), u64::from_le_bytes(claim[1]))));
        Some(())
    }

    /// The items that claim what an earlier one does, each once, with what to say of it.
    ///
    /// # Errors
    /// The items cannot be read again.
    pub async fn doubles(mut self, bucket: &RunBucket, later: &HashMap<u64, Folded>) -> Result<Vec<(Folded, String)>> {
        self.all.sort_unstable();
        let groups = self.all.chunk_by(|one, other| one.0 == other.0).filter(|group| group.len() > 1);
        let groups: Vec<Vec<u64>> = groups.map(|group| group.iter().map(|(_, index)| *index).collect()).collect();
        let mut known: HashMap<u64, Folded> = HashMap::new();
        let mut doubles: HashMap<u64, String> = HashMap::new();
        for group in groups {
            let mut owners: HashMap<(Kind, String), u64> = HashMap::new();
            for index in group {
                if !known.contains_key(&index) {
                    self.read(index, bucket, later, &mut known).await?;
                }
                let Some(item) = known.get(&index) else { continue };
                for (kind, text) in claims(item, self.named_keys) {
                    let owner = *owners.entry((kind, text.to_string())).or_insert(index);
                    if owner != index {
                        let what = match kind {
                            Kind::Key => "is called the same",
                            Kind::Destination => "was written to the same place",
                        };
                        doubles.entry(index).or_insert_with(|| format!("item {owner} {what}: `{text}`"));
                    }
                }
            }
        }
        let mut doubles: Vec<_> =
            doubles.into_iter().filter_map(|(index, why)| known.remove(&index).map(|item| (item, why))).collect();
        doubles.sort_unstable_by_key(|(item, _)| item.index);
        // One that failed for another reason has that one, and one that may have had its effect stays for a person to look at.
        doubles.retain(|(item, _)| !matches!(item.line.status, ItemStatus::Failed | ItemStatus::Unknown));
        Ok(doubles)
    }

    /// Reads the batch of an item once more.
    async fn read(
        &self,
        index: u64,
        bucket: &RunBucket,
        later: &HashMap<u64, Folded>,
        known: &mut HashMap<u64, Folded>,
    ) -> Result<()> {
        let at = self.firsts.partition_point(|first| *first <= index);
        let Some(first) = at.checked_sub(1).map(|at| self.firsts[at]) else { return Ok(()) };
        let files = bucket.files(BatchName { round: 0, first }).await?;
        for item in bucket.folded(&files).await? {
            known.insert(item.index, later.get(&item.index).unwrap_or(&item).clone());
        }
        Ok(())
    }
}

fn claims(item: &Folded, named_keys: bool) -> impl Iterator<Item = (Kind, &str)> {
    let counts = !matches!(item.line.status, ItemStatus::Skipped | ItemStatus::Pending);
    let key = (named_keys && counts).then_some((Kind::Key, item.line.key.as_str()));
    let destination = item.line.to.as_deref().filter(|_| counts).map(|to| (Kind::Destination, to));
    key.into_iter().chain(destination)
}

/// The same in every process of one version: it is compared with what an earlier gate wrote.
fn hash(kind: Kind, text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (kind, text).hash(&mut hasher);
    hasher.finish()
}

fn file_name(round: u32, part: u32) -> String {
    format!("gate/{round:04}/claims-{part:04}")
}
