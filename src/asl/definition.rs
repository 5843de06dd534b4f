//! [`Definition`]: a state machine in the Amazon States Language as types, so that no unknown field can be written. In JSONPath; the order
//! of the fields is that of the types.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// A state machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Definition {
    pub comment: String,
    pub start_at: &'static str,
    pub states: States,
}

/// States by name, in the order in which they are gone through.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct States(pub Vec<(&'static str, State)>);

impl Serialize for States {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, state) in &self.0 {
            map.serialize_entry(name, state)?;
        }
        map.end()
    }
}

/// A state.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "Type")]
pub(super) enum State {
    Pass(Pass),
    Task(Box<Task>),
    Choice(Choice),
    Wait(Wait),
    Succeed(Succeed),
    Fail(Fail),
    Map(Box<Map>),
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Pass {
    pub comment: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_path: Option<&'static str>,
    pub next: &'static str,
}

/// Invokes the worker.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Task {
    pub comment: &'static str,
    pub resource: &'static str,
    pub parameters: Invocation,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_selector: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_path: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_path: Option<&'static str>,
    pub retry: Vec<Retrier>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub catch: Vec<Catcher>,
    pub next: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Invocation {
    pub function_name: &'static str,
    pub payload: Value,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Retrier {
    pub error_equals: &'static [&'static str],
    pub interval_seconds: u32,
    pub max_attempts: u32,
    pub backoff_rate: u32,
    pub jitter_strategy: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Catcher {
    pub error_equals: &'static [&'static str],
    /// `None` is null: what went wrong is not added to what the state was given.
    pub result_path: Option<&'static str>,
    pub next: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Choice {
    pub comment: &'static str,
    pub choices: Vec<ChoiceRule>,
    pub default: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChoiceRule {
    pub variable: &'static str,
    #[serde(flatten)]
    pub test: Test,
    pub next: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) enum Test {
    IsPresent(bool),
    StringEquals(&'static str),
    NumericGreaterThanEquals(u32),
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Wait {
    pub comment: &'static str,
    pub timestamp_path: &'static str,
    pub output_path: &'static str,
    pub next: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Succeed {}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Fail {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_path: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause_path: Option<&'static str>,
}

/// A Distributed Map.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Map {
    pub comment: String,
    pub label: &'static str,
    pub item_reader: ItemReader,
    pub item_selector: Value,
    pub item_batcher: ItemBatcher,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrency_path: Option<String>,
    pub tolerated_failure_percentage: u32,
    pub item_processor: ItemProcessor,
    pub result_writer: ResultWriter,
    pub result_path: &'static str,
    pub next: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ItemReader {
    pub resource: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reader_config: Option<ReaderConfig>,
    pub parameters: ObjectName,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReaderConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest_type: Option<&'static str>,
    #[serde(rename = "CSVHeaderLocation", skip_serializing_if = "Option::is_none")]
    pub csv_header_location: Option<&'static str>,
    #[serde(rename = "CSVHeaders", skip_serializing_if = "Vec::is_empty")]
    pub csv_headers: Vec<String>,
    #[serde(rename = "CSVDelimiter", skip_serializing_if = "Option::is_none")]
    pub csv_delimiter: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items_pointer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_items: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_items_path: Option<String>,
}

/// A bucket, and a prefix or a key in it; each as it is, or by the path in the execution's input where it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ObjectName {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    #[serde(rename = "Bucket.$", skip_serializing_if = "Option::is_none")]
    pub bucket_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    #[serde(rename = "Prefix.$", skip_serializing_if = "Option::is_none")]
    pub prefix_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(rename = "Key.$", skip_serializing_if = "Option::is_none")]
    pub key_path: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ItemBatcher {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_items_per_batch: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_items_per_batch_path: Option<String>,
    pub max_input_bytes_per_batch: u64,
    pub batch_input: Value,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ItemProcessor {
    pub processor_config: ProcessorConfig,
    pub start_at: &'static str,
    pub states: States,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ProcessorConfig {
    pub mode: &'static str,
    pub execution_type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ResultWriter {
    pub resource: &'static str,
    pub parameters: ObjectName,
}
