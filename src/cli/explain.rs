//! `explain`: a job, a setting, an error name or a word, in words.

use clap::Args;
use serde_json::{Value, json};

use super::glossary::{ERRORS, WORDS};
use super::{Surroundings, report};
use crate::asl;
use crate::error::{Error, Result};
use crate::nearest::nearest;
use crate::observe::JsonLines;
use crate::workflow;

/// Explains a job (`image_resize`), a setting (`batch.max_items`), an error name (`Job.Permanent`) or a word (`redrive`).
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// What to explain; without it, what can be
    word: Vec<String>,
}

/// One thing that can be explained.
struct Entry {
    name: String,
    text: String,
}

impl Explain {
    pub fn go(self, at: &Surroundings) -> Result<u8> {
        let asked = self.word.join(" ");
        let entries = entries(at);
        if asked.is_empty() {
            list(at, &entries);
            return Ok(0);
        }
        let found = entries.iter().find(|entry| entry.name.eq_ignore_ascii_case(&asked)).or_else(|| {
            // `max_items` alone is fine where only one setting is called so.
            let mut ends = entries.iter().filter(|entry| entry.name.ends_with(&format!(".{asked}")));
            ends.next().filter(|_| ends.next().is_none())
        });
        let Some(entry) = found else {
            let error = Error::refused(format!("nothing here is called `{asked}`"));
            return Err(match nearest(&asked, entries.iter().map(|entry| entry.name.as_str())) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint("`fanfold explain` lists what can be explained"),
            });
        };
        if at.json {
            JsonLines::line(&json!({ "name": entry.name, "text": entry.text }));
        } else {
            report::data(format!("{}\n\n{}", entry.name, entry.text));
        }
        Ok(0)
    }
}

fn list(at: &Surroundings, entries: &[Entry]) {
    if at.json {
        for entry in entries {
            JsonLines::line(&json!({ "name": entry.name, "text": entry.text }));
        }
        return;
    }
    let jobs: Vec<&str> = at.jobs.names().collect();
    let words: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
    report::data(format!("jobs: {}", jobs.join(", ")));
    report::data(format!("words: {}", words.join(", ")));
    let errors: Vec<&str> = ERRORS.iter().chain(at.jobs.kinds().flat_map(|kind| kind.errors)).map(|(name, _)| *name).collect();
    report::data(format!("errors: {}", errors.join(", ")));
    let rules: Vec<&str> = asl::RULES.iter().map(|rule| rule.code).collect();
    report::data(format!("rules for definitions: {}", rules.join(", ")));
    report::data("settings: any, by its path, such as batch.max_items");
}

fn entries(at: &Surroundings) -> Vec<Entry> {
    let entry = |(name, text): &(&str, &str)| Entry { name: (*name).to_string(), text: (*text).to_string() };
    let mut entries: Vec<Entry> = WORDS.iter().chain(ERRORS).map(entry).collect();
    let rule = |rule: &&asl::Rule| Entry { name: rule.code.to_string(), text: rule.text.to_string() };
    entries.extend(asl::RULES.iter().map(rule));
    let schema = workflow::schema(&at.jobs);
    for kind in at.jobs.kinds() {
        entries.extend(kind.errors.iter().map(entry));
        let config =
            at_path(&schema, &schema["properties"]["job"]).and_then(|job| at_path(&schema, &job["properties"][kind.name]));
        if let Some(config) = config {
            let mut text = job_text(&schema, config);
            text.push_str(&shape("An item has", (kind.input_schema)().as_value()));
            text.push_str(&shape("Of a success is kept", (kind.output_schema)().as_value()));
            entries.push(Entry { name: kind.name.to_string(), text });
            settings(&schema, config, kind.name, 0, &mut entries);
        }
    }
    settings(&schema, &schema, "", 0, &mut entries);
    entries
}

/// A job: what it does and every setting in a line.
fn job_text(schema: &Value, config: &Value) -> String {
    format!("{}\n\nSettings:{}", description(config), fields(schema, config))
}

/// The fields of what a job takes or gives; nothing if that may be anything.
fn shape(title: &str, schema: &Value) -> String {
    let fields = fields(schema, schema);
    if fields.is_empty() { String::new() } else { format!("\n\n{title}:{fields}") }
}

/// A line for each field of an object.
fn fields(root: &Value, object: &Value) -> String {
    let required: Vec<&str> = object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut text = String::new();
    for (name, property) in object["properties"].as_object().into_iter().flatten() {
        let must = if required.contains(&name.as_str()) { " (required)" } else { "" };
        let own = property["description"].as_str();
        let about = own.or_else(|| at_path(root, property).map(description)).unwrap_or_default().replace('\n', " ");
        text.push_str(format!("\n  {name}{must}: {about}").trim_end_matches([':', ' ']));
    }
    text
}

/// Every setting below a schema, by its path.
fn settings(schema: &Value, of: &Value, path: &str, depth: usize, entries: &mut Vec<Entry>) {
    // The schema is finite but may refer to itself.
    if depth > 6 {
        return;
    }
    for (name, property) in of["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let own = property["description"].as_str();
        let Some(target) = at_path(schema, property) else { continue };
        let text = own.unwrap_or_else(|| description(target));
        if !text.is_empty() && !entries.iter().any(|entry| entry.name == path) {
            entries.push(Entry { name: path.clone(), text: text.to_string() });
        }
        settings(schema, target, &path, depth + 1, entries);
    }
    // What stands in a list or under names of one's own: `steps.timeout`, `rate.hosts.limit`.
    for inner in [&of["items"], &of["additionalProperties"]] {
        if let Some(inner) = at_path(schema, inner) {
            settings(schema, inner, path, depth + 1, entries);
        }
    }
}

fn description(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

/// Follows references and the one alternative that is an object, as far as they go.
fn at_path<'a>(root: &'a Value, schema: &'a Value) -> Option<&'a Value> {
    let mut at = schema;
    for _ in 0..8 {
        if let Some(reference) = at["$ref"].as_str() {
            at = root.pointer(reference.strip_prefix('#')?)?;
        } else if let Some(inner) = at["anyOf"].as_array().and_then(|any| any.iter().find(|one| one["$ref"].is_string())) {
            at = inner;
        } else {
            return Some(at);
        }
    }
    None
}
