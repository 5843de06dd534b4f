//! [`ExpressionError`]: what is wrong with an expression, or with what it was worked out over.

use std::fmt;

/// What is wrong with an expression, where in its text, and the one action that helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpressionError {
    detail: String,
    hint: Option<String>,
    offset: usize,
}

impl ExpressionError {
    pub(crate) fn new(offset: usize, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), hint: None, offset }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What was found and what is allowed, as a lowercase fragment.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The action that helps, if there is one.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Where in the expression's text, in bytes from its start.
    pub fn offset(&self) -> usize {
        self.offset
    }
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)?;
        match &self.hint {
            Some(hint) => write!(f, "; hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ExpressionError {}
