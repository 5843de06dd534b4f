//! Whether an expression names only what is known where it stands.

use crate::expression::{Expression, ExpressionError};
use crate::nearest::{list, nearest};

/// Names of the design that this version does not know yet.
const LATER: &[&str] = &["previous", "steps", "status", "headers", "body", "secrets"];

/// What expressions may name in a workflow.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// The declared params.
    pub params: Vec<String>,
    /// The attributes that every item has, where the source decides them.
    pub item: Option<&'static [&'static str]>,
}

impl Known {
    /// Checks the names of `expression`; `item` says whether it may name the item.
    pub fn check(&self, expression: &Expression, item: bool) -> Result<(), ExpressionError> {
        for name in expression.names() {
            let wrong = |detail: String| ExpressionError::new(name.offset(), detail);
            match (name.root(), name.attribute()) {
                ("params", Some(attribute)) => self.param(attribute, name.offset())?,
                ("item", Some(attribute)) if item => self.attribute(attribute, name.offset())?,
                ("params", None) => {}
                ("item", None) if item => {}
                ("item", _) => {
                    return Err(wrong(
                        "`item` is not known here, only `params`: the setting is the same for all items".to_string(),
                    ));
                }
                (root, _) if LATER.contains(&root) => {
                    return Err(wrong(format!("`{root}` is not known in expressions in this version of fanfold")));
                }
                (root, _) => return Err(self.unknown(root, item, name.offset())),
            }
        }
        Ok(())
    }

    fn param(&self, name: &str, offset: usize) -> Result<(), ExpressionError> {
        if self.params.iter().any(|param| param == name) {
            return Ok(());
        }
        let params = || self.params.iter().map(String::as_str);
        let error = ExpressionError::new(offset, format!("there is no param `{name}`"));
        Err(match (nearest(name, params()), self.params.is_empty()) {
            (Some(near), _) => error.hint(format!("did you mean `params.{near}`?")),
            (None, true) => error.hint(format!("declare it: `params: {{ {name}: {{ type: text }} }}`")),
            (None, false) => error.hint(format!("params are {}", list(params(), 12))),
        })
    }

    fn attribute(&self, name: &str, offset: usize) -> Result<(), ExpressionError> {
        let Some(attributes) = self.item.filter(|attributes| !attributes.contains(&name)) else {
            return Ok(());
        };
        let names = || attributes.iter().copied();
        let error = ExpressionError::new(offset, format!("an item of `objects` has no `{name}`, it has {}", list(names(), 12)));
        Err(match nearest(name, names()) {
            Some(near) => error.hint(format!("did you mean `item.{near}`?")),
            None => error,
        })
    }

    fn unknown(&self, root: &str, item: bool, offset: usize) -> ExpressionError {
        let roots: &[&str] = if item { &["params", "item"] } else { &["params"] };
        let detail = format!("`{root}` is not known here, only {}", list(roots.iter().copied(), 2));
        let error = ExpressionError::new(offset, detail);
        if let Some(near) = nearest(root, roots.iter().copied()) {
            return error.hint(format!("did you mean `{near}`?"));
        }
        if self.params.iter().any(|param| param == root) {
            return error.hint(format!("did you mean `params.{root}`?"));
        }
        match self.item.into_iter().flatten().find(|attribute| item && **attribute == root) {
            Some(attribute) => error.hint(format!("did you mean `item.{attribute}`?")),
            None => error,
        }
    }
}
