//! `{{ }}`: expressions in workflow values. No `{% %}`, no clock, no randomness: the same values give the same result everywhere.
//!
//! An [`Expression`] names `params` and, for each item, `item`; [`Setting`] is a config field that is a value or an expression.
//!
//! # Why
//! The engine is minijinja, hidden behind this door. Paths are looked up here and not by the engine (2026-11-23): an attribute
//! of null has to be null, one that is not there has to be an error that lists the names that are, and `{{ item.Key }}` must
//! not cost a conversion of the whole item.

mod decimal;
mod error;
mod evaluate;
mod filters;
mod name;
mod pieces;
mod rewrite;
mod scan;
mod scope;
mod setting;
mod template;

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

pub(crate) use decimal::Decimal;
pub use error::ExpressionError;
use evaluate::Program;
pub(crate) use filters::read_date;
pub use name::Name;
pub(crate) use name::kind;

pub use scope::{Params, Scope};
pub use setting::Setting;
pub use template::Template;

/// The longest text with an expression in it, in bytes.
const LONGEST: usize = 16 * 1024;

/// The longest single expression, in bytes.
const LONGEST_PART: usize = 2 * 1024;

/// A text with at least one `{{ }}` in it. Cheap to clone.
///
/// ```
/// use fanfold::expression::{Expression, Params, Scope};
/// use serde_json::json;
///
/// let params = Params::new(json!({ "width": 128 }));
/// let scope = Scope::params(&params);
/// assert_eq!(Expression::parse("{{ params.width }}")?.evaluate(&scope)?, json!(128));
/// assert_eq!(Expression::parse("{{ params.width }} px")?.evaluate(&scope)?, json!("128 px"));
/// let error = Expression::parse("{{ params.widht }}")?.evaluate(&scope).unwrap_err();
/// assert_eq!(error.to_string(), "`params` has no `widht`, it has `width`; hint: did you mean `params.width`?");
/// # Ok::<(), fanfold::expression::ExpressionError>(())
/// ```
#[derive(Clone)]
pub struct Expression(Arc<Parts>);

struct Parts {
    text: String,
    parts: Vec<Part>,
}

enum Part {
    Text(String),
    Path(Name),
    Computed { program: Program, names: Vec<Name>, offset: usize, fraction: Option<(String, usize)> },
}

impl Part {
    fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, ExpressionError> {
        match self {
            Self::Text(text) => Ok(Value::String(text.clone())),
            Self::Path(name) => name.resolve(scope).cloned(),
            Self::Computed { program, names, offset, .. } => program.run(names, *offset, scope),
        }
    }

    fn names(&self) -> &[Name] {
        match self {
            Self::Text(_) => &[],
            Self::Path(name) => std::slice::from_ref(name),
            Self::Computed { names, .. } => names,
        }
    }
}

impl Expression {
    /// Whether `text` is meant as one: it contains `{{`.
    pub fn is(text: &str) -> bool {
        text.contains("{{")
    }

    /// Reads a text with `{{ }}` in it. One that is exactly one `{{ }}` keeps the JSON type of its value; any other gives a text,
    /// with what is not a text written as JSON.
    ///
    /// # Errors
    /// What is not well-formed, and where.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        if text.len() > LONGEST {
            let detail = format!("a text with expressions of {} bytes is too long, at most {LONGEST}", text.len());
            return Err(ExpressionError::new(0, detail));
        }
        let mut parts = Vec::new();
        let mut at = 0;
        while let Some(open) = text[at..].find("{{").map(|found| at + found) {
            if let Some(block) = text[at..open].find("{%") {
                return Err(no_blocks(at + block));
            }
            if open > at {
                parts.push(Part::Text(text[at..open].to_string()));
            }
            let (part, end) = part(text, open)?;
            parts.push(part);
            at = end;
        }
        if let Some(block) = text[at..].find("{%") {
            return Err(no_blocks(at + block));
        }
        if parts.is_empty() {
            return Err(ExpressionError::new(0, "there is no `{{ }}` in it"));
        }
        if at < text.len() {
            parts.push(Part::Text(text[at..].to_string()));
        }
        Ok(Self(Arc::new(Parts { text: text.to_string(), parts })))
    }

    /// The paths it names, in order of appearance in each `{{ }}`.
    pub fn names(&self) -> Vec<Name> {
        self.0.parts.iter().flat_map(|part| part.names().iter().cloned()).collect()
    }

    /// What in it may make a binary fraction of an amount, such as `*` in `item.amount * 100`, and where.
    pub(crate) fn fraction(&self) -> Option<(&str, usize)> {
        self.0.parts.iter().find_map(|part| match part {
            Part::Computed { fraction: Some((sign, offset)), .. } => Some((sign.as_str(), *offset)),
            _ => None,
        })
    }

    /// Its value in `scope`.
    ///
    /// # Errors
    /// A name that is not there, with those that are; a value that an operator or filter does not take.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, ExpressionError> {
        if let [only] = self.0.parts.as_slice() {
            return only.evaluate(scope);
        }
        let mut text = String::new();
        for part in &self.0.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                part => match part.evaluate(scope)? {
                    Value::String(part) => text.push_str(&part),
                    other => text.push_str(&other.to_string()),
                },
            }
        }
        Ok(Value::String(text))
    }

    /// The text as written.
    pub fn text(&self) -> &str {
        &self.0.text
    }
}

/// The `{{ }}` that opens at `open`, and the offset behind it.
fn part(text: &str, open: usize) -> Result<(Part, usize), ExpressionError> {
    let start = open + 2;
    if text[start..].starts_with('-') {
        return Err(ExpressionError::new(open, "`{{-` is not known here").hint("write `{{ `; for a negative number, `{{ -1 }}`"));
    }
    let (tokens, end) = scan::tokens(text, start)?;
    let original = &text[start..end - 2];
    if original.len() > LONGEST_PART {
        let detail = format!("an expression of {} bytes is too long, at most {LONGEST_PART}", original.len());
        return Err(ExpressionError::new(open, detail));
    }
    let Some(first) = tokens.first() else {
        return Err(ExpressionError::new(open, "`{{ }}` is empty").hint("write a name, such as `{{ params.name }}`"));
    };
    let offset = first.offset;
    let rewritten = rewrite::rewrite(&tokens)?;
    let part = match rewritten {
        rewrite::Rewritten { plain: true, mut names, .. } if names.len() == 1 => Part::Path(names.remove(0)),
        rewrite::Rewritten { source, names, fraction, .. } => {
            Part::Computed { program: Program::compile(original, start, source)?, names, offset, fraction }
        }
    };
    Ok((part, end))
}

fn no_blocks(offset: usize) -> ExpressionError {
    ExpressionError::new(offset, "`{% %}` is not known here, only `{{ }}`").hint("a choice is `{{ a if condition else b }}`")
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", self.0.text)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for Expression {}

#[cfg(test)]
mod tests;
