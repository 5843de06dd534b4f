//! Walks the tree of a file along its schema: every mistake with its place, and the values as JSON.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::leaf::{self, Mismatch};
use super::names::Known;
use super::roots::{Roots, settings_with};
use super::shape::{Kind, Shape, is_expression};
use super::tree::{Entry, Node, NodeKind, Scalar, Spot};
use super::warning::{self, Doubt};
use crate::error::Error;
use crate::expression::{Expression, ExpressionError, Params, Scope};

/// Settings of a whole workflow that are no expressions: they are read before there are params.
const FIXED: &[&str] = &["fanfold", "name", "description", "params", "secrets"];

/// Turns a tree into JSON.
pub(super) struct Decoder<'a> {
    pub schema: &'a Value,
    pub file: &'a Arc<str>,
    /// What relative paths are relative to.
    pub base: &'a Path,
    pub known: &'a Known,
    /// The values that expressions are worked out over; one whose param is not among them stays.
    pub params: &'a Params,
    pub errors: Vec<Error>,
    /// What is most likely not meant.
    pub doubts: Vec<Doubt>,
    /// The secrets that are named somewhere.
    pub secrets: BTreeSet<String>,
    /// Whether an expression stayed for want of a param.
    pub open: bool,
    /// The top-level settings without a mistake and without an expression that stayed.
    pub sections: Vec<(String, Value)>,
}

/// Where the walk is.
#[derive(Debug, Clone)]
pub(super) struct Field {
    /// Dotted, as in `batch.max_items`; empty for the whole file.
    pub path: String,
    /// Its key.
    pub key_at: Spot,
    /// What its expressions may begin with; without anything `{{` is plain text.
    pub scope: Roots,
    /// It cannot be an expression.
    pub fixed: bool,
}

impl Field {
    pub fn root() -> Self {
        Self { path: String::new(), key_at: Spot::START, scope: Roots::PARAMS, fixed: false }
    }

    pub fn entry(&self, entry: &Entry) -> Self {
        let path = if self.path.is_empty() { entry.key.clone() } else { format!("{}.{}", self.path, entry.key) };
        let fixed = self.fixed || (self.path.is_empty() && FIXED.contains(&entry.key.as_str()));
        Self { path, key_at: entry.key_at, scope: self.scope, fixed }
    }

    fn element(&self, index: usize, node: &Node) -> Self {
        Self { path: format!("{}[{index}]", self.path), key_at: node.at, scope: self.scope, fixed: self.fixed }
    }
}

