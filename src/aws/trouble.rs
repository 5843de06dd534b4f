//! What AWS answers instead of what was asked for, as an [`Error`].

use aws_sdk_sfn::config::http::HttpResponse;
use aws_sdk_sfn::error::{ProvideErrorMetadata, SdkError};

use crate::error::{Error, causes};

/// The error code of AWS in an answer, such as `ExecutionAlreadyExists`; nothing if there was no answer.
pub(super) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    match error {
        SdkError::ServiceError(answer) => answer.err().code(),
        _ => None,
    }
}

/// What was asked for and not answered, and whether it may be answered a little later.
#[derive(Debug)]
pub(crate) struct Asked {
    pub error: Error,
    /// Too many requests, no network, trouble of AWS's own: it passes.
    pub passes: bool,
}

impl Asked {
    pub fn of<E>(doing: impl std::fmt::Display, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        let passes = match error {
            SdkError::ServiceError(answer) => {
                is_throttle(answer.err().code().unwrap_or_default()) || matches!(answer.raw().status().as_u16(), 429 | 500..)
            }
            SdkError::ConstructionFailure(_) => false,
            _ => true,
        };
        Self { error: trouble(doing, error), passes }
    }
}

impl From<Asked> for Error {
    fn from(asked: Asked) -> Self {
        asked.error
    }
}

/// An error of any AWS service: `doing` is what was asked for, such as ``the execution cannot be started``.
pub(super) fn trouble<E>(doing: impl std::fmt::Display, error: &SdkError<E, HttpResponse>) -> Error
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let SdkError::ServiceError(answer) = error else {
        return Error::surroundings(format!("{doing}: AWS cannot be reached: {}", causes(error)));
    };
    let (code, status) = (answer.err().code().unwrap_or_default(), answer.raw().status().as_u16());
    let said = match (code, answer.err().message()) {
        ("", _) => format!("HTTP status {status}"),
        (code, Some(message)) if !message.is_empty() => format!("{code}: {message}"),
        (code, _) => code.to_string(),
    };
    let error = Error::surroundings(format!("{doing}: {said}"));
    match code {
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" => error.hint("the credentials lack this permission"),
        "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "SignatureDoesNotMatch"
        | "InvalidSignatureException"
        | "IncompleteSignature" => error.hint("the credentials are not accepted; log in again, or set AWS_PROFILE"),
        code if is_throttle(code) || status == 429 => error.hint("too many requests in this account; try again in a minute"),
        _ => error,
    }
}

/// Whether the account asked too often.
pub(super) fn is_throttle(code: &str) -> bool {
    matches!(
        code,
        "Throttling"
            | "ThrottlingException"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "SlowDown"
            | "RequestThrottled"
    )
}
