//! [`StepConfig`]: the settings of one step.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

use super::config::Statuses;
use super::url_text::UrlText;
use crate::expression::{Setting, Template};
use crate::retry::Retry;
use crate::units::{BytesText, DurationText, parse_bytes, parse_duration};

/// One request: its method with a URL or a path behind `base_url`, what it carries, and what of its answer is kept.
///
/// Values in a URL are encoded: in the path as one segment each, behind `?` as a value. An expression at the very beginning is the
/// beginning of the URL as it is, such as `{{ steps.created.location }}`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepConfig {
    /// What it is called, in snake_case: later steps name what it captured as `steps.NAME.…`.
    pub name: String,

    /// Sends GET to this URL, or path behind `base_url`.
    #[serde(default)]
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous", "steps"]))]
    pub get: Option<UrlText>,
    /// Sends HEAD.
    #[serde(default)]
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous", "steps"]))]
    pub head: Option<UrlText>,
    /// Sends POST: an effect each time, unless there is `idempotency` or `effect: false`.
    #[serde(default)]
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous", "steps"]))]
    pub post: Option<UrlText>,
    /// Sends PUT: an effect, twice as good as once.
    #[serde(default)]
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous", "steps"]))]
    pub put: Option<UrlText>,
    /// Sends PATCH: an effect each time, unless there is `idempotency` or `effect: false`.
    #[serde(default)]
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous", "steps"]))]
    pub patch: Option<UrlText>,
    /// Sends DELETE: an effect, twice as good as once.
    #[serde(default)]
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous", "steps"]))]
    pub delete: Option<UrlText>,

    /// Another method, in capitals; with `path`.
    #[serde(default)]
    #[schemars(example = &"REPORT")]
    pub method: Option<String>,
    /// The URL or path for `method`.
    #[serde(default)]
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous", "steps"]))]
    pub path: Option<UrlText>,

    /// What is put behind `?`, by name. A list is its name once for each element; what is null is left out.
    #[serde(default)]
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous", "steps"]))]
    pub query: BTreeMap<String, Template>,

    /// Header fields, by name. One that is null is left out.
    #[serde(default)]
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous", "steps", "secrets"]))]
    pub headers: BTreeMap<String, Setting<Option<String>>>,

    /// The body as JSON. A value that is exactly one expression keeps its type.
    #[serde(default)]
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous", "steps"]))]
    pub json: Option<Template>,

    /// The body as a form, by name. A list is its name once for each element; what is null is left out.
    #[serde(default)]
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous", "steps"]))]
    pub form: Option<BTreeMap<String, Template>>,

    /// The body as text.
    #[serde(default)]
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous", "steps"]))]
    pub body: Option<Setting<String>>,

    /// What `body` is. Default `text/plain; charset=utf-8`.
    #[serde(default)]
    #[schemars(example = &"application/xml")]
    pub content_type: Option<String>,

    /// How long to wait for the whole answer, 1ms to 15m. Default that of the job.
    #[serde(default, deserialize_with = "optional_duration")]
    #[schemars(with = "DurationText")]
    pub timeout: Option<Duration>,

    /// The statuses of a success, each a number or a class such as `2xx`. Any other fails the item. Default `[2xx]`.
    #[serde(default)]
    pub expect: Option<Vec<Statuses>>,

    /// What of the answer later steps and `output` can name, as `steps.STEP.NAME`: values over `status`, `headers`, `body`, and
    /// `pages` with `paginate`.
    #[serde(default)]
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous", "steps", "status", "headers", "body", "pages"]))]
    pub capture: BTreeMap<String, Template>,

    /// Whether the step is done for this item. What a step that is left out would capture is null.
    #[serde(default)]
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous", "steps"]))]
    pub when: Option<Setting<bool>>,

    /// Asks again and again until an answer is as it should be.
    #[serde(default)]
    pub poll: Option<Poll>,

    /// Fetches further pages.
    #[serde(default)]
    pub paginate: Option<Paginate>,

    /// `lane`: done once for a lane, from its first item; all items of the lane name what it captured. If it fails, the lane stops.
    #[serde(default)]
    pub once_per: Option<OncePer>,

    /// A key that is the same whenever the same effect is meant, by which the other side knows a request again.
    #[serde(default)]
    pub idempotency: Option<Idempotency>,

    /// Whether it changes anything. Default no for GET and HEAD, yes for all others; said of PUT or DELETE, `true` means that twice is
    /// not as good as once.
    #[serde(default)]
    pub effect: Option<bool>,

    /// When and how often the request is tried again. Default that of the workflow.
    #[serde(default)]
    pub retry: Option<Retry>,

    /// Statuses that are tried again though they usually are not, such as a 404 of something that is not there yet.
    #[serde(default)]
    pub also_retry: Vec<Statuses>,

    /// What to do when an effect may have happened and there is no answer. Default: an idempotent method or a live key is sent again; else
    /// `probe` is asked if there is one; else the item is held.
    #[serde(default)]
    pub on_unknown: Option<OnUnknownConfig>,

    /// How to find out whether the effect of a lost request is there.
    #[serde(default)]
    pub probe: Option<Probe>,

    /// The most bytes of the answer's body, as decoded. Default that of the job, at most 64MiB.
    #[serde(default, deserialize_with = "optional_bytes")]
    #[schemars(with = "BytesText")]
    pub max_response: Option<u64>,
}

