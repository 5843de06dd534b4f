//! [`Reply`]: an answer before it goes out, and the ways in which it can be spoilt on the way.

use std::convert::Infallible;
use std::sync::OnceLock;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::faults::{Fault, Rule};

/// What a gzip bomb becomes.
const BOMB: usize = 256 * 1024 * 1024;

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Value,
    /// Whether it is the answer to an earlier request with the same key.
    pub replayed: bool,
}

/// Marks a response in whose place the connection is closed.
#[derive(Debug, Clone, Copy)]
pub struct Lost;

impl Reply {
    pub fn of(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body, replayed: false }
    }

    pub fn error(status: u16, detail: &str) -> Self {
        Self::of(status, json!({ "error": detail }))
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The response, spoilt as the rule says.
    pub fn response(self, fields: Option<[(&'static str, String); 2]>, rule: Option<&Rule>) -> Response {
        let text = self.body.to_string();
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.replayed {
            headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
        }
        for (name, value) in self.headers.into_iter().chain(fields.into_iter().flatten()) {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        *response.body_mut() = match rule.map(|rule| rule.fault) {
            Some(Fault::Slow) => slow(text, Duration::from_millis(rule.map_or(0, |rule| rule.ms))),
            Some(Fault::Endless) => {
                let zeros = Bytes::from_static(&[b' '; 64 * 1024]);
                Body::from_stream(stream::repeat(zeros).map(Ok::<_, Infallible>))
            }
            Some(Fault::Truncated) => {
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from(text.len() + 100));
                // What came so far goes out while the rest is waited for.
                let rest = stream::once(tokio::time::sleep(Duration::from_millis(20))).map(|()| String::new());
                Body::from_stream(stream::iter([text]).chain(rest).map(Ok::<_, Infallible>))
            }
            Some(Fault::GzipBomb) => {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                Body::from(bomb())
            }
            Some(Fault::BadUtf8) => Body::from([&b"{\"id\":\"\xff\xfe\",\"was\":"[..], text.as_bytes(), b"}"].concat()),
            Some(Fault::NotJson) => {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
                Body::from("<html><body>Please come back later.</body></html>")
            }
            _ => Body::from(text),
        };
        response
    }
}

pub fn lost() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(Lost);
    response
}

fn slow(text: String, time: Duration) -> Body {
    let length = text.len().max(1);
    let step = time / u32::try_from(length).unwrap_or(u32::MAX);
    let bytes = stream::iter(text.into_bytes()).then(move |byte| async move {
        tokio::time::sleep(step).await;
        Ok::<_, Infallible>(vec![byte])
    });
    Body::from_stream(bytes)
}

/// A gzip file of blanks. Packed once and repeated: a full flush makes every part of it the same.
fn bomb() -> Bytes {
    static PACKED: OnceLock<Bytes> = OnceLock::new();
    let pack = || {
        let blanks = vec![b' '; 1024 * 1024];
        let mut part = Vec::with_capacity(64 * 1024);
        let mut packer = flate2::Compress::new(flate2::Compression::fast(), false);
        // Nothing can go wrong with a buffer that is large enough.
        let _ = packer.compress_vec(&blanks, &mut part, flate2::FlushCompress::Full);
        let (mut whole, mut sum) = (flate2::Crc::new(), flate2::Crc::new());
        sum.update(&blanks);
        let mut packed = b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec();
        for _ in 0..BOMB / blanks.len() {
            packed.extend_from_slice(&part);
            whole.combine(&sum);
        }
        // The last block, which is empty.
        packed.extend_from_slice(&[3, 0]);
        packed.extend_from_slice(&whole.sum().to_le_bytes());
        packed.extend_from_slice(&whole.amount().to_le_bytes());
        packed
    };
    PACKED.get_or_init(|| Bytes::from(pack())).clone()
}
