//! [`Wire`]: how a request gets to the other side. The network in a run, a script in a rehearsal.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use url::Url;

use super::Sent;
use crate::call::{Answer, NoAnswer};

/// A request as it goes out. It may hold secrets: it is neither kept nor shown.
#[derive(Clone)]
pub(crate) struct WireRequest {
    /// The step it belongs to; for a call for a token `token`.
    pub step: String,
    /// Which request of the step, from 0.
    pub call: u32,
    /// The method, in capitals.
    pub method: String,
    pub url: Url,
    /// Header fields, names in lowercase.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// How long to wait for the whole answer.
    pub timeout: Duration,
    /// The most bytes of a body, as decoded.
    pub max_response: u64,
}

/// Sends requests.
pub(crate) trait Wire: Send + Sync {
    /// Sends one and waits for the whole answer, its body decoded.
    fn exchange(&self, request: WireRequest) -> Sent<'_, Result<Answer, NoAnswer>>;
}

impl fmt::Debug for WireRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WireRequest({} call {})", self.step, self.call)
    }
}