/// Asking again until an answer is as it should be.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Poll {
    /// What must be true of the answer, such as `{{ body.status == 'done' }}`.
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous", "steps", "status", "headers", "body"]))]
    pub until: Setting<bool>,
    /// How long to wait between two calls, at least 1ms.
    #[serde(with = "crate::units::duration")]
    #[schemars(with = "DurationText")]
    pub every: Duration,
    /// How long to go on asking. After it the item is failed, `Http.PollTimeout`.
    #[serde(with = "crate::units::duration")]
    #[schemars(with = "DurationText")]
    pub timeout: Duration,
}

/// Fetching further pages: by `cursor` and `query`, by `next_url`, or by `link`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Paginate {
    /// What names the next page, such as `{{ body.next }}`. Null, `false` or an empty text: there is none.
    #[serde(default)]
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous", "steps", "status", "headers", "body"]))]
    pub cursor: Option<Template>,
    /// The name that the cursor is sent under, behind `?`.
    #[serde(default)]
    #[schemars(example = &"cursor")]
    pub query: Option<String>,
    /// The URL of the next page, such as `{{ body.links.next }}`. Null, `false` or an empty text: there is none.
    #[serde(default)]
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous", "steps", "status", "headers", "body"]))]
    pub next_url: Option<Template>,
    /// Follows the `Link` header field with this relation.
    #[serde(default)]
    pub link: Option<LinkRelation>,
    /// The list in each page, such as `{{ body.data }}`: `pages` is then one list of all elements. Without, it is the list of all bodies.
    #[serde(default)]
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous", "steps", "status", "headers", "body"]))]
    pub items: Option<Template>,
    /// The most pages. One more fails the item, `Http.TooManyPages`. Default 100.
    #[serde(default = "max_pages")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_pages: u32,
}

/// A relation of a `Link` header field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkRelation {
    /// The page that follows.
    Next,
}

/// How often a step is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OncePer {
    /// Once for a lane.
    Lane,
}

/// A key by which the other side knows a request again.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Idempotency {
    /// The header field that carries it. Default `Idempotency-Key`.
    pub header: Option<String>,
    /// How long the other side remembers it. Later the request is not sent again. Default for ever.
    #[serde(deserialize_with = "optional_duration")]
    #[schemars(with = "DurationText")]
    pub ttl: Option<Duration>,
}

/// What to do when an effect may have happened and there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknownConfig {
    /// It is sent again with the same key: for idempotent methods and with `idempotency`.
    RetrySameKey,
    /// `probe` is asked.
    Probe,
    /// The item is unknown; a person decides by `fanfold resolve`.
    Hold,
}

/// How to find out whether the effect of a lost request is there.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// What is asked, by GET.
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous", "steps"]))]
    pub get: UrlText,
    /// Whether the effect is there, asked of an answer with a status 2xx, 404 or 410. Any other answer says nothing.
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous", "steps", "status", "headers", "body"]))]
    pub found: Setting<bool>,
    /// How long after it was sent an effect may still land: it is not asked before.
    #[serde(with = "crate::units::duration")]
    #[schemars(with = "DurationText")]
    pub wait: Duration,
    /// The body that stands for the lost answer. Default `{{ body }}`.
    #[serde(default)]
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous", "steps", "status", "headers", "body"]))]
    pub capture: Option<Template>,
}

impl StepConfig {
    /// The methods with a setting of their own, each with its URL if it is there.
    pub(super) fn urls(&self) -> [(&'static str, &'static str, Option<&UrlText>); 6] {
        [
            ("get", "GET", self.get.as_ref()),
            ("head", "HEAD", self.head.as_ref()),
            ("post", "POST", self.post.as_ref()),
            ("put", "PUT", self.put.as_ref()),
            ("patch", "PATCH", self.patch.as_ref()),
            ("delete", "DELETE", self.delete.as_ref()),
        ]
    }

    /// The setting that holds the URL, the method and the URL; `None` if there is not exactly one.
    pub(super) fn request(&self) -> Option<(&'static str, &str, &UrlText)> {
        let mut named = self.urls().into_iter().filter_map(|(setting, method, url)| Some((setting, method, url?)));
        match (named.next(), named.next(), self.method.as_deref(), self.path.as_ref()) {
            (Some(one), None, None, None) => Some(one),
            (None, None, Some(method), Some(url)) => Some(("path", method, url)),
            _ => None,
        }
    }

    /// Whether it may be sent at any time: it has no effect.
    pub(super) fn is_safe(&self) -> bool {
        !self.effect.unwrap_or_else(|| self.request().is_none_or(|(_, method, _)| !matches!(method, "GET" | "HEAD")))
    }

    /// Whether it has an effect, and sending it twice is as good as once.
    pub(super) fn is_idempotent(&self) -> bool {
        self.effect != Some(true) && self.request().is_some_and(|(_, method, _)| matches!(method, "PUT" | "DELETE"))
    }
}

fn max_pages() -> u32 {
    100
}

pub(super) fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    parse_bytes(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

fn optional_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    bytes(deserializer).map(Some)
}

fn optional_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    parse_duration(&String::deserialize(deserializer)?).map(Some).map_err(de::Error::custom)
}
