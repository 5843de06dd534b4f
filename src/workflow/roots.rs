//! [`Roots`]: what the expressions of a setting may begin with. `params` everywhere, the other names where the schema says so.
//!
//! A type or a field says it by the schema's `x-fanfold-scope`, a list of these names: `#[schemars(extend("x-fanfold-scope" =
//! ["params", "item", "previous"]))]`. What a field says replaces what its type says, also through `Option`; below it, in lists and
//! mappings, it is added to what is said there. An empty list means that `{{` is plain text.

use serde_json::Value;

use super::shape::Shape;

/// Every name that an expression may begin with, anywhere.
const ALL: [&str; 9] = ["params", "item", "previous", "steps", "status", "headers", "body", "pages", "secrets"];

/// How deep the settings of a job are searched.
const DEPTH: usize = 8;

/// A set of these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Roots(u16);

impl Roots {
    /// Not even params: no expressions at all.
    pub const NONE: Self = Self(0);
    /// What may be named everywhere.
    pub const PARAMS: Self = Self(1);

    /// The names of a schema's list.
    pub fn of(list: &[Value]) -> Self {
        let bit = |name: &Value| ALL.iter().position(|known| name == known).map_or(0, |at| 1 << at);
        Self(list.iter().fold(0, |bits, name| bits | bit(name)))
    }

    /// Both.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn has(self, name: &str) -> bool {
        ALL.iter().position(|known| *known == name).is_some_and(|at| self.0 & (1 << at) != 0)
    }

    pub fn names(self) -> impl Iterator<Item = &'static str> + Clone {
        ALL.into_iter().enumerate().filter(move |(at, _)| self.0 & (1 << at) != 0).map(|(_, name)| name)
    }

    /// Whether it is a name somewhere.
    pub fn is_one(name: &str) -> bool {
        ALL.contains(&name)
    }
}

/// How many settings of one mapping are listed one by one.
const APART: usize = 2;

/// The settings of a job that know `name`, each by its path from the nearest list on: `capture`, `poll.until`. Where nearly all of
/// a mapping do, it is the mapping: `auth`.
pub(super) fn settings_with(name: &str, job: &str, schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(config) = schema.pointer("/properties/job/properties").and_then(|jobs| jobs.get(job)) {
        search(name, config, schema, "", DEPTH, &mut found);
    }
    let first = |path: &str| path.split('.').next().unwrap_or_default().to_string();
    let several = |path: &str| found.iter().filter(|other| first(other) == first(path)).count() > APART;
    let mut told: Vec<String> = found.iter().map(|path| if several(path) { first(path) } else { path.clone() }).collect();
    told.dedup();
    told
}

fn search(name: &str, schema: &Value, root: &Value, path: &str, depth: usize, found: &mut Vec<String>) {
    let shape = Shape::of(schema, root);
    if !path.is_empty() && shape.scope.is_some_and(|roots| roots.has(name)) {
        if !found.iter().any(|known| known == path) {
            found.push(path.to_string());
        }
        return;
    }
    if depth == 0 {
        return;
    }
    for object in shape.objects() {
        for (key, property) in &object.properties {
            let path = if path.is_empty() { (*key).to_string() } else { format!("{path}.{key}") };
            search(name, property, root, &path, depth - 1, found);
        }
        if let Some(others) = object.others {
            search(name, others, root, path, depth - 1, found);
        }
    }
    for elements in shape.elements() {
        // What stands in a list is known by its own names: nobody calls it `steps.capture`.
        let path = if is_object(elements, root) { "" } else { path };
        search(name, elements, root, path, depth - 1, found);
    }
}

fn is_object(schema: &Value, root: &Value) -> bool {
    Shape::of(schema, root).objects().next().is_some()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schemars::{JsonSchema, SchemaGenerator};
    use serde_json::json;

    use super::*;
    use crate::expression::{Setting, Template};

    #[allow(dead_code, reason = "only the schema sees the fields")]
    #[derive(JsonSchema)]
    struct Fields {
        plain: String,
        each: Setting<String>,
        #[schemars(extend("x-fanfold-scope" = ["params", "secrets"]))]
        narrow: Option<Setting<String>>,
        #[schemars(extend("x-fanfold-scope" = ["params", "secrets"]))]
        headers: BTreeMap<String, Setting<String>>,
        #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous"]))]
        json: Option<Template>,
        #[schemars(extend("x-fanfold-scope" = ["params", "body"]))]
        list: Vec<Inner>,
        steps: Option<Vec<Inner>>,
    }

    #[allow(dead_code, reason = "only the schema sees the fields")]
    #[derive(JsonSchema)]
    struct Inner {
        each: Setting<String>,
        #[schemars(extend("x-fanfold-scope" = ["params", "status"]))]
        text: Option<String>,
    }

    fn schema() -> Value {
        let fields = SchemaGenerator::default().into_root_schema_for::<Fields>().to_value();
        json!({ "properties": { "job": { "properties": { "j": fields.clone() } } }, "$defs": fields["$defs"] })
    }

    #[test]
    fn a_field_says_what_it_may_name_through_options_lists_and_mappings() {
        let schema = schema();
        let fields = &schema["properties"]["job"]["properties"]["j"]["properties"];
        let scope = |field: &str| {
            let shape = Shape::of(&fields[field], &schema);
            shape.scope.map(|roots| roots.names().collect::<Vec<_>>().join(" "))
        };
        assert_eq!(scope("plain"), None);
        assert_eq!(scope("each").unwrap(), "params item");
        assert_eq!(scope("narrow").unwrap(), "params secrets", "what the field says replaces what its type says");
        assert_eq!(scope("json").unwrap(), "params item previous");
        assert_eq!(scope("headers").unwrap(), "params secrets");
        assert_eq!(scope("list").unwrap(), "params body");
        assert_eq!(scope("steps"), None);
    }

    #[test]
    fn the_settings_that_know_a_name_are_found() {
        let schema = schema();
        assert_eq!(settings_with("secrets", "j", &schema), ["narrow", "headers"]);
        assert_eq!(settings_with("status", "j", &schema), ["text"]);
        assert_eq!(settings_with("previous", "j", &schema), ["json"]);
        assert!(settings_with("pages", "j", &schema).is_empty());
        assert!(settings_with("pages", "unheard_of", &schema).is_empty());
    }
}
