//! [`Difference`]: what was expected and what was found, at a path.

use serde_json::Value;

/// What was expected and what was found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Difference {
    /// Where, such as `sent.invoice[1].json.cents`.
    pub path: String,
    /// What the test expects; `None` if nothing was to be there.
    pub expected: Option<Value>,
    /// What there is; `None` if there is nothing.
    pub found: Option<Value>,
    /// What else helps to understand it.
    pub note: Option<String>,
}

impl Difference {
    pub fn new(path: impl Into<String>, expected: impl Into<Value>, found: impl Into<Value>) -> Self {
        Self { path: path.into(), expected: Some(expected.into()), found: Some(found.into()), note: None }
    }

    /// The same, with more to understand it by.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }
}

/// Every place at which `found` is not as `expected` says. Of an object only what is said has to be so; a list has to be as long, and
/// a number is compared by its value.
pub(super) fn compare(path: &str, expected: &Value, found: &Value) -> Vec<Difference> {
    let mut differences = Vec::new();
    descend(path, expected, Some(found), &mut differences);
    differences
}

fn descend(path: &str, expected: &Value, found: Option<&Value>, differences: &mut Vec<Difference>) {
    match (expected, found) {
        (Value::Object(expected), Some(Value::Object(found))) => {
            for (name, value) in expected {
                descend(&format!("{path}.{name}"), value, found.get(name), differences);
            }
        }
        (Value::Array(expected), Some(Value::Array(found))) if expected.len() == found.len() => {
            for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
                descend(&format!("{path}[{index}]"), expected, Some(found), differences);
            }
        }
        (Value::Number(a), Some(Value::Number(b))) if a == b || same(a, b) => {}
        (expected, Some(found)) if expected == found => {}
        (expected, found) => differences.push(Difference {
            path: path.to_string(),
            expected: Some(expected.clone()),
            found: found.cloned(),
            note: None,
        }),
    }
}

/// 1 and 1.0 are one number to everyone who reads JSON.
fn same(a: &serde_json::Number, b: &serde_json::Number) -> bool {
    a.as_f64() == b.as_f64() && a.is_f64() != b.is_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_said_has_to_be_so_and_nothing_else() {
        let found = json!({ "a": 1, "b": { "c": [1, { "d": null, "e": 2 }] }, "f": "x" });
        for expected in [json!({}), json!({ "a": 1.0 }), json!({ "b": { "c": [1, { "d": null }] } })] {
            assert_eq!(compare("sent", &expected, &found), [], "{expected}");
        }
        let path = |expected: Value| compare("sent", &expected, &found).into_iter().map(|d| d.path).collect::<Vec<_>>();
        assert_eq!(path(json!({ "a": 2, "f": "y" })), ["sent.a", "sent.f"]);
        assert_eq!(path(json!({ "a": "1" })), ["sent.a"]);
        assert_eq!(path(json!({ "g": null })), ["sent.g"], "null is not the same as nothing");
        assert_eq!(path(json!({ "b": { "c": [1] } })), ["sent.b.c"]);
        assert_eq!(path(json!({ "b": { "c": [1, { "e": 3 }] } })), ["sent.b.c[1].e"]);
        assert_eq!(path(json!({ "b": [] })), ["sent.b"]);
    }
}