impl Decoder<'_> {
    pub fn error(&mut self, at: Spot, detail: impl Into<String>, hint: Option<String>) {
        let error = Error::refused(detail).at(Some(at.in_file(self.file)));
        self.errors.push(match hint {
            Some(hint) => error.hint(hint),
            None => error,
        });
    }

    /// The value of `node` as `schema` means it; `None` if it has a mistake, which is then among the errors.
    pub fn value(&mut self, node: &Node, schema: &Value, field: &Field) -> Option<Value> {
        let root = self.schema;
        let shape = Shape::of(schema, root);
        let scope = match shape.scope {
            None => field.scope,
            Some(_) if field.scope == Roots::NONE => Roots::NONE,
            Some(Roots::NONE) => Roots::NONE,
            Some(said) => field.scope.and(said),
        };
        let field = &Field { scope, ..field.clone() };
        if let NodeKind::Scalar(scalar) = &node.kind {
            return self.scalar(node, scalar, schema, &shape, field);
        }
        if shape.kinds.iter().any(|kind| matches!(kind, Kind::Free)) {
            return self.free(node, field);
        }
        match &node.kind {
            NodeKind::Map(entries) if shape.objects().next().is_some() => self.map(entries, &shape, field),
            NodeKind::List(nodes) => match shape.kinds.iter().find_map(|kind| match kind {
                Kind::List(fields) => Some(*fields),
                _ => None,
            }) {
                Some(fields) => self.list(node, nodes, fields, field),
                None => self.mismatch(node, &shape, field, Mismatch::default()),
            },
            _ => self.mismatch(node, &shape, field, Mismatch::default()),
        }
    }

    pub fn mismatch(&mut self, node: &Node, shape: &Shape<'_>, field: &Field, mismatch: Mismatch) -> Option<Value> {
        let name = if field.path.is_empty() { "a workflow".to_string() } else { format!("`{}`", field.path) };
        let detail = match mismatch.detail {
            Some(detail) => match &node.origin {
                Some(origin) => format!("{name}: {detail}, from `{origin}`"),
                None => format!("{name}: {detail}"),
            },
            // It may be the secret itself.
            None if field.path.starts_with("secrets.") => format!("{name}: expected {}, found a text", leaf::expected(shape)),
            None => format!("{name}: expected {}, found {}", leaf::expected(shape), leaf::found(node)),
        };
        let hint = match (&node.origin, mismatch.hint) {
            _ if field.path.starts_with("secrets.") => {
                Some("write `{ env: … }`: the secret itself never stands in a workflow".to_string())
            }
            (Some(_), Some(hint)) if hint == leaf::NO_QUOTES => {
                Some("declare the param with the `type` that is meant".to_string())
            }
            (_, hint) => hint,
        };
        self.error(node.at, detail, hint);
        None
    }

    fn scalar(&mut self, node: &Node, scalar: &Scalar, schema: &Value, shape: &Shape<'_>, field: &Field) -> Option<Value> {
        let written = node.origin.is_none() && field.scope != Roots::NONE;
        if written && is_expression(&scalar.text) {
            return self.expression(node, scalar, schema, shape, field);
        }
        if written && scalar.text.contains("{%") && scalar.text.contains("%}") {
            self.error(node.at, format!("`{}`: `{{% %}}` is not known here, only `{{{{ }}}}`", field.path), None);
            return None;
        }
        if shape.nullable && scalar.is_null() {
            return Some(Value::Null);
        }
        let mut first = None;
        let mut leaves = 0;
        for kind in &shape.kinds {
            match kind {
                Kind::Free => return Some(leaf::free(scalar)),
                Kind::Leaf(leaf, fields) => match leaf::read(scalar, *leaf, fields, self.base) {
                    Ok(value) => return Some(value),
                    Err(mismatch) => {
                        leaves += 1;
                        first = first.filter(|known: &Mismatch| known.hint.is_some()).or(Some(mismatch));
                    }
                },
                _ => {}
            }
        }
        let mut mismatch = first.unwrap_or_default();
        if leaves == 0 {
            mismatch.hint = self.put_into(scalar, shape);
        }
        if leaves > 1 || shape.kinds.len() > 1 || shape.expression {
            mismatch.detail = None;
        }
        self.mismatch(node, shape, field, mismatch)
    }

    /// What a text would have to be in, where none is meant.
    fn put_into(&self, scalar: &Scalar, shape: &Shape<'_>) -> Option<String> {
        let object = shape.objects().next();
        if scalar.is_absent() {
            return object.map(|_| "an empty mapping is `{}`".to_string());
        }
        let text = if scalar.plain { scalar.text.clone() } else { format!("\"{}\"", scalar.text) };
        let Some(object) = object else { return Some(format!("write `[{text}]`")) };
        let fits = |name: &str, schema: &Value| {
            let shape = Shape::of(schema, self.schema);
            let needed = object.required == [name];
            let is_read = shape.kinds.iter().any(|kind| match kind {
                // Any text fits into a text, which says nothing.
                Kind::Leaf(leaf, fields) => {
                    (needed || fields.contains_key("format")) && leaf::read(scalar, *leaf, fields, self.base).is_ok()
                }
                _ => false,
            });
            is_read || (needed && shape.expression)
        };
        let key = object.properties.iter().find(|(name, schema)| fits(name, schema)).map(|(name, _)| *name);
        key.map(|key| format!("write `{{ {key}: {text} }}`"))
    }

    fn expression(&mut self, node: &Node, scalar: &Scalar, schema: &Value, shape: &Shape<'_>, field: &Field) -> Option<Value> {
        if field.fixed {
            self.error(node.at, format!("`{}` cannot be an expression", field.path), None);
            return None;
        }
        let expression = match Expression::parse(&scalar.text) {
            Ok(expression) => expression,
            Err(error) => return self.refuse(node, scalar, field, &error),
        };
        // What is known for each item only never becomes a mapping or a list.
        let has_parts = |kind: &Kind<'_>| matches!(kind, Kind::Object(_) | Kind::List(_));
        if shape.kinds.iter().all(has_parts) && expression.names().iter().any(|name| name.root() != "params") {
            return self.mismatch(node, shape, field, Mismatch { detail: None, hint: self.put_into(scalar, shape) });
        }
        let settings_with = |name: &str| settings_with(name, &self.known.job, self.schema);
        if let Err(error) = self.known.check(&expression, field.scope, &settings_with) {
            return self.refuse(node, scalar, field, &error);
        }
        self.doubts.extend(warning::inexact(&expression, field));
        let stays = Some(Value::String(scalar.text.clone()));
        let names = expression.names();
        let secrets = names.iter().filter(|name| name.root() == "secrets").filter_map(|name| name.attribute());
        self.secrets.extend(secrets.map(str::to_string));
        if names.iter().any(|name| name.root() != "params") {
            return stays;
        }
        let values = self.params.value();
        if names.iter().any(|name| name.attribute().is_none_or(|name| values.get(name).is_none())) {
            self.open = true;
            return stays;
        }
        match expression.evaluate(&Scope::params(self.params)) {
            Err(error) => self.refuse(node, scalar, field, &error),
            // Braces that come out of a param are text. Where the reader would take them for an expression, the one that
            // gives them stays instead.
            Ok(Value::String(text)) if field.scope != Roots::PARAMS && is_expression(&text) => stays,
            Ok(value) => self.value(&worked_out(node.at, value, expression.text().into()), schema, field),
        }
    }

    fn refuse(&mut self, node: &Node, scalar: &Scalar, field: &Field, error: &ExpressionError) -> Option<Value> {
        let at = within(node, scalar, error.offset());
        self.error(at, format!("`{}`: {}", field.path, error.detail()), error.hint_text().map(str::to_string));
        None
    }

    /// Any JSON, with expressions in it where they may be.
    fn free(&mut self, node: &Node, field: &Field) -> Option<Value> {
        let anything = Value::Bool(true);
        match &node.kind {
            NodeKind::Scalar(_) => self.value(node, &anything, field),
            NodeKind::List(nodes) => {
                let mut list = Some(Vec::with_capacity(nodes.len()));
                for (index, node) in nodes.iter().enumerate() {
                    let value = self.free(node, &field.element(index, node));
                    list = list.zip(value).map(|(mut list, value)| {
                        list.push(value);
                        list
                    });
                }
                list.map(Value::Array)
            }
            NodeKind::Map(entries) => {
                let values = entries.iter().map(|entry| (entry.key.clone(), self.free(&entry.value, &field.entry(entry))));
                whole(values.collect())
            }
        }
    }

    fn list(&mut self, node: &Node, nodes: &[Node], fields: &Map<String, Value>, field: &Field) -> Option<Value> {
        let bound = |key| fields.get(key).and_then(Value::as_u64);
        let (fewest, most) = (bound("minItems").unwrap_or(0), bound("maxItems").unwrap_or(u64::MAX));
        let length = nodes.len() as u64;
        if length < fewest || length > most {
            let allowed = if length < fewest { format!("at least {fewest}") } else { format!("at most {most}") };
            self.error(node.at, format!("`{}` has {length} elements, expected {allowed}", field.path), None);
            return None;
        }
        let places = fields.get("prefixItems").and_then(Value::as_array);
        let anything = Value::Bool(true);
        let mut list = Some(Vec::with_capacity(nodes.len()));
        for (index, node) in nodes.iter().enumerate() {
            let schema = places.and_then(|places| places.get(index)).or_else(|| fields.get("items")).unwrap_or(&anything);
            let value = self.value(node, schema, &field.element(index, node));
            list = list.zip(value).map(|(mut list, value)| {
                list.push(value);
                list
            });
        }
        list.map(Value::Array)
    }
}

