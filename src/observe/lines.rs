//! Sparse lines on stderr, for a log file or a CI: what is told at once, and every ten seconds how far the run is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::View;
use super::out::say;
use super::words::{batches, calls, count, describe, far, item_line, items, list, waiting};
use crate::event::{Event, Progress, Waiting};

/// How often a line says how far the run is.
const EVERY: Duration = Duration::from_secs(10);

/// Failures that are told one by one; the others are counted.
pub(super) const FAILURES_TOLD: u32 = 10;

/// Writes the lines.
#[derive(Debug)]
pub(super) struct Lines {
    last: Option<Instant>,
    latest: Option<Progress>,
    told: u32,
    /// When a host that is waited for was told of last.
    waits: BTreeMap<Arc<str>, Instant>,
}

impl Lines {
    pub fn new() -> Self {
        Self { last: None, latest: None, told: 0, waits: BTreeMap::new() }
    }

    /// The first of a host's waits and every ten seconds one more; that it is back, if it was told that it is away.
    fn wait(&mut self, wait: &Waiting, now: Instant) {
        let last = self.waits.get(&wait.host).copied();
        if wait.over {
            // A pause was told with its end.
            if wait.away && self.waits.remove(&wait.host).is_some() {
                say(waiting(wait));
            }
        } else if last.is_none_or(|last| now.duration_since(last) >= EVERY) {
            say(waiting(wait));
            self.waits.insert(Arc::clone(&wait.host), now);
        }
    }
}

impl View for Lines {
    fn show(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Listed { counts, batches: n, lanes, calls: planned } => {
                let listed = match lanes {
                    Some(_) => list(counts.total, *n, lanes.as_ref()),
                    None => format!("{}, {}", items(counts.total), batches(*n)),
                };
                say(format_args!("{listed}: {}", describe(counts)));
                if let Some(planned) = planned {
                    say(calls(planned));
                }
                self.last = Some(now);
            }
            Event::Warning(text) => say(format_args!("warning: {text}")),
            Event::Progress(progress) => {
                self.latest = Some(*progress);
                self.tick(now);
            }
            Event::Item { .. } => {
                self.told += 1;
                if self.told <= FAILURES_TOLD {
                    say(format_args!("{}", item_line(event).unwrap_or_default()));
                } else if self.told == FAILURES_TOLD + 1 {
                    say(format_args!("more items fail; they are counted and kept in the results"));
                }
            }
            Event::Waiting(wait) => self.wait(wait, now),
            _ => {}
        }
    }

    fn tick(&mut self, now: Instant) {
        if self.last.is_some_and(|last| now.duration_since(last) < EVERY) {
            return;
        }
        if let Some(progress) = self.latest.take() {
            say(format_args!(
                "{}",
                match &progress.executions {
                    // What became of each item is known at the end.
                    Some(children) => far(&progress.counts, children),
                    None => format!(
                        "{} of {}: {}",
                        count(progress.counts.ended()),
                        items(progress.counts.total),
                        describe(&progress.counts)
                    ),
                }
            ));
            self.last = Some(now);
        }
    }
}
