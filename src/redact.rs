//! [`Redact`]: which parts of an item are not shown, and how they are taken out of what is said of it.

use std::borrow::Cow;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::expression::Name;
use crate::scrub::{HIDDEN, Needles};

/// Paths into an item, such as `item.email`, that are not shown. In a list a path goes on in every element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redact(Vec<Name>);

impl Redact {
    /// Reads paths; `None` if one is none, or does not begin with `item`.
    pub(crate) fn read(paths: &[String]) -> Option<Self> {
        let read = |path: &String| Name::parse(path).filter(|name| name.root() == "item" && name.attribute().is_some());
        paths.iter().map(read).collect::<Option<_>>().map(Self)
    }

    /// Whether everything is shown.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first of the paths that this attribute of the item is part of, or that are part of it.
    pub(crate) fn at(&self, attribute: &str) -> Option<&Name> {
        self.0.iter().find(|name| name.attribute() == Some(attribute))
    }

    /// Puts `***` in place of what is not shown, and gives what it was.
    pub(crate) fn hide(&self, item: &mut Value) -> Hidden {
        let mut texts = Vec::new();
        for path in &self.0 {
            path.each_below(item, &mut |value| {
                gather(value, &mut texts);
                *value = Value::String(HIDDEN.to_string());
            });
        }
        texts.retain(|text| text != HIDDEN);
        Hidden { needles: Needles::new(texts.iter().cloned()), texts }
    }
}

impl<'de> Deserialize<'de> for Redact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let paths = Vec::<String>::deserialize(deserializer)?;
        Self::read(&paths).ok_or_else(|| D::Error::custom("expected paths into the item, such as `item.email`"))
    }
}

/// Every text and number in `value`.
fn gather(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Number(number) => texts.push(number.to_string()),
        Value::Array(list) => list.iter().for_each(|value| gather(value, texts)),
        Value::Object(map) => map.values().for_each(|value| gather(value, texts)),
        Value::Null | Value::Bool(_) => {}
    }
}

/// What was hidden of one item.
pub(crate) struct Hidden {
    texts: Vec<String>,
    needles: Needles,
}

impl Hidden {
    /// The text with `***` in place of what was hidden. What has fewer than 4 bytes would be found in everything, and stays.
    pub fn scrub<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.needles.scrub(text)
    }

    /// The same for every text and number in a value.
    pub fn scrub_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(scrubbed) = self.scrub(text) {
                    *text = scrubbed;
                }
            }
            Value::Number(number) => {
                let text = number.to_string();
                if text.len() >= crate::scrub::SHORTEST && self.texts.contains(&text) {
                    *value = Value::String(HIDDEN.to_string());
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|value| self.scrub_value(value)),
            Value::Object(map) => map.values_mut().for_each(|value| self.scrub_value(value)),
            Value::Null | Value::Bool(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_redacted_is_hidden_wherever_it_is_and_taken_out_of_what_is_said() {
        let redact: Redact =
            serde_json::from_value(json!(["item.email", "item.lines.card", "item['a b'][0].x", "item.gone.far"])).unwrap();
        let mut item = json!({
            "id": "o1", "email": "ada@example.com", "a b": [{ "x": { "deep": ["nested"] } }],
            "lines": [{ "card": 4_111_111_111_111_111_u64 }, { "card": "abc" }, {}], "gone": null,
        });
        let hidden = redact.hide(&mut item);
        let shown = json!({
            "id": "o1", "email": "***", "a b": [{ "x": "***" }], "lines": [{ "card": "***" }, { "card": "***" }, {}], "gone": null,
        });
        assert_eq!(item, shown);
        assert_eq!(hidden.scrub("no such user: ada@example.com (ada%40example.com)"), "no such user: *** (***)");
        assert_eq!(hidden.scrub("card 4111111111111111 of o1, abc, nested"), "card *** of o1, abc, ***");
        let mut output = json!({ "card": 4_111_111_111_111_111_u64, "to": ["ada@example.com"], "n": 7, "ok": true });
        hidden.scrub_value(&mut output);
        assert_eq!(output, json!({ "card": "***", "to": ["***"], "n": 7, "ok": true }));
    }

    #[test]
    fn only_paths_of_the_item_are_paths() {
        for wrong in ["email", "item", "item.email | lower", "{{ item.email }}", "body.card", "item.", "", "1"] {
            assert_eq!(Redact::read(&[wrong.to_string()]), None, "{wrong}");
        }
    }
}
