//! [`UrlText`]: a URL, or a path behind `base_url`, with expressions in it, each of which stays within its place.

use std::borrow::Cow;
use std::fmt::Write;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use url::Url;

use crate::expression::{Expression, Scope, kind};

/// A URL or a path, with expressions in it.
#[derive(Debug, Clone, PartialEq)]
pub struct UrlText {
    text: String,
    expression: Option<Expression>,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Target {
    pub url: Url,
    /// The workflow itself names the host, not an item or an answer.
    pub named: bool,
}

/// What is wrong with a URL in a workflow, and what helps.
pub(super) type Wrong = (String, Option<String>);

impl UrlText {
    /// The text, if there is an expression in it.
    pub(super) fn expression(&self) -> Option<&Expression> {
        self.expression.as_ref()
    }

    /// Whether it begins with an expression, which may be a whole URL.
    fn begins_with_expression(&self) -> bool {
        self.expression.as_ref().is_some_and(|expression| expression.pieces().next().is_some_and(|first| first.text().is_none()))
    }

    /// Whether it is put behind `base_url`.
    pub(super) fn is_path(&self) -> bool {
        self.text.starts_with('/')
    }

    /// The URL that the workflow names with it, as far as that can be said: the values in it are `x`.
    pub(super) fn sample(&self, base: Option<&Url>) -> Option<Url> {
        if self.begins_with_expression() {
            return None;
        }
        let text = match &self.expression {
            Some(expression) => expression.pieces().map(|piece| piece.text().unwrap_or("x")).collect(),
            None => self.text.clone(),
        };
        if self.is_path() { behind(base?, &text).ok() } else { Url::parse(&text).ok() }
    }

    /// What is wrong with what is written.
    pub(super) fn check(&self, base: Option<&Url>) -> Option<Wrong> {
        let wrong = |detail: &str, hint: Option<String>| Some((format!("`{}` {detail}", self.text), hint));
        let written = || match &self.expression {
            Some(expression) => expression.pieces().filter_map(|piece| piece.text()).collect::<String>(),
            None => self.text.clone(),
        };
        if written().contains('#') {
            return wrong("has a `#`, which is never sent", Some("remove it and what follows; as a value write `%23`".into()));
        }
        if self.begins_with_expression() {
            return None;
        }
        if self.is_path() {
            if base.is_none() {
                return wrong(
                    "is a path, and there is no `base_url`",
                    Some("add `base_url: https://…`, or write the whole URL".into()),
                );
            }
        } else if !self.text.starts_with("http://") && !self.text.starts_with("https://") {
            let hint = match self.text.contains("://") {
                true => None,
                false => Some(format!("did you mean `/{}`?", self.text)),
            };
            return wrong("is neither a path, which begins with `/`, nor a URL of http or https", hint);
        } else if let Some(first) = self.expression.as_ref().and_then(|expression| expression.pieces().next()?.text()) {
            let host = first.split_once("://").map_or("", |(_, rest)| rest);
            if !host.contains(['/', '?']) {
                return wrong(
                    "has an expression in its host",
                    Some("begin with an expression that gives the whole beginning of the URL, or name the host".into()),
                );
            }
        }
        match self.sample(base) {
            None => wrong("is not a URL", None),
            // Not repeated: it is a secret in the wrong place.
            Some(url) if !url.username().is_empty() || url.password().is_some() => {
                let detail = "the URL has a user or a password in it, which would be shown and kept".to_string();
                Some((detail, Some("use `auth: { basic: … }`".to_string())))
            }
            Some(_) => None,
        }
    }

    /// Where the request of one item goes.
    ///
    /// # Errors
    /// Why there is no such place, in words.
    pub(super) fn render(&self, base: Option<&Url>, scope: &Scope<'_>) -> Result<Target, String> {
        let Some(expression) = &self.expression else {
            return parsed(&self.text, base);
        };
        let mut text = String::with_capacity(self.text.len() + 32);
        let mut named = true;
        let mut query = None;
        let mut values = Vec::new();
        for (index, piece) in expression.pieces().enumerate() {
            let start = text.len();
            match piece.text() {
                Some(written) => text.push_str(written),
                None => {
                    let value = piece.evaluate(scope).map_err(|error| error.to_string())?;
                    let shown = || piece.names().iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                    if index == 0 {
                        named = piece.names().iter().all(|name| name.root() == "params");
                        text.push_str(value.as_str().ok_or_else(|| format!("{} is {}, expected a URL", shown(), kind(&value)))?);
                    } else {
                        put(&mut text, &value, query.is_none()).map_err(|why| format!("{} {why}", shown()))?;
                        if query.is_none() {
                            values.push((start, text.len()));
                        }
                        continue;
                    }
                }
            }
            query = query.or_else(|| text[start..].find('?').map(|at| start + at));
        }
        let path = &text[..query.unwrap_or(text.len())];
        for (start, end) in values {
            let from = path[..start].rfind('/').map_or(0, |slash| slash + 1);
            let to = path[end..].find('/').map_or(path.len(), |slash| end + slash);
            // Readers of URLs take these for the folder itself and the one above, written in whichever way.
            let segment = path[from..to].to_ascii_lowercase().replace("%2e", ".");
            if segment == "." || segment == ".." {
                return Err(format!("`{segment}` as a part of a path would lead elsewhere, in `{}`", self.text));
            }
        }
        let target = parsed(&text, base)?;
        Ok(Target { named: named || text.starts_with('/'), ..target })
    }
}

/// Puts a value into a URL so that it is one segment of a path, or one value of a query.
fn put(text: &mut String, value: &Value, in_path: bool) -> Result<(), String> {
    let value: Cow<'_, str> = match value {
        Value::String(value) => value.into(),
        Value::Number(_) | Value::Bool(_) => value.to_string().into(),
        other => return Err(format!("is {}, which cannot be part of a URL", kind(other))),
    };
    if value.is_empty() && in_path {
        return Err("is an empty text, which cannot be part of a path".to_string());
    }
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            // Nothing is wrong with writing to a text.
            _ => drop(write!(text, "%{byte:02X}")),
        }
    }
    Ok(())
}

