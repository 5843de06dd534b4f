//! [`Step`]: a step with everything worked out that is the same for all items.

use std::time::Duration;

use bytes::Bytes;
use url::Url;

use super::config::{HttpChainConfig, Statuses};
use super::headers::{Headers, Wrong};
use super::seen::Wants;
use super::steps::{OnUnknownConfig, OncePer, Paginate, Poll, Probe, StepConfig};
use super::url_text::{Target, UrlText};
use crate::expression::{Scope, Setting, Template};
use crate::job::{OnUnknown, StepPolicy, StepRepeat};
use crate::retry::Retry;

/// The header field of a key, unless the workflow names another.
pub(super) const KEY_HEADER: &str = "idempotency-key";

/// What a text is, unless the workflow says otherwise.
const TEXT: &str = "text/plain; charset=utf-8";

/// What a form is.
const FORM: &str = "application/x-www-form-urlencoded";

/// What `json` is.
const JSON: &str = "application/json";

/// A step, prepared.
#[derive(Debug)]
pub(super) struct Step {
    pub name: String,
    pub method: String,
    pub url: UrlText,
    /// Where it goes, if that is the same for every item.
    pub fixed: Option<Target>,
    pub query: Vec<(String, Template)>,
    pub headers: Headers,
    pub payload: Payload,
    /// What the payload is, unless a header field says so.
    pub content_type: Option<String>,
    pub timeout: Duration,
    pub max_response: u64,
    pub expect: Vec<Statuses>,
    pub captures: Vec<(String, Template)>,
    pub wants: Wants,
    pub when: Option<Setting<bool>>,
    pub poll: Option<Poll>,
    pub paginate: Option<Paginate>,
    pub once_per_lane: bool,
    /// The header field of its key, in lowercase.
    pub key_header: Option<String>,
    pub repeat: StepRepeat,
    pub probe: Option<Probe>,
    on_unknown: OnUnknown,
    retry: Option<Retry>,
    expected: Vec<u16>,
    retried: Vec<u16>,
}

/// What a request carries.
#[derive(Debug)]
pub(super) enum Payload {
    /// The same for every item, or nothing.
    Fixed(Bytes),
    Json(Template),
    Form(Vec<(String, Template)>),
    Text(Setting<String>),
}

impl Step {
    /// From settings that passed the check; `scope` is what is known when a run starts, secrets among it.
    ///
    /// # Errors
    /// A header field that is the same for all items and cannot be worked out.
    pub fn new(
        config: &HttpChainConfig,
        step: &StepConfig,
        base: Option<&Url>,
        scope: &Scope<'_>,
    ) -> Result<Option<Self>, Wrong> {
        let Some((_, method, url)) = step.request() else { return Ok(None) };
        let headers = Headers::new(&config.headers, &step.headers, scope)?;
        let (payload, content_type) = payload(step);
        let wants = step.capture.values().map(Wants::of_template).fold(Wants::default(), Wants::and);
        let wants = step
            .poll
            .iter()
            .filter_map(|poll| poll.until.expression())
            .map(|until| Wants::of(std::iter::once(until)))
            .fold(wants, Wants::and);
        let paging = step.paginate.iter().flat_map(|paginate| [&paginate.cursor, &paginate.next_url, &paginate.items]).flatten();
        let wants = paging.map(Wants::of_template).fold(wants, Wants::and);
        let whole_pages = wants.pages && step.paginate.as_ref().is_some_and(|paginate| paginate.items.is_none());
        let expect = step.expect.clone().unwrap_or_else(|| vec![Statuses::Class(2)]);
        let all = |wanted: &[Statuses]| (400..600).filter(|status| wanted.iter().any(|statuses| statuses.has(*status))).collect();
        Ok(Some(Self {
            name: step.name.clone(),
            method: method.to_string(),
            url: url.clone(),
            fixed: if url.expression().is_none() && step.query.is_empty() { url.render(base, scope).ok() } else { None },
            query: step.query.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            content_type: content_type.filter(|_| !headers.has("content-type")),
            headers,
            payload,
            timeout: step.timeout.unwrap_or(config.timeout),
            max_response: step.max_response.unwrap_or(config.max_response),
            captures: step.capture.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            wants: Wants { body: wants.body || whole_pages, ..wants },
            when: step.when.clone(),
            poll: step.poll.clone(),
            paginate: step.paginate.clone(),
            once_per_lane: step.once_per == Some(OncePer::Lane),
            key_header: step.idempotency.as_ref().map(|key| key.header.as_deref().unwrap_or(KEY_HEADER).to_ascii_lowercase()),
            repeat: repeat(step),
            probe: step.probe.clone(),
            on_unknown: on_unknown(step),
            retry: step.retry.clone(),
            expected: all(&expect),
            retried: all(&step.also_retry),
            expect,
        }))
    }

    /// How its calls are made, to this host.
    pub fn policy<'a>(&'a self, host: &'a str, fresh: bool) -> StepPolicy<'a> {
        StepPolicy {
            host,
            repeat: self.repeat,
            on_unknown: self.on_unknown,
            probe: self.probe.as_ref().map(|probe| probe.wait),
            retry: self.retry.as_ref(),
            expected: &self.expected,
            retried: &self.retried,
            once_per_lane: self.once_per_lane,
            fresh,
            family: "Http",
        }
    }

    /// Whether it is asked for anew as often as one likes.
    pub fn is_safe(&self) -> bool {
        self.repeat == StepRepeat::Safe
    }

    /// Whether a status is a success.
    pub fn expects(&self, status: u16) -> bool {
        self.expect.iter().any(|statuses| statuses.has(status))
    }
}

fn payload(step: &StepConfig) -> (Payload, Option<String>) {
    let some = |text: &str| Some(text.to_string());
    if let Some(json) = &step.json {
        return match json.expressions().is_empty() {
            true => (Payload::Fixed(serde_json::to_vec(json).unwrap_or_default().into()), some(JSON)),
            false => (Payload::Json(json.clone()), some(JSON)),
        };
    }
    if let Some(form) = &step.form {
        return (Payload::Form(form.iter().map(|(name, value)| (name.clone(), value.clone())).collect()), some(FORM));
    }
    match &step.body {
        Some(body) => {
            let content_type = step.content_type.as_deref().unwrap_or(TEXT);
            match body.as_literal() {
                Some(text) => (Payload::Fixed(text.clone().into()), some(content_type)),
                None => (Payload::Text(body.clone()), some(content_type)),
            }
        }
        None => (Payload::Fixed(Bytes::new()), None),
    }
}

/// By evidence: what is known of the method and of what the request carries.
fn repeat(step: &StepConfig) -> StepRepeat {
    match &step.idempotency {
        _ if step.is_safe() => StepRepeat::Safe,
        _ if step.is_idempotent() => StepRepeat::Idempotent,
        Some(key) => StepRepeat::Keyed { ttl: key.ttl },
        None => StepRepeat::Once,
    }
}

fn on_unknown(step: &StepConfig) -> OnUnknown {
    let probe = step.probe.as_ref().map(|probe| OnUnknown::Probe { wait: probe.wait });
    match (step.on_unknown, repeat(step)) {
        (Some(OnUnknownConfig::RetrySameKey), _) => OnUnknown::RetrySameKey,
        (Some(OnUnknownConfig::Hold), _) => OnUnknown::Hold,
        (Some(OnUnknownConfig::Probe), _) | (None, StepRepeat::Once) => probe.unwrap_or(OnUnknown::Hold),
        (None, StepRepeat::Safe | StepRepeat::Idempotent | StepRepeat::Keyed { .. }) => OnUnknown::RetrySameKey,
    }
}
