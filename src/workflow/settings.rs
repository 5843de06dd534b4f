//! [`Settings`]: what a workflow says, as types. Their docs, defaults and ranges are those of the file.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use super::aws::AwsSettings;
use super::params::ParamFields;
use super::tests::TestCase;
use crate::expression::Setting;
use crate::limits::CHILD_INPUT_BYTES;
use crate::outcome::Tolerance;
use crate::rate::{Outage, Rates};
use crate::reader::ItemsConfig;
use crate::redact::Redact;
use crate::retry::Retry;
use crate::secrets::SecretSource;
use crate::units::{BytesText, DurationText, PercentText, parse_bytes, parse_duration, parse_percent};

/// The settings of a run: a workflow with its params filled in.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Where the items come from.
    pub items: ItemsConfig,
    /// How items are put together.
    pub batch: BatchSettings,
    /// Batches worked on at once, 1 to 10,000. Default 100.
    pub max_concurrency: u32,
    /// How many items may fail before the run counts as failed. Default none.
    pub tolerated_failure: Tolerance,
    /// When and how often an item is tried again.
    pub retry: Retry,
    /// When to stop before all items are done.
    pub stop: StopRule,
    /// In which order, if it matters.
    pub order: Option<OrderSettings>,
    /// How fast others may be called.
    pub rate: Rates,
    /// What happens while one of them is away.
    pub outage: Outage,
    /// What is kept elsewhere, by name, and where.
    pub secrets: BTreeMap<String, SecretSource>,
    /// What of an item is not shown.
    pub redact: Redact,
    /// How long one try at an item may take; its waits between tries do not count. Default without end.
    pub item_timeout: Option<Duration>,
    /// What is for AWS only.
    pub aws: AwsSettings,
    /// What is done to each item.
    pub job: JobSettings,
}

/// The job of a workflow.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct JobSettings {
    /// Its name, that of a registered job.
    pub name: String,
    /// Its config. Only fields that may name `item` can still hold expressions.
    pub config: Value,
}

/// How items are put together into batches, one for each child execution.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct BatchSettings {
    /// The most items of a batch. Default 100.
    #[schemars(range(min = 1), with = "u32")]
    pub max_items: Option<u32>,
    /// The most bytes of a batch, counted as the input of a child execution. At most 256KiB, which is the default.
    #[serde(deserialize_with = "bytes")]
    #[schemars(with = "BytesText")]
    pub max_bytes: u64,
    /// Items of one batch worked on at once. Default 16 for jobs that wait for network or disk, the number of cores for jobs
    /// that compute.
    #[schemars(range(min = 1, max = 10_000), with = "u32")]
    pub concurrency: Option<u32>,
}

impl Default for BatchSettings {
    fn default() -> Self {
        Self { max_items: Some(100), max_bytes: CHILD_INPUT_BYTES as u64, concurrency: None }
    }
}

/// Which items must come one after another: those of one lane, in input order.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct OrderSettings {
    /// What an item's lane is, such as `{{ item.customer }}`. Items that give the same come strictly one after another, in input
    /// order; lanes run beside one another. One that gives nothing refuses the run.
    pub by: Setting<String>,
    /// What happens to the items behind one that failed: `stop_lane` blocks them until a redrive, `continue` goes on with them.
    /// Default stop_lane. An unknown always stops its lane.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Lanes that one child execution works on at once. Default 16.
    #[serde(default = "lanes_at_once")]
    #[schemars(range(min = 1, max = 10_000))]
    pub concurrency: u32,
}

/// What happens to the items behind one that failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// They are blocked until the one that failed is redriven.
    #[default]
    StopLane,
    /// They go on; `previous` is the output of the last one that succeeded.
    Continue,
}

/// When to stop a run before all items are done. It can be resumed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct StopRule {
    /// Stop once so many items have failed. Default never.
    #[schemars(range(min = 1), with = "u64")]
    pub after: Option<u64>,
    /// Stop when the first so many items to end all fail with one error. Default 20; 0 never stops.
    pub if_first: u64,
}

impl Default for StopRule {
    fn default() -> Self {
        Self { after: None, if_first: 20 }
    }
}

