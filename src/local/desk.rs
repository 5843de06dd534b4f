//! The [`Desk`] of a run on this machine: marks in a file, outcomes to the recorder.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::marks::Marks;
use super::recorder::{Note, Notes, Told};
use super::stop::Why;
use crate::batch::Batch;
use crate::error::Error;
use crate::item::Item;
use crate::job::{JobError, Repeat};
use crate::outcome::Outcome;
use crate::worker::{Begun, Desk, Discreet, Ended, RowDesk};

/// Tells the record of one run.
#[derive(Debug)]
pub(super) struct LocalDesk {
    pub marks: Arc<Marks>,
    /// Whether items are marked one by one. Until the first crash of a run a mark for a whole batch is enough and costs next to
    /// nothing; from then on it has to be known which item it was.
    pub one_by_one: bool,
    pub notes: Notes,
    pub stop: CancellationToken,
    pub why: Arc<Mutex<Option<Why>>>,
    pub discreet: Discreet,
}

impl LocalDesk {
    /// Stops the session; the first reason is the one that is told.
    pub fn stop_for(&self, why: Why) {
        self.why.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(why);
        self.stop.cancel();
    }

    fn trouble(&self, error: Error) {
        self.stop_for(Why::Trouble(error));
    }

    /// An item ended without a worker; waits while the record is behind. `false`: nobody records any more.
    pub fn ended_unworked(&self, item: &Item, outcome: Outcome) -> bool {
        let ended = self.discreet.ended(item, Ended { outcome, attempts: 0, stops_lane: false });
        let note = Note { item: item.index, key: item.key.clone(), outcome: ended.outcome, attempts: 0, durable: None };
        self.notes.blocking_send(note).is_ok()
    }

    async fn mark(&self, item: &Item, repeat: Repeat) -> std::io::Result<usize> {
        let place = self.marks.set(item.index, item.index)?;
        if repeat == Repeat::Unsafe {
            let marks = Arc::clone(&self.marks);
            tokio::task::spawn_blocking(move || marks.sync()).await.map_err(std::io::Error::other)??;
        }
        Ok(place)
    }
}

impl LocalDesk {
    fn unmarked(&self, error: &std::io::Error) {
        self.trouble(Error::surroundings(format!("the run's folder cannot be written: {error}")));
    }
}

impl Desk for LocalDesk {
    fn beginning(&self, batch: &Batch, repeat: Repeat) -> Begun {
        let (Some(first), Some(last)) = (batch.items.first(), batch.items.last()) else { return Begun::Each };
        if matches!(repeat, Repeat::Steps | Repeat::Recorded) {
            return Begun::Unmarked;
        }
        let has_gaps = last.index - first.index + 1 != batch.items.len() as u64;
        if self.one_by_one || has_gaps || repeat == Repeat::Unsafe {
            return Begun::Each;
        }
        match self.marks.set(first.index, last.index) {
            Ok(place) => Begun::Together(place),
            Err(error) => {
                self.unmarked(&error);
                Begun::Stopped
            }
        }
    }

    fn starting<'a>(&'a self, item: &'a Item, repeat: Repeat) -> Pin<Box<dyn Future<Output = Option<usize>> + Send + 'a>> {
        Box::pin(async move {
            match self.mark(item, repeat).await {
                Ok(place) => Some(place),
                Err(error) => {
                    self.unmarked(&error);
                    None
                }
            }
        })
    }

    fn ended_now(&self, item: &Item, ended: Ended, repeat: Repeat) -> Result<bool, Ended> {
        if repeat == Repeat::Unsafe {
            return Err(ended);
        }
        match self.notes.try_reserve() {
            Some(room) => {
                let Ended { outcome, attempts, .. } = self.discreet.ended(item, ended);
                room.send(Told::Ended(Note { item: item.index, key: item.key.clone(), outcome, attempts, durable: None }));
                Ok(true)
            }
            None => Err(ended),
        }
    }

    fn ended<'a>(&'a self, item: &'a Item, ended: Ended, repeat: Repeat) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(async move {
            let (durable, told) = match repeat {
                Repeat::Unsafe => {
                    let (sender, receiver) = oneshot::channel();
                    (Some(sender), Some(receiver))
                }
                Repeat::Safe | Repeat::Keyed | Repeat::Steps | Repeat::Recorded => (None, None),
            };
            let Ended { outcome, attempts, .. } = self.discreet.ended(item, ended);
            let note = Note { item: item.index, key: item.key.clone(), outcome, attempts, durable };
            // The recorder lives as long as anyone can tell it something; after a failed write it drops what it is told.
            let sent = self.notes.send(Told::Ended(note)).await.is_ok();
            match told {
                Some(told) => told.await.is_ok(),
                None => sent,
            }
        })
    }

    fn left(&self, mark: usize) {
        self.marks.free(mark);
    }

    fn surroundings(&self, item: &Item, error: JobError) {
        let cause = self.discreet.text(item, error.cause().to_string());
        let shown = Error::surroundings(format!("item `{}`: {cause}", item.key));
        self.trouble(shown.hint("what is done stays; put it right, then resume"));
    }

    fn gave_up(&self, why: String) {
        self.stop_for(Why::Away(why));
    }
}

impl RowDesk for LocalDesk {
    fn succeeded<'a>(&'a self, first: u64, last: u64) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            // The recorder lives as long as anyone can tell it something; after a failed write it drops what it is told.
            let _ = self.notes.send(Told::Succeeded(first, last)).await;
        })
    }
}
