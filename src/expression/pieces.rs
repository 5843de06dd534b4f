//! [`Piece`]: the pieces of a text with expressions, for those who put values into it in their own way, such as into a URL.

use serde_json::Value;

use super::{Expression, ExpressionError, Name, Part, Scope};

/// One piece of a text with expressions.
#[derive(Clone, Copy)]
pub(crate) struct Piece<'a>(&'a Part);

impl Expression {
    /// The pieces of the text, in their order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        self.0.parts.iter().map(Piece)
    }
}

impl<'a> Piece<'a> {
    /// What is written as it is; `None` for an expression.
    pub fn text(&self) -> Option<&'a str> {
        match self.0 {
            Part::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What it names.
    pub fn names(&self) -> &'a [Name] {
        self.0.names()
    }

    /// Its value in `scope`.
    ///
    /// # Errors
    /// Those of [`Expression::evaluate`].
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, ExpressionError> {
        self.0.evaluate(scope)
    }
}
