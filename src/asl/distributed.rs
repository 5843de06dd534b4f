//! Maps: the fields of a Distributed Map, its label, its batches, its children.

use super::check::{Around, Checker, is_placeholder};
use super::document::{Entry, Kind, Node};
use super::fields::{Field, Is, both, jsonata, path};
use super::rule;
use crate::limits::{CHILD_INPUT_BYTES, MAP_CONCURRENCY};

/// The fields of a Map beside those of every state.
pub(super) const MAP: &[Field] = &[
    both("ItemProcessor", Is::Object),
    both("Iterator", Is::Object),
    path("Parameters", Is::Template),
    both("ItemSelector", Is::Template),
    path("ItemsPath", Is::Reference),
    jsonata("Items", Is::Any),
    both("MaxConcurrency", Is::Whole(0, MAP_CONCURRENCY as u64, rule::CONCURRENCY)),
    path("MaxConcurrencyPath", Is::Reference),
    both("ItemReader", Is::Object),
    both("ItemBatcher", Is::Object),
    both("ResultWriter", Is::Object),
    both("Label", Is::Text),
    both("ToleratedFailurePercentage", Is::Number(0.0, 100.0, rule::PERCENTAGE)),
    path("ToleratedFailurePercentagePath", Is::Reference),
    both("ToleratedFailureCount", Is::Whole(0, u64::MAX, rule::TOLERANCE)),
    path("ToleratedFailureCountPath", Is::Reference),
];

const PROCESSOR: &[Field] = &[
    both("ProcessorConfig", Is::Object),
    both("Comment", Is::Text),
    both("StartAt", Is::Text),
    both("States", Is::Object),
    both("QueryLanguage", Is::Text),
];

const BATCHER: &[Field] = &[
    both("MaxItemsPerBatch", Is::Whole(1, u64::MAX, rule::BATCH_ITEMS)),
    path("MaxItemsPerBatchPath", Is::Reference),
    both("MaxInputBytesPerBatch", Is::Whole(1, CHILD_INPUT_BYTES as u64, rule::BATCH_BYTES)),
    path("MaxInputBytesPerBatchPath", Is::Reference),
    both("BatchInput", Is::Template),
];

/// What only a Distributed Map has.
const DISTRIBUTED_ONLY: &[&str] = &[
    "ItemReader",
    "ItemBatcher",
    "ResultWriter",
    "Label",
    "ToleratedFailurePercentage",
    "ToleratedFailurePercentagePath",
    "ToleratedFailureCount",
    "ToleratedFailureCountPath",
];

impl Checker {
    /// Checks what is special of a Map.
    pub fn map(&mut self, state: &Entry, of: &str, around: Around) {
        let node = &state.value;
        self.never_both(node, &["MaxConcurrency", "ToleratedFailurePercentage", "ToleratedFailureCount"]);
        for (old, new) in [("Iterator", "ItemProcessor"), ("Parameters", "ItemSelector")] {
            match (node.entry(old), node.has(new)) {
                (Some(entry), true) => {
                    self.tell(rule::OLD_AND_NEW, entry.key_at, format!("{of} has `{old}` and `{new}`"))
                        .hint(format!("`{new}` is the new name of `{old}`: remove `{old}`"));
                }
                (Some(entry), false) if !around.jsonata => {
                    self.tell(rule::OLD, entry.key_at, format!("`{old}` of {of} is deprecated")).hint(format!("write `{new}`"));
                }
                _ => {}
            }
        }
        let Some(processor) = node.entry("ItemProcessor").or_else(|| node.entry("Iterator")) else {
            return self.required(node, of, &["ItemProcessor"]);
        };
        let name = format!("`{}` of {of}", processor.key);
        let config = processor.value.get("ProcessorConfig");
        let distributed = config.and_then(|config| config.text_of("Mode")) == Some("DISTRIBUTED");
        self.processor_config(config, &name, distributed);
        let express = distributed && config.and_then(|config| config.text_of("ExecutionType")) == Some("EXPRESS");
        let inside = Around { jsonata: around.all_jsonata, express: express || around.express, ..around };
        if self.fields(&processor.value, &name, &[PROCESSOR], inside) {
            self.flow(&processor.value, &name, inside);
        }
        if distributed {
            self.distributed(state, of, around);
            self.item_context(&processor.value);
        } else {
            for entry in node.entries().iter().filter(|entry| DISTRIBUTED_ONLY.contains(&entry.key.as_str())) {
                let detail = format!("`{}` is for Distributed Maps, {of} is an inline one", entry.key);
                self.tell(rule::INLINE, entry.key_at, detail)
                    .hint("`\"ProcessorConfig\": { \"Mode\": \"DISTRIBUTED\", \"ExecutionType\": \"EXPRESS\" }`");
            }
        }
    }

