//! [`RecordedCalls`]: the [`Ledger`] of a run on this machine, kept in its record and written by its one writing thread.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::record::Record;
use super::recorder::{Notes, Told};
use crate::error::Error;
use crate::ledger::{CallRow, Ledger, Written, sqlite};

/// Tells the recorder, and reads what earlier sessions left.
pub(super) struct RecordedCalls {
    notes: Notes,
    /// Who has rows of earlier sessions, and which lanes have rows of this one: nearly nobody, and the others are not looked for. An item
    /// is handed out once in a session, but a lane may be several times: those behind a suspect go on apart from those before it.
    known: Mutex<BTreeSet<u64>>,
    record: Mutex<Record>,
}

impl RecordedCalls {
    /// `record` is one that is only looked at.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn new(record: Record, notes: Notes) -> Result<Self, Error> {
        let known = Mutex::new(record.read(sqlite::owners)?.into_iter().collect());
        Ok(Self { notes, known, record: Mutex::new(record) })
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        // Nothing panics while it holds the lock; were it so, the set would still be whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A lane's row stays as long as the run.
    fn remember(&self, row: &CallRow) {
        if row.lane {
            self.known().insert(row.owner);
        }
    }
}

impl Ledger for RecordedCalls {
    fn rows(&self, owner: u64) -> Written<'_, Vec<CallRow>> {
        let is_known = self.known().contains(&owner);
        let rows = match is_known {
            false => Ok(Vec::new()),
            // A few rows of a file that is in memory: not worth another thread.
            true => self.record.lock().unwrap_or_else(PoisonError::into_inner).read(|db| sqlite::rows(db, owner)),
        };
        Box::pin(std::future::ready(rows))
    }

    fn start(&self, row: CallRow) -> Written<'_, ()> {
        self.remember(&row);
        Box::pin(async move {
            let (durable, told) = oneshot::channel();
            self.notes.send(Told::Started(row, durable)).await.map_err(|()| unwritten())?;
            // After a failed write the recorder drops what it is told.
            told.await.map_err(|_| unwritten())
        })
    }

    fn note(&self, row: CallRow) -> Written<'_, ()> {
        self.remember(&row);
        Box::pin(async move { self.notes.send(Told::Called(row)).await.map_err(|()| unwritten()) })
    }
}

/// Why is known to the recorder, which has stopped the session for it.
fn unwritten() -> Error {
    Error::surroundings("the record cannot be written")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::event::Unobserved;
    use crate::ledger::CallState;
    use crate::local::recorder::{Recorder, Stopping};
    use crate::local::stop::StopRule;

    #[tokio::test]
    async fn a_lane_that_is_handed_out_again_in_one_session_finds_what_it_has_done() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.db");
        let record = Record::create(&path).unwrap();
        let stopping =
            Stopping { rule: StopRule::new(None, 0), token: CancellationToken::new(), why: Arc::new(Mutex::new(None)) };
        let (recorder, notes) = Recorder::start(record, 1, stopping, Arc::new(Unobserved)).unwrap();
        let calls = RecordedCalls::new(Record::look(&path).unwrap(), notes).unwrap();
        assert_eq!(calls.rows(3).await.unwrap(), []);
        let row = CallRow {
            owner: 3,
            step: "fee".into(),
            call: 0,
            item: 4,
            lane: true,
            state: CallState::Started,
            generation: 0,
            redrive: 0,
            key: "k".into(),
            starts: 1,
            unheard: 1,
            first_ms: 1,
            last_ms: 1,
            sent: "POST /fee".into(),
            answer: None,
        };
        calls.start(row.clone()).await.unwrap();
        assert_eq!(calls.rows(3).await.unwrap(), std::slice::from_ref(&row));
        calls.start(CallRow { owner: 5, lane: false, ..row }).await.unwrap();
        assert!(!calls.known().contains(&5), "an item is handed out once, and need not be remembered");
        drop(calls);
        recorder.finish().await.unwrap();
    }
}
