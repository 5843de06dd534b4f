//! Seeing a run: a bar on a terminal, sparse lines elsewhere, or JSON lines for programs.
//!
//! Beside the run, never in it: what is shown goes through a queue to a thread of its own, and a slow terminal loses frames, not
//! the run's time.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this room and no other speaks to people and programs")]

mod bar;
mod json;
mod lines;
#[cfg(feature = "lambda")]
mod log;
mod out;
mod words;

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub(crate) use json::JsonLines;
#[cfg(feature = "aws")]
pub(crate) use json::ended;
#[cfg(feature = "lambda")]
pub(crate) use log::{Level, Log};
pub(crate) use out::{data, say, shown, trouble};
#[cfg(feature = "aws")]
pub(crate) use words::far;
pub(crate) use words::{batches, calls, count, duration, items, list, rate_words, summary};

use crate::event::{Event, Observer};

/// Events that wait to be shown; of more than these, progress and single items are left out.
const WAITING: usize = 4096;

/// Where what is seen goes.
pub(crate) trait View: Send {
    /// Shows one event. `now` is when it is shown.
    fn show(&mut self, event: &Event, now: Instant);

    /// Called a few times a second when nothing happens.
    fn tick(&mut self, _now: Instant) {}
}

/// Shows a run while it goes on.
#[derive(Debug)]
pub(crate) struct Watcher {
    queue: Arc<Queue>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
struct Queue(Mutex<Option<SyncSender<Seen>>>);

/// An event, and who waits until it is shown.
type Seen = (Event, Option<SyncSender<()>>);

impl Watcher {
    /// A bar if stderr is a terminal, else sparse lines.
    pub fn for_people() -> Self {
        if console::user_attended_stderr() {
            Self::start(Box::new(bar::Bar::new()))
        } else {
            Self::start(Box::new(lines::Lines::new()))
        }
    }

    /// One JSON object a line on stdout.
    pub fn for_programs() -> Self {
        Self::start(Box::new(JsonLines::new()))
    }

    fn start(view: Box<dyn View>) -> Self {
        let (sender, receiver) = sync_channel(WAITING);
        let thread = std::thread::spawn(move || show_all(view, &receiver));
        Self { queue: Arc::new(Queue(Mutex::new(Some(sender)))), thread }
    }

    /// The observer to give to a run.
    pub fn observer(&self) -> Arc<dyn Observer> {
        Arc::clone(&self.queue) as Arc<dyn Observer>
    }

    /// Waits until everything is shown. What is seen later is shown nowhere.
    pub fn finish(self) {
        drop(self.queue.0.lock().unwrap_or_else(PoisonError::into_inner).take());
        // A view that panicked has nothing more to show; the run is not concerned.
        let _ = self.thread.join();
    }
}

impl Observer for Queue {
    fn see(&self, event: &Event) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(sender) = sender else { return };
        match event {
            // Told by those who record and who give permits, which must not wait for a terminal.
            Event::Progress(_) | Event::Item { .. } | Event::Waiting(_) => drop(sender.try_send((event.clone(), None))),
            // Shown before the run goes on: the id stands there before anything is done.
            _ => {
                let (shown, wait) = sync_channel(1);
                if sender.send((event.clone(), Some(shown))).is_ok() {
                    let _ = wait.recv();
                }
            }
        }
    }
}

fn show_all(mut view: Box<dyn View>, receiver: &Receiver<Seen>) {
    loop {
        match receiver.recv_timeout(Duration::from_millis(250)) {
            Ok((event, shown)) => {
                view.show(&event, Instant::now());
                drop(shown);
            }
            Err(RecvTimeoutError::Timeout) => view.tick(Instant::now()),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
