//! Prune: the data of a run's items goes, their keys and outcomes stay.

use super::record::Record;
use super::state::RunFolder;
use crate::error::{Error, Result};

impl RunFolder {
    /// Removes what the items' outputs were and the copy of the list, and gives the disk back. Keys and outcomes stay, and so does
    /// the report. Gives the bytes freed.
    ///
    /// # Errors
    /// The run is being worked on or has pending items, or the folder cannot be written.
    pub fn prune(&self) -> Result<u64> {
        let _lock = self.lock()?;
        let mut record = Record::open(&self.record_path())?;
        let pending = record.counts()?.pending;
        if pending > 0 || record.fact::<serde_json::Value>("input")?.is_none() {
            return Err(Error::refused(format!("run {} is not at its end: {pending} items are pending", self.id()))
                .hint(format!("fanfold resume {}", self.id())));
        }
        let before = self.size();
        record.write("be written", |db| {
            // The key of a plain object item is only in the list that goes.
            db.execute("UPDATE outcomes SET output = NULL", [])?;
            db.execute("INSERT OR REPLACE INTO facts VALUES ('pruned', 'true')", [])?;
            Ok(())
        })?;
        record.read(|db| db.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);"))?;
        Ok(before.saturating_sub(self.size()))
    }

    fn size(&self) -> u64 {
        let Ok(entries) = std::fs::read_dir(self.path()) else { return 0 };
        entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|data| data.len()).sum()
    }
}
