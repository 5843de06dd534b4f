//! [`RecordedCalls`]: the [`Ledger`] of a run on this machine, kept in its record and written by its one writing thread.

use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use super::record::Record;
use super::recorder::{Notes, Told};
use crate::error::Error;
use crate::ledger::{CallRow, Ledger, Written, sqlite};

/// Tells the recorder, and reads what earlier sessions left.
pub(super) struct RecordedCalls {
    notes: Notes,
    /// Who has rows of earlier sessions, in ascending order: nearly nobody, and the others are not looked for.
    known: Vec<u64>,
    record: Mutex<Record>,
}

impl RecordedCalls {
    /// `record` is one that is only looked at.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn new(record: Record, notes: Notes) -> Result<Self, Error> {
        let known = record.read(sqlite::owners)?;
        Ok(Self { notes, known, record: Mutex::new(record) })
    }
}

impl Ledger for RecordedCalls {
    fn rows(&self, owner: u64) -> Written<'_, Vec<CallRow>> {
        let rows = match self.known.binary_search(&owner) {
            Err(_) => Ok(Vec::new()),
            // A few rows of a file that is in memory: not worth another thread.
            Ok(_) => self.record.lock().unwrap_or_else(PoisonError::into_inner).read(|db| sqlite::rows(db, owner)),
        };
        Box::pin(std::future::ready(rows))
    }

    fn start(&self, row: CallRow) -> Written<'_, ()> {
        Box::pin(async move {
            let (durable, told) = oneshot::channel();
            self.notes.send(Told::Started(row, durable)).await.map_err(|()| unwritten())?;
            // After a failed write the recorder drops what it is told.
            told.await.map_err(|_| unwritten())
        })
    }

    fn note(&self, row: CallRow) -> Written<'_, ()> {
        Box::pin(async move { self.notes.send(Told::Called(row)).await.map_err(|()| unwritten()) })
    }
}

/// Why is known to the recorder, which has stopped the session for it.
fn unwritten() -> Error {
    Error::surroundings("the record cannot be written")
}
