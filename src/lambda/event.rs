//! [`Event`]: what a worker is invoked with, and what it answers.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::fold::Fold;
use super::refused::Refused;
use crate::bucket::HandedItem;
use crate::outcome::Counts;

/// What a worker is invoked with.
#[derive(Debug)]
pub(super) enum Event {
    /// The items of a batch are to be done.
    Batch(Box<BatchEvent>),
    /// The outcomes of all items are to be judged.
    Gate(Box<GateEvent>),
}

/// A batch of items.
#[derive(Debug, Deserialize)]
pub(super) struct BatchEvent {
    #[serde(rename = "BatchInput")]
    pub input: BatchInput,
    #[serde(rename = "Items", default)]
    pub items: Vec<HandedItem>,
    #[serde(rename = "Child", default)]
    pub child: Child,
    /// The input as it came: what is given back has all that is in it.
    #[serde(skip)]
    pub raw: Map<String, Value>,
}

/// What every batch of a run is given.
#[derive(Debug, Deserialize)]
pub(super) struct BatchInput {
    pub run: String,
    #[serde(default)]
    pub round: u32,
    pub params: Value,
    pub results: Results,
    #[serde(default)]
    pub asked: Asked,
    /// The index of the first item as the batch was first handed out, of one that is given back.
    #[serde(default)]
    pub batch: Option<u64>,
}

/// Where outcomes go.
#[derive(Debug, Deserialize)]
pub(super) struct Results {
    pub bucket: String,
    pub prefix: String,
}

/// What came before, of a batch that was asked for before.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
pub(super) struct Asked {
    /// Workers of this batch that died.
    #[serde(default)]
    pub again: u32,
    /// Since when everybody who is called has been away, in milliseconds since 1970.
    #[serde(default)]
    pub away_since: Option<i64>,
}

/// The child execution.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Child {
    #[serde(default)]
    pub name: String,
    /// When it began, as Step Functions writes it.
    #[serde(default)]
    pub started: Option<String>,
    /// Seconds after which it ends, whatever happens.
    #[serde(default)]
    pub ends_after: Option<u64>,
}

/// A run to be judged.
#[derive(Debug, Deserialize)]
pub(super) struct GateEvent {
    pub run: String,
    #[serde(default)]
    pub round: u32,
    pub params: Value,
    pub results: Results,
    /// What the map run ended with.
    #[serde(default)]
    pub map: Value,
    #[serde(default)]
    pub gate: Option<Earlier>,
}

/// What an earlier gate of the same run gave back.
#[derive(Debug, Deserialize)]
pub(super) struct Earlier {
    #[serde(default)]
    answer: Option<EarlierAnswer>,
}

#[derive(Debug, Deserialize)]
struct EarlierAnswer {
    #[serde(default)]
    rest: Option<Fold>,
}

impl GateEvent {
    /// What an earlier gate gave back.
    pub fn take_rest(&mut self) -> Option<Fold> {
        self.gate.take()?.answer?.rest
    }
}

impl Event {
    /// # Errors
    /// It is nothing that a worker knows.
    pub fn read(mut event: Value) -> Result<Self, Refused> {
        let unreadable = |error: serde_json::Error| Refused::new(format!("the event is not what a worker knows: {error}"));
        if let Some(gate) = event.get_mut("Gate").map(Value::take) {
            return Ok(Self::Gate(Box::new(serde_json::from_value(gate).map_err(unreadable)?)));
        }
        let raw = event.get("BatchInput").and_then(Value::as_object).cloned();
        let Some(raw) = raw else {
            return Err(Refused::new("the event is not what a worker knows: it has neither `BatchInput` nor `Gate`"));
        };
        let batch: BatchEvent = serde_json::from_value(event).map_err(unreadable)?;
        Ok(Self::Batch(Box::new(BatchEvent { raw, ..batch })))
    }
}

/// What is given back to be asked for again: the items that have no outcome yet.
pub(super) struct Rest {
    pub items: Vec<HandedItem>,
    /// Not before, in milliseconds since 1970.
    pub wait_until_ms: i64,
    pub asked: Asked,
}

/// The answer about a batch.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    batch: u64,
    counts: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    wait_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rest: Option<Value>,
}

impl Answer {
    /// How the batch that begins with this item stands.
    pub fn of(batch: u64, counts: Counts) -> Self {
        Self { batch, counts, wait_until: None, rest: None }
    }

    /// The same, with what is to be asked for again.
    pub fn with(self, rest: Rest, mut input: Map<String, Value>) -> Self {
        let mut asked = json!({ "again": rest.asked.again });
        if let Some(since) = rest.asked.away_since {
            asked["away_since"] = since.into();
        }
        input.insert("asked".to_string(), asked);
        input.insert("batch".to_string(), self.batch.into());
        let rest_of = json!({ "BatchInput": input, "Items": rest.items });
        Self { wait_until: Some(super::time::rfc3339(rest.wait_until_ms)), rest: Some(rest_of), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_what_came_with_what_is_known_now() {
        let event = json!({
            "BatchInput": { "run": "r", "params": { "a": 1 }, "results": { "bucket": "b", "prefix": "w/r/" }, "asked": { "again": 3 }, "own": true },
            "Items": [{ "index": 7, "value": { "id": 1.5 } }, { "index": 8, "value": null }],
            "Child": { "name": "c", "started": "2026-11-23T10:00:00.123Z" },
        });
        let Event::Batch(batch) = Event::read(event).unwrap() else { panic!("a batch") };
        assert_eq!((batch.input.asked.again, batch.input.round, batch.items.len()), (3, 0, 2));
        let items = vec![batch.items[1].clone()];
        let rest = Rest { items, wait_until_ms: 1_795_440_000_001, asked: Asked { again: 0, away_since: None } };
        let answer = serde_json::to_value(Answer::of(7, Counts::pending(1)).with(rest, batch.raw)).unwrap();
        assert_eq!(answer["wait_until"], "2026-11-23T13:20:01Z", "no sooner than was asked for");
        let expected = json!({
            "BatchInput": {
                "run": "r", "params": { "a": 1 }, "results": { "bucket": "b", "prefix": "w/r/" }, "asked": { "again": 0 }, "own": true,
                "batch": 7,
            },
            "Items": [{ "index": 8, "value": null }],
        });
        assert_eq!(answer["rest"], expected);
    }

    #[test]
    fn what_is_no_event_is_refused() {
        for other in
            [json!({}), json!([]), json!({ "BatchInput": {} }), json!({ "Gate": 1 }), json!({ "BatchInput": { "run": 1 } })]
        {
            let refused = Event::read(other).unwrap_err();
            assert_eq!(refused.name, "Worker.Refused");
            assert!(refused.cause.starts_with("the event is not what a worker knows: "), "{}", refused.cause);
        }
    }
}
