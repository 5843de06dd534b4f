//! `{{ }}`: expressions in workflow values.

/// What an expression may name.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    _item: &'a serde_json::Value,
}
