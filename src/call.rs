//! [`Answer`]: what answered one request; [`NoAnswer`]: why nothing did. The values of calls to others.

use bytes::Bytes;

/// What answered a request, whole: what is redacted is out of it already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status, 100 to 599. A job that speaks something else says what its answers mean by the nearest one.
    pub status: u16,
    /// Header fields in the order in which they came, names in lowercase.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The first header field of this name, given in lowercase.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// Why a request got no whole answer, and what is certain of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// It was never written: the connection was refused, or none could be made. It can be sent again, whatever it does.
    NotSent(String),
    /// It may have arrived: the connection broke, or the answer was torn.
    Lost(String),
    /// It may have arrived: no answer within its time.
    TimedOut(String),
    /// It was answered with this status, and the answer cannot be kept: it is too large or cannot be decoded.
    Unusable {
        /// The status of the answer.
        status: u16,
        /// What is wrong with it.
        cause: String,
    },
    /// It was never sent and never can be, for any item: a certificate that is not trusted, a host that no one knows.
    Surroundings(String),
    /// It was never sent: this request is not allowed or cannot be made, such as one to an address that is refused.
    Refused(String),
}
