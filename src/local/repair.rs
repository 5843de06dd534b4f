//! Repair: rows that someone has corrected stand in place of those that failed.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::cut::{Cut, Ordering};
use super::run::Run;
use super::stop::Why;
use crate::error::{Error, Result};
use crate::job::Jobs;
use crate::outcome::ItemStatus;
use crate::reader::{Input, Position, RepairedRow, Selection};

/// Mistakes of one file that are told at once.
const TOLD: usize = 10;

impl Run {
    /// The run's source with the rows of `file` in place of those of failed items. It is not the run's yet: the record says which is.
    ///
    /// # Errors
    /// The file cannot be read, a row of it is none, stands for no failed item, or changes the key of its item.
    pub(super) fn repaired(&self, input: &Input, file: &Path, jobs: &Jobs) -> Result<Input> {
        let shown = file.display().to_string();
        let rows = input.repaired_rows(file, &shown, self.folder.path())?;
        let wanted: HashMap<&str, &RepairedRow> = rows.iter().map(|row| (row.name.as_str(), row)).collect();
        let mut failed: HashMap<String, u64> = HashMap::new();
        for result in self.folder.results(Some(vec![ItemStatus::Failed]), jobs)? {
            let result = result?;
            if wanted.contains_key(result.key.as_str()) {
                failed.insert(result.key, result.index);
            }
        }
        let mut errors = Vec::new();
        let mut repaired: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for RepairedRow { name, line, record } in &rows {
            let Some(index) = failed.get(name) else {
                errors.push(
                    Error::refused(format!("{shown}:{line}: `{name}` is no failed item of run {}", self.id()))
                        .hint(format!("take the row out; `fanfold results {} --failed` shows which failed", self.id())),
                );
                continue;
            };
            if repaired.insert(*index, record.clone()).is_some() {
                errors.push(Error::refused(format!("{shown}:{line}: `{name}` is there twice")).hint("take one row out"));
            }
        }
        errors.truncate(TOLD);
        if let Some(errors) = Error::all(errors) {
            return Err(errors);
        }
        let after = input.with_repairs(repaired, self.folder.path())?;
        match self.check_repairs(input, &after, &failed, &shown) {
            Ok(()) => Ok(after),
            Err(error) => {
                self.forget_repairs(&after);
                Err(error)
            }
        }
    }

    /// Removes the file with the repaired rows of a source that is no longer the run's.
    pub(super) fn forget_repairs(&self, input: &Input) {
        if let Some(name) = input.repairs() {
            // What is left of it is found by nobody.
            let _ = std::fs::remove_file(self.folder.path().join(name));
        }
    }

    /// An item that could be read keeps its key and its lane; one that could not gets a key that nobody else has, and needs none of
    /// the lanes, which are made when a run begins.
    fn check_repairs(&self, before: &Input, after: &Input, failed: &HashMap<String, u64>, shown: &str) -> Result<()> {
        let (settings, params) = (&self.bound.settings, &self.bound.params);
        let selection = Selection::new(&settings.items, after, params);
        let ordering = Ordering::of(&self.bound);
        if !selection.has_named_keys() && ordering.is_none() {
            return Ok(());
        }
        let keys: HashMap<u64, &String> = failed.iter().map(|(key, index)| (*index, key)).collect();
        let open = after.open(self.folder.path())?;
        let mut rows = open.rows(Position::START)?;
        let mut rows_before = before.open(self.folder.path())?.rows(Position::START)?;
        while let (Some(row), Some(row_before)) = (rows.next()?, rows_before.next()?) {
            let Some(key) = keys.get(&row.index) else { continue };
            let Ok(value) = row.value() else { continue };
            let now = selection.key_of(&row, &value).map_err(|failure| Error::refused(format!("{shown}: `{key}`: {failure}")))?;
            let value_before = row_before.value();
            if value_before.is_ok() && now.to_string() != **key {
                return Err(Error::refused(format!("{shown}: the repaired row of `{key}` has the key `{now}`"))
                    .hint("a repair keeps what `items.key` is made of; another item needs a new run"));
            }
            let Some(ordering) = &ordering else { continue };
            let lane_before = value_before.ok().and_then(|value| ordering.key.name(&value));
            if lane_before.is_none() || lane_before != ordering.key.name(&value) {
                let why = if lane_before.is_none() { "was in no lane when the run began" } else { "would be in another lane" };
                return Err(Error::refused(format!("{shown}: `{key}` {why}, and the lanes of a run do not change"))
                    .hint("begin a new run with this file as its source"));
            }
        }
        let stop = CancellationToken::new();
        let folder = self.folder.path();
        let cut = Cut { input: &open, selection: &selection, params, publisher: None, folder, order: None, stop: &stop };
        cut.claim_all().map_err(|why| match why {
            Why::Trouble(error) => error,
            other => Error::bug(other.to_string()),
        })
    }
}
