//! [`Template`]: any JSON with expressions in it, such as the body of a request.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{Expression, ExpressionError, Scope};

/// Any JSON, in which every text may be an expression. One that is exactly one `{{ }}` keeps the type of its value.
///
/// ```
/// use fanfold::expression::{Params, Scope, Template};
/// use serde_json::json;
///
/// let template: Template = serde_json::from_value(json!({ "cents": "{{ item.amount | cents }}", "tags": ["a", "{{ item.id }}"] }))?;
/// let (params, item) = (Params::new(json!({})), json!({ "id": 7, "amount": "19.99" }));
/// assert_eq!(template.evaluate(&Scope::params(&params).with_item(&item)).unwrap(), json!({ "cents": 1999, "tags": ["a", 7] }));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Template(Node);

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Literal(Value),
    Expression(Expression),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Template {
    /// Its value in `scope`.
    ///
    /// # Errors
    /// Those of [`Expression::evaluate`].
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, ExpressionError> {
        self.0.evaluate(scope)
    }

    /// The expressions in it, each with where it is: `lines[0].sku`, or nothing for the whole.
    pub fn expressions(&self) -> Vec<(String, &Expression)> {
        let mut found = Vec::new();
        self.0.gather("", &mut found);
        found
    }
}

impl Node {
    fn read(value: Value) -> Result<Self, ExpressionError> {
        match value {
            Value::String(text) if Expression::is(&text) => Expression::parse(&text).map(Self::Expression),
            Value::Array(values) => values.into_iter().map(Self::read).collect::<Result<_, _>>().map(Self::List),
            Value::Object(map) => {
                map.into_iter().map(|(key, value)| Ok((key, Self::read(value)?))).collect::<Result<_, _>>().map(Self::Map)
            }
            other => Ok(Self::Literal(other)),
        }
    }

    fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, ExpressionError> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Expression(expression) => expression.evaluate(scope),
            Self::List(nodes) => nodes.iter().map(|node| node.evaluate(scope)).collect::<Result<_, _>>().map(Value::Array),
            Self::Map(nodes) => {
                let values = nodes.iter().map(|(key, node)| Ok((key.clone(), node.evaluate(scope)?)));
                values.collect::<Result<Map<_, _>, _>>().map(Value::Object)
            }
        }
    }

    fn gather<'a>(&'a self, path: &str, found: &mut Vec<(String, &'a Expression)>) {
        match self {
            Self::Literal(_) => {}
            Self::Expression(expression) => found.push((path.to_string(), expression)),
            Self::List(nodes) => {
                nodes.iter().enumerate().for_each(|(index, node)| node.gather(&format!("{path}[{index}]"), found));
            }
            Self::Map(nodes) => {
                let under = |key: &str| if path.is_empty() { key.to_string() } else { format!("{path}.{key}") };
                nodes.iter().for_each(|(key, node)| node.gather(&under(key), found));
            }
        }
    }

    fn written(&self) -> Value {
        match self {
            Self::Literal(value) => value.clone(),
            Self::Expression(expression) => Value::String(expression.text().to_string()),
            Self::List(nodes) => Value::Array(nodes.iter().map(Self::written).collect()),
            Self::Map(nodes) => Value::Object(nodes.iter().map(|(key, node)| (key.clone(), node.written())).collect()),
        }
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Node::read(Value::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.written().serialize(serializer)
    }
}

impl JsonSchema for Template {
    fn schema_name() -> Cow<'static, str> {
        "Template".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-fanfold-scope": ["params", "item"] })
    }
}
