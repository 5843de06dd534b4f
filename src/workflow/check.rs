//! Rules that a schema cannot say, section by section, so that a mistake in one does not hide those in another.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::aws::check_aws;
use super::names::Known;
use super::settings::BatchSettings;
use super::shape::is_expression;
use super::tests::{self, TestCase};
use super::tree::Node;
use super::{hosts, secrecy};
use crate::limits::CHILD_INPUT_BYTES;
use crate::reader::ItemsConfig;
use crate::retry::Retry;
use crate::units::{parse_duration, write_duration};

/// A mistake in a section: the setting's path, what is wrong, and the action that helps.
#[derive(Debug)]
pub(super) struct Finding {
    pub path: String,
    pub detail: String,
    pub hint: Option<String>,
}

impl Finding {
    pub fn new(path: &str, detail: impl Into<String>) -> Self {
        Self { path: path.to_string(), detail: detail.into(), hint: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// What is wrong with the section `name` of a workflow, whose value fits its schema.
pub(super) fn section(name: &str, value: &Value, known: &Known) -> Vec<Finding> {
    let checked = match name {
        "items" => match check_items(value) {
            findings if findings.is_empty() => typed::<ItemsConfig>(name, value).map(|_| findings),
            findings => Ok(findings),
        },
        "batch" => typed::<BatchSettings>(name, value).map(|batch| check_batch(&batch)),
        "retry" => typed::<Retry>(name, value).map(|retry| check_retry(&retry)),
        "item_timeout" => Ok(check_timeout(value)),
        "rate" => typed(name, value).map(|rates| hosts::check_rate(&rates)),
        "outage" => typed(name, value).map(|outage| hosts::check_outage(&outage)),
        "secrets" => typed(name, value).map(|secrets| secrecy::check_secrets(&secrets)),
        "redact" => typed::<Vec<String>>(name, value).map(|paths| secrecy::check_redact(&paths, known)),
        "aws" => typed(name, value).map(|aws| check_aws(&aws)),
        "tests" => typed::<Vec<TestCase>>(name, value).map(|cases| tests::check(&cases)),
        _ => Ok(Vec::new()),
    };
    checked.unwrap_or_else(|finding| vec![finding])
}

/// What is wrong with sections beside one another.
pub(super) fn together(root: &Node) -> Vec<Finding> {
    let Some(order) = root.get("order") else { return Vec::new() };
    let mut findings = Vec::new();
    if root.get("batch").is_some() {
        let detail = "cannot stand beside `order`: a child execution then takes whole lanes, as many as fit";
        findings.push(Finding::new("batch", detail).hint("remove it; `order.concurrency` is how many lanes it works on at once"));
    }
    let by = order.value.get("by").and_then(|by| by.value.scalar()).filter(|by| !by.is_absent() && !is_expression(&by.text));
    if let Some(by) = by {
        let detail = format!("`{}` is the same for every item, so that all of them would be one lane", by.text);
        let is_word = by.text.starts_with(|c: char| c.is_ascii_alphabetic())
            && by.text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let name = by.text.strip_prefix("item.").unwrap_or(if is_word { &by.text } else { "customer" });
        findings.push(Finding::new("order.by", detail).hint(format!("did you mean `\"{{{{ item.{name} }}}}\"`?")));
    }
    findings
}

/// Reads `value` as the type behind a section. What its schema could not say is found here.
pub(super) fn typed<T: DeserializeOwned>(name: &str, value: &Value) -> Result<T, Finding> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = match (error.path().to_string().as_str(), name) {
            (".", name) => name.to_string(),
            (path, "") => path.to_string(),
            (path, name) => format!("{name}.{path}"),
        };
        Finding::new(&path, error.into_inner().to_string())
    })
}

fn check_items(items: &Value) -> Vec<Finding> {
    let Some(source) = ["csv", "json", "jsonl"].into_iter().find(|source| items.get(source).is_some()) else {
        return Vec::new();
    };
    let globs = ["match", "exclude"].into_iter().filter(|name| items.get(name).is_some());
    let wrong = |name| {
        let detail = format!("globs are for `objects` and `inventory`, the items of `{source}` have no `Key`");
        Finding::new(&format!("items.{name}"), detail).hint("use `where: \"{{ … }}\"`")
    };
    globs.map(wrong).collect()
}

fn check_batch(batch: &BatchSettings) -> Vec<Finding> {
    let most = CHILD_INPUT_BYTES as u64;
    match batch.max_bytes {
        0 => vec![Finding::new("batch.max_bytes", "no item fits into 0 bytes, at most 256KiB are allowed")],
        bytes if bytes > most => vec![
            Finding::new(
                "batch.max_bytes",
                format!("a child execution takes at most 256KiB ({most} bytes), found {bytes} bytes"),
            )
            .hint("write `256KiB`"),
        ],
        _ => Vec::new(),
    }
}

fn check_retry(retry: &Retry) -> Vec<Finding> {
    if retry.initial_interval <= retry.max_interval {
        return Vec::new();
    }
    let (first, longest) = (write_duration(retry.initial_interval), write_duration(retry.max_interval));
    let detail = format!("the first wait of {first} is longer than the longest, `max_interval`, of {longest}");
    vec![Finding::new("retry.initial_interval", detail).hint(format!("`max_interval: {first}`, or a shorter `initial_interval`"))]
}

fn check_timeout(value: &Value) -> Vec<Finding> {
    let zero = value.as_str().is_some_and(|text| parse_duration(text).is_ok_and(|duration| duration.is_zero()));
    if !zero {
        return Vec::new();
    }
    vec![Finding::new("item_timeout", "no item can be done in 0 seconds").hint("remove it: without it items may take any time")]
}

/// Whether it can stand behind a point in an expression.
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.len() <= 64
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