    fn processor_config(&mut self, config: Option<&Node>, of: &str, distributed: bool) {
        let Some(config) = config else { return };
        let kind = Is::Word(&["STANDARD", "EXPRESS"], rule::EXECUTION_TYPE);
        let fields = &[both("Mode", Is::Word(&["INLINE", "DISTRIBUTED"], rule::MODE)), both("ExecutionType", kind)];
        if !self.fields(config, &format!("`ProcessorConfig` in {of}"), &[fields], Around::default()) {
            return;
        }
        match config.entry("ExecutionType") {
            None if distributed => {
                self.tell(rule::EXECUTION_TYPE, config.at, "a Distributed Map does not say what its children are")
                    .hint("add `\"ExecutionType\": \"EXPRESS\"`, or `\"STANDARD\"` for what takes more than 5 minutes");
            }
            Some(entry) if config.text_of("Mode") == Some("INLINE") => {
                self.tell(rule::INLINE, entry.key_at, "`ExecutionType` is for Distributed Maps, the mode is `INLINE`")
                    .hint("remove it");
            }
            _ => {}
        }
    }

    fn distributed(&mut self, state: &Entry, of: &str, around: Around) {
        let node = &state.value;
        if around.express {
            self.tell(
                rule::EXPRESS_PATTERN,
                state.key_at,
                format!("{of} is a Distributed Map, and cannot be in an express child"),
            )
            .hint("`\"ExecutionType\": \"STANDARD\"` for the children around it");
        }
        if let Some(retry) = node.entry("Retry").filter(|retry| !retry.value.elements().is_empty()) {
            self.tell(
                rule::MAP_RETRY,
                retry.key_at,
                format!("`Retry` of {of} starts a new map run over all items, also those that were done"),
            )
            .hint("put it on the task inside");
        }
        self.label(node);
        if let Some(batcher) = node.get("ItemBatcher") {
            self.batcher(batcher, of, around);
        }
        if let Some(reader) = node.get("ItemReader") {
            self.reader(reader, of, around);
        }
        match node.get("ResultWriter") {
            Some(writer) => self.writer(writer, of, around),
            None => {
                let detail = format!("{of} has no `ResultWriter`: above 256 KiB of results the execution fails");
                self.tell(rule::NO_WRITER, state.key_at, detail).hint("add one that writes to S3");
            }
        }
    }

    fn label(&mut self, node: &Node) {
        let Some((label, at)) = node.get("Label").and_then(|label| Some((label.text()?, label.at))) else { return };
        if is_placeholder(label) {
            return;
        }
        let length = label.chars().count();
        if length == 0 || length > 40 {
            self.tell(rule::LABEL_LENGTH, at, format!("`Label` has {length} characters, allowed are 1 to 40"));
        }
        let forbidden = |c: &char| c.is_whitespace() || c.is_control() || "?*<>{}[]:;,\\|^~$#%&`\"".contains(*c);
        if let Some(c) = label.chars().find(forbidden) {
            let detail = format!("`Label` has `{}` in it, which is not allowed", c.escape_debug());
            self.tell(rule::LABEL_CHARACTERS, at, detail).hint("letters, digits, `-` and `_` are fine");
        }
        if let Some(first) = self.labels.insert(label.to_string(), at) {
            self.tell(rule::LABEL_TWICE, at, format!("there are two labels `{label}`, the first on line {}", first.line))
                .hint("give one of them another name");
        }
    }

    fn batcher(&mut self, node: &Node, of: &str, around: Around) {
        let name = format!("`ItemBatcher` of {of}");
        if !self.fields(node, &name, &[BATCHER], around) {
            return;
        }
        self.never_both(node, &["MaxItemsPerBatch", "MaxInputBytesPerBatch"]);
        let misspelt = |entry: &Entry| entry.key != "BatchInput" && BATCHER.iter().all(|field| field.name != entry.key);
        if !node.entries().iter().any(|entry| entry.key.starts_with("Max") || misspelt(entry)) {
            self.tell(rule::NO_LIMIT, node.at, format!("{name} does not say how large a batch is"))
                .hint("add `\"MaxItemsPerBatch\": …`");
        }
        if let Some(input) = node.get("BatchInput").filter(|input| input.weight() >= CHILD_INPUT_BYTES) {
            let detail = format!("`BatchInput` has {} bytes, a whole batch has at most {CHILD_INPUT_BYTES}", input.weight());
            self.tell(rule::BATCH_INPUT, input.at, detail).hint("put it into S3, and its key here");
        }
    }

    /// Tells of `$$.Map.Item` in the states of a Distributed Map. A Map inside of it has items of its own.
    fn item_context(&mut self, node: &Node) {
        if let Kind::Text(text) = &node.kind {
            if text.contains("$$.Map.Item") || text.contains("$states.context.Map.Item") {
                self.tell(rule::ITEM_CONTEXT, node.at, "`$$.Map.Item` is not known inside of a Distributed Map's item processor")
                    .hint("put it into the item by `ItemSelector`");
            }
            return;
        }
        if node.text_of("Type") == Some("Map") {
            return;
        }
        node.elements().iter().for_each(|node| self.item_context(node));
        node.entries().iter().for_each(|entry| self.item_context(&entry.value));
    }
}