/// A workflow of fanfold: which items, what is done to each, and how.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "fanfold workflow")]
pub(super) struct FileFields {
    /// The version of this format: 1.
    #[schemars(range(min = 1, max = 1))]
    #[serde(rename = "fanfold")]
    _fanfold: u32,
    /// What the workflow is called: 1 to 80 letters, digits, `-` and `_`. It is part of every run's name, here and on AWS.
    #[schemars(extend("format" = "fanfold-name", "pattern" = "^[A-Za-z0-9_-]{1,80}$"))]
    #[serde(rename = "name")]
    _name: String,
    /// What it is for, in a sentence or two.
    #[serde(rename = "description")]
    _description: Option<String>,
    /// What may differ from run to run, by name. Given on the command line as `-p name=value`, named in expressions as
    /// `params.name`.
    #[serde(default, rename = "params")]
    _params: BTreeMap<String, ParamFields>,
    /// Passwords, tokens and keys, by name: they are kept elsewhere, looked up when a session begins, and neither kept nor shown.
    /// Named in expressions as `secrets.name`, in the settings that take them.
    #[serde(default)]
    secrets: BTreeMap<String, SecretSource>,
    /// Which items.
    items: ItemsConfig,
    /// How items are put together, one batch for each child execution.
    #[serde(default)]
    batch: BatchSettings,
    /// Batches worked on at once, as child executions of a Distributed Map. Default 100.
    #[serde(default = "max_concurrency")]
    #[schemars(range(min = 1, max = 10_000))]
    max_concurrency: u32,
    /// How many items may fail before the run counts as failed: a count, or a share such as `1%`. Unknown and blocked items
    /// count as well. Default 0.
    #[serde(default, deserialize_with = "tolerance")]
    #[schemars(with = "ToleranceSchema")]
    tolerated_failure: Tolerance,
    /// When and how often an item is tried again.
    #[serde(default)]
    retry: Retry,
    /// When to stop before all items are done.
    #[serde(default)]
    stop: StopRule,
    /// In which order: items with one key form a lane and come one after another. Cannot stand beside `batch`.
    order: Option<OrderSettings>,
    /// How fast others may be called, each host for itself.
    #[serde(default)]
    rate: Rates,
    /// What happens while one of them is away.
    #[serde(default)]
    outage: Outage,
    /// What of an item is neither shown nor told, such as `item.email`: it is `***` in results, and in what is said of the item.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("x-fanfold-scope" = []))]
    redact: Redact,
    /// How long one try at an item may take, such as `30s`; a job that takes whole batches has it for a try at a batch. A try that
    /// takes longer is cut off, and the item is failed: `Item.TimedOut`. Default without end.
    #[serde(default, deserialize_with = "optional_duration")]
    #[schemars(with = "DurationText")]
    item_timeout: Option<Duration>,
    /// What is for AWS only. Nothing of it changes a run on this machine.
    #[serde(default)]
    aws: AwsSettings,
    /// What is done to each item: one job by its name, and its settings.
    job: BTreeMap<String, Value>,
    /// What `fanfold test` plays: items, the answers to what is sent, and what has to come of it. Without network and secrets, in
    /// virtual time. Nothing in it is an expression.
    #[serde(default, rename = "tests")]
    #[schemars(extend("x-fanfold-scope" = []))]
    _tests: Vec<TestCase>,
}

impl FileFields {
    /// The settings; `None` if there is not exactly one job, which the schema sees to.
    pub fn settings(self) -> Option<Settings> {
        let (name, config) = self.job.into_iter().next()?;
        Some(Settings {
            items: self.items,
            batch: self.batch,
            max_concurrency: self.max_concurrency,
            tolerated_failure: self.tolerated_failure,
            retry: self.retry,
            stop: self.stop,
            order: self.order,
            rate: self.rate,
            outage: self.outage,
            secrets: self.secrets,
            redact: self.redact,
            item_timeout: self.item_timeout,
            aws: self.aws,
            job: JobSettings { name, config },
        })
    }
}

fn lanes_at_once() -> u32 {
    16
}

fn max_concurrency() -> u32 {
    100
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    parse_bytes(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

pub(super) fn optional_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    parse_duration(&String::deserialize(deserializer)?).map(Some).map_err(de::Error::custom)
}

fn tolerance<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tolerance, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => parse_percent(&text).map(Tolerance::Percent).map_err(de::Error::custom),
        other => serde_json::from_value(other).map(Tolerance::Count).map_err(de::Error::custom),
    }
}

struct ToleranceSchema;

impl JsonSchema for ToleranceSchema {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Tolerance".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "integer", "minimum": 0 }, PercentText::json_schema(generator)] })
    }
}
