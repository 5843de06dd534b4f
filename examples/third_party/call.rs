//! [`Call`]: a request of the API, read.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::OnceLock;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, header};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::log::Line;

/// The longest body that is read.
const LONGEST: usize = 1024 * 1024;

#[derive(Debug, Default)]
pub struct Call {
    /// Which arrival it is.
    pub number: u64,
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The part of the path that names something.
    pub id: Option<String>,
    pub query: HashMap<String, String>,
    pub host: String,
    pub token: Option<String>,
    pub key: Option<String>,
    pub body: Bytes,
    /// The body, or null.
    pub json: Value,
    /// Whether pages are to go round in a circle.
    pub loops: bool,
    payload: OnceLock<String>,
}

impl Call {
    pub async fn read(request: Request<Body>, id: Option<String>) -> Self {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, LONGEST).await.unwrap_or_default();
        let field = |name| text(&parts.headers, name);
        let query = parts.uri.query().unwrap_or_default();
        Self {
            number: 0,
            path: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            id,
            query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            host: field(header::HOST.as_str()).unwrap_or_default(),
            token: field(header::AUTHORIZATION.as_str()).and_then(|text| text.strip_prefix("Bearer ").map(str::to_string)),
            key: field("idempotency-key").map(|key| key.trim_matches('"').to_string()).filter(|key| !key.is_empty()),
            json: serde_json::from_slice(&body).unwrap_or_default(),
            body,
            method: parts.method,
            loops: false,
            payload: OnceLock::new(),
        }
    }

    /// Whether it is one of those that are known again by their key.
    pub fn dedupes(&self) -> bool {
        self.method == Method::POST && self.path.starts_with("/invoices")
    }

    /// What it asks for, as 16 digits.
    pub fn payload(&self) -> &str {
        self.payload.get_or_init(|| {
            let hash = Sha256::new().chain_update(self.method.as_str()).chain_update(&self.path).chain_update(&self.body);
            hash.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            })
        })
    }

    /// What the log says of it.
    pub fn line(&self) -> Line<'_> {
        let field = |name: &str| self.json.get(name)?.as_str();
        Line {
            arrival: self.number,
            method: self.method.as_str(),
            path: &self.path,
            key: self.key.as_deref(),
            customer: field("customer").or_else(|| self.query.get("customer").map(String::as_str)),
            order: field("order").or_else(|| field("reference")),
            ..Line::default()
        }
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_string)
}
