//! [`Refused`]: why an invocation gives no answer, under the name by which the state machine knows what to do.

use lambda_runtime::Diagnostic;

use crate::error::Error;

/// No other try can help: ends the child, its items stay pending.
const REFUSED: &str = "Worker.Refused";

/// Another worker may do better: the batch is asked for again.
const INTERRUPTED: &str = "Worker.Interrupted";

/// The same, because its time was up before any item had ended: counted as if it had died.
const TIMED_OUT: &str = "Worker.TimedOut";

/// Why an invocation gives no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub name: &'static str,
    pub cause: String,
}

impl Refused {
    /// No other try can help.
    pub fn new(cause: impl Into<String>) -> Self {
        Self { name: REFUSED, cause: cause.into() }
    }

    /// Every mistake that was found.
    pub fn all(error: &Error) -> Self {
        let each: Vec<String> = error.each().map(ToString::to_string).collect();
        Self::new(each.join("\n"))
    }

    /// The results cannot be read or written just now.
    pub fn interrupted(error: &Error) -> Self {
        Self { name: INTERRUPTED, cause: error.to_string() }
    }

    /// The worker's time was up, and no item had ended.
    pub fn timed_out() -> Self {
        Self { name: TIMED_OUT, cause: "the time of the worker was up before any item had ended".to_string() }
    }
}

impl From<Refused> for Diagnostic {
    fn from(refused: Refused) -> Self {
        Self { error_type: refused.name.to_string(), error_message: refused.cause }
    }
}
