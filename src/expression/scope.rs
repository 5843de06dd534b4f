//! [`Scope`]: what an expression may name; [`Params`], the part of it that is known when a run starts.

use std::sync::Arc;

use serde_json::Value;

/// The params of a run, by name. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Params(Arc<Value>);

impl Params {
    /// `values` is an object: every param's value by its name.
    pub fn new(values: Value) -> Self {
        Self(Arc::new(values))
    }

    /// Every param's value by its name.
    pub fn value(&self) -> &Value {
        &self.0
    }
}

/// What an expression may name: `params`, and `item` where there is one. A few pointers, cheap to make for every item.
///
/// ```
/// use fanfold::expression::{Expression, Params, Scope};
/// use serde_json::json;
///
/// let params = Params::new(json!({ "suffix": "-small" }));
/// let item = json!({ "Key": "holiday/beach.jpg" });
/// let scope = Scope::params(&params).with_item(&item);
/// let name = Expression::parse("{{ item.Key | stem }}{{ params.suffix }}.webp")?;
/// assert_eq!(name.evaluate(&scope)?, json!("beach-small.webp"));
/// # Ok::<(), fanfold::expression::ExpressionError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    params: &'a Params,
    /// What else there is, each by its name.
    others: [Option<&'a Value>; OTHERS.len()],
}

/// The names beside `params` that an expression may begin with. Which of them are known is fixed for each field.
const OTHERS: [&str; 8] = ["item", "previous", "steps", "status", "headers", "body", "pages", "secrets"];

impl<'a> Scope<'a> {
    /// The scope of settings that are known when a run starts: `params` alone.
    pub fn params(params: &'a Params) -> Self {
        Self { params, others: [None; OTHERS.len()] }
    }

    /// The same with `item`.
    #[must_use]
    pub fn with_item(self, item: &'a Value) -> Self {
        self.with("item", item)
    }

    /// The same with one of the names that only some fields know: `previous`, `steps`, `status`, `headers`, `body`, `pages` or
    /// `secrets`. Another name changes nothing.
    #[must_use]
    pub fn with(mut self, name: &str, value: &'a Value) -> Self {
        if let Some(at) = OTHERS.iter().position(|other| *other == name) {
            self.others[at] = Some(value);
        }
        self
    }

    /// The value of a name that an expression may begin with.
    pub(super) fn root(&self, name: &str) -> Option<&'a Value> {
        if name == "params" {
            return Some(self.params.value());
        }
        OTHERS.iter().position(|other| *other == name).and_then(|at| self.others[at])
    }

    /// The names that an expression may begin with.
    pub(super) fn roots(&self) -> impl Iterator<Item = &'static str> {
        let known = OTHERS.iter().zip(self.others).filter_map(|(name, value)| value.map(|_| *name));
        std::iter::once("params").chain(known)
    }
}