/// `path` behind `base`, whose own path stays.
fn behind(base: &Url, path: &str) -> Result<Url, url::ParseError> {
    let base = base.as_str().split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    Url::parse(&format!("{base}{path}"))
}

fn parsed(text: &str, base: Option<&Url>) -> Result<Target, String> {
    let url = match (text.starts_with('/'), base) {
        (true, Some(base)) => behind(base, text),
        (true, None) => return Err(format!("`{text}` is a path, and there is no `base_url`")),
        (false, _) if text.starts_with("http://") || text.starts_with("https://") => Url::parse(text),
        (false, _) => return Err(format!("`{text}` is neither a path, which begins with `/`, nor a URL of http or https")),
    };
    let url = url.map_err(|error| format!("`{text}` is not a URL: {error}"))?;
    Ok(Target { url, named: true })
}

impl<'de> Deserialize<'de> for UrlText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let expression = Expression::is(&text).then(|| Expression::parse(&text)).transpose().map_err(de::Error::custom)?;
        Ok(Self { text, expression })
    }
}

impl JsonSchema for UrlText {
    fn schema_name() -> Cow<'static, str> {
        "UrlText".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "x-fanfold-scope": ["params", "item"] })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::expression::Params;

    fn text(text: &str) -> UrlText {
        serde_json::from_value(json!(text)).expect("well-formed")
    }

    fn render(written: &str, value: Value) -> Result<String, String> {
        let (params, item) = (Params::new(json!({ "api": "https://b.example/v2" })), json!({ "x": value }));
        let base = Url::parse("https://api.example.com/v1/").expect("a URL");
        text(written).render(Some(&base), &Scope::params(&params).with_item(&item)).map(|target| target.url.to_string())
    }

    #[test]
    fn a_value_is_one_segment_or_one_value_whatever_is_in_it() {
        for (written, value, expected) in [
            ("/a/{{ item.x }}", json!("b"), "https://api.example.com/v1/a/b"),
            ("/a/{{ item.x }}/c", json!("../../d?e=f#g"), "https://api.example.com/v1/a/..%2F..%2Fd%3Fe%3Df%23g/c"),
            ("/a/{{ item.x }}", json!("50%\\\n+ü"), "https://api.example.com/v1/a/50%25%5C%0A%2B%C3%BC"),
            ("/a/{{ item.x }}", json!(9_007_199_254_740_993u64), "https://api.example.com/v1/a/9007199254740993"),
            ("/a/{{ item.x }}.json", json!("."), "https://api.example.com/v1/a/..json"),
            ("/a?b={{ item.x }}&c=d", json!("1&c=2#/?"), "https://api.example.com/v1/a?b=1%26c%3D2%23%2F%3F&c=d"),
            ("/a?b={{ item.x }}", json!(""), "https://api.example.com/v1/a?b="),
            ("/a?b={{ item.x }}", json!(".."), "https://api.example.com/v1/a?b=.."),
            ("/literal/%2F", json!(1), "https://api.example.com/v1/literal/%2F"),
            ("{{ item.x }}", json!("https://other.example/a/b?c=d"), "https://other.example/a/b?c=d"),
            ("{{ item.x }}/b", json!("/operations/7"), "https://api.example.com/v1/operations/7/b"),
            ("{{ params.api }}/a/{{ item.x }}", json!("/"), "https://b.example/v2/a/%2F"),
            ("https://c.example/{{ item.x }}", json!("@evil.example"), "https://c.example/%40evil.example"),
        ] {
            assert_eq!(render(written, value.clone()), Ok(expected.to_string()), "{written} {value}");
        }
    }

    #[test]
    fn what_would_lead_elsewhere_is_refused() {
        for (written, value) in [
            ("/a/{{ item.x }}", json!("..")),
            ("/a/{{ item.x }}/c", json!(".")),
            ("/a/{{ item.x }}.", json!(".")),
            ("/a/%2e{{ item.x }}", json!(".")),
            ("/a/{{ item.x }}", json!("")),
            ("/a/{{ item.x }}", json!(null)),
            ("/a/{{ item.x }}", json!(["b"])),
            ("/a?b={{ item.x }}", json!(null)),
            ("/a/{{ item.y }}", json!(null)),
            ("{{ item.x }}", json!("file:///etc/passwd")),
            ("{{ item.x }}", json!("a/b")),
            ("{{ item.x }}", json!(7)),
            ("{{ item.x }}", json!("https://")),
        ] {
            assert!(render(written, value.clone()).is_err(), "{written} {value}");
        }
    }

    #[test]
    fn only_hosts_that_the_file_names_are_named() {
        let (params, item) = (Params::new(json!({ "api": "https://b.example" })), json!({ "x": "https://evil.example/a" }));
        let scope = Scope::params(&params).with_item(&item);
        let named = |written: &str| text(written).render(None, &scope).map(|target| target.named);
        assert_eq!(named("https://c.example/"), Ok(true));
        assert_eq!(named("{{ params.api }}/{{ item.x }}"), Ok(true));
        assert_eq!(named("{{ item.x }}"), Ok(false));
    }
}
