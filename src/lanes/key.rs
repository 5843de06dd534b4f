//! [`LaneKey`]: what `order.by` gives for an item.

use serde_json::Value;

use crate::expression::{Params, Scope, Setting, kind};

/// Why an item has no lane: what was found, as a lowercase fragment, and the action that helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoLane {
    pub detail: String,
    pub hint: Option<String>,
}

/// What the lane of an item is: `order.by` over the params of a run.
#[derive(Debug, Clone)]
pub(crate) struct LaneKey {
    by: Setting<String>,
    params: Params,
}

impl LaneKey {
    pub fn new(by: &Setting<String>, params: &Params) -> Self {
        Self { by: by.clone(), params: params.clone() }
    }

    /// The lane of an item that has one: every item of a plan that was made.
    pub fn name(&self, item: &Value) -> Option<String> {
        self.of(item).ok()
    }

    /// The lane of the item. A text, an integer or a boolean names one; nothing else does.
    pub(super) fn of(&self, item: &Value) -> Result<String, NoLane> {
        let scope = Scope::params(&self.params).with_item(item);
        let Some(expression) = self.by.as_expression() else {
            return Ok(self.by.get(&scope).unwrap_or_default());
        };
        let text = expression.text();
        match expression.evaluate(&scope) {
            Err(error) => {
                Err(NoLane { detail: format!("`order.by`: {}", error.detail()), hint: error.hint_text().map(str::to_string) })
            }
            Ok(Value::String(name)) if name.trim().is_empty() => Err(nothing(text, "an empty text")),
            Ok(Value::String(name)) => Ok(name),
            Ok(Value::Number(number)) if !number.is_f64() => Ok(number.to_string()),
            Ok(Value::Bool(flag)) => Ok(flag.to_string()),
            Ok(Value::Null) => Err(nothing(text, "null")),
            Ok(other) => Err(NoLane {
                detail: format!("`order.by`: `{text}` gives {}: expected a text, an integer or a boolean", kind(&other)),
                hint: None,
            }),
        }
    }
}

fn nothing(text: &str, found: &str) -> NoLane {
    let end = text.trim_end().strip_suffix("}}").filter(|rest| rest.matches("{{").count() == 1).map(str::trim_end);
    let lane = end.map_or(String::new(), |rest| format!(", or give them a lane: `{rest} or 'none' }}}}`"));
    let hint = format!("leave such items out by `items.where`{lane}");
    NoLane { detail: format!("`order.by`: `{text}` gives {found}"), hint: Some(hint) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(by: &str) -> LaneKey {
        LaneKey::new(&serde_json::from_value(json!(by)).unwrap(), &Params::new(json!({ "region": "eu" })))
    }

    #[test]
    fn a_lane_is_named_by_a_text_an_integer_or_a_boolean_and_by_nothing_else() {
        let customer = key("{{ item.customer }}");
        let named = |value: Value| customer.of(&json!({ "customer": value }));
        assert_eq!(named(json!("c1")).unwrap(), "c1");
        assert_eq!(named(json!(17)).unwrap(), "17");
        assert_eq!(named(json!(true)).unwrap(), "true");
        assert_eq!(named(json!("  ")).unwrap_err().detail, "`order.by`: `{{ item.customer }}` gives an empty text");
        assert_eq!(named(json!(null)).unwrap_err().detail, "`order.by`: `{{ item.customer }}` gives null");
        assert!(named(json!(1.5)).unwrap_err().detail.ends_with("gives a number: expected a text, an integer or a boolean"));
        assert!(named(json!(["c1"])).is_err());
        let missing = customer.of(&json!({ "custmer": "c1" })).unwrap_err();
        assert_eq!(missing.hint.as_deref(), Some("did you mean `item.custmer`?"));
        assert_eq!(key("{{ params.region }}-{{ item.id }}").of(&json!({ "id": 1 })).unwrap(), "eu-1");
        assert_eq!(key("everything").of(&json!({})).unwrap(), "everything");
    }

    #[test]
    fn the_hint_for_an_item_without_a_lane_works() {
        let hint = key("{{ item.customer }}").of(&json!({ "customer": null })).unwrap_err().hint.unwrap();
        let by = key(hint.split('`').nth(3).unwrap());
        for value in [json!(null), json!("")] {
            assert_eq!(by.of(&json!({ "customer": value })).unwrap(), "none");
        }
        assert_eq!(by.of(&json!({ "customer": "c1" })).unwrap(), "c1");
    }
}
