//! [`Request`]: the request of one item, rendered but for what is secret.

use bytes::Bytes;
use serde_json::Value;
use url::Url;

use super::step::{Payload, Step};
use super::url_text::Target;
use crate::expression::{ExpressionError, Scope, Template, kind};
use crate::job::JobError;

/// A request, without what is secret.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub target: Target,
    /// Who is called, as `name:port`.
    pub host: String,
    /// Names in lowercase.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Request {
    /// Works out everything that the step sends for one item.
    ///
    /// # Errors
    /// An expression that cannot be worked out: `Http.InvalidRequest`, or `Http.InvalidUrl` for where it goes.
    pub fn new(step: &Step, base: Option<&Url>, scope: &Scope<'_>) -> Result<Self, JobError> {
        let target = target(step, base, scope)?;
        let mut headers = step.headers.open(scope).map_err(|(setting, error)| invalid(step, &setting, &error))?;
        if let Some(content_type) = &step.content_type {
            headers.push(("content-type".to_string(), content_type.clone()));
        }
        let wrong = |setting: &str, error: &ExpressionError| invalid(step, setting, error);
        let body = match &step.payload {
            Payload::Fixed(bytes) => bytes.clone(),
            Payload::Json(template) => {
                let value = template.evaluate(scope).map_err(|error| wrong("json", &error))?;
                serde_json::to_vec(&value).unwrap_or_default().into()
            }
            Payload::Form(fields) => {
                let mut form = url::form_urlencoded::Serializer::new(String::new());
                for (name, template) in fields {
                    let add = |text: &str| {
                        form.append_pair(name, text);
                    };
                    each_text(template, scope, add).map_err(|why| failed(step, &format!("form.{name}"), &why))?;
                }
                form.finish().into()
            }
            Payload::Text(text) => text.get(scope).map_err(|error| wrong("body", &error))?.into(),
        };
        Ok(Self { host: host(&target.url), target, headers, body })
    }

    /// The same, sent to another place that the answer named: what says who sends it goes along only within one host.
    pub fn at(&self, url: Url) -> Self {
        let same = url.origin() == self.target.url.origin();
        let target = Target { url, named: self.target.named && same };
        Self { host: host(&target.url), target, ..self.clone() }
    }
}

fn target(step: &Step, base: Option<&Url>, scope: &Scope<'_>) -> Result<Target, JobError> {
    if let Some(fixed) = &step.fixed {
        return Ok(fixed.clone());
    }
    let wrong = |why: &str| JobError::permanent(format!("step `{}`: {why}", step.name)).named("Http.InvalidUrl");
    let mut target = step.url.render(base, scope).map_err(|why| wrong(&why))?;
    if !step.query.is_empty() {
        let mut pairs = target.url.query_pairs_mut();
        for (name, template) in &step.query {
            let add = |text: &str| {
                pairs.append_pair(name, text);
            };
            each_text(template, scope, add).map_err(|why| failed(step, &format!("query.{name}"), &why))?;
        }
        drop(pairs);
        if target.url.query() == Some("") {
            target.url.set_query(None);
        }
    }
    Ok(target)
}

/// The texts of a value behind a name: none for null, one for each element of a list.
fn each_text(template: &Template, scope: &Scope<'_>, mut with: impl FnMut(&str)) -> Result<(), String> {
    let value = template.evaluate(scope).map_err(|error| error.to_string())?;
    let mut one = |value: &Value| match value {
        Value::Null => Ok(()),
        Value::String(text) => {
            with(text);
            Ok(())
        }
        Value::Bool(_) | Value::Number(_) => {
            with(&value.to_string());
            Ok(())
        }
        other => Err(format!("expected a text, a number or a list of these, found {}", kind(other))),
    };
    match &value {
        Value::Array(list) => list.iter().try_for_each(one),
        value => one(value),
    }
}

/// `name:port` in lowercase, as everyone who calls it says.
pub(super) fn host(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default())
}

/// An expression of the request cannot be worked out.
pub(super) fn invalid(step: &Step, setting: &str, error: &ExpressionError) -> JobError {
    failed(step, setting, &error.to_string())
}

fn failed(step: &Step, setting: &str, why: &str) -> JobError {
    JobError::permanent(format!("step `{}`: `{setting}`: {why}", step.name)).named("Http.InvalidRequest")
}
