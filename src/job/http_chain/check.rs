//! What the types of the settings cannot say: every mistake at once, each with its setting.

use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};
use url::Url;

use super::address;
use super::check_names;
use super::check_step;
use super::config::{Auth, HttpChainConfig};
use super::redaction;
use super::steps::StepConfig;
use crate::expression::Setting;
use crate::job::{ConfigError, Within};
use crate::units::write_duration;

/// The largest `max_response`, in bytes.
const MOST_RESPONSE: u64 = 64 << 20;

/// The longest `timeout`: that of a Lambda function.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(900);

/// Header fields that belong to the connection, not to a workflow.
const NOT_OURS: [&str; 7] = ["connection", "content-length", "host", "keep-alive", "te", "transfer-encoding", "upgrade"];

/// The mistakes that were found so far.
#[derive(Default)]
pub(super) struct Mistakes(Vec<ConfigError>);

impl Mistakes {
    pub fn add(&mut self, setting: impl Into<String>, detail: impl Into<String>) {
        self.0.push(ConfigError::new(setting, detail));
    }

    pub fn hint(&mut self, setting: impl Into<String>, detail: impl Into<String>, hint: impl Into<String>) {
        self.0.push(ConfigError::new(setting, detail).hint(hint));
    }
}

impl HttpChainConfig {
    /// Whether the settings can be. Nothing is opened or asked.
    pub(super) fn check(&self, within: &Within) -> Result<(), ConfigError> {
        let mut mistakes = Mistakes::default();
        let base = self.check_base(&mut mistakes);
        self.check_auth(&mut mistakes);
        headers(&mut mistakes, "headers", self.headers.keys());
        timeout(&mut mistakes, "timeout", self.timeout);
        response(&mut mistakes, "max_response", self.max_response);
        for (index, path) in self.redact.iter().enumerate() {
            if redaction::read(path).is_none() {
                let detail =
                    format!("`{path}` is no part of an answer: expected a path such as `body.card` or `headers.set-cookie`");
                let setting = format!("redact[{index}]");
                let meant = format!("body.{}", path.trim_start_matches("item."));
                match redaction::read(&meant) {
                    Some(_) => mistakes.hint(setting, detail, format!("did you mean `{meant}`?")),
                    None => mistakes.add(setting, detail),
                }
            }
        }
        for index in 0..self.steps.len() {
            check_step::check(&mut mistakes, self, index, base.as_ref(), within);
        }
        check_names::check(&mut mistakes, self);
        let mut mistakes = mistakes.0.into_iter();
        match mistakes.next() {
            Some(first) => Err(mistakes.fold(first, ConfigError::and)),
            None => Ok(()),
        }
    }

    /// Whether the requests of a step, or those of any, carry what must not be read by others.
    fn has_secrets(&self, step: Option<&StepConfig>) -> bool {
        let is_secret = |setting: &Setting<Option<String>>| {
            setting.expression().is_some_and(|expression| expression.names().iter().any(|name| name.root() == "secrets"))
        };
        let steps = step.map_or(self.steps.as_slice(), std::slice::from_ref);
        let own = steps.iter().flat_map(|step| step.headers.values());
        self.auth.is_some() || self.headers.values().chain(own).any(is_secret)
    }

    fn check_base(&self, mistakes: &mut Mistakes) -> Option<Url> {
        let text = self.base_url.as_deref()?;
        let Some(url) = url(mistakes, "base_url", text) else {
            // Told once is enough: steps are not told that there is none.
            return Url::parse("https://base.invalid").ok();
        };
        if url.query().is_some() || url.fragment().is_some() {
            mistakes.hint(
                "base_url",
                format!("`{text}` has a `?` or `#` in it, and paths are put behind it"),
                "give it to each step as `query`",
            );
        }
        self.check_host(mistakes, "base_url", &url, None);
        Some(url)
    }

