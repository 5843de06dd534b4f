//! [`Warning`]: what is allowed in a workflow and most likely not meant.

use std::fmt;

use serde_json::Value;

use super::decode::Field;
use super::tree::{Node, NodeKind};
use crate::error::Place;
use crate::expression::Expression;
use crate::redact::Redact;

/// What is allowed and most likely not meant, where it is, and the action that helps.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// What it is, as a lowercase fragment.
    pub detail: String,
    /// Where it is.
    pub place: Place,
    /// The action that helps.
    pub hint: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}); hint: {}", self.detail, self.place, self.hint)
    }
}

/// A warning without its file: the path of the setting, how far in its text, what is meant and the action that helps.
pub(super) struct Doubt {
    pub path: String,
    pub offset: usize,
    pub detail: String,
    pub hint: String,
}

/// An amount in a body that is calculated with binary fractions.
pub(super) fn inexact(expression: &Expression, field: &Field) -> Option<Doubt> {
    let in_body = field.path.split(['.', '[']).any(|part| part == "json" || part == "form");
    let (sign, offset) = expression.fraction().filter(|_| in_body)?;
    let detail = format!("`{sign}` calculates with binary fractions, in which 19.99 * 100 is 1998.9999999999998");
    let hint = "`| cents` makes whole cents of an amount, `| decimal` keeps all of its digits".to_string();
    Some(Doubt { path: field.path.clone(), offset, detail, hint })
}

/// What is shown of every item although it is redacted.
pub(super) fn shown_though_redacted(root: &Node, redact: &Redact) -> Vec<Doubt> {
    let key = root.get("items").and_then(|items| items.value.get("key"));
    let text = key.and_then(|key| key.value.scalar()).map(|scalar| scalar.text.as_str());
    let Some(expression) = text.filter(|text| Expression::is(text)).and_then(|text| Expression::parse(text).ok()) else {
        return Vec::new();
    };
    let names = expression.names();
    let named = names.iter().find_map(|name| {
        let redacted = redact.at(name.attribute().filter(|_| name.root() == "item")?)?;
        Some((name, redacted))
    });
    let doubt = |(name, redacted): (&crate::expression::Name, &crate::expression::Name)| Doubt {
        path: "items.key".to_string(),
        offset: name.offset(),
        detail: format!("the key of every item is shown, and it is made of `{redacted}`, which `redact` hides"),
        hint: format!("`{{{{ {name} | sha256 }}}}` tells items apart and shows nothing"),
    };
    let is_hashed = text.is_some_and(|text| text.contains("sha256"));
    named.filter(|_| !is_hashed).map(doubt).into_iter().collect()
}

/// Items of tests that are not as a CSV file would give them.
pub(super) fn no_rows(root: &Node, tests: &Value) -> Vec<Doubt> {
    let is_csv = root.get("items").is_some_and(|items| items.value.get("csv").is_some());
    let is_written = root.get("tests").is_some_and(|tests| matches!(tests.value.kind, NodeKind::List(_)));
    let mut doubts = Vec::new();
    for (test, case) in tests.as_array().into_iter().flatten().enumerate().filter(|_| is_csv && is_written) {
        for (item, value) in case["items"].as_array().into_iter().flatten().enumerate() {
            let field = value.as_object().into_iter().flatten().find(|(_, value)| !value.is_string());
            doubts.extend(field.map(|(name, value)| Doubt {
                path: format!("tests[{test}].items[{item}].{name}"),
                offset: 0,
                detail: format!("it is {}, and every field of a CSV file is a text", crate::expression::kind(value)),
                hint: format!("write it in quotes: `{name}: \"{value}\"`").replace("\"\"", "\""),
            }));
        }
    }
    doubts
}
