//! The JSON Schema of workflows, made from the Rust types and the registered jobs: for editors, and for the checker itself.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::settings::FileFields;
use crate::job::Jobs;

/// Types in which nothing is an expression.
const PLAIN: &[&str] = &["Param", "ParamType", "SecretSource", "TestCase", "TestAnswer", "TestAssert", "TestRequest", "Dropped"];

/// What the checker works with: exactly what the types say.
pub(super) fn strict(jobs: &Jobs) -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let mut root = FileFields::json_schema(&mut generator).to_value();
    let configs: Map<String, Value> =
        jobs.kinds().map(|kind| (kind.name.to_string(), (kind.config_schema)(&mut generator).to_value())).collect();
    if let Some(job) = root.pointer_mut("/properties/job") {
        let description = job.get("description").cloned().unwrap_or_default();
        *job = json!({
            "description": description,
            "type": "object",
            "properties": configs,
            "additionalProperties": false,
            "minProperties": 1,
            "maxProperties": 1,
        });
    }
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["$defs"] = Value::Object(generator.take_definitions(true));
    root
}

/// The JSON Schema (draft 2020-12) of a workflow with these jobs, for editors: wherever a value may be an expression, a text
/// with `{{ }}` is accepted as well.
///
/// ```
/// let schema = fanfold::workflow::schema(&fanfold::Jobs::builtin());
/// assert_eq!(schema["properties"]["max_concurrency"]["default"], 100);
/// ```
pub fn schema(jobs: &Jobs) -> Value {
    let mut schema = strict(jobs);
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for (name, property) in properties.iter_mut() {
            if !matches!(name.as_str(), "fanfold" | "name" | "description" | "params" | "secrets" | "tests") {
                allow(property);
            }
        }
    }
    if let Some(Value::Object(definitions)) = schema.get_mut("$defs") {
        for (name, definition) in definitions.iter_mut() {
            if !PLAIN.contains(&name.as_str()) {
                allow(definition);
            }
        }
    }
    schema
}

/// Lets every leaf in `schema` be an expression.
fn allow(schema: &mut Value) {
    let leaf = is_leaf(schema);
    let Value::Object(fields) = schema else { return };
    if leaf {
        let mut outer = Map::new();
        for key in ["title", "description", "default", "examples"] {
            if let Some(value) = fields.shift_remove(key) {
                outer.insert(key.to_string(), value);
            }
        }
        let inner = std::mem::take(fields);
        outer.insert("anyOf".to_string(), json!([inner, { "type": "string", "pattern": r"\{\{" }]));
        *fields = outer;
        return;
    }
    let takes_expressions =
        fields.get("anyOf").and_then(Value::as_array).is_some_and(|choices| choices.iter().any(is_expression));
    for (key, value) in fields.iter_mut() {
        match (key.as_str(), value) {
            ("properties" | "patternProperties", Value::Object(schemas)) => schemas.values_mut().for_each(allow),
            ("items" | "additionalProperties", value) => allow(value),
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(schemas)) => {
                schemas.iter_mut().filter(|schema| !(takes_expressions && is_leaf(schema))).for_each(allow);
            }
            _ => {}
        }
    }
}

fn is_expression(schema: &Value) -> bool {
    schema.get("pattern").and_then(Value::as_str) == Some(r"\{\{")
}

/// Whether `schema` allows only values without parts, and not every text already.
fn is_leaf(schema: &Value) -> bool {
    let Value::Object(fields) = schema else { return false };
    if is_expression(schema) || fields.contains_key("properties") {
        return false;
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(choices) = fields.get(key).and_then(Value::as_array) {
            return !choices.is_empty() && !choices.iter().any(is_expression) && choices.iter().all(|c| is_leaf(c) || is_null(c));
        }
    }
    if fields.contains_key("enum") || fields.contains_key("const") {
        return true;
    }
    let is = |name: &str| matches!(name, "integer" | "number" | "boolean" | "string" | "null");
    let any_text = !["pattern", "format", "maxLength"].iter().any(|key| fields.contains_key(*key));
    match fields.get("type") {
        Some(Value::String(name)) => is(name) && name != "null" && !(name == "string" && any_text),
        Some(Value::Array(names)) => {
            names.iter().all(|name| name.as_str().is_some_and(is)) && !(names.iter().any(|name| name == "string") && any_text)
        }
        _ => false,
    }
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("null")
}
