//! What an error of reqwest says of a request: never sent, or perhaps arrived. In doubt it perhaps arrived.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::address::RefusedAddress;
use crate::call::NoAnswer;

/// The body of a request, which notes when it is first asked for. A connection asks for it when it has the request and begins to
/// write; a request whose body was never asked for did not arrive.
pub(super) struct Watched {
    bytes: Option<Bytes>,
    begun: Arc<AtomicBool>,
}

impl Watched {
    pub fn body(bytes: Bytes, begun: Arc<AtomicBool>) -> reqwest::Body {
        reqwest::Body::wrap(Self { bytes: Some(bytes), begun })
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.begun.store(true, Ordering::SeqCst);
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

/// Why there is no answer at all. `begun` is that of the request's [`Watched`] body, if it has one.
pub(super) fn before_answer(error: &reqwest::Error, host: &str, begun: Option<&AtomicBool>) -> NoAnswer {
    let cause = deepest(error);
    if let Some(refused) = all::<RefusedAddress>(error).next() {
        return NoAnswer::Refused(refused.to_string());
    }
    if error.is_builder() {
        return NoAnswer::Refused(format!("the request to `{host}` cannot be made: {cause}"));
    }
    if error.is_dns() {
        // The one answer of a resolver that may be another one in a moment.
        return match cause.contains("emporary failure") {
            true => NoAnswer::NotSent(format!("`{host}` cannot be resolved just now: {cause}")),
            false => NoAnswer::Surroundings(format!("`{host}` is a name that no one knows: {cause}")),
        };
    }
    if error.is_connect() {
        if error.is_timeout() {
            return NoAnswer::NotSent(format!("no connection to `{host}` within its time"));
        }
        // What TLS has to say comes as an error of this kind, whatever library says it.
        return match all::<io::Error>(error).any(|error| error.kind() == io::ErrorKind::InvalidData) {
            true => NoAnswer::Surroundings(format!("no trusted connection to `{host}`: {cause}")),
            false => NoAnswer::NotSent(format!("no connection to `{host}`: {cause}")),
        };
    }
    let never_begun = begun.is_some_and(|begun| !begun.load(Ordering::SeqCst));
    if never_begun || all::<hyper::Error>(error).any(hyper::Error::is_canceled) || all::<h2::Error>(error).any(was_refused) {
        return NoAnswer::NotSent(format!("`{host}` closed the connection before anything was sent: {cause}"));
    }
    match error.is_timeout() {
        true => NoAnswer::TimedOut(format!("no answer from `{host}` within its time")),
        false => NoAnswer::Lost(format!("the connection to `{host}` broke before there was an answer: {cause}")),
    }
}

/// Why an answer with this status did not come to its end; so many bytes of its body had come.
pub(super) fn in_answer(error: &reqwest::Error, status: u16, length: u64) -> NoAnswer {
    let cause = deepest(error);
    if error.is_timeout() {
        return NoAnswer::TimedOut(format!("the answer, a {status}, was not whole within its time, {length} bytes had come"));
    }
    // What is wrong with the connection comes from hyper; what is left is what is wrong with the bytes.
    match error.is_decode() && all::<hyper::Error>(error).next().is_none() {
        true => NoAnswer::Unusable { status, cause: format!("the body cannot be decompressed: {cause}") },
        false => NoAnswer::Lost(format!("the answer, a {status}, broke off after {length} bytes: {cause}")),
    }
}

/// Whether the other side of an HTTP/2 connection says that it never looked at the request (RFC 9113, 8.7).
fn was_refused(error: &h2::Error) -> bool {
    let graceful = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (graceful || refused)
}

/// The errors of this type among an error and its causes.
fn all<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a T> {
    std::iter::successors(Some(error), |error| cause(*error)).filter_map(|error| error.downcast_ref::<T>())
}

/// What lies at the bottom of an error, in words, without the URL.
pub(super) fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(inner) = cause(deepest) {
        deepest = inner;
    }
    deepest.to_string()
}

/// The cause of an error; that of an error in an error of input and output is the one inside, which its `source` leaves out.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}
