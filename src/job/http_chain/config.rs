//! [`HttpChainConfig`]: the settings of `http_chain`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::{JsonSchema, json_schema};
use serde::Deserialize;

use super::steps::StepConfig;
use crate::expression::{Setting, Template};
use crate::units::{BytesText, DurationText};

/// Calls a third party: for each item the same steps in their order, each of which may use what those before it were answered.
///
/// A step is one request. It is kept what was sent and what was answered, so that a crash, a resume or a redrive goes on at the step
/// where the item was, and nothing that has an effect is sent twice unless that is known to be safe: see `on_unknown`. Calls wait for
/// their turn (`rate`), answer to `Retry-After`, and are tried again as `retry` says.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpChainConfig {
    /// What paths of steps are put behind, such as `https://api.example.com/v1`.
    #[serde(default)]
    #[schemars(extend("format" = "fanfold-url"), example = &"https://api.example.com/v1")]
    pub base_url: Option<String>,

    /// How requests say who sends them. Goes to the hosts that this file names, and to no other.
    #[serde(default)]
    pub auth: Option<Auth>,

    /// Header fields of every request; a step's own come before them. One that is null is left out.
    #[serde(default)]
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous", "steps", "secrets"]))]
    pub headers: BTreeMap<String, Setting<Option<String>>>,

    /// How long to wait for a whole answer, 1ms to 15m. Default 30s.
    #[serde(default = "timeout", with = "crate::units::duration")]
    #[schemars(with = "DurationText")]
    pub timeout: Duration,

    /// What of an answer is made `***` before it is kept and judged: paths such as `body.card.number`, which in a list mean each of
    /// its elements, and `headers.name`. With a path of the body, a body that is not JSON is not kept at all.
    #[serde(default)]
    #[schemars(example = vec!["body.card"])]
    pub redact: Vec<String>,

    /// The most bytes of an answer's body, as decoded. A larger one is not read to its end. Default 1MiB, at most 64MiB.
    #[serde(default = "max_response", deserialize_with = "super::steps::bytes")]
    #[schemars(with = "BytesText")]
    pub max_response: u64,

    /// The certificates of a private authority, as a PEM file. They are trusted beside those of the system.
    #[serde(default)]
    #[schemars(extend("format" = "fanfold-path"))]
    pub ca_file: Option<PathBuf>,

    /// Whether link-local addresses may be called, among them those where clouds keep the credentials of a machine. Default no.
    #[serde(default)]
    pub allow_link_local: bool,

    /// Whether secrets may go over plain `http://` to another machine. Default no.
    #[serde(default)]
    pub allow_http: bool,

    /// How many redirects of one request are followed, 0 for none. Only GET and HEAD follow; what says who sends the request does not
    /// go along to another host. Default 5.
    #[serde(default = "redirects")]
    #[schemars(range(max = 20))]
    pub redirects: u32,

    /// The calls, in their order.
    #[schemars(length(min = 1, max = 100))]
    pub steps: Vec<StepConfig>,

    /// What is kept of a success, and is `previous` for the next item of a lane. At most 64 KiB. Default nothing.
    #[serde(default)]
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous", "steps"]))]
    pub output: Option<Template>,
}

/// How requests say who sends them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    /// A token: `Authorization: Bearer …`.
    Bearer(#[schemars(extend("x-fanfold-scope" = ["params", "item", "secrets"]))] Setting<String>),
    /// A user and a password: `Authorization: Basic …`.
    Basic(BasicAuth),
    /// A header field of another name, such as `X-Api-Key`.
    Header(HeaderAuth),
    /// A token that is asked for first, by client credentials (OAuth 2), and again shortly before it runs out.
    Oauth2(OAuth2),
}

/// A user and a password.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// Who.
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "secrets"]))]
    pub user: Setting<String>,
    /// The password.
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "secrets"]))]
    pub password: Setting<String>,
}

/// A header field that says who sends a request.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderAuth {
    /// Its name.
    #[schemars(example = &"X-Api-Key")]
    pub name: String,
    /// Its value.
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "secrets"]))]
    pub value: Setting<String>,
}

/// Client credentials. One token for all items of a process.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OAuth2 {
    /// Where tokens are given.
    #[schemars(extend("format" = "fanfold-url"))]
    pub token_url: String,
    /// Who.
    #[schemars(extend("x-fanfold-scope" = ["params", "secrets"]))]
    pub client_id: Setting<String>,
    /// The secret.
    #[schemars(extend("x-fanfold-scope" = ["params", "secrets"]))]
    pub client_secret: Setting<String>,
    /// What the token is for.
    #[serde(default)]
    pub scope: Option<String>,
    /// Who the token is for.
    #[serde(default)]
    pub audience: Option<String>,
}

fn timeout() -> Duration {
    Duration::from_secs(30)
}

fn max_response() -> u64 {
    1 << 20
}

fn redirects() -> u32 {
    5
}

/// A status, or a class of them such as `2xx`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statuses {
    /// This one.
    One(u16),
    /// Those that begin with this digit.
    Class(u16),
}

impl Statuses {
    /// Whether this status is one of them.
    pub fn has(self, status: u16) -> bool {
        match self {
            Self::One(one) => status == one,
            Self::Class(class) => status / 100 == class,
        }
    }
}

impl std::fmt::Display for Statuses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::One(status) => write!(f, "{status}"),
            Self::Class(class) => write!(f, "{class}xx"),
        }
    }
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let value = serde_json::Value::deserialize(deserializer)?;
        let wrong = || D::Error::custom(format!("`{value}` is not a status: expected 200 to 599, or a class such as `2xx`"));
        if let Some(status) = value.as_u64() {
            let status = u16::try_from(status).ok().filter(|status| (200..600).contains(status));
            return status.map(Self::One).ok_or_else(wrong);
        }
        match value.as_str().map(str::as_bytes) {
            Some([class @ b'2'..=b'5', b'x', b'x']) => Ok(Self::Class(u16::from(class - b'0'))),
            _ => Err(wrong()),
        }
    }
}

impl JsonSchema for Statuses {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Statuses".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": 200, "maximum": 599 },
            { "enum": ["2xx", "3xx", "4xx", "5xx"] },
        ] })
    }
}
