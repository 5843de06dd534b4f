//! [`Name`]: a dotted path that an expression names, and how it is looked up. The only place where paths are walked.

use std::fmt;

use serde_json::Value;

use super::Expression;
use super::error::ExpressionError;
use super::scope::Scope;
use crate::nearest::{list, nearest};

/// How many of the names that exist are listed in a message.
const LISTED: usize = 12;

/// A path that an expression names, such as `params.source` or `item.lines[0].sku`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub(super) root: String,
    pub(super) steps: Vec<Step>,
    pub(super) offset: usize,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Attribute(String),
    Index(usize),
}

impl Name {
    /// What it begins with: `params`, `item`, or a word that is no name at all.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The first attribute: `source` in `params.source`.
    pub fn attribute(&self) -> Option<&str> {
        match self.steps.first() {
            Some(Step::Attribute(name)) => Some(name),
            _ => None,
        }
    }

    /// The attributes behind the root as far as they are all words: `customer` and `id` in `steps.customer.id[0].x`.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().map_while(|step| match step {
            Step::Attribute(name) => Some(name.as_str()),
            Step::Index(_) => None,
        })
    }

    /// Where it begins, in bytes from the start of the expression's text.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Reads a path that stands by itself, such as `item.lines.sku`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let expression = Expression::parse(&format!("{{{{ {text} }}}}")).ok()?;
        let [name] = <[Self; 1]>::try_from(expression.names()).ok()?;
        (name.to_string() == text.trim().replace('"', "'")).then_some(name)
    }

    /// Shows `visit` everything below `value` that the path leads to. In a list it goes on in every element.
    pub(crate) fn each_below(&self, value: &mut Value, visit: &mut dyn FnMut(&mut Value)) {
        each_below(&self.steps, value, visit);
    }

    /// The value in `scope`. An attribute of null is null.
    ///
    /// # Errors
    /// An attribute that is not there, with the names that are.
    pub(super) fn resolve<'a>(&self, scope: &Scope<'a>) -> Result<&'a Value, ExpressionError> {
        let mut value = scope.root(&self.root).ok_or_else(|| self.no_root(scope))?;
        for (depth, step) in self.steps.iter().enumerate() {
            let next = match (step, value) {
                (_, Value::Null) => return Ok(&Value::Null),
                (Step::Attribute(name), Value::Object(map)) => map.get(name),
                (Step::Index(index), Value::Array(list)) => list.get(*index),
                _ => None,
            };
            value = next.ok_or_else(|| self.missing(depth, value))?;
        }
        Ok(value)
    }

    fn no_root(&self, scope: &Scope<'_>) -> ExpressionError {
        let detail = format!("`{}` is not known here, only {}", self.root, list(scope.roots(), LISTED));
        let error = ExpressionError::new(self.offset, detail);
        match nearest(&self.root, scope.roots()) {
            Some(name) => error.hint(format!("did you mean `{name}`?")),
            None => error,
        }
    }

    fn missing(&self, depth: usize, found: &Value) -> ExpressionError {
        let owner = self.up_to(depth);
        match (&self.steps[depth], found) {
            (Step::Attribute(name), Value::Object(map)) => {
                no_attribute(self.offset, &owner, name, map.keys().map(String::as_str))
            }
            (Step::Index(index), Value::Array(list)) => {
                ExpressionError::new(self.offset, format!("`{owner}` has {} elements, there is no `[{index}]`", list.len()))
            }
            (Step::Attribute(name), _) => {
                ExpressionError::new(self.offset, format!("`{owner}` is {}, it has no `{name}`", kind(found)))
            }
            (Step::Index(index), _) => {
                ExpressionError::new(self.offset, format!("`{owner}` is {}, it has no `[{index}]`", kind(found)))
            }
        }
    }

    fn up_to(&self, depth: usize) -> String {
        Self { root: self.root.clone(), steps: self.steps[..depth].to_vec(), offset: 0 }.to_string()
    }
}

fn each_below(steps: &[Step], value: &mut Value, visit: &mut dyn FnMut(&mut Value)) {
    match (steps, value) {
        ([], value) => visit(value),
        ([Step::Attribute(name), rest @ ..], Value::Object(map)) => {
            if let Some(value) = map.get_mut(name) {
                each_below(rest, value, visit);
            }
        }
        ([Step::Index(index), rest @ ..], Value::Array(list)) => {
            if let Some(value) = list.get_mut(*index) {
                each_below(rest, value, visit);
            }
        }
        ([Step::Attribute(_), ..], Value::Array(list)) => list.iter_mut().for_each(|value| each_below(steps, value, visit)),
        _ => {}
    }
}

/// `owner` has no attribute `name`, but `names`.
pub(crate) fn no_attribute<'n>(
    offset: usize,
    owner: &str,
    name: &str,
    names: impl Iterator<Item = &'n str> + Clone,
) -> ExpressionError {
    let has = match names.clone().next() {
        Some(_) => format!("it has {}", list(names.clone(), LISTED)),
        None => "it is empty".to_string(),
    };
    let error = ExpressionError::new(offset, format!("`{owner}` has no `{name}`, {has}"));
    match nearest(name, names) {
        Some(near) => error.hint(format!("did you mean `{owner}.{near}`?")),
        None => error,
    }
}

/// What a value is, in words.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a number",
        Value::Number(_) => "an integer",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.root)?;
        for step in &self.steps {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Attribute(name) if is_word(name) => write!(f, ".{name}")?,
                Step::Attribute(name) => write!(f, "['{name}']")?,
            }
        }
        Ok(())
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
