//! [`Error`]: what went wrong, where, and the one action that helps.
//!
//! One public type for everything fanfold refuses or cannot do. What happened to a single item is a
//! [`Failure`](crate::Failure) instead: a record, kept and shown with the run.

use std::fmt;
use std::sync::Arc;

/// The result of everything in fanfold that can go wrong as a whole.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of trouble an [`Error`] is; it decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The workflow file, an input or the command is wrong; nothing was started. Exit code 2.
    Refused,
    /// The run was stopped and can be resumed. Exit code 3.
    Stopped,
    /// The surroundings are in the way: access, disk, network. Exit code 4.
    Surroundings,
    /// A mistake of fanfold's own. Exit code 101.
    Bug,
}

/// A place in a file, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file as the user named it.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// What went wrong: kind, detail, place and at most one hint.
///
/// Shown as ``detail (file:line:column); hint: action`` — lowercase, no full stop, the user's own names in backticks.
///
/// ```
/// use fanfold::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::Refused, "`max_itmes` is not a setting of `batch`").hint("did you mean `max_items`?");
/// assert_eq!(error.to_string(), "`max_itmes` is not a setting of `batch`; hint: did you mean `max_items`?");
/// ```
#[derive(Debug, Clone)]
pub struct Error(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    kind: ErrorKind,
    detail: String,
    place: Option<Place>,
    hint: Option<String>,
    others: Vec<Error>,
}

impl Error {
    /// An error of this kind; `detail` is a lowercase fragment without a full stop.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts { kind, detail: detail.into(), place: None, hint: None, others: Vec::new() }))
    }

    /// The workflow, an input or the command is wrong.
    pub fn refused(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, detail)
    }

    /// The surroundings are in the way: access, disk, network.
    pub fn surroundings(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Surroundings, detail)
    }

    /// A mistake of fanfold's own.
    pub fn bug(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Bug, detail)
    }

    /// Several mistakes found at once, the first one in front.
    ///
    /// `None` if the list is empty.
    pub fn all(errors: Vec<Error>) -> Option<Self> {
        let mut errors = errors.into_iter();
        let mut first = errors.next()?;
        for mut error in errors {
            let others = std::mem::take(&mut error.0.others);
            first.0.others.push(error);
            first.0.others.extend(others);
        }
        Some(first)
    }

    /// Adds where it is. A place that is already known stays.
    #[must_use]
    pub fn at(mut self, place: Option<Place>) -> Self {
        if self.0.place.is_none() {
            self.0.place = place;
        }
        self
    }

    /// Adds the one action that helps.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Which kind of trouble it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What went wrong, without place and hint.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Where it is, if it is in a file.
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    /// The action that helps, if there is one.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Every mistake found, this one first.
    pub fn each(&self) -> impl Iterator<Item = &Error> {
        std::iter::once(self).chain(self.0.others.iter())
    }

    /// The exit code of a command that ends with this error.
    pub fn exit_code(&self) -> u8 {
        match self.0.kind {
            ErrorKind::Refused => 2,
            ErrorKind::Stopped => 3,
            ErrorKind::Surroundings => 4,
            ErrorKind::Bug => 101,
        }
    }
}

impl fmt::Display for Error {
    /// Writes this mistake only; see [`Error::each`] for the others found with it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.detail)?;
        if let Some(place) = &self.0.place {
            write!(f, " ({place})")?;
        }
        if let Some(hint) = &self.0.hint {
            write!(f, "; hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
/// The causes below an error's own words, where those only say that something failed, as those of the AWS SDK do.
#[cfg(feature = "s3")]
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !texts.last().is_some_and(|last| last.contains(&text)) {
            texts.push(text);
        }
        next = cause.source();
    }
    if texts.is_empty() { error.to_string() } else { texts.join(": ") }
}
