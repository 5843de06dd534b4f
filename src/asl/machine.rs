//! [`Machine`]: a workflow as AWS runs it.

use std::path::Path;

use serde_json::{Map as Object, Value, json};

use super::child::{OF_MAP, OF_REDRIVEN, child};
use super::children::Children;
use super::definition::{Definition, ItemBatcher, ItemProcessor, Map, ObjectName, ProcessorConfig, ResultWriter, State, States};
use super::frame::{Batch, REDRIVE_BATCH, begin, end};
use super::given::{Given, only_param};
use super::item_reader::{item_reader, items_of_a_redrive, source_param};
use super::policy;
use super::refusals::refusals;
use crate::error::{Error, Result};
use crate::limits::CHILD_INPUT_BYTES;
use crate::reader::ItemsSource;
use crate::storage::split_url;
use crate::workflow::{Settings, Workflow};

/// What is filled in when the machine is put on AWS: the function's version or alias, and the bucket of the outcomes.
pub(super) const WORKER: &str = "${WorkerArn}";
pub(super) const RESULTS: &str = "${ResultsBucket}";

/// What of the 256 KiB of a child's input is left free: the worker is told which child asks, and how often it was asked.
const RESERVED_BYTES: u64 = 2048;

/// More items than this are never in 254 KiB.
const MOST_BY_BYTES: u32 = 20_000;

/// The maps: one over the source, one over the items of a redrive. The name of the state is also the label of its map run, a part of the
/// names of the child executions.
pub(super) const MAP: &str = "Map";
pub(super) const REDRIVEN: &str = "Redriven";

/// A workflow as AWS runs it: the definition of its state machine, the policies of its roles, the input of its executions.
///
/// Texts such as `${WorkerArn}` are filled in later, by CloudFormation or by [`fill`].
///
/// ```
/// # #[cfg(feature = "image")] {
/// use fanfold::asl::{Machine, check};
/// use fanfold::{Jobs, Workflow};
/// let text = "fanfold: 1\nname: thumbs\nitems: { objects: { source: s3://photos/ } }\n\
///             job: { image_resize: { width: 128, destination: s3://thumbs/ } }\n";
/// let workflow = Workflow::parse(text, "thumbs.yaml", "/srv".as_ref(), &Jobs::builtin())?;
/// let machine = Machine::of(&workflow, &[], "/srv".as_ref())?;
/// assert!(check(&machine.definition().to_string(), "thumbs.json").is_empty());
/// # }
/// # Ok::<(), fanfold::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Machine {
    name: String,
    definition: Definition,
    children: Children,
    input: Value,
    open: Vec<String>,
    examples: Vec<String>,
    machine_policy: Value,
    worker_policy: Value,
    settings: Settings,
}

impl Machine {
    /// The machine of a workflow. What is `given` (`-p`) and the defaults are known to it; an execution may give others. A path of this
    /// machine that is a default is of no use on AWS: each execution gives it.
    ///
    /// # Errors
    /// Everything that AWS cannot do, or the fleet of workers cannot do yet, each with its place and the reason.
    pub fn of(workflow: &Workflow, given: &[(String, String)], cwd: &Path) -> Result<Self> {
        let given = Given::of(workflow, given, cwd)?;
        let (mut wrong, fleet) = refusals(workflow, &given);
        let children = Children::of(workflow, &given, &fleet);
        if let Err(error) = &children {
            wrong.push(error.clone());
        }
        if let Some(error) = Error::all(wrong) {
            return Err(error);
        }
        let children = children?;
        let known = split_source(workflow, &given, given.known());
        let definition = definition(workflow, &given, &children, known.clone());
        let roles = policy::Roles { workflow, given: &given, fleet: &fleet };
        Ok(Self {
            name: workflow.name.clone(),
            machine_policy: roles.machine(),
            worker_policy: roles.worker(),
            input: json!({ "params": known }),
            open: given.open,
            examples: given.examples,
            definition,
            children,
            settings: given.bound.settings,
        })
    }

    /// The name of the state machine: that of the workflow.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its definition in the Amazon States Language, in the order in which it is read.
    pub fn definition(&self) -> Value {
        // Types without maps of their own cannot fail to be written.
        serde_json::to_value(&self.definition).unwrap_or_default()
    }

    /// The policy of the role that the state machine takes: what it may, and no more.
    pub fn machine_policy(&self) -> &Value {
        &self.machine_policy
    }

    /// The policy of the role that the workers take.
    pub fn worker_policy(&self) -> &Value {
        &self.worker_policy
    }

    /// The input of an execution with the params that are known. What is left out of it, the machine adds by itself.
    pub fn input(&self) -> &Value {
        &self.input
    }

    /// The params that each execution has to give.
    pub fn open_params(&self) -> &[String] {
        &self.open
    }

    /// How each of these could be given: `source=s3://bucket/…`.
    pub fn open_examples(&self) -> &[String] {
        &self.examples
    }

    /// What the workflow says, with the params that are known.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What the children are, `EXPRESS` or `STANDARD`, and why.
    pub fn children(&self) -> (&'static str, &str) {
        (self.children.word(), &self.children.why)
    }
}

