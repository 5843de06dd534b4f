//! [`Shape`]: what a JSON Schema, as made from the Rust types, allows at one place.

use serde_json::{Map, Value};

use super::roots::Roots;
use crate::expression::Expression;

type Fields = Map<String, Value>;

/// What is allowed at one place: one of several kinds of value.
#[derive(Debug, Default)]
pub(super) struct Shape<'s> {
    /// Nothing is allowed as well.
    pub nullable: bool,
    /// What expressions may begin with, if the schema says so here.
    pub scope: Option<Roots>,
    /// A text that is an expression is one of the kinds.
    pub expression: bool,
    pub kinds: Vec<Kind<'s>>,
}

/// One kind of value.
#[derive(Debug)]
pub(super) enum Kind<'s> {
    /// Any JSON.
    Free,
    Object(ObjectShape<'s>),
    List(&'s Fields),
    Leaf(Leaf, &'s Fields),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaf {
    Text,
    Integer,
    Number,
    Boolean,
    /// One of a list of words.
    Word,
}

/// What a mapping may hold.
#[derive(Debug, Clone, Default)]
pub(super) struct ObjectShape<'s> {
    pub properties: Vec<(&'s str, &'s Value)>,
    pub required: Vec<&'s str>,
    /// What keys that are no property may hold; `None`: there are no others.
    pub others: Option<&'s Value>,
    pub fewest: u64,
    pub most: Option<u64>,
    /// The keys exactly one of which must be there, which tell this kind from the others.
    pub tags: Vec<&'s str>,
}

static ANYTHING: Value = Value::Bool(true);

impl<'s> Shape<'s> {
    /// What `schema` allows; `root` holds the definitions it refers to.
    pub fn of(schema: &'s Value, root: &'s Value) -> Self {
        let mut shape = Self::default();
        shape.add(schema, root, None, false, 0);
        let all: Vec<Vec<&str>> = shape.objects().map(|object| object.required.clone()).collect();
        if all.len() > 1 {
            for object in shape.kinds.iter_mut().filter_map(Kind::object_mut) {
                object.tags =
                    object.required.iter().copied().filter(|name| !all.iter().all(|names| names.contains(name))).collect();
            }
        }
        shape
    }

    pub fn objects(&self) -> impl Iterator<Item = &ObjectShape<'s>> {
        self.kinds.iter().filter_map(|kind| match kind {
            Kind::Object(object) => Some(object),
            _ => None,
        })
    }

    /// What the elements of the lists are.
    pub fn elements(&self) -> impl Iterator<Item = &'s Value> {
        self.kinds.iter().filter_map(|kind| match kind {
            Kind::List(fields) => fields.get("items"),
            _ => None,
        })
    }

    /// `scoped`: what is around `schema` has said already what expressions may begin with.
    fn add(&mut self, schema: &'s Value, root: &'s Value, base: Option<&ObjectShape<'s>>, scoped: bool, depth: usize) {
        // Definitions that refer to themselves without anything in between mean nothing, and must not hang the checker.
        let (Value::Object(fields), true) = (schema, depth < 32) else {
            if schema != &Value::Bool(false) {
                self.kinds.push(Kind::Free);
            }
            return;
        };
        let said = fields.get("x-fanfold-scope").and_then(Value::as_array).filter(|_| !scoped);
        if let Some(names) = said {
            self.scope = Some(self.scope.unwrap_or(Roots::NONE).and(Roots::of(names)));
        }
        let scoped = scoped || said.is_some();
        if let Some(target) = fields.get("$ref").and_then(Value::as_str) {
            let target = target.strip_prefix('#').and_then(|pointer| root.pointer(pointer)).unwrap_or(&ANYTHING);
            return self.add(target, root, base, scoped, depth + 1);
        }
        let object = || object(fields, base);
        let choices = ["oneOf", "anyOf", "allOf"].into_iter().find_map(|key| fields.get(key).and_then(Value::as_array));
        if let Some(choices) = choices {
            let base = (fields.contains_key("properties") || base.is_some()).then(object);
            choices.iter().for_each(|choice| self.add(choice, root, base.as_ref(), scoped, depth + 1));
            return;
        }
        if base.is_some() || fields.contains_key("properties") {
            return self.kinds.push(Kind::Object(object()));
        }
        if fields.get("pattern").and_then(Value::as_str) == Some(r"\{\{") {
            self.expression = true;
            return;
        }
        if fields.contains_key("enum") || fields.contains_key("const") {
            return self.kinds.push(Kind::Leaf(Leaf::Word, fields));
        }
        let types: Vec<&str> = match fields.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => return self.kinds.push(Kind::Free),
        };
        for kind in types {
            match kind {
                "null" => self.nullable = true,
                "object" => self.kinds.push(Kind::Object(object())),
                "array" => self.kinds.push(Kind::List(fields)),
                "integer" => self.kinds.push(Kind::Leaf(Leaf::Integer, fields)),
                "number" => self.kinds.push(Kind::Leaf(Leaf::Number, fields)),
                "boolean" => self.kinds.push(Kind::Leaf(Leaf::Boolean, fields)),
                _ => self.kinds.push(Kind::Leaf(Leaf::Text, fields)),
            }
        }
    }
}

impl<'s> Kind<'s> {
    fn object_mut(&mut self) -> Option<&mut ObjectShape<'s>> {
        match self {
            Kind::Object(object) => Some(object),
            _ => None,
        }
    }
}

fn object<'s>(fields: &'s Fields, base: Option<&ObjectShape<'s>>) -> ObjectShape<'s> {
    let mut object = base.cloned().unwrap_or_default();
    if let Some(properties) = fields.get("properties").and_then(Value::as_object) {
        object.properties.extend(properties.iter().map(|(name, schema)| (name.as_str(), schema)));
    }
    if let Some(required) = fields.get("required").and_then(Value::as_array) {
        object.required.extend(required.iter().filter_map(Value::as_str));
    }
    let others = fields.get("additionalProperties").or_else(|| fields.get("unevaluatedProperties"));
    match others {
        Some(Value::Bool(false)) => object.others = None,
        Some(schema) => object.others = Some(schema),
        None if base.is_none() => object.others = Some(&ANYTHING),
        None => {}
    }
    object.fewest = fields.get("minProperties").and_then(Value::as_u64).unwrap_or(object.fewest);
    object.most = fields.get("maxProperties").and_then(Value::as_u64).or(object.most);
    object
}

/// The words a leaf may be.
pub(super) fn words(fields: &Fields) -> Vec<&Value> {
    match (fields.get("const"), fields.get("enum").and_then(Value::as_array)) {
        (Some(word), _) => vec![word],
        (None, Some(words)) => words.iter().collect(),
        (None, None) => Vec::new(),
    }
}

/// Whether a text counts as an expression, wherever a value may be one.
pub(super) fn is_expression(text: &str) -> bool {
    Expression::is(text)
}
