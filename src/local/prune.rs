//! Prune: the data of a run's items goes, their keys and outcomes stay.

use rusqlite::params;

use super::record::{Record, set_fact};
use super::results::RunItems;
use super::state::RunFolder;
use super::unknown::unknown_calls;
use crate::error::{Error, Result};
use crate::job::Jobs;
use crate::reader::Input;

/// The fact that answers of calls were removed, without which an item cannot go on where it was.
pub(super) const PRUNED_CALLS: &str = "pruned_calls";

impl RunFolder {
    /// Removes the items' outputs, the calls that were made for them and the copy of their data, if the run made one, and gives the disk back. Keys, outcomes and the
    /// report stay. Gives the bytes freed.
    ///
    /// # Errors
    /// The run is being worked on, has pending items or unknown calls, or the folder cannot be written.
    pub fn prune(&self, jobs: &Jobs) -> Result<u64> {
        let _lock = self.lock()?;
        let mut record = Record::open(&self.record_path())?;
        let pending = record.counts()?.pending;
        let input: Option<Input> = record.fact("input")?;
        let Some(input) = input.filter(|_| pending == 0) else {
            return Err(Error::refused(format!("run {} is not at its end: {pending} items are pending", self.id()))
                .hint(format!("fanfold resume {}", self.id())));
        };
        let unknown = unknown_calls(&record, &record.counts()?)?;
        if let Some(first) = unknown.first() {
            let detail = format!("calls of run {} are unknown, and what was sent is needed to decide them", self.id());
            return Err(Error::refused(detail).hint(format!(
                "fanfold resolve {} {} {} --happened JSON, --did-not-happen or --give-up",
                self.id(),
                first.item,
                first.step
            )));
        }
        let before = self.size();
        let copy = input.copy().map(|name| self.path().join(name)).filter(|path| path.exists());
        if copy.is_some() {
            self.keep_keys(&mut record, jobs)?;
        }
        record.write("be written", |db| {
            db.execute("UPDATE outcomes SET output = NULL", [])?;
            if db.execute("DELETE FROM calls", [])? > 0 {
                set_fact(db, PRUNED_CALLS, &true)?;
            }
            set_fact(db, "pruned", &true)
        })?;
        if let Some(copy) = copy {
            std::fs::remove_file(&copy)
                .map_err(|error| Error::surroundings(format!("{} cannot be removed: {error}", copy.display())))?;
        }
        record.read(|db| db.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);"))?;
        Ok(before.saturating_sub(self.size()))
    }

    /// Names that only the items' data give are written beside the outcomes before the data goes.
    fn keep_keys(&self, record: &mut Record, jobs: &Jobs) -> Result<()> {
        let Some(mut items) = RunItems::named(record, self.path(), jobs)? else { return Ok(()) };
        record.write("be written", |db| {
            let mut keep = db.prepare(
                "INSERT INTO outcomes (item, status, attempts, redrive, key) VALUES (?1, 1, 1, 0, ?2)
                 ON CONFLICT (item) DO UPDATE SET key = excluded.key",
            )?;
            let mut each = || -> Result<()> {
                while let Some((index, key)) = items.next_key()? {
                    keep.execute(params![index as i64, key.to_string()])
                        .map_err(|error| Error::surroundings(error.to_string()))?;
                }
                Ok(())
            };
            Ok(each())
        })?
    }

    fn size(&self) -> u64 {
        let Ok(entries) = std::fs::read_dir(self.path()) else { return 0 };
        entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|data| data.len()).sum()
    }
}
