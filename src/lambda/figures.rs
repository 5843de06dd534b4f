//! [`Figures`]: what one invocation came to, as metrics of CloudWatch in one line of its log (embedded metric format).

use std::time::Duration;

use serde_json::{Value, json};

use crate::outcome::{Counts, ItemStatus};

/// CloudWatch takes so many values of a metric in one line.
const VALUES: usize = 100;

/// What one invocation came to.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Items that ended in it.
    pub ended: Counts,
    pub attempts: u64,
    /// How long each item took, of those that were worked.
    took: Vec<Duration>,
}

/// What the figures are about.
pub(super) struct About<'a> {
    pub workflow: &'a str,
    pub run: &'a str,
    pub batch: String,
    pub request: &'a str,
}

impl Figures {
    /// An item ended.
    pub fn ended(&mut self, status: ItemStatus, attempts: u32, took: Option<Duration>) {
        self.ended.total += 1;
        self.ended.pending += 1;
        self.ended.shift(ItemStatus::Pending, status, 1);
        self.attempts += u64::from(attempts);
        self.took.extend(took);
    }

    /// The line. Of more items than CloudWatch takes values of, the shortest, the longest and those evenly between them stand for all.
    pub fn line(mut self, about: &About<'_>, batch: Duration, throttled: Duration, now_ms: i64) -> Value {
        self.took.sort_unstable();
        let count = self.took.len();
        let last = count.saturating_sub(1);
        let took: Vec<f64> = match count {
            0..=VALUES => self.took.iter().map(|took| millis(*took)).collect(),
            _ => (0..VALUES).map(|n| millis(self.took[n * last / (VALUES - 1)])).collect(),
        };
        let metrics = [
            ("ItemsSucceeded", "Count"),
            ("ItemsSkipped", "Count"),
            ("ItemsFailed", "Count"),
            ("ItemsUnknown", "Count"),
            ("Attempts", "Count"),
            ("ItemDuration", "Milliseconds"),
            ("BatchDuration", "Milliseconds"),
            ("ThrottledTime", "Milliseconds"),
        ];
        let metrics: Vec<Value> = metrics
            .iter()
            .filter(|(name, _)| *name != "ItemDuration" || !took.is_empty())
            .map(|(name, unit)| json!({ "Name": name, "Unit": unit }))
            .collect();
        let mut line = json!({
            "_aws": {
                "Timestamp": now_ms,
                "CloudWatchMetrics": [{ "Namespace": "fanfold", "Dimensions": [["workflow"]], "Metrics": metrics }],
            },
            "workflow": about.workflow, "run": about.run, "batch": about.batch, "requestId": about.request,
            "ItemsSucceeded": self.ended.succeeded, "ItemsSkipped": self.ended.skipped, "ItemsFailed": self.ended.failed,
            "ItemsUnknown": self.ended.unknown, "Attempts": self.attempts,
            "BatchDuration": millis(batch), "ThrottledTime": millis(throttled),
        });
        if !took.is_empty() {
            line["ItemDuration"] = took.into();
        }
        line
    }
}

/// What a run came to, as the gate tells it: the alarm of the workflow's stack rings for items that are not done.
pub(super) fn of_run(workflow: &str, run: &str, items: &Counts, now_ms: i64) -> Value {
    let metrics = ["ItemsNotDone", "ItemsPending"].map(|name| json!({ "Name": name, "Unit": "Count" }));
    json!({
        "_aws": {
            "Timestamp": now_ms,
            "CloudWatchMetrics": [{ "Namespace": "fanfold", "Dimensions": [["workflow"]], "Metrics": metrics }],
        },
        "workflow": workflow, "run": run,
        "ItemsNotDone": items.failed + items.unknown + items.blocked,
        "ItemsPending": items.pending,
    })
}

/// Milliseconds with a tenth.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_tells_what_is_not_done() {
        let items = Counts { total: 11, succeeded: 4, failed: 1, unknown: 2, blocked: 3, pending: 1, ..Counts::default() };
        let line = of_run("w", "r", &items, 7);
        assert_eq!((&line["ItemsNotDone"], &line["ItemsPending"], &line["workflow"]), (&json!(6), &json!(1), &json!("w")));
        assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([["workflow"]]));
    }

    #[test]
    fn a_line_has_every_metric_that_it_declares_and_no_more_values_than_are_taken() {
        for items in [0_u64, 1, 100, 101, 1700] {
            let mut figures = Figures::default();
            for n in 0..items {
                let status = if n == 0 { ItemStatus::Failed } else { ItemStatus::Succeeded };
                figures.ended(status, 2, Some(Duration::from_micros(1234 + n * 1000)));
            }
            let about = About { workflow: "w", run: "r", batch: "0/0".into(), request: "id" };
            let line = figures.line(&about, Duration::from_millis(1500), Duration::ZERO, 7);
            for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap() {
                let value = &line[metric["Name"].as_str().unwrap()];
                assert!(
                    value.is_number() || value.as_array().is_some_and(|values| (1..=100).contains(&values.len())),
                    "{metric}"
                );
            }
            assert_eq!((&line["Attempts"], &line["BatchDuration"]), (&json!(items * 2), &json!(1500.0)));
            assert_eq!(line["ItemsFailed"], json!(items.min(1)));
            if items == 1700 {
                let took = line["ItemDuration"].as_array().unwrap();
                assert_eq!((took.len(), &took[0], &took[99]), (100, &json!(1.2), &json!(1700.2)));
            }
        }
    }
}
