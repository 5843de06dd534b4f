//! [`Setting`]: a config field that is a value, or an expression that gives one for each item.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{Expression, ExpressionError, Scope, kind};

/// A `T`, or an expression over `params` and `item` that gives a `T`.
///
/// A number or boolean that an expression gives where a text is meant becomes that text; nothing else is converted.
///
/// ```
/// use fanfold::Setting;
/// use fanfold::expression::{Params, Scope};
/// use serde_json::json;
///
/// let key: Setting<String> = serde_json::from_value(json!("{{ item.order_id }}"))?;
/// let (params, item) = (Params::new(json!({})), json!({ "order_id": 17 }));
/// assert_eq!(key.get(&Scope::params(&params).with_item(&item)), Ok("17".to_string()));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Setting<T>(Inner<T>);

#[derive(Debug, Clone, PartialEq)]
enum Inner<T> {
    Literal(T),
    Expression(Expression),
}

impl<T> Setting<T> {
    /// This value, whatever the item.
    pub fn literal(value: T) -> Self {
        Self(Inner::Literal(value))
    }

    /// Whether it has to be worked out for each item.
    pub fn is_expression(&self) -> bool {
        matches!(self.0, Inner::Expression(_))
    }

    /// The expression, if it is one.
    pub(crate) fn expression(&self) -> Option<&Expression> {
        match &self.0 {
            Inner::Literal(_) => None,
            Inner::Expression(expression) => Some(expression),
        }
    }

    /// The value, if it is the same for every item.
    pub fn as_literal(&self) -> Option<&T> {
        match &self.0 {
            Inner::Literal(value) => Some(value),
            Inner::Expression(_) => None,
        }
    }
}

impl<T> Setting<T> {
    /// The expression, if it is one.
    pub(crate) fn as_expression(&self) -> Option<&Expression> {
        match &self.0 {
            Inner::Literal(_) => None,
            Inner::Expression(expression) => Some(expression),
        }
    }
}

impl<T: DeserializeOwned + Clone> Setting<T> {
    /// The value in `scope`.
    ///
    /// # Errors
    /// Those of [`Expression::evaluate`], and a value that is no `T`.
    pub fn get(&self, scope: &Scope<'_>) -> Result<T, ExpressionError> {
        match &self.0 {
            Inner::Literal(value) => Ok(value.clone()),
            Inner::Expression(expression) => typed(expression, expression.evaluate(scope)?),
        }
    }
}

fn typed<T: DeserializeOwned>(expression: &Expression, value: Value) -> Result<T, ExpressionError> {
    // Deserializing from a reference first would copy; this value is wanted again only if it does not fit.
    let shown = match &value {
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    };
    let found = kind(&value);
    serde_json::from_value(value).or_else(|error| {
        shown.and_then(|text| serde_json::from_value(Value::String(text)).ok()).ok_or_else(|| {
            let error = ExpressionError::new(0, format!("`{}` gives {found}: {error}", expression.text()));
            if found == "a text" { error.hint("the filter `int` makes an integer of a text") } else { error }
        })
    })
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Setting<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match value.as_str() {
            Some(text) if Expression::is(text) => {
                Expression::parse(text).map(|expression| Self(Inner::Expression(expression))).map_err(D::Error::custom)
            }
            _ => serde_json::from_value(value).map(Self::literal).map_err(D::Error::custom),
        }
    }
}

impl<T: Serialize> Serialize for Setting<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Inner::Literal(value) => value.serialize(serializer),
            Inner::Expression(expression) => serializer.serialize_str(expression.text()),
        }
    }
}

impl<T: JsonSchema> JsonSchema for Setting<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("Setting_of_{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [generator.subschema_for::<T>(), { "type": "string", "pattern": r"\{\{" }],
            "x-fanfold-scope": ["params", "item"],
        })
    }
}