/// Where in the file the byte `offset` of a text is.
pub(super) fn within(node: &Node, scalar: &Scalar, offset: usize) -> Spot {
    match scalar.start {
        Some(start) => {
            let before = scalar.text.get(..offset).unwrap_or_default().chars().count();
            Spot { column: start.column + before as u32, ..start }
        }
        None => node.at,
    }
}

/// All of them, or nothing if one has a mistake.
pub(super) fn whole(values: Vec<(String, Option<Value>)>) -> Option<Value> {
    values.into_iter().map(|(key, value)| value.map(|value| (key, value))).collect::<Option<Map<_, _>>>().map(Value::Object)
}

/// What an expression gave, as if it stood in the file.
fn worked_out(at: Spot, value: Value, origin: Arc<str>) -> Node {
    let scalar = |text: String, plain| NodeKind::Scalar(Scalar { text, plain, start: None });
    let kind = match value {
        Value::String(text) => scalar(text, false),
        Value::Array(values) => {
            NodeKind::List(values.into_iter().map(|value| worked_out(at, value, Arc::clone(&origin))).collect())
        }
        Value::Object(values) => {
            let entry = |(key, value)| Entry { key, key_at: at, value: worked_out(at, value, Arc::clone(&origin)) };
            NodeKind::Map(values.into_iter().map(entry).collect())
        }
        other => scalar(other.to_string(), true),
    };
    Node { at, kind, origin: Some(origin) }
}
