//! Secrets by name: resolved late, and taken out of everything that is kept or shown.

mod source;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};
pub use source::SecretSource;

/// The secrets of a run, by name.
pub(crate) struct Secrets {
    values: Value,
    needles: Vec<String>,
}

impl Secrets {
    /// These, by name.
    pub fn new(values: BTreeMap<String, String>) -> Self {
        let needles = values.values().filter(|value| !value.is_empty()).cloned().collect();
        let values = values.into_iter().map(|(name, value)| (name, Value::String(value))).collect::<Map<_, _>>();
        Self { values: Value::Object(values), needles }
    }

    /// What expressions name `secrets`. Only for fields that may hold one; what is made of it must never be kept or shown.
    pub fn value(&self) -> &Value {
        &self.values
    }

    /// The text with `***` where a secret was.
    pub fn scrub<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        for needle in self.needles.iter().filter(|needle| !needle.is_empty()) {
            if text.contains(needle.as_str()) {
                text = Cow::Owned(text.replace(needle.as_str(), "***"));
            }
        }
        text
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.needles.len())
    }
}