    /// A host that the workflow names must be one that may be called, and that secrets may be sent to.
    pub(super) fn check_host(&self, mistakes: &mut Mistakes, setting: &str, url: &Url, step: Option<&StepConfig>) {
        if !self.allow_link_local && address::refused_host(url) {
            let host = url.host_str().unwrap_or_default();
            let detail = format!("`{host}` is a link-local address, where clouds keep the credentials of a machine");
            mistakes.hint(setting, detail, "if it is meant, add `allow_link_local: true`");
        }
        if url.scheme() == "http" && !self.allow_http && !address::is_loopback(url) && self.has_secrets(step) {
            let detail = format!("`{url}` would carry secrets over plain http to another machine");
            mistakes.hint(setting, detail, "use `https://`, or add `allow_http: true`");
        }
    }

    fn check_auth(&self, mistakes: &mut Mistakes) {
        match &self.auth {
            Some(Auth::Header(header)) => headers(mistakes, "auth.header.name", std::iter::once(&header.name)),
            Some(Auth::Oauth2(oauth)) => {
                if let Some(url) = url(mistakes, "auth.oauth2.token_url", &oauth.token_url) {
                    self.check_host(mistakes, "auth.oauth2.token_url", &url, None);
                }
                for (name, setting) in [("client_id", &oauth.client_id), ("client_secret", &oauth.client_secret)] {
                    let names = setting.expression().map(|expression| expression.names()).unwrap_or_default();
                    if let Some(name_) = names.iter().find(|name| !["params", "secrets"].contains(&name.root())) {
                        let detail = format!("`{name_}` is not known here: one token is for all items");
                        mistakes.add(format!("auth.oauth2.{name}"), detail);
                    }
                }
            }
            _ => {}
        }
        let authorization = self.headers.keys().find(|name| name.eq_ignore_ascii_case("authorization"));
        if let (Some(name), Some(Auth::Bearer(_) | Auth::Basic(_) | Auth::Oauth2(_))) = (authorization, &self.auth) {
            mistakes.hint(format!("headers.{name}"), "`auth` says the same", "remove one of them");
        }
    }
}

/// A URL of http or https; what is wrong with it is told.
fn url(mistakes: &mut Mistakes, setting: &str, text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    match &url {
        None => mistakes.add(setting, format!("`{text}` is not a URL of http or https")),
        Some(url) if !url.username().is_empty() || url.password().is_some() => {
            mistakes.hint(
                setting,
                "the URL has a user or a password in it, which would be shown and kept",
                "use `auth: { basic: … }`",
            );
        }
        Some(_) => {}
    }
    url
}

/// Names of header fields: well-formed, ours to send, and each once.
pub(super) fn headers<'a>(mistakes: &mut Mistakes, setting: &str, names: impl Iterator<Item = &'a String>) {
    let mut seen: Vec<String> = Vec::new();
    for name in names {
        let own = if setting.ends_with("headers") { format!("{setting}.{name}") } else { setting.to_string() };
        let lower = name.to_ascii_lowercase();
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            mistakes.add(own, format!("`{}` is not the name of a header field", name.escape_debug()));
        } else if NOT_OURS.contains(&lower.as_str()) {
            mistakes.hint(own, format!("`{name}` belongs to the connection and is set by itself"), "remove it");
        } else if seen.contains(&lower) {
            mistakes.hint(own, format!("`{name}` is there twice, names of header fields differ by more than case"), "remove one");
        }
        seen.push(lower);
    }
}

/// A header value that is written as it is.
pub(super) fn header_value(mistakes: &mut Mistakes, setting: String, value: &str) {
    if HeaderValue::from_str(value).is_err() {
        mistakes.add(setting, format!("`{}` cannot be the value of a header field", value.escape_debug()));
    }
}

pub(super) fn timeout(mistakes: &mut Mistakes, setting: &str, timeout: Duration) {
    if timeout.as_millis() == 0 || timeout > LONGEST_TIMEOUT {
        mistakes.add(setting, format!("{}, allowed are 1ms to 15m", write_duration(timeout)));
    }
}

pub(super) fn response(mistakes: &mut Mistakes, setting: &str, bytes: u64) {
    if bytes == 0 || bytes > MOST_RESPONSE {
        mistakes.add(setting, format!("{bytes} bytes, allowed are 1B to 64MiB"));
    }
}
