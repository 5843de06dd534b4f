//! [`Given`]: the params of a workflow on AWS: those that the machine knows, and those that its executions are given.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::storage::Location;
use crate::workflow::{Bound, ParamType, Workflow};

/// What stands for the bucket of a param that only an execution gives. No bucket is called so: its name is too long with it.
const OPEN: &str = "fanfold-given-by-the-execution-as-the-param.";

/// The params of a workflow, and its settings with them.
#[derive(Debug)]
pub(super) struct Given {
    pub bound: Bound,
    /// The params whose values are of no use on AWS: every execution has to give them.
    pub open: Vec<String>,
    /// How each of these could be given: `source=s3://bucket/…`.
    pub examples: Vec<String>,
}

impl Given {
    /// Fills in what was `given`, then the defaults. A default that is on this machine is left to the executions.
    ///
    /// # Errors
    /// Those of [`Workflow::bind`]; something on this machine that was given.
    pub fn of(workflow: &Workflow, given: &[(String, String)], cwd: &Path) -> Result<Self> {
        let is_given = |name: &str| given.iter().any(|(known, _)| known == name);
        let mut all = given.to_vec();
        for param in workflow.params.iter().filter(|param| param.default.is_none() && !is_given(&param.name)) {
            all.extend(Elsewhere::of(param.kind).map(|place| (param.name.clone(), place.stand_in(&param.name))));
        }
        let mut values = match workflow.bind(&all, cwd)?.params.value() {
            Value::Object(values) => values.clone(),
            _ => Map::new(),
        };
        let (mut open, mut examples, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        for param in &workflow.params {
            let text = values.get(&param.name).and_then(Value::as_str);
            let (Some(text), Some(place)) = (text, Elsewhere::of(param.kind)) else { continue };
            if place.is_here(text) && is_given(&param.name) {
                let (what, expected) = place.words();
                let detail = format!("`-p {}`: `{text}` is {what} of this machine, which AWS cannot reach", param.name);
                let hint = format!("`-p {}={expected}`", param.name);
                wrong.push(Error::refused(detail).hint(hint));
            } else if place.is_here(text) || *text == place.stand_in(&param.name) {
                open.push(param.name.clone());
                examples.push(format!("{}={}", param.name, place.words().1));
                values.insert(param.name.clone(), place.stand_in(&param.name).into());
            }
        }
        match Error::all(wrong) {
            Some(error) => Err(error),
            None => Ok(Self { bound: workflow.rebind(&Value::Object(values))?, open, examples }),
        }
    }

    /// The values that the machine knows, by name.
    pub fn known(&self) -> Map<String, Value> {
        let Value::Object(values) = self.bound.params.value() else { return Map::new() };
        values.iter().filter(|(name, _)| !self.open.contains(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// A kind of param whose value may be on this machine, where AWS cannot reach it.
#[derive(Debug, Clone, Copy)]
enum Elsewhere {
    Path,
    Database,
    Url,
}

impl Elsewhere {
    fn of(kind: ParamType) -> Option<Self> {
        match kind {
            ParamType::Path => Some(Self::Path),
            ParamType::Database => Some(Self::Database),
            ParamType::Url => Some(Self::Url),
            _ => None,
        }
    }

    /// A value of its kind that stands for what nobody knows yet.
    fn stand_in(self, param: &str) -> String {
        match self {
            Self::Path => format!("s3://{OPEN}{param}/open"),
            Self::Database => format!("postgres://{OPEN}{param}/open"),
            Self::Url => "https://given-by-the-execution.invalid".to_string(),
        }
    }

    fn is_here(self, text: &str) -> bool {
        match self {
            Self::Path => !text.starts_with("s3://"),
            Self::Database => !text.starts_with("postgres"),
            Self::Url => url::Url::parse(text).is_ok_and(|url| match url.host() {
                Some(url::Host::Domain(name)) => name == "localhost",
                Some(url::Host::Ipv4(address)) => address.is_loopback(),
                Some(url::Host::Ipv6(address)) => address.is_loopback(),
                None => true,
            }),
        }
    }

    /// What it is, and what is expected instead.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Path => ("a path", "s3://bucket/…"),
            Self::Database => ("a file", "postgres://user@host/database"),
            Self::Url => ("an address", "https://api.example.com"),
        }
    }
}

/// The param that a bucket comes from, if only an execution gives it.
pub(super) fn open_param(bucket: &str) -> Option<&str> {
    bucket.strip_prefix(OPEN)
}

/// The param that an expression is, if it is exactly one: `{{ params.x }}`.
pub(super) fn only_param(text: &str) -> Option<&str> {
    let name = text.trim().strip_prefix("{{")?.strip_suffix("}}")?.trim().strip_prefix("params.")?;
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_').then_some(name)
}

/// A location's bucket and prefix as they are known: with `${NameBucket}` for what only an execution gives.
pub(super) fn bucket_and_prefix(location: &Location) -> Option<(String, String)> {
    let Location::S3 { bucket, prefix } = location else { return None };
    match open_param(bucket) {
        Some(name) => Some((placeholder(name), String::new())),
        None => Some((bucket.clone(), prefix.clone())),
    }
}

/// What stands for the bucket of a param in policies: `${SourceBucket}`.
pub(crate) fn placeholder(param: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    format!("${{{}Bucket}}", param.split('_').map(word).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_param_is_told_from_everything_else() {
        assert_eq!(only_param("{{ params.source }}"), Some("source"));
        assert_eq!(only_param(" {{params.n}} "), Some("n"));
        for other in ["s3://{{ params.bucket }}/", "{{ params.a }}{{ params.b }}", "{{ params.a * 2 }}", "{{ item.a }}", "x"] {
            assert_eq!(only_param(other), None, "{other}");
        }
        assert_eq!(placeholder("source_folder"), "${SourceFolderBucket}");
    }
}