/// Puts values in place of `${Name}` in all texts of `value`.
pub fn fill(value: &mut Value, names: &[(String, String)]) {
    match value {
        Value::String(text) => {
            for (name, with) in names {
                *text = text.replace(&format!("${{{name}}}"), with);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| fill(value, names)),
        Value::Object(values) => values.values_mut().for_each(|value| fill(value, names)),
        _ => {}
    }
}

/// The names of what is still to be filled in, each once.
pub fn to_fill(value: &Value) -> Vec<String> {
    fn gather(value: &Value, names: &mut Vec<String>) {
        match value {
            Value::String(text) => {
                for part in text.split("${").skip(1) {
                    let name = part.split('}').next().unwrap_or_default().to_string();
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| gather(value, names)),
            Value::Object(values) => values.values().for_each(|value| gather(value, names)),
            _ => {}
        }
    }
    let mut names = Vec::new();
    gather(value, &mut names);
    names
}

/// The param that the items' source is, split into bucket and prefix or key: Step Functions cannot take a URL apart.
fn split_source(workflow: &Workflow, given: &Given, mut known: Object<String, Value>) -> Object<String, Value> {
    let lists = matches!(given.bound.settings.items.source, ItemsSource::Objects(_));
    if let Some(value) = source_param(workflow, given).and_then(|name| known.get_mut(name))
        && let Some(Ok(Some((bucket, key)))) = value.as_str().map(split_url)
    {
        let folder = if key.is_empty() || key.ends_with('/') { key.to_string() } else { format!("{key}/") };
        let split = if lists { json!({ "bucket": bucket, "prefix": folder }) } else { json!({ "bucket": bucket, "key": key }) };
        *value = split;
    }
    known
}

fn definition(workflow: &Workflow, given: &Given, children: &Children, known: Object<String, Value>) -> Definition {
    let comment = match &workflow.description {
        Some(description) => format!("{}: {description} Made by fanfold {}.", workflow.name, env!("CARGO_PKG_VERSION")),
        None => format!("{}. Made by fanfold {}.", workflow.name, env!("CARGO_PKG_VERSION")),
    };
    let map = map(workflow, given, children);
    let batch = match (&map.item_batcher.max_items_per_batch_path, map.item_batcher.max_items_per_batch) {
        (Some(path), _) => Batch::By(path.clone()),
        (None, most) => Batch::Of(most.unwrap_or(MOST_BY_BYTES)),
    };
    let mut states = begin(&workflow.name, known, batch);
    let redriven = redriven(map.clone(), children);
    states.push((MAP, State::Map(Box::new(map))));
    states.push((REDRIVEN, State::Map(Box::new(redriven))));
    states.extend(end());
    Definition { comment, start_at: "Defaults", states: States(states) }
}

fn map(workflow: &Workflow, given: &Given, children: &Children) -> Map {
    let settings = &given.bound.settings;
    let by_path = |path| workflow.expression_at(path).and_then(only_param).map(|name| format!("$.params.{name}"));
    let (concurrency, items) = (by_path("max_concurrency"), by_path("batch.max_items"));
    let bytes = settings.batch.max_bytes.min(CHILD_INPUT_BYTES as u64 - RESERVED_BYTES);
    Map {
        comment: format!("{} children: {}.", children.word(), children.why.replace('`', "")),
        label: MAP,
        item_reader: item_reader(workflow, given),
        item_selector: json!({ "index.$": "$$.Map.Item.Index", "value.$": "$$.Map.Item.Value" }),
        item_batcher: ItemBatcher {
            max_items_per_batch: settings.batch.max_items.filter(|_| items.is_none()),
            max_items_per_batch_path: items,
            max_input_bytes_per_batch: bytes,
            batch_input: json!({
                "run.$": "$.run",
                "round.$": "$.round",
                "params.$": "$.params",
                "results.$": "$.results",
                "asked": { "again": 0 },
            }),
        },
        max_concurrency: Some(settings.max_concurrency).filter(|_| concurrency.is_none()),
        max_concurrency_path: concurrency,
        // A child that fails takes nobody along: what its items came to is for the gate to say.
        tolerated_failure_percentage: 100,
        item_processor: ItemProcessor {
            processor_config: ProcessorConfig { mode: "DISTRIBUTED", execution_type: children.word() },
            start_at: OF_MAP.work,
            states: child(&OF_MAP, children.kind),
        },
        result_writer: ResultWriter {
            resource: "arn:aws:states:::s3:putObject",
            parameters: ObjectName {
                bucket_path: Some("$.results.bucket".into()),
                prefix_path: Some("States.Format('{}map', $.results.prefix)".into()),
                ..ObjectName::default()
            },
        },
        result_path: "$.map",
        next: "Gate",
    }
}

/// The same over the items of a redrive, which have kept their indexes.
fn redriven(map: Map, children: &Children) -> Map {
    Map {
        comment: "The items of a redrive, one a line; otherwise as the other map.".to_string(),
        label: REDRIVEN,
        item_reader: items_of_a_redrive(),
        item_selector: json!({ "index.$": "$$.Map.Item.Value.index", "value.$": "$$.Map.Item.Value.value" }),
        item_batcher: ItemBatcher {
            max_items_per_batch: None,
            max_items_per_batch_path: Some(REDRIVE_BATCH.to_string()),
            ..map.item_batcher
        },
        item_processor: ItemProcessor {
            start_at: OF_REDRIVEN.work,
            states: child(&OF_REDRIVEN, children.kind),
            ..map.item_processor
        },
        ..map
    }
}
