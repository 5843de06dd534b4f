//! [`Answer`]: what answered one request; [`NoAnswer`]: why nothing did. The values of calls to others.

use std::time::Duration;

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

    /// How long `Retry-After` asks to wait, given in seconds or as a date; `now_ms` is in milliseconds since 1970. What is neither
    /// says nothing.
    pub(crate) fn retry_after(&self, now_ms: i64) -> Option<Duration> {
        let text = self.header("retry-after")?.trim();
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().ok().map(Duration::from_secs);
        }
        let since_1970 = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(since_1970.saturating_sub(Duration::from_millis(u64::try_from(now_ms).ok()?)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_and_nothing_else() {
        let now_ms = 784_111_777_000; // Sun, 06 Nov 1994 08:49:37 GMT
        let asked = |text: &str| {
            Answer { status: 429, headers: vec![("retry-after".into(), text.into())], body: Bytes::new() }.retry_after(now_ms)
        };
        assert_eq!(asked("120"), Some(Duration::from_secs(120)));
        assert_eq!(asked(" 0 "), Some(Duration::ZERO));
        assert_eq!(asked("Sun, 06 Nov 1994 08:50:37 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:48:37 GMT"), Some(Duration::ZERO));
        for nothing in ["", "soon", "-3", "1.5", "99999999999999999999999"] {
            assert_eq!(asked(nothing), None, "{nothing}");
        }
    }
}
