//! One JSON object a line on stdout, for programs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::View;
use crate::event::Event;
use crate::outcome::{Counts, Outcome};

/// How often a line says how far the run is.
const EVERY: Duration = Duration::from_secs(1);

/// Writes the lines.
#[derive(Debug)]
pub(crate) struct JsonLines {
    last: Option<Instant>,
}

impl JsonLines {
    pub fn new() -> Self {
        Self { last: None }
    }

    /// Writes an event.
    pub fn event(event: &Event) {
        Self::line(&object(event));
    }

    /// Writes one object on a line of its own. A reader that has gone away is not the run's trouble.
    pub fn line(value: &Value) {
        super::out::data(value);
    }
}

impl View for JsonLines {
    fn show(&mut self, event: &Event, now: Instant) {
        if let Event::Progress(_) = event {
            if self.last.is_some_and(|last| now.duration_since(last) < EVERY) {
                return;
            }
            self.last = Some(now);
        }
        Self::event(event);
    }
}

/// How far a run on AWS is: what became of the items whose child has ended is not known yet.
pub(crate) fn ended(counts: &Counts) -> Value {
    json!({ "total": counts.total, "ended": counts.ended(), "pending": counts.pending })
}

fn object(event: &Event) -> Value {
    match event {
        Event::Started { run, workflow, resumed } => {
            json!({ "event": "started", "run": run, "workflow": workflow, "resumed": resumed })
        }
        Event::Listed { counts, batches, lanes, calls } => {
            let mut object = json!({ "event": "listed", "items": counts, "batches": batches });
            if let Some(lanes) = lanes {
                object["lanes"] = json!(lanes);
            }
            if let Some(calls) = calls {
                object["calls"] = json!(calls);
            }
            object
        }
        Event::Warning(text) => json!({ "event": "warning", "message": text }),
        Event::Progress(progress) => {
            let mut object = json!({ "event": "progress", "items": progress.counts, "attempts": progress.attempts });
            if let Some(executions) = progress.executions {
                object["executions"] = json!(executions);
                object["items"] = ended(&progress.counts);
            }
            object
        }
        Event::Item { key, outcome, attempts } => {
            let failure = match outcome {
                Outcome::Failed(failure) | Outcome::Unknown(failure) => Some(failure),
                _ => None,
            };
            json!({
                "event": "item", "key": key.to_string(), "status": outcome.status(), "attempts": attempts,
                "error": failure.map(|f| &f.error), "cause": failure.map(|f| &f.cause),
            })
        }
        Event::Waiting(waiting) => json!({
            "event": "waiting", "host": &*waiting.host, "why": waiting.why, "away": waiting.away,
            "lasted_ms": waiting.lasted.as_millis() as u64, "left_ms": waiting.left.as_millis() as u64, "calls": waiting.calls,
            "over": waiting.over,
        }),
        Event::Finished(report) => {
            let mut object = json!({ "event": "finished" });
            if let (Some(object), Ok(Value::Object(report))) = (object.as_object_mut(), serde_json::to_value(report)) {
                object.extend(report);
            }
            object
        }
    }
}
