//! [`differs`]: whether the items that a worker is handed are those that the batch began with: a source may have changed meanwhile.

use std::collections::HashMap;

use serde_json::Value;

use crate::bucket::HandedItem;
use crate::reader::{ItemsConfig, ItemsSource};

/// How the items that are handed out now differ from those that were `written` down when the batch began, in words; `None` if they do not.
/// `keys` are what the items are called, as they are `handed`. Of an object only its key counts: it may be another version by now.
pub(super) fn differs(config: &ItemsConfig, written: &[HandedItem], handed: &[HandedItem], keys: &[String]) -> Option<String> {
    let objects = matches!(config.source, ItemsSource::Objects(_) | ItemsSource::Inventory(_));
    let written: HashMap<u64, &HandedItem> = written.iter().map(|item| (item.index, item)).collect();
    handed.iter().zip(keys).find_map(|(item, key)| {
        let before = written.get(&item.index)?;
        let is_same = match (&before.value, objects) {
            // Its value was pruned, or it never had one. What it is called is kept.
            (Value::Null, _) => before.key.as_ref().is_none_or(|before| before == key),
            (value, true) => ["Key", "VersionId"].iter().all(|name| value.get(name) == item.value.get(name)),
            (value, false) => same(value, &item.value),
        };
        let was = || match &before.key {
            Some(before) if before != key => format!("item {} was `{before}` and is `{key}` now", item.index),
            _ => format!("item {}, `{key}`, is not what it was", item.index),
        };
        (!is_same).then(was)
    })
}

/// Whether two values are the same, however their numbers were written: they went through other hands.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len() && one.iter().all(|(name, one)| other.get(name).is_some_and(|other| same(one, other)))
        }
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_and_the_order_of_fields_may_be_written_otherwise() {
        assert!(same(&json!({ "a": 1, "b": [2.0] }), &json!({ "b": [2], "a": 1.0 })));
        for (one, other) in
            [(json!({ "a": 1 }), json!({ "a": 2 })), (json!({ "a": 1 }), json!({ "a": 1, "b": 1 })), (json!([1]), json!([1, 2]))]
        {
            assert!(!same(&one, &other), "{one} {other}");
        }
    }
}
