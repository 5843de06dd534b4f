//! [`Teller`]: tells who watches what a host's callers wait for.

use std::sync::Arc;
use std::time::Duration;

use super::gate::{Wait, without_usual_port};
use crate::event::{Event, Observer, Waiting};

/// How often one host is told of. A wait that is shorter is not told.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// Tells of one host.
#[derive(Debug)]
pub(super) struct Teller {
    host: Arc<str>,
    observer: Arc<dyn Observer>,
    /// When what is waited for began.
    began: Option<Duration>,
    /// What was told last, and when.
    last: Option<(Wait, Duration)>,
}

impl Teller {
    pub fn new(host: &str, observer: Arc<dyn Observer>) -> Self {
        Self { host: without_usual_port(host).into(), observer, began: None, last: None }
    }

    /// Sees what there is to wait for now, and how many calls wait.
    pub fn see(&mut self, wait: Option<Wait>, calls: usize, now: Duration) {
        let Some(wait) = wait else {
            let began = self.began.take();
            if let (Some((wait, _)), Some(began)) = (self.last.take(), began) {
                self.tell(&wait, now - began, calls, true, now);
            }
            return;
        };
        let began = *self.began.get_or_insert(wait.since.unwrap_or(now));
        let short = wait.until.saturating_sub(began) < EVERY && now.saturating_sub(began) < EVERY;
        let soon = self.last.as_ref().is_some_and(|(_, told)| now.saturating_sub(*told) < EVERY);
        if calls == 0 || short || soon {
            return;
        }
        self.tell(&wait, now.saturating_sub(began), calls, false, now);
        self.last = Some((wait, now));
    }

    fn tell(&self, wait: &Wait, lasted: Duration, calls: usize, over: bool, now: Duration) {
        self.observer.see(&Event::Waiting(Waiting {
            host: Arc::clone(&self.host),
            why: wait.why.clone(),
            away: wait.away,
            lasted,
            left: wait.until.saturating_sub(now),
            calls: calls as u64,
            over,
        }));
    }
}
