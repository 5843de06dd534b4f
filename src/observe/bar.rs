//! A bar on a terminal: done, failed, rate and the time that is left.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::View;
use super::lines::FAILURES_TOLD;
use super::words::{calls, count, duration, far, item_line, items, list, waiting};
use crate::event::{Event, Executions, Waiting};
use crate::outcome::Counts;

/// Over how long the rate is measured.
const RATE_OVER: Duration = Duration::from_secs(5);

/// Draws the bar.
pub(super) struct Bar {
    bar: ProgressBar,
    samples: std::collections::VecDeque<(Instant, u64)>,
    told: u32,
    waits: BTreeMap<Arc<str>, Waiting>,
    counted: String,
    children: Option<Executions>,
}

impl Bar {
    pub fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        bar.set_style(style("{spinner} {msg}"));
        let samples = std::collections::VecDeque::new();
        Self { bar, samples, told: 0, waits: BTreeMap::new(), counted: String::new(), children: None }
    }

    fn update(&mut self, counts: &Counts, now: Instant) {
        let ended = counts.ended();
        self.bar.set_position(ended);
        self.samples.push_back((now, ended));
        while self.samples.len() > 2 && self.samples.front().is_some_and(|(at, _)| now.duration_since(*at) > RATE_OVER) {
            self.samples.pop_front();
        }
        self.counted = self.message(counts, now);
        self.tell();
    }

    /// How far it is, and below that which hosts are waited for.
    fn tell(&self) {
        let waits: String = self.waits.values().map(|wait| format!("\n{}", waiting(wait))).collect();
        self.bar.set_message(format!("{}{waits}", self.counted));
    }

    fn wait(&mut self, wait: &Waiting) {
        if wait.over {
            self.waits.remove(&wait.host);
            if wait.away {
                self.bar.println(waiting(wait));
            }
        } else {
            self.waits.insert(Arc::clone(&wait.host), wait.clone());
        }
        self.tell();
    }

    fn message(&self, counts: &Counts, now: Instant) -> String {
        let mut message = match &self.children {
            Some(children) => far(counts, children),
            None => format!("{} of {}", count(counts.ended()), items(counts.total)),
        };
        let not_done = counts.not_done();
        if not_done > 0 {
            message.push_str(&format!(", {} failed", count(not_done)));
        }
        if let Some((at, ended)) = self.samples.front() {
            let seconds = now.duration_since(*at).as_secs_f64();
            let rate = (counts.ended() - ended) as f64 / seconds;
            if seconds > 0.2 && rate > 0.0 {
                let left = Duration::from_secs_f64((counts.pending as f64 / rate).min(1e7));
                message.push_str(&format!(", {}/s, {} left", count(rate.round() as u64), duration(left)));
            }
        }
        message
    }
}

impl View for Bar {
    fn show(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Started { .. } => self.bar.set_message("reading the list"),
            Event::Listed { counts, batches, lanes, calls: planned } => {
                if lanes.is_some() {
                    self.bar.println(list(counts.total, *batches, lanes.as_ref()));
                }
                if let Some(planned) = planned {
                    self.bar.println(calls(planned));
                }
                self.bar.set_style(style("{bar:30.cyan/dim} {percent:>3} %  {msg}"));
                self.bar.set_length(counts.total);
                self.update(counts, now);
            }
            Event::Warning(text) => self.bar.println(format!("warning: {text}")),
            Event::Progress(progress) => {
                self.children = progress.executions;
                // On AWS more items may be found while it goes on.
                self.bar.set_length(progress.counts.total);
                self.update(&progress.counts, now);
            }
            Event::Item { .. } => {
                self.told += 1;
                if self.told <= FAILURES_TOLD {
                    self.bar.println(item_line(event).unwrap_or_default());
                } else if self.told == FAILURES_TOLD + 1 {
                    self.bar.println("more items fail; they are counted and kept in the results");
                }
            }
            Event::Waiting(wait) => self.wait(wait),
            Event::Finished(_) => self.bar.finish_and_clear(),
        }
    }

    fn tick(&mut self, _: Instant) {
        self.bar.tick();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are ours; one that was wrong would show the default bar.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━╌")
}
